"""Writes a `state_dict` as PyTorch 1.6 and later do: a zip archive, its pickle made of a few instructions by hand."""

import io
import struct
import zipfile

import numpy as np

_ALIGNMENT = 64  # bytes, at whose multiples PyTorch lets storages begin
_DATE = (1980, 1, 1, 0, 0, 0)  # the same weights give the same bytes
_PROTO, _STOP, _MARK = b"\x80\x02", b".", b"("


def write(path, tensors):
    """Writes a weight file.

    Args:
        path: of the file.
        tensors: dictionary from key to numpy array, float32 or int64; each has a storage of its own.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, content, "data.pkl", _pickle(tensors))
        _add(archive, content, "byteorder", b"little")
        for number, value in enumerate(tensors.values()):
            _add(archive, content, f"data/{number}", np.ascontiguousarray(value).tobytes())
        _add(archive, content, "version", b"3\n")
    path.write_bytes(content.getvalue())


def _add(archive, stream, name, data):
    info = zipfile.ZipInfo(f"archive/{name}", _DATE)
    start = stream.tell() + 30 + len(info.filename) + 4
    padding = -start % _ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding  # as PyTorch's own archives are filled up
    archive.writestr(info, data)


def _pickle(tensors):
    """`OrderedDict` of tensors, each `_rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`."""
    parts = [_PROTO, _global("collections", "OrderedDict"), b")R", _MARK]
    for number, (key, value) in enumerate(tensors.items()):
        kind = {"float32": "FloatStorage", "int64": "LongStorage"}[value.dtype.name]
        strides = [int(np.prod(value.shape[axis + 1 :], dtype=np.int64)) for axis in range(value.ndim)]
        storage = [_text("storage"), _global("torch", kind), _text(str(number)), _text("cpu"), _number(value.size)]
        parts += [_text(key), _global("torch._utils", "_rebuild_tensor_v2"), _MARK]
        parts += [_MARK, *storage, b"tQ", _number(0), _numbers(value.shape), _numbers(strides)]
        parts += [b"\x89", _global("collections", "OrderedDict"), b")R", b"tR"]
    return b"".join([*parts, b"u", _STOP])


def _global(module, name):
    return f"c{module}\n{name}\n".encode()


def _text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _number(value):
    return b"J" + struct.pack("<i", value) if value < 1 << 31 else b"\x8a\x08" + struct.pack("<q", value)


def _numbers(values):
    return _MARK + b"".join(map(_number, values)) + b"t"
