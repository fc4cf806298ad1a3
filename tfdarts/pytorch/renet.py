"""DartsReNet's networks (arXiv:2304.05838): convolutions, then sweeps of recurrent cells.

What a sweep reads of a patch is ordered by channels there, by pixels here; so are the classifier's inputs.
"""

import math
import re
import typing

import numpy as np

from tfdarts import naming
from tfdarts.errors import UserError
from tfdarts.pytorch.layouts import BATCH_NORM, Entry, Part, batch_norm, numbered, size, weighted
from tfdarts.spaces.base import ImageInputs

space = "renet"
CLASSIFIERS = ("classifier.1.",)
_CELLS = re.compile(r"cells\.(\d+)\.")
_NODES = re.compile(r"cells\.0\._Ws\.(\d+)$")
_STATISTICS = {"running_mean": 0, "running_var": 1}


class Sizes(typing.NamedTuple):
    """What a network's shapes tell; `cell` is a name of `renet.genotype.RENET_CELLS`, `nodes` are the cell's."""

    cell: str
    units: int
    layers: int
    nodes: int
    classes: int
    side: int
    image_channels: int


def fits(tensors):
    """Whether keys are of this kind."""
    return "cells.0._W0" in tensors


def sizes(tensors):
    """`Sizes` of a file's tensors."""
    cells, units = numbered(tensors, _CELLS), size(tensors, "stem.0.weight", 0, 4)
    if cells % 2 or units % 2:
        raise UserError(f"it has {cells} sweeps of {units} channels, which are not even numbers")
    side = math.isqrt(size(tensors, "classifier.0.weight", 0, 1) // units)
    cell = "sigmoid" if "cells.0._SigmoidWeight" in tensors else "vanilla"
    return Sizes(
        cell if "cells.0._W0_rev" in tensors else "directional",
        units,
        cells // 2,
        numbered(tensors, _NODES),
        size(tensors, "classifier.1.bias", 0, 1),
        side,
        size(tensors, "stem.0.weight", 1, 4),
    )


def options(sizes):
    """The options of training that the sizes are; the reverse gate is the authors'."""
    gate = {"gate": "forward"} if sizes.cell == "sigmoid" else {}
    return {"nhid": sizes.units, "layers": sizes.layers, "rnn_cell": sizes.cell} | gate


def inputs(sizes, known):
    """`ImageInputs`; `known` is what the network remembers of its images, or None."""
    length = sizes.side * 2 ** (sizes.layers + 1)
    return ImageInputs((length, length, sizes.image_channels), sizes.classes, known)


def parts(genotype, sizes):
    """The network's `Part`s in the authors' order."""
    if genotype.cell != sizes.cell:
        raise UserError(f"its cell is {sizes.cell}, the genotype's is {genotype.cell}")
    units, half, into = sizes.units, sizes.units // 2, sizes.image_channels
    stem = []
    for k, length in enumerate((7, 3, 3)):
        stem += weighted(f"stem.{3 * k}", f"stem/{k}", "conv", (units, into, length, length))
        stem += batch_norm(f"stem.{3 * k + 2}.", f"stem/{k}/bn/", units)
        into = units
    result = [Part("stem", "", stem)]
    for c in range(2 * sizes.layers):
        key, name, rows = f"cells.{c}", f"cells/{c}", (units if c % 2 else 4 * units) + half
        suffixes = ("",) if sizes.cell == "directional" else ("", "_rev")
        entries = []
        if sizes.cell == "sigmoid":
            entries.append(Entry(f"{key}._SigmoidWeight", f"{name}/gate", "plain", (rows, 1)))
        for suffix in suffixes:
            entries.append(Entry(f"{key}._W0{suffix}", f"{name}/start{suffix}", "plain", (rows, 2 * half)))
        for suffix in suffixes:
            for i in range(len(genotype.recurrent)):
                kernel = f"{name}/kernels{suffix}/{i}"
                entries.append(Entry(f"{key}._Ws{suffix}.{i}", kernel, "plain", (half, 2 * half)))
        for suffix in ("", "_rev"):
            entries += batch_norm(f"{key}.bn_in{suffix}.", f"{name}/bn_in{suffix}/", rows)
        for i in range(1 + len(genotype.recurrent)):
            for their, our in BATCH_NORM.items():
                kind = "halves" if their in _STATISTICS else "rows"
                entries.append(Entry(f"{key}.bn.{i}.{their}", f"{name}/bn/{i}/{our}", kind, (2 * half,)))
        result.append(Part(key, "", entries))
    features = sizes.side**2 * units
    classifier = batch_norm("classifier.0.", "bn/", features)
    classifier += weighted("classifier.1", "classifier", "linear", (sizes.classes, features))
    return [*result, Part("classifier", "", classifier)]


def order(pixels, channels):
    """Where what is ordered channel by channel there lies among pixel by pixel here: `(pixels * channels,)`."""
    return np.arange(pixels * channels).reshape(pixels, channels).T.ravel()


def rows(size, units, patch):
    """The same of the rows of a cell's initial kernel: what is read of a patch, then `units` of the hidden state."""
    features = size - units
    return np.concatenate([order(patch**2, features // patch**2), np.arange(features, size)])


def named(network):
    """A network's variables by the entries' names: `{name: (variable, index)}`."""
    result = {}
    for k, layer in enumerate(network.body.stem):
        result |= {f"stem/{k}/{name}": (variable, ...) for name, variable in naming.variables(layer).items()}
    for c, sweep in enumerate(network.body.sweeps):
        result |= named_cell(sweep.cell, sweep.patch, f"cells/{c}/")
    units = network.options["units"]
    places = order(network.body.features // units, units)
    result |= {f"bn/{name}": (variable, places) for name, variable in naming.variables(network.bn).items()}
    result["classifier/kernel"] = (network.classifier.kernel, (places,))
    result["classifier/bias"] = (network.classifier.bias, ...)
    return result


def named_cell(cell, patch, prefix=""):
    """A `ReNetCell`'s variables by the entries' names; one that is searched has no `bn/<i>`."""
    size, result = cell.start.shape[1], {}
    places = rows(size, cell.units, patch)
    for d, suffix in enumerate(("", "_rev")):
        if d < cell.start.shape[0]:
            result[f"start{suffix}"] = (cell.start, (d, places))
            result |= {f"kernels{suffix}/{i}": (cell.kernels, (i, d)) for i in range(cell.nodes)}
        result[f"bn_in{suffix}/gamma"] = (cell.gamma_in, (d, places))
        result[f"bn_in{suffix}/beta"] = (cell.beta_in, (d, places))
        for their, i in _STATISTICS.items():
            result[f"bn_in{suffix}/{BATCH_NORM[their]}"] = (cell.statistics_in, (i, d, places))
    if hasattr(cell, "gate"):
        result["gate"] = (cell.gate, (places,))
    for i in range(cell.nodes + 1 if cell.affine else 0):
        result[f"bn/{i}/gamma"], result[f"bn/{i}/beta"] = (cell.gamma, i), (cell.beta, i)
        for their, k in _STATISTICS.items():
            result[f"bn/{i}/{BATCH_NORM[their]}"] = (cell.statistics, (i, k))
    return {prefix + name: value for name, value in result.items()}
