"""`python3 -m tfdarts` is the command `tfdarts`: in a clone it needs no installation."""

from tfdarts.cli.main import main

main()
