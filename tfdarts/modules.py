"""Names of operation modules: a module of `ops/` (`regular`), a dotted path (`mypackage.myops`), a Python file."""

import pathlib


def same_module(one, other):
    """Whether two names of operation modules mean the same one: a user's file or dotted path may have moved."""
    own = "." in one and "." in other  # the modules of `ops/` are named without
    return one == other or (own and _last_name(one) == _last_name(other))


def _last_name(module):
    return pathlib.PurePath(module.removesuffix(".py")).name.rpartition(".")[2]
