"""Reads the golden values and knows our variables by the names that they have there."""

import itertools
import json
import pathlib
import re

import numpy as np

from tfdarts.naming import arrays, assign, named, named_cell, part_of, read, variables

OURS = pathlib.Path(__file__).parent.parent / "goldens"
__all__ = ["arrays", "assign", "close", "group", "load", "named", "named_cell", "part_of", "read", "variables"]
GOLDENS = OURS  # or what `--goldens` names


def load(name, folder=None):
    """Arrays of `<name>.npz` below the folder of goldens, or below another one, or the content of a `.json` file."""
    path = (folder or GOLDENS) / name
    return json.loads(path.read_text()) if path.suffix == ".json" else dict(np.load(path.with_suffix(".npz")))


def names(pattern):
    """Names of the files of golden values that match a pattern, as `load` takes them: `names("evalnet/*.npz")`."""
    return sorted(str(path.relative_to(GOLDENS).with_suffix("")) for path in GOLDENS.glob(pattern))


def numbers(counts, pattern):
    """The whole numbers in the one key that matches a pattern, and the value there: `([24, 96], 42559392)`."""
    (found,) = filter(None, (re.fullmatch(pattern, key) for key in counts))
    return [int(number) for number in found.groups()], counts[found[0]]


def count(arrays, pattern):
    """How many names match a pattern from their beginning."""
    return sum(bool(re.match(pattern, name)) for name in arrays)


def nodes_of(edges):
    """How many nodes a convolutional cell has that has so many edges."""
    return next(nodes for nodes in itertools.count(1) if nodes * (nodes + 3) // 2 >= edges)


def group(arrays, prefix):
    """The arrays below a prefix, without it and without the levels of names that our layers do without."""
    below = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
    return {re.sub(r"\b(first|channel|spatial|gather|excite)/", "", name): value for name, value in below.items()}


def close(got, stored, tolerance, name=""):
    """Asserts `max|got - stored| <= tolerance * max|stored|`, over a group if both are dictionaries."""
    if not isinstance(stored, dict):
        got, stored = {name: got}, {name: stored}
    assert stored, f"nothing to compare: {name}"
    scale = max(np.abs(value).max() for value in stored.values())
    for key, value in stored.items():
        array = np.asarray(got[key], np.float64)
        assert array.shape == np.shape(value), f"{name} {key}: {array.shape}, not {np.shape(value)}"
        error = np.abs(array - value).max() / (scale or 1.0)
        assert error <= tolerance, f"{name} {key}: {error:.2e} > {tolerance}"
