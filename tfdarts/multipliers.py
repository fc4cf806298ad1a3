"""`python3 -m tfdarts.multipliers` is `tfdarts multipliers`: error figures of an approximate multiplier."""

import sys

from tfdarts.cli import multipliers

if __name__ == "__main__":
    sys.argv[0] = "-m tfdarts.multipliers"  # for the help
    multipliers.main()
