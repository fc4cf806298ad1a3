"""Reads genotypes: shipped ones by name, JSON files, the texts that other programs print.

Nothing is evaluated: JSON and the text form of DARTS's logs are parsed.
"""

import ast
import json
import pathlib
import re

from tfdarts import spaces
from tfdarts.genotype import GenotypeError, check, check_version
from tfdarts.paths import GENOTYPES

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
    """Parses `Genotype(normal=[...], normal_concat=range(2, 6), ...)` as DARTS, P-DARTS and PC-DARTS print it.

    `Genotype(recurrent=[...], concat=range(1, 9))`, DARTS's recurrent cell, likewise.

    The last such expression in the text counts, so that a whole log can be given.
    """
    calls = [match.start() for match in re.finditer(r"Genotype\(", text)]
    check(calls, "Found neither JSON nor `Genotype(...)`.")
    start = calls[-1]
    end = _closing_parenthesis(text, start)
    try:
        call = ast.parse(text[start:end], mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise GenotypeError("`Genotype(...)` is not well formed.") from None
    check(isinstance(call, ast.Call) and not call.args, "`Genotype(...)` must name its fields.")
    return from_dict({keyword.arg: _value(keyword.value) for keyword in call.keywords}, space)


def _closing_parenthesis(text, start):
    depth = 0
    for i in range(start, min(len(text), start + 100_000)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0 and text[i] == ")":
            return i + 1
    raise GenotypeError("`Genotype(...)` is not closed.")


def _value(node):
    """A literal, `range(a, b)` or `list(range(a, b))`; nothing else is understood."""
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
    if name == "list" and len(node.args) == 1:
        return _value(node.args[0])
    try:
        if name == "range" and 1 <= len(node.args) <= 2:
            bounds = [ast.literal_eval(arg) for arg in node.args]
            if all(type(b) is int and 0 <= b <= 1000 for b in bounds):
                return list(range(*bounds))
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise GenotypeError("`Genotype(...)` may hold literals and `range(a, b)` only.") from None


def names(space="conv"):
    """Names of the genotypes that ship with the program."""
    return sorted(path.stem for path in (GENOTYPES / space).glob("*.json"))


def load(source, space=None):
    """Reads a genotype: a name shipped for `space` (None: conv), a JSON file, or a text that holds `Genotype(...)`.

    A text file may also hold what else the space reads (`Space.parse`): in ENAS's spaces, its scripts' numbers.

    Raises:
        GenotypeError: with a sentence that says what is wrong.
    """
    space = space or "conv"
    path = pathlib.Path(source)
    shipped = GENOTYPES / space / f"{ALIASES.get(str(source), source)}.json"
    if shipped.parent == GENOTYPES / space and shipped.is_file():
        path = shipped
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise GenotypeError(
            f"Cannot read a genotype from {str(source)!r} ({error.__class__.__name__}); "
            f"give a file or one of {', '.join(names(space))}."
        ) from None
    try:
        own = spaces.load(space).parse(text)
        if own is not None:
            return own
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            return from_text(text, space)
        return from_dict(data, space)
    except GenotypeError as error:
        raise GenotypeError(f"{source}: {error}") from None
