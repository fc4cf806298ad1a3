"""Where each tensor of the authors' networks goes: parts of a network, their keys and shapes, and how layouts differ.

A layout is a module: `space`, the name of its space; `fits(tensors)`, whether keys are of its kind; `Sizes`, read off
the shapes by `sizes(tensors)`; `parts(genotype, sizes)`, the keys in the authors' order; `options(sizes)` and
`inputs(sizes, known)`, with which the space builds the network; `named(network)`, its variables by the entries' names.
"""

import typing

import numpy as np

from tfdarts.errors import UserError
from tfdarts.pickled import short

_PLAIN = (lambda value: value,) * 2
# Kinds of entries: the pair of functions that bring their array to ours, and back. Convolutions are (out, in, height,
# width) there and [height, width, in, out] here; depthwise ones (channels, 1, height, width) and [height, width,
# channels, 1]; linear layers (out, in) and [in, out].
KINDS = {
    "plain": _PLAIN,
    "conv": (lambda value: value.transpose(2, 3, 1, 0), lambda value: value.transpose(3, 2, 0, 1)),
    "depthwise": (lambda value: value.transpose(2, 3, 0, 1), lambda value: value.transpose(2, 3, 0, 1)),
    "linear": (lambda value: value.T, lambda value: value.T),
    "halves": (lambda value: value.reshape(2, -1), lambda value: value.reshape(-1)),
    "rows": (lambda value: value.reshape(2, 1, -1), lambda value: value.reshape(-1)),
}
BATCH_NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


class Entry(typing.NamedTuple):
    """A tensor of the authors'.

    Attributes:
        key: in the file.
        name: of ours, a key of the layout's `named`; two keys of one name are tied weights.
        kind: one of `KINDS`.
        shape: there.
    """

    key: str
    name: str
    kind: str
    shape: tuple


class Part(typing.NamedTuple):
    """A part of a network that a misfit is named by.

    Attributes:
        key: what its keys begin with, without the last dot: `cells.3._ops.2`.
        what: what it is, in words; what `described` says of its tensors, if it can.
        entries: list of `Entry`.
        chosen: name of the operation, where a genotype chooses it.
    """

    key: str
    what: str
    entries: list
    chosen: str = ""


def batch_norm(key, name, channels, affine=True):
    """Entries of a BatchNorm; `key` and `name` end with a dot and a slash."""
    names = {their: our for their, our in BATCH_NORM.items() if affine or their.startswith("running")}
    return [Entry(key + their, name + our, "plain", (channels,)) for their, our in names.items()]


def weighted(key, name, kind, shape, bias=True):
    """Entries of a layer with a kernel and a bias, or a kernel alone."""
    if not bias:
        return [Entry(f"{key}.weight", name, kind, shape)]
    return [
        Entry(f"{key}.weight", f"{name}/kernel", kind, shape),
        Entry(f"{key}.bias", f"{name}/bias", "plain", shape[:1]),
    ]


def convolution(key, name, out, into, height=1, width=1):
    """The entry of a convolution without bias."""
    return Entry(f"{key}.weight", name, "conv", (out, into, height, width))


def depthwise(key, name, channels, size):
    """The entry of a depthwise convolution."""
    return Entry(f"{key}.weight", name, "depthwise", (channels, 1, size, size))


def size(tensors, key, axis, axes):
    """One length of a tensor's shape.

    Raises:
        UserError: if there is no such tensor, or it has another number of axes.
    """
    if key not in tensors:
        raise UserError(f"{key} is missing")
    shape = tensors[key].shape
    if len(shape) != axes or 0 in shape:
        raise UserError(f"{key} is {shape}, which has not {axes} axes")
    return shape[axis]


def numbered(tensors, pattern):
    """How many there are of what a compiled pattern numbers: the largest number in its first group, plus 1."""
    numbers = [int(found[1]) for found in map(pattern.match, tensors) if found]
    count = 1 + max(numbers, default=-1)
    if count > len(tensors):  # a number that stands for nothing would make whoever counts to it run long
        raise UserError(f"its keys count to {count}, but it has {len(tensors)} tensors")
    return count


def described(tensors):
    """What tensors of an operation are, in words; `tensors` by what is behind the operation's own key."""
    if not tensors:
        return "nothing"
    keys = set(tensors)
    height, width = next((tensor.shape[2:] for tensor in tensors.values() if len(tensor.shape) == 4), (0, 0))
    if "op.5.weight" in keys:
        return f"a separable {height}x{width} convolution"
    if {"op.1.weight", "op.2.weight"} <= keys and len(tensors["op.2.weight"].shape) == 4:
        return f"a dilated {height}x{width} convolution"
    if "op.1.weight" in keys:
        return "a 1x1 convolution"
    if {"conv_1.weight", "conv_2.weight"} <= keys:
        return "a factorised reduction"
    if {"1.weight", "2.weight"} <= keys:
        return "a 1x7 and a 7x1 convolution"
    if any("_mask." in key for key in keys):
        return "an attention module"
    return f"something with {short(sorted(keys)[0])}"


def misfit(parts, tensors, spared=()):
    """The first difference between a network and a file.

    Args:
        parts: list of `Part`.
        tensors: dictionary from key to `Tensor`.
        spared: beginnings of keys that may be missing, in the file or in the network.

    Returns:
        A clause, or None if there is no difference.
    """
    known = {entry.key for part in parts for entry in part.entries}
    by_part = {part.key: {} for part in parts}
    for key, tensor in tensors.items():
        owner = _owner(key, by_part)
        if owner is not None:
            by_part[owner][key[len(owner) + 1 :]] = tensor
    for part in parts:
        there = by_part[part.key]
        if part.chosen and (bool(there) != bool(part.entries) or (there and described(there) != part.what)):
            return f"{part.key}: {described(there)} there, {part.chosen} in the genotype"
        for entry in part.entries:
            if entry.key.startswith(spared):
                continue
            if entry.key not in tensors:
                return f"{entry.key} is missing"
            if tensors[entry.key].shape != entry.shape:
                return f"{entry.key} is {tensors[entry.key].shape} there, {entry.shape} in the network"
    for key in tensors:
        if key not in known and not key.startswith(spared):
            return f"{short(key)} is there, which the network does not have"
    return None


def _owner(key, parts):
    """The part that a key belongs to: the longest of its beginnings that is one."""
    words = key.split(".")
    for length in range(len(words), 0, -1):
        if ".".join(words[:length]) in parts:
            return ".".join(words[:length])
    return None


def values(parts, tensors, spared=()):
    """The numbers of a file by our names, without the keys that begin as spared ones do; arguments as in `misfit`.

    Raises:
        UserError: if a number is not finite, a variance negative, or tied weights differ.
    """
    result = {}
    entries = (entry for part in parts for entry in part.entries)
    for entry in (entry for entry in entries if not entry.key.startswith(spared)):
        value = tensors[entry.key].array()
        if not np.isfinite(value.astype(np.float32)).all():
            raise UserError(f"{entry.key} has numbers that are not finite")
        if entry.key.endswith("running_var") and value.min(initial=0) < 0:
            raise UserError(f"{entry.key} has a negative variance")
        value = KINDS[entry.kind][0](value)
        if entry.name in result and not np.array_equal(result[entry.name], value):
            raise UserError(f"{entry.key} differs from the weights that it is tied to, so that it is another network")
        result[entry.name] = value
    return result
