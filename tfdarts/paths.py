"""Says where the shipped files lie: inside the package when it is installed, beside it in a clone."""

import pathlib

_PACKAGE = pathlib.Path(__file__).resolve().parent
GENOTYPES = (_PACKAGE if (_PACKAGE / "genotypes").is_dir() else _PACKAGE.parent) / "genotypes"
