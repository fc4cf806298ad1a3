"""Trains and tests the network of a genotype, as `tfdarts train` does; the program is `tfdarts/cli/train.py`."""

from tfdarts.cli import train

train.main()
