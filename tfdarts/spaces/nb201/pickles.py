"""Reads pickled tables of numbers without running any of their code.

A pickle is a program for a stack machine, whose instructions may call anything. Here its instructions are listed by
`pickletools.genops`, which runs none of them, and those that build plain containers, numbers, texts, numpy scalars and
numpy arrays of numbers are carried out; everything else is refused.
"""

import collections
import pickletools
import re

import numpy as np

from tfdarts.errors import UserError

_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class Refused(UserError):
    """A pickle that is damaged, or asks for more than tables of numbers need."""


class _Name:
    """A name that a pickle may call, never the thing itself."""

    def __init__(self, module, name):
        self.name = (module.replace("numpy._core", "numpy.core"), name)
        if self.name not in _CALLS:
            raise Refused(f"it asks for {module}.{name}, which tables of numbers do not need")


def read(data):
    """Carries out the harmless instructions of a pickle.

    Args:
        data: bytes.

    Returns:
        What it describes, of dictionaries, lists, tuples, sets, texts, bytes, numbers, None and numpy arrays.

    Raises:
        Refused: if it is no pickle, or asks for anything else.
    """
    stack, memo = [], {}
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                (result,) = stack
                return result
            _step(opcode.name, argument, stack, memo)
    except Refused:
        raise
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, MemoryError) as error:
        raise Refused(f"it is no intact pickle ({type(error).__name__}: {error})") from None
    raise Refused("it is no intact pickle: it has no end")


def _step(name, argument, stack, memo):
    """Carries out one instruction."""
    if name in _LITERALS:
        stack.append(argument)
    elif name == "MEMOIZE":
        memo[len(memo)] = stack[-1]
    elif name in ("BINPUT", "LONG_BINPUT"):
        memo[argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
        stack.append(memo[argument])
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "SETITEMS":
        items = _since_mark(stack)
        _dictionary(stack[-1]).update(zip(items[::2], items[1::2], strict=True))
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        _dictionary(stack[-1])[key] = value
    elif name == "APPENDS":
        items = _since_mark(stack)
        stack[-1].extend(items)
    elif name == "APPEND":
        item = stack.pop()
        stack[-1].append(item)
    elif name == "ADDITEMS":
        items = _since_mark(stack)
        stack[-1].update(items)
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name in _TUPLES:
        items = tuple(stack[-_TUPLES[name] :])
        del stack[-_TUPLES[name] :]
        stack.append(items)
    elif name == "TUPLE":
        stack.append(tuple(_since_mark(stack)))
    elif name == "GLOBAL":
        stack.append(_Name(*argument.split(" ")))
    elif name == "STACK_GLOBAL":
        attribute, module = stack.pop(), stack.pop()
        stack.append(_Name(module, attribute))
    elif name == "REDUCE":
        arguments, called = stack.pop(), stack.pop()
        if not isinstance(called, _Name):
            raise Refused("it calls what is no name")
        stack.append(_CALLS[called.name](*arguments))
    elif name == "BUILD":
        state = stack.pop()
        _set_state(stack[-1], state)
    elif name not in ("PROTO", "FRAME"):
        raise Refused(f"it has the instruction {name}, which tables of numbers do not need")


def _since_mark(stack):
    """Takes what lies above the last mark off the stack, and the mark."""
    place = next(place for place in range(len(stack) - 1, -2, -1) if place < 0 or stack[place] is _MARK)
    if place < 0:
        raise Refused("it is no intact pickle: a mark is missing")
    items = stack[place + 1 :]
    del stack[place:]
    return items


def _dictionary(value):
    if not isinstance(value, dict):
        raise Refused("it is no intact pickle: what it fills is no dictionary")
    return value


def _dtype(code, align=False, copy=True):
    if not (isinstance(code, str) and re.fullmatch("[fiub][1248]", code)):
        raise Refused(f"it has numbers of the type {code!r}, which tables of numbers do not need")
    return np.dtype(code, copy=True)


def _scalar(dtype, data):
    if not isinstance(dtype, np.dtype) or len(data) != dtype.itemsize:
        raise Refused("it is no intact pickle: a number of numpy's has another size")
    return np.frombuffer(data, dtype)[0].item()


def _bytes(text, encoding):
    """What pickles of protocol 2 have for bytes."""
    if encoding != "latin1":
        raise Refused("it is no intact pickle: bytes in another encoding")
    return text.encode("latin1")


def _array(kind, shape, code):
    if not isinstance(kind, _Name) or kind.name != ("numpy", "ndarray"):
        raise Refused("it has an array of a kind of its own")
    return np.zeros(0)


def _not_called(*arguments):
    raise Refused("it makes an array other than numpy's pickles do")


def _set_state(made, state):
    """Fills in what numpy's pickles leave for the end: the byte order of a type, the content of an array."""
    if isinstance(made, np.dtype) and len(state) == 8 and state[1] in ("<", ">", "|", "=") and not any(state[2:5]):
        made.__setstate__(state)
        return
    if isinstance(made, np.ndarray) and len(state) == 5 and isinstance(state[2], np.dtype):
        if not state[2].hasobject and isinstance(state[4], bytes):
            made.__setstate__(state)
            return
    raise Refused("it gives an object a state, which tables of numbers do not need")


_CALLS = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("_codecs", "encode"): _bytes,
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _not_called,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.multiarray", "_reconstruct"): _array,
}
