"""Finds genotypes in the texts of other programs, and reads them as literals; nothing is ever evaluated."""

import ast
import re

from tfdarts.genotype import GenotypeError, check

_BEGIN = re.compile(r"(?<!class )\b\w*Genotype\(|\{\s*['\"](?:normal|recurrent)['\"]\s*:")
_NAMED = re.compile(r"^[ \t]*(\w+)[ \t]*=\s*\w*Genotype\(|^(\w+)[ \t]*=[ \t]*(\w+)[ \t]*(?:#.*)?$", re.MULTILINE)
_LONGEST = 100_000  # characters
# The fields of a genotype by their number, in the order in which all programs have them.
FIELDS = {4: ("normal", "normal_concat", "reduce", "reduce_concat"), 2: ("recurrent", "concat")}
# What wraps a number where NumPy or PyTorch prints it.
_NUMBERS = re.compile(r"((np|numpy)\.)?(int|float|uint)\d*|((np|numpy|torch)\.)?(array|tensor)")


def last(text):
    """The fields of the last genotype in a text, `Genotype(...)` or a dictionary with `normal`, as a dictionary.

    So a whole log can be given.

    Raises:
        GenotypeError: if there is none, or it is not well formed.
    """
    found = [match.start() for match in _BEGIN.finditer(text)]
    check(found, "Found neither JSON nor `Genotype(...)`.")
    return at(text, found[-1])


def named(text):
    """Where the genotypes begin that a Python file gives names to: a dictionary from name to place.

    A name may stand for another, as in `DARTS = DARTS_V2`.
    """
    found = {}
    for match in _NAMED.finditer(text):
        name, alias, other = match.groups()
        if name:
            found[name] = text.index("=", match.start(1)) + 1
        elif other in found:
            found[alias] = found[other]
    return found


def at(text, start):
    """The fields of the genotype that begins at a place of a text, as a dictionary.

    Raises:
        GenotypeError: if it is not well formed.
    """
    start += len(text[start:]) - len(text[start:].lstrip())
    try:
        expression = ast.parse(text[start : _end(text, start)], mode="eval").body
        if isinstance(expression, ast.Call):
            return _fields(expression)
        return _value(expression)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, GenotypeError):
            raise
        raise GenotypeError("`Genotype(...)` is not well formed.") from None


def _end(text, start):
    depth = 0
    for i in range(start, min(len(text), start + _LONGEST)):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text[i], 0)
        if depth == 0 and text[i] in ")}":
            return i + 1
    raise GenotypeError("`Genotype(...)` is not closed.")


def _fields(call):
    names = [keyword.arg for keyword in call.keywords]
    if call.args:
        check(not names and len(call.args) in FIELDS, "`Genotype(...)` must name its fields, or hold all of them.")
        return dict(zip(FIELDS[len(call.args)], map(_value, call.args)))
    check(None not in names, "`Genotype(...)` must name its fields.")
    return {keyword.arg: _value(keyword.value) for keyword in call.keywords}


def _value(node):
    """A literal, `range(a, b)`, `list(...)`, or a number as NumPy or PyTorch prints it; nothing else is understood."""
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(element) for element in node.elts]
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.Call) and len(node.args) in (1, 2):
        name, arguments = ast.unparse(node.func), [_value(argument) for argument in node.args]
        if name == "range" and all(type(bound) is int and 0 <= bound <= 1000 for bound in arguments):
            return list(range(*arguments))
        if name in ("list", "tuple") and len(arguments) == 1 and isinstance(arguments[0], list):
            return arguments[0]
        if _NUMBERS.fullmatch(name) and type(arguments[0]) in (int, float):
            return arguments[0]
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise GenotypeError("`Genotype(...)` may hold literals and `range(a, b)` only.") from None
