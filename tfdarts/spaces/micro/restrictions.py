"""Candidates block by block: what a controller may draw."""

from tfdarts.spaces.conv.restrictions import KINDS, check, read
from tfdarts.spaces.micro.operations import OPERATIONS


def load(path, nodes):
    """The candidates of every block.

    Args:
        path: a JSON file with the lists `normal` and `reduce`, a list of names for each block. Empty for all operations
            everywhere.
        nodes: int, blocks of a cell.

    Returns:
        A dictionary from kind of cell to a tuple of tuples of names, as `MicroController` takes it; None for all.

    Raises:
        RestrictionError: for a file that cannot be read, does not fit the cell, or names what does not exist.
    """
    if not path:
        return None
    found = read(path, (), KINDS)
    for kind in KINDS:
        check(f"{path}: {kind}", found[kind], OPERATIONS, nodes, "block")
    return {kind: tuple(map(tuple, found[kind])) for kind in KINDS}
