"""`python3 -m tfdarts.convert` is `tfdarts convert`: weights of PyTorch programs to our models, and back."""

import sys

from tfdarts.cli import convert

if __name__ == "__main__":
    sys.argv[0] = "-m tfdarts.convert"  # for the help
    convert.main()
