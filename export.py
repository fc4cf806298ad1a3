"""Exports a saved network for other programs, as `tfdarts export` does; the program is `tfdarts/cli/export.py`."""

from tfdarts.cli import export

export.main()
