"""Candidates edge by edge: the restricted spaces of RobustDARTS (Zela et al. 2020, arXiv:1909.09656), and a user's own.

On S2, say, DARTS is known to end with skip connections nearly everywhere (their section 4).
"""

import hashlib
import json

from tfdarts.errors import UserError
from tfdarts.genotype import NONE
from tfdarts.spaces.conv.supernet import edge_names

KINDS = ("normal", "reduce")
_SAME = {  # on every edge
    "s2": ("skip_connect", "sep_conv_3x3"),
    "s3": ("none", "skip_connect", "sep_conv_3x3"),
    "s4": ("noise", "sep_conv_3x3"),
}
_SHORT = {
    "skip": "skip_connect",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "sep3": "sep_conv_3x3",
    "sep5": "sep_conv_5x5",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}
_S1 = {
    "normal": "skip dil3,skip dil5,skip dil5,skip sep3,skip dil3,max skip,skip sep3,"
    "skip sep3,skip dil3,skip sep3,max skip,skip dil3,dil3 dil5,dil3 dil5",
    "reduce": "max avg,max dil3,max avg,max avg,skip dil5,max avg,max sep3,"
    "skip dil3,skip dil5,max avg,max avg,skip dil5,skip dil5,skip dil5",
}
NAMES = ("s1", *_SAME, "without_none")


class RestrictionError(UserError):
    """Candidates that cannot be, with a sentence for the user."""


def load(name, operations, nodes):
    """The candidates of every edge.

    Args:
        name: one of `NAMES`; or a JSON file with the lists `normal` and `reduce`, a list of names for each edge, in the
            order of `edge_names`. Empty for all searched operations everywhere.
        operations: `Operations`.
        nodes: int, of a cell.

    Returns:
        A dictionary from kind of cell to a tuple of tuples of names, as `Supernet` takes it.

    Raises:
        RestrictionError: for a file that cannot be read, does not fit the cell, or names what does not exist.
    """
    edges = len(edge_names(nodes))
    if not name:
        return dict.fromkeys(KINDS, (operations.searched,) * edges)
    if name == "without_none":
        found = dict.fromkeys(KINDS, [[op for op in operations.searched if op != NONE]] * edges)
    elif name in _SAME:
        found = dict.fromkeys(KINDS, [_SAME[name]] * edges)
    elif name == "s1":
        found = {kind: [[_SHORT[op] for op in row.split()] for row in rows.split(",")] for kind, rows in _S1.items()}
    else:
        found = read(name, NAMES, KINDS)
    for kind in KINDS:
        check(f"{name}: {kind}", found[kind], operations, edges)
        if operations.after and len(set(map(tuple, found[kind]))) > 1:
            raise RestrictionError(
                f"{name}: candidates may differ from edge to edge only where no attention module follows; leave out "
                "--location."
            )
    return {kind: tuple(map(tuple, found[kind])) for kind in KINDS}


def read(path, names, kinds):
    """Reads a JSON file of candidates.

    Args:
        path: of the file.
        names: what a user may give beside a file.
        kinds: names of the lists that it must hold.

    Returns:
        A dictionary from kind to a list of lists.

    Raises:
        RestrictionError: if the file cannot be read or holds something else.
    """
    what = f"{', '.join(names)} or a JSON file" if names else "a JSON file"
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RestrictionError(f"--restrict takes {what}; cannot read {path!r}: {error}.") from None
    rows = found.values() if isinstance(found, dict) and set(found) == set(kinds) else [None]
    if not all(isinstance(row, list) and all(isinstance(names, list) for names in row) for row in rows):
        lists = "the lists " + " and ".join(kinds) if len(kinds) > 1 else f"one list, {kinds[0]}"
        raise RestrictionError(f"{path}: it must be an object of {lists}, a list for each edge.")
    return found


def check(where, rows, operations, count, each="edge", hint="; see --nodes"):
    """Raises RestrictionError unless rows of candidates fit a cell.

    Args:
        where: what they are, for the sentence.
        rows: list of lists of names.
        operations: `Operations`.
        count: int, how many the cell has.
        each: what a row is for.
        hint: what to do about another number of rows.
    """
    if len(rows) != count:
        raise RestrictionError(f"{where}: {len(rows)} {each}s, where a cell has {count}{hint}.")
    for number, names in enumerate(rows):
        unknown = [op for op in names if not isinstance(op, str) or op not in operations.ops]
        if unknown:
            known = ", ".join(operations.ops)
            raise RestrictionError(f"{where}: {each} {number} names {unknown[0]!r}; there are {known}.")
        if not [op for op in names if op != NONE] or len(set(names)) < len(names):
            raise RestrictionError(f"{where}: {each} {number} needs different operations, one of them not none.")


def digest(candidates):
    """A number that candidates are recognised by, as text: SHA-256 of what `load` gave."""
    return hashlib.sha256(json.dumps(candidates, sort_keys=True).encode()).hexdigest()
