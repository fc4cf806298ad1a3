"""Draws a genotype or a search, as `tfdarts visualize` does; the program is `tfdarts/cli/visualize.py`."""

from tfdarts.cli import visualize

visualize.main()
