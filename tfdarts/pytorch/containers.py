"""The two containers of PyTorch's weight files: the legacy stream (up to PyTorch 1.5) and the zip archive (since 1.6).

What a file is, its first bytes say, whatever its name. It is read once, and its storages are views of what was read.
"""

import io
import pathlib
import re
import struct
import zipfile
import zlib

from tfdarts.pickled import Refused
from tfdarts.pytorch.machine import WeightFile

LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
NAMES = (".pt", ".pth", ".tar")
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_LOCAL_HEADER = struct.Struct("<4s22xHH")


def read(path):
    """What a file holds, its tensors' storages found; everything in it has been looked at.

    Args:
        path: of the file.

    Returns:
        What its pickle describes: dictionaries, lists, numbers, texts, `Tensor`s, `Record`s.

    Raises:
        Refused: if it cannot be read, with a clause about "it" that says why.
    """
    try:
        data = pathlib.Path(path).read_bytes()  # a `BytesIO` of bytes shares them
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})") from None
    head = data[:512]
    if not head:
        raise Refused("it is empty")
    if head.startswith(LEGACY):
        return _legacy(data)
    if head.startswith(b"PK"):
        return _zip(data)
    if head[257:262] == b"ustar":
        raise Refused("it is a tar archive, as PyTorch wrote before 0.1.10; save it again with a later one")
    if re.match(rb"\s*<", head):
        raise Refused("it is a web page, which a download left behind instead of the file; download it again")
    if head.startswith(b"\x80"):
        raise Refused("it is a bare pickle, not a file that PyTorch saved")
    raise Refused("it is no file that PyTorch saved")


def is_weight_file(path):
    """Whether a file is one for this reader, by its first bytes or, where these say nothing, by its name."""
    path = pathlib.Path(path)
    if not path.is_file() or path.suffix == ".keras":
        return False
    if path.suffix in NAMES:
        return True
    with path.open("rb") as file:
        return file.read(len(LEGACY)) == LEGACY


def _legacy(data):
    """Five pickles, one after the other, then the storages: number of elements, elements."""
    machine, stream = WeightFile(), io.BytesIO(data)
    magic, protocol, system = (machine.run(stream) for _ in range(3))
    if magic != _MAGIC or protocol != _PROTOCOL or not isinstance(system, dict):
        raise Refused("it is a legacy file of PyTorch in another version than 1001")
    if system.get("little_endian") is not True:
        raise Refused("it was written on a big-endian machine; save it again on another one")
    content, keys = machine.run(stream), machine.run(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise Refused("its list of storages is damaged")
    if len(set(keys)) != len(keys) or set(keys) != set(machine.storages):
        raise Refused("its list of storages is not that of its tensors")
    position, data = stream.tell(), memoryview(data)
    for key in keys:
        storage = machine.storages[key]
        if len(data) < position + 8:
            raise Refused("it is cut short")
        (size,) = struct.unpack_from("<q", data, position)
        if size != storage.size:
            raise Refused("one of its storages has another size than its tensors say")
        storage.data = data[position + 8 : position + 8 + storage.bytes]
        if len(storage.data) < storage.bytes:
            raise Refused("it is cut short")
        position += 8 + storage.bytes
    if position != len(data):
        raise Refused("it has more bytes than its storages need")
    return content


def _zip(data):
    """An archive: `data.pkl`, and the storages in `data/`, below one folder of any name; nothing is compressed."""
    entries = _entries(data)
    if "config.json" in entries:
        raise Refused("it is a model in Keras's format; give it a name that ends with .keras")
    (root, *others) = sorted({name.split("/")[0] for name in entries})
    inner = {name.removeprefix(f"{root}/"): content for name, content in entries.items()}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise Refused("it is a TorchScript archive, which is a program; save the model's state_dict() instead")
    if others or "data.pkl" not in inner:
        raise Refused("it is a zip archive, but not one that PyTorch saved")
    if bytes(inner.get("byteorder", b"little")) != b"little":
        raise Refused("it was written on a big-endian machine; save it again on another one")
    machine, stream = WeightFile(), io.BytesIO(inner["data.pkl"])
    content = machine.run(stream)
    if stream.tell() != len(inner["data.pkl"]):
        raise Refused("its data.pkl has more bytes than its content needs")
    for key, storage in machine.storages.items():
        storage.data = inner.get(f"data/{key}")
        if storage.data is None:
            raise Refused("a storage of its tensors is missing")
        if len(storage.data) != storage.bytes:
            raise Refused("one of its storages has another size than its tensors say")
    return content


def _entries(data):
    """The content of every entry of an archive by name, as views, after checking that nothing is damaged or hidden."""
    try:
        infos = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except Exception:  # a damaged directory makes zipfile raise many kinds
        raise Refused("it is a zip archive that is damaged or cut short") from None
    if any(info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size for info in infos):
        names = {info.filename for info in infos}
        if "config.json" not in names:
            raise Refused("it is a zip archive with compressed entries, which PyTorch does not write")
    if not infos or len({info.filename for info in infos}) < len(infos):
        raise Refused("it is a zip archive that is empty, or has two entries of one name")
    if sum(info.compress_size for info in infos) > len(data):
        raise Refused("it is a zip archive whose entries overlap")
    return {info.filename: _entry(memoryview(data), info) for info in infos}


def _entry(data, info):
    start = info.header_offset
    if start + _LOCAL_HEADER.size > len(data):
        raise Refused("it is a zip archive that is damaged or cut short")
    signature, name, extra = _LOCAL_HEADER.unpack_from(data, start)
    start += _LOCAL_HEADER.size + name + extra
    content = data[start : start + info.compress_size]
    if signature != b"PK\3\4" or info.flag_bits & 1 or len(content) != info.compress_size:
        raise Refused("it is a zip archive that is damaged or cut short")
    if info.compress_type == zipfile.ZIP_STORED and zlib.crc32(content) != info.CRC:
        raise Refused("it is damaged: the check sum of one of its entries is wrong")
    return content
