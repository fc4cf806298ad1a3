"""Reads genotypes: shipped ones by name, JSON files, the texts that other programs print.

Nothing is evaluated: JSON and the text form of DARTS's logs are parsed.
"""

import json
import pathlib

from tfdarts import spaces
from tfdarts.genotype import GenotypeError, check, check_version
from tfdarts.paths import GENOTYPES
from tfdarts.spaces import literals, nni
from tfdarts.textfiles import decoded

ALIASES = {"DARTS": "DARTS_V2"}  # as in the authors' genotypes.py


def from_dict(data, space=None):
    """Builds the genotype of the space that parsed JSON names.

    Args:
        data: what a JSON file holds.
        space: name of a space that the user asked for. Only so is a space of the user's own loaded, since that runs
            its code; a file alone can name the program's spaces only.

    Raises:
        GenotypeError: if it is no genotype.
    """
    check_version(data)
    name = data.get("space", "recurrent" if "recurrent" in data else "conv")
    known = (*spaces.NAMES, *([space] if space else []))
    check(name in known, f"`space` must be one of {', '.join(known)}. Received: {name!r}.")
    return spaces.load(name).genotype.from_dict(data)


def from_text(text, space=None):
    """Builds the genotype that a text ends with, as DARTS's programs and their descendants print it in their logs.

    `Genotype(normal=[...], normal_concat=range(2, 6), ...)`, `Genotype(recurrent=[...], concat=range(1, 9))`, or a
    dictionary of such fields; the entries of convolutional cells in any form that `conv.entries` knows.
    """
    return from_dict(literals.last(text), space)


def names(space="conv"):
    """Names of the genotypes that ship with the program."""
    return sorted(path.stem for path in (GENOTYPES / space).glob("*.json"))


def load(source, space=None):
    """Reads a genotype: a name shipped for `space` (None: conv), a JSON file, or a text that holds `Genotype(...)`.

    JSON may be ours or what NNI exports. A text file may also hold what else the space reads (`Space.parse`): in ENAS's
    spaces, its scripts' numbers. `FILE:NAME` is one of several genotypes that a Python file gives names to.

    Raises:
        GenotypeError: with a sentence that says what is wrong.
    """
    space = space or "conv"
    path, name = shipped(source, space), None
    if path is None:
        path, name = _file(source)
    try:
        text = decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise GenotypeError(
            f"Cannot read a genotype from {str(source)!r} ({error.__class__.__name__}); "
            f"give a file or one of {', '.join(names(space))}."
        ) from None
    try:
        return _named(text, name, path, space) if name or path.suffix == ".py" else _parsed(text, space)
    except GenotypeError as error:
        raise GenotypeError(f"{source}: {error}") from None


def shipped(name, space):
    """The path of a genotype that ships with the program for a space; None if none there has the name."""
    path = GENOTYPES / space / f"{ALIASES.get(str(name), name)}.json"
    return path if path.parent == GENOTYPES / space and path.is_file() else None


def _file(source):
    """The path of a file, and the name behind it in `FILE:NAME`, or None."""
    path, (before, _, name) = pathlib.Path(source), str(source).rpartition(":")
    if name.isidentifier() and not path.exists() and pathlib.Path(before).is_file():
        return pathlib.Path(before), name
    return path, None


def _named(text, name, path, space):
    """One of the genotypes that a text gives names to: the named one, or the only one."""
    found = literals.named(text)
    there = f"it has {', '.join(found) or 'none with a name'}"
    check(name is None or name in found, f"No genotype here is called {name!r}; {there}.")
    several = len(set(found.values())) > 1
    check(name or not several, f"Which genotype? Give {path}:NAME; {there}.")
    return from_dict(literals.at(text, found[name]), space) if name else from_text(text, space)


def _parsed(text, space):
    own = spaces.load(space).parse(text)
    if own is not None:
        return own
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return from_text(text, space)
    if isinstance(data, list) and len(data) in literals.FIELDS:  # a named tuple, dumped
        data = dict(zip(literals.FIELDS[len(data)], data))
    return from_dict(nni.fields(data) or data, space)
