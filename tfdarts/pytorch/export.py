"""The way back: our networks' weights under the keys that the authors' programs load."""

import numpy as np

from tfdarts import naming
from tfdarts.errors import UserError
from tfdarts.pytorch import conv, layouts, recurrent, renet, writer
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel
from tfdarts.spaces.renet.network import ReNetNetwork

_COUNTER = "num_batches_tracked"  # of PyTorch from 0.4.1 on, which asks for it


def save(network, path):
    """Writes a network's weights as a `state_dict`.

    Args:
        network: of a space whose networks the authors' programs have.
        path: `pathlib.Path` of the file.

    Raises:
        UserError: if their programs have no such network, or the file cannot be written.
    """
    layout, sizes = _layout(network)
    names, tensors = layout.named(network), {}
    for part in layout.parts(network.genotype, sizes):
        for entry in part.entries:
            value = np.asarray(naming.read(names, [entry.name])[entry.name], np.float32)
            value = layouts.KINDS[entry.kind][1](value)
            if value.shape != entry.shape:
                raise UserError(f"the weights {entry.key} are {value.shape}, where their program has {entry.shape}")
            tensors[entry.key] = value
            if entry.key.endswith("running_var"):
                tensors[entry.key.replace("running_var", _COUNTER)] = np.zeros((), np.int64)
    try:
        writer.write(path, tensors)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def _layout(network):
    """A network's layout, and its sizes."""
    if isinstance(network, EvaluationNetwork):
        return conv, _conv_sizes(network)
    if isinstance(network, EvaluationLanguageModel) and not network.has_offset:
        genotype = network.genotype
        if (genotype.start, genotype.carry) == ("tanh", "mean"):
            return recurrent, recurrent.Sizes(network.words, network.units, network.nodes)
        raise UserError("DARTS's program has no recurrent cells of ENAS's kind; convert one of DARTS's")
    if isinstance(network, ReNetNetwork) and network.genotype is not None:
        return renet, _renet_sizes(network)
    raise UserError("no PyTorch program that we know has such a network; convert networks of DARTS's cells")


def _conv_sizes(network):
    options = network.options
    imagenet = options["network"] == "imagenet"
    if not imagenet and options["stem_multiplier"] != 3:
        raise UserError("their stem has 3 times the channels of the first cells; train with --stem_multiplier 3")
    if any(set(network.genotype.inputs(reduction)) != {2} for reduction in (False, True)):
        raise UserError("their nodes have two inputs each; this genotype's have other numbers")
    first = network.stem.conv_1 if imagenet else network.stem.conv
    second = options["second_bn"]
    return conv.Sizes(
        options["network"],
        options["channels"],
        options["layers"],
        options["classes"],
        _map_size(network),
        first.conv.shape[2],
        options["auxiliary"],
        not imagenet if second is None else second,
    )


def _map_size(network):
    """Side of the images, as far as a kernel of a map's size depends on it; CIFAR's or ImageNet's otherwise."""
    names, sides = conv.named(network), {}
    for name, (variable, _) in names.items():
        if name.endswith("/depthwise") and name.replace("depthwise", "conv_1") in names:  # of gather-excite
            sides[int(name.split("/")[1])] = variable.shape[0]
    form = network.options["network"]
    if not sides:
        return 224 if form == "imagenet" else 32
    cell, side = next(iter(sides.items()))
    return conv.image_side(side, cell, network.options["layers"]) * (8 if form == "imagenet" else 1)


def _renet_sizes(network):
    options, genotype = network.options, network.genotype
    if genotype.cell == "sigmoid" and options["gate"] != "forward":
        raise UserError(
            "their sigmoid cell computes another function, since its reverse gate looks at the forward direction; "
            "train with --gate forward for weights that their program can use"
        )
    units = options["units"]
    side = round((network.body.features // units) ** 0.5)
    into = network.body.stem[0].kernel.shape[2]
    layers, classes = options["layers"], options["classes"]
    return renet.Sizes(genotype.cell, units, layers, len(genotype.recurrent), classes, side, into)
