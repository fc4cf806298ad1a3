"""Compares strategies over many seeds, as `tfdarts study` does; the program is `tfdarts/cli/study.py`."""

from tfdarts.cli import study

study.main()
