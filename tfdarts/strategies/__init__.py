"""Strategies: how an architecture is searched.

A strategy is a module with agreed names: `job` builds a search, `costs` tells what it costs, `random` draws genotypes
uniformly from what it could find, `check` refuses options that do not go together.
"""

import importlib

_MODULES = {"darts": "tfdarts.strategies.darts", "enas": "tfdarts.strategies.enas"}
_MODULES["random_ws"] = _MODULES["enas"]  # the same search without a controller's updates
NAMES = tuple(_MODULES)


def load(name):
    """The module of a strategy, one of `NAMES`."""
    return importlib.import_module(_MODULES[name])
