"""Reads pickled tables of numbers without running any of their code: containers, numbers, texts and numpy's arrays."""

import collections
import re

import numpy as np

from tfdarts.pickled import Machine, Name, Refused, short


def read(data):
    """Carries out the harmless instructions of a pickle.

    Args:
        data: bytes.

    Returns:
        What it describes, of dictionaries, lists, tuples, sets, texts, bytes, numbers, None and numpy arrays.

    Raises:
        Refused: if it is no pickle, or asks for anything else.
    """
    return _Tables().run(data)


def _dtype(code, align=False, copy=True):
    if not (isinstance(code, str) and re.fullmatch("[fiub][1248]", code)):
        shown = short(code) if isinstance(code, str) else type(code).__name__
        raise Refused(f"it has numbers of the type {shown!r}, which tables of numbers do not need")
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
    if not isinstance(kind, Name) or kind.name != ("numpy", "ndarray"):
        raise Refused("it has an array of a kind of its own")
    return np.zeros(0)


class _Tables(Machine):
    purpose = "tables of numbers"
    words = frozenset({("numpy", "ndarray")})
    calls = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("_codecs", "encode"): _bytes,
        ("numpy", "dtype"): _dtype,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy.core.multiarray", "_reconstruct"): _array,
    }

    def named(self, module, name):
        return super().named(module.replace("numpy._core", "numpy.core"), name)

    def build(self, made, state):
        """Fills in what numpy's pickles leave for the end: the byte order of a type, the content of an array."""
        if isinstance(made, np.dtype) and len(state) == 8 and state[1] in ("<", ">", "|", "=") and not any(state[2:5]):
            made.__setstate__(state)
            return
        if isinstance(made, np.ndarray) and len(state) == 5 and isinstance(state[2], np.dtype):
            if not state[2].hasobject and isinstance(state[4], bytes):
                made.__setstate__(state)
                return
        super().build(made, state)
