"""DARTS's convolutional networks (arXiv:1806.09055), and those of its descendants that keep its layout.

P-DARTS, PC-DARTS and DrNAS key by key; Att-DARTS with two layers on each edge. A cell's place c has `C_c` channels: C,
doubled from a third of the cells on, and from two thirds.
"""

import re
import typing

from tfdarts import naming
from tfdarts.errors import UserError
from tfdarts.layers.network import plan
from tfdarts.ops import attention_modules
from tfdarts.pytorch.attention import ATTENTION
from tfdarts.pytorch.layouts import Part, batch_norm, convolution, depthwise, numbered, size, weighted
from tfdarts.spaces.base import ImageInputs

space = "conv"
HEAD = "auxiliary_head"
CLASSIFIERS = ("classifier.", f"{HEAD}.classifier.")
_CELLS = re.compile(r"cells\.(\d+)\.")
_SECOND_BN = f"{HEAD}.features.6.weight"
_GATHER = "_mask.downop.dwconv.weight"
named = naming.named


class Sizes(typing.NamedTuple):
    """What a network's shapes tell."""

    network: str
    channels: int
    layers: int
    classes: int
    image_size: int
    image_channels: int
    head: bool
    second_bn: bool


def fits(tensors):
    """Whether keys are of this kind."""
    return any(re.match(r"cells\.\d+\.(_ops|_first_layers|preprocess0)\.", key) for key in tensors)


def sizes(tensors):
    """`Sizes` of a file's tensors."""
    imagenet = "stem0.0.weight" in tensors
    layers = numbered(tensors, _CELLS)
    if imagenet:
        channels, first = size(tensors, "stem1.1.weight", 0, 4), "stem0.0.weight"
    else:
        channels, first = size(tensors, "stem.0.weight", 0, 4) // 3, "stem.0.weight"
    if channels % 2 or channels < 2:
        raise UserError(f"{first} is for {channels} channels, which is no even number")
    return Sizes(
        "imagenet" if imagenet else "cifar",
        channels,
        layers,
        size(tensors, "classifier.bias", 0, 1),
        224 if imagenet else _image_size(tensors, layers),
        size(tensors, first, 1, 4),
        any(key.startswith(f"{HEAD}.") for key in tensors),
        _SECOND_BN in tensors,
    )


def _image_size(tensors, layers):
    """CIFAR's, unless a kernel of a map's size tells another."""
    for key, tensor in tensors.items():
        found = _CELLS.match(key)
        if found and key.endswith(_GATHER) and len(tensor.shape) == 4 and tensor.shape[2] == tensor.shape[3] > 0:
            return image_side(tensor.shape[2], int(found[1]), layers)
    return 32


def image_side(side, cell, layers):
    """Side of the images whose maps have a side inside a cell, in the CIFAR form."""
    return side * 2 ** sum(reduction for _, reduction, _ in plan(layers, 1)[: cell + 1])


def options(sizes):
    """The options of training that the sizes are."""
    return {
        "init_channels": sizes.channels,
        "layers": sizes.layers,
        "network": sizes.network,
        "second_bn": sizes.second_bn if sizes.head else None,
    }


def inputs(sizes, known):
    """`ImageInputs`; `known` is what the network remembers of its images, or None."""
    shape = (sizes.image_size, sizes.image_size, sizes.image_channels)
    return ImageInputs(shape, sizes.classes, known)


def parts(genotype, sizes):
    """The network's `Part`s in the authors' order."""
    if genotype.ops != "regular":
        raise UserError(f"the genotype's operations are of the module {genotype.ops}, which their programs lack")
    imagenet, channels = sizes.network == "imagenet", sizes.channels
    if imagenet:
        result, before = _imagenet_stem(channels, sizes.image_channels), [channels, channels]
    else:
        result, before = _cifar_stem(3 * channels, sizes.image_channels), [3 * channels] * 2
    cells, image = plan(sizes.layers, channels), sizes.image_size // (8 if imagenet else 1)
    attended = any(attention for reduction in (False, True) for *_, attention in genotype.edges(reduction))
    attended = attended or bool(genotype.operations() & set(attention_modules.OPS))
    head = None
    for c, (width, reduction, halved) in enumerate(cells):
        key, name = f"cells.{c}", f"cells/{c}"
        halves = halved or (c == 0 and imagenet), False
        for n, (into, halve) in enumerate(zip(before, halves)):
            where = f"{key}.preprocess{n}", f"{name}/preprocess{n}"
            result.append(Part(where[0], "", _input(*where, into, width, halve)))
        image = -(-image // 2) if reduction else image
        edges = genotype.edges(reduction)
        for k, (op, source, _) in enumerate(edges):
            stride = 2 if reduction and source < 2 else 1
            first = f"{key}._first_layers.{k}" if attended else f"{key}._ops.{k}"
            result.append(_operation(op, first, f"{name}/ops/{k}", width, stride, reduction, image))
        for k, (*_, attention) in enumerate(edges if attended else ()):
            where = f"{key}._second_layers.{k}", f"{name}/attention/{k}"
            result.append(_operation(attention or "Identity", *where, width, 1, False, image))
        wide = len(genotype.concat(reduction)) * width
        if genotype.bottleneck(reduction):
            where = f"{key}._bottleneck", f"{name}/bottleneck"
            result.append(_operation(genotype.bottleneck(reduction), *where, wide, 1, False, image))
        before = [before[1], wide]
        if c == 2 * sizes.layers // 3:
            head = wide
    if sizes.head:
        result.append(_head(head, sizes.classes, sizes.second_bn))
    shape = (sizes.classes, before[1])
    return [*result, Part("classifier", "", weighted("classifier", "classifier", "linear", shape))]


def _cifar_stem(channels, into):
    entries = [convolution("stem.0", "stem/conv", channels, into, 3, 3), *batch_norm("stem.1.", "stem/bn/", channels)]
    return [Part("stem", "", entries)]


def _imagenet_stem(channels, into):
    half = channels // 2
    first = [
        convolution("stem0.0", "stem0/conv_1", half, into, 3, 3),
        *batch_norm("stem0.1.", "stem0/bn_1/", half),
        convolution("stem0.3", "stem0/conv_2", channels, half, 3, 3),
        *batch_norm("stem0.4.", "stem0/bn_2/", channels),
    ]
    second = [
        convolution("stem1.1", "stem1/conv", channels, channels, 3, 3),
        *batch_norm("stem1.2.", "stem1/bn/", channels),
    ]
    return [Part("stem0", "", first), Part("stem1", "", second)]


def _input(key, name, into, channels, halve):
    if halve:
        return _factorized(f"{key}.", f"{name}/", into, channels)
    conv = convolution(f"{key}.op.1", f"{name}/conv", channels, into)
    return [conv, *batch_norm(f"{key}.op.2.", f"{name}/bn/", channels)]


def _factorized(key, name, into, channels, affine=True):
    half = channels // 2
    return [
        convolution(f"{key}conv_1", f"{name}conv_1", half, into),
        convolution(f"{key}conv_2", f"{name}conv_2", channels - half, into),
        *batch_norm(f"{key}bn.", f"{name}bn/", channels, affine),
    ]


def _operation(op, key, name, channels, stride, reduction, image):
    """The `Part` of an operation or attention module."""
    kind, _, kernel = op.rpartition("_")
    length = int(kernel[0]) if kernel[:1].isdigit() else 0
    what, k, n = "nothing", f"{key}.", f"{name}/"
    if op in attention_modules.OPS and op != "Identity":
        what, entries = "an attention module", []
        if reduction:  # there a sequence, the module behind a reduction or behind nothing
            entries = _factorized(f"{k}0.", f"{n}skip/", channels, channels, affine=False) if stride == 2 else []
            k += "1."
        entries = entries + ATTENTION[op](f"{k}_mask.", n, channels, image)
    elif kind == "sep_conv":
        what = f"a separable {length}x{length} convolution"
        entries = [
            depthwise(f"{k}op.1", f"{n}depthwise_1", channels, length),
            convolution(f"{k}op.2", f"{n}pointwise_1", channels, channels),
            *batch_norm(f"{k}op.3.", f"{n}bn_1/", channels),
            depthwise(f"{k}op.5", f"{n}depthwise_2", channels, length),
            convolution(f"{k}op.6", f"{n}pointwise_2", channels, channels),
            *batch_norm(f"{k}op.7.", f"{n}bn_2/", channels),
        ]
    elif kind == "dil_conv":
        what = f"a dilated {length}x{length} convolution"
        entries = [
            depthwise(f"{k}op.1", f"{n}depthwise", channels, length),
            convolution(f"{k}op.2", f"{n}pointwise", channels, channels),
            *batch_norm(f"{k}op.3.", f"{n}bn/", channels),
        ]
    elif op == "conv_7x1_1x7":
        what = "a 1x7 and a 7x1 convolution"
        entries = [
            convolution(f"{k}1", f"{n}conv_1x7", channels, channels, 1, 7),
            convolution(f"{k}2", f"{n}conv_7x1", channels, channels, 7, 1),
            *batch_norm(f"{k}3.", f"{n}bn/", channels),
        ]
    elif op == "skip_connect" and stride == 2:
        what, entries = "a factorised reduction", _factorized(k, n, channels, channels)
    elif kind in ("max_pool", "avg_pool") or op in ("skip_connect", "Identity"):
        entries = []
    else:
        raise UserError(f"the genotype has {op}, which their programs lack")
    return Part(key, what, entries, what if entries else f"`{op}`")


def _head(into, classes, second_bn):
    key, name = f"{HEAD}.features", HEAD
    entries = [
        convolution(f"{key}.2", f"{name}/conv_1", 128, into),
        *batch_norm(f"{key}.3.", f"{name}/bn_1/", 128),
        convolution(f"{key}.5", f"{name}/conv_2", 768, 128, 2, 2),
        *(batch_norm(f"{key}.6.", f"{name}/bn_2/", 768) if second_bn else []),
        *weighted(f"{HEAD}.classifier", f"{name}/classifier", "linear", (classes, 768)),
    ]
    return Part(HEAD, "", entries)
