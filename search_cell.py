"""Searches a cell, as `tfdarts search` does; the program is `tfdarts/cli/search.py`."""

from tfdarts.cli import search

search.main()
