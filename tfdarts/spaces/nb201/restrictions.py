"""Candidates edge by edge."""

from tfdarts.genotype import NONE
from tfdarts.spaces.conv.restrictions import check, read
from tfdarts.spaces.nb201.genotype import EDGES
from tfdarts.spaces.nb201.operations import OPERATIONS

NAMES = ("without_none",)


def load(name):
    """The candidates of every edge.

    Args:
        name: `"without_none"`; or a JSON file with the list `normal`, a list of names for each edge, in the order of
            `genotype.EDGES`. Empty for all operations everywhere.

    Returns:
        A tuple of tuples of names.

    Raises:
        RestrictionError: for a file that cannot be read, does not fit the cell, or names what does not exist.
    """
    if name in ("", *NAMES):
        return (tuple(op for op in OPERATIONS.searched if not (name and op == NONE)),) * len(EDGES)
    rows = read(name, NAMES, ("normal",))["normal"]
    check(f"{name}: normal", rows, OPERATIONS, len(EDGES), hint="")
    return tuple(map(tuple, rows))
