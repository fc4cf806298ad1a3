"""Tensors and the storages that they lie in, as files describe them; their numbers are read when asked for."""

import math

import numpy as np

from tfdarts.pickled import Refused

# Element type of each kind of storage. NumPy has no bfloat16: it is the upper half of a float32.
KINDS = {
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "BFloat16": "<u2", "Long": "<i8", "Int": "<i4", "Short": "<i2",
    "Char": "<i1", "Byte": "<u1", "Bool": "|b1",
}  # fmt: skip
REAL = ("Float", "Double", "Half", "BFloat16")
_AXES = 32  # no tensor of these programs has more than 4


class Storage:
    """A run of numbers in a file.

    Attributes:
        key: str, by which the file names it.
        kind: one of `KINDS`.
        size: number of elements.
        data: memoryview of its bytes, once the container has found them.
    """

    def __init__(self, key, kind, size):
        self.key, self.kind, self.size, self.data = key, kind, size, None

    @property
    def bytes(self):
        return self.size * np.dtype(KINDS[self.kind]).itemsize


class Tensor:
    """A tensor: a view of a storage.

    Args:
        storage: `Storage`.
        offset: of the first element.
        shape, strides: tuples of ints, in elements.

    Raises:
        Refused: if it is no view, or reaches beyond its storage.
    """

    def __init__(self, storage, offset, shape, strides):
        ok = isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(strides, tuple)
        ok = ok and len(shape) == len(strides) <= _AXES
        numbers = (offset, *shape, *strides) if ok else ()
        if not ok or not all(type(number) is int for number in numbers):
            raise Refused("it has a tensor that is described in another way than PyTorch does")
        if min(numbers) < 0:
            raise Refused("it has a tensor with a negative offset, size or stride")
        if max(numbers) > storage.size or math.prod(shape) > storage.size:
            raise Refused("it has a tensor of more elements than its storage")
        last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides))
        if math.prod(shape) and last >= storage.size:
            raise Refused("it has a tensor that reaches beyond its storage")
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    @property
    def real(self):
        """Whether its elements are real numbers."""
        return self.storage.kind in REAL

    def array(self):
        """A copy of its elements: float64 where they are, otherwise float32."""
        base = np.frombuffer(self.storage.data, KINDS[self.storage.kind])
        size = base.itemsize
        view = np.lib.stride_tricks.as_strided(
            base[self.offset :], self.shape, [stride * size for stride in self.strides], writeable=False
        )
        if self.storage.kind == "BFloat16":
            return (view.astype(np.uint32) << 16).view(np.float32)
        return view.astype(np.float64 if self.storage.kind == "Double" else np.float32)
