"""Tests a saved network, as `tfdarts evaluate` does; the program is `tfdarts/cli/evaluate.py`."""

from tfdarts.cli import evaluate

evaluate.main()
