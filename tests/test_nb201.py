"""The space of NAS-Bench-201: networks and parameters against the authors' program, architectures, tables, searches."""

import bz2
import json
import math
import pathlib
import pickle

import numpy as np
import pytest
import tensorflow as tf

from tests.support import precision, reference
from tests.support.jobs import StopAt, job_of
from tfdarts import api, optimizers, recipes, saving, spaces
from tfdarts.errors import UserError
from tfdarts.genotype import GenotypeError
from tfdarts.options import OptionError
from tfdarts.runs.callbacks import Stopped
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder
from tfdarts.spaces import genotypes
from tfdarts.spaces.base import ImageInputs
from tfdarts.spaces.conv.restrictions import RestrictionError
from tfdarts.spaces.nb201 import architectures, pickles, restrictions, table
from tfdarts.spaces.nb201.genotype import EDGES, OPERATIONS, Nb201Genotype
from tfdarts.spaces.nb201.network import Nb201Network
from tfdarts.spaces.nb201.supernet import Nb201Supernet
from tfdarts.spaces.nb201.stack import Cell

SPACE = spaces.load("nb201")
PARAMETERS = reference.load("nb201/parameters.json")
TINY = {"init_channels": 4, "layers": 1, "batch_size": 300}


# The authors' program


def part(prefix, layer, names, position=0, count=1):
    """A layer's variables, or one edge's part of them, under the authors' names: `{name: (variable, index)}`."""
    result = {}
    for ours, theirs in names.items():
        variable = layer
        for attribute in ours.split("."):
            variable = getattr(variable, attribute)
        size = variable.shape[-1] // count
        result[prefix + theirs] = (variable, (..., slice(position * size, (position + 1) * size)))
    return result


BN = {"bn.moving_mean": "running_mean", "bn.moving_variance": "running_var"}
AFFINE = {"bn.gamma": "weight", "bn.beta": "bias"} | BN


def below(prefix, names):
    return {ours: prefix + theirs for ours, theirs in names.items()}


def named(stack, candidates=None):
    """Every variable of a network under the authors' names."""
    result = part("stem.", stack.stem, {"conv": "0.weight"} | below("1.", AFFINE))
    for number, block in enumerate(stack.blocks):
        where = f"cells.{number}."
        if not isinstance(block, Cell):
            for name in ("conv_a", "conv_b"):
                layer = {"conv": "op.1.weight"} | below("op.2.", AFFINE)
                result |= part(f"{where}{name}.", getattr(block, name), layer)
            result |= part(where, block, {"shortcut": "downsample.1.weight"})
            continue
        for source, edges in zip(block.sources, block.edges):
            if hasattr(edges, "operations"):
                for op, operation in zip(edges.names, edges.operations):
                    for place, target in enumerate(edges.targets):
                        prefix = f"{where}edges.{target + 1}<-{source}.{OPERATIONS.index(op)}."
                        if hasattr(operation, "conv"):
                            layer = {"conv": "op.1.weight", "bias": "op.1.bias"} | below("op.2.", BN)
                            result |= part(prefix, operation, layer, place, len(edges.targets))
            elif hasattr(edges.operation, "conv"):
                layer = {"conv": "op.1.weight"} | below("op.2.", AFFINE)
                for place, row in enumerate(edges.entries):
                    result |= part(f"{where}layers.{row}.", edges.operation, layer, place, len(edges.entries))
    result |= part("lastact.0.", stack, AFFINE)
    return result | part("classifier.", stack.classifier, {"kernel": "weight", "bias": "bias"})


def in_our_layout(values):
    def turned(value):
        return value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T

    return {name: turned(value) for name, value in values.items()}


def loss_of(labels, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


@pytest.mark.parametrize("name", reference.names("nb201/network_*.npz"))
def test_the_network_is_the_authors(name, float64):
    stored = reference.load(name)
    genotype = Nb201Genotype.from_architecture(str(stored["arch"]))
    state, x, labels = reference.group(stored, "state/"), tf.constant(stored["x"]), stored["labels"]
    channels, classes = len(state["stem.1.weight"]), len(state["classifier.bias"])
    network = SPACE.network(genotype, ImageInputs(x.shape[1:], classes), init_channels=channels, layers=1)
    names = named(network.stack)
    assert names.keys() == state.keys()
    reference.assign(names, in_our_layout(state))
    reference.close(network(x, training=False), stored["logits_eval"], 1e-9)
    with tf.GradientTape() as tape:
        logits = network(x, training=True)
        loss = loss_of(labels, logits)
    variables = network.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables], unconnected_gradients="zero")
    reference.close(logits, stored["logits_train"], 1e-9)
    reference.close(loss, stored["loss_train"], 1e-9)
    got = reference.arrays(names, variables, gradients)
    reference.close(got, in_our_layout(reference.group(stored, "grad/")), 1e-9)


def test_the_supernet_is_the_authors(float64):
    stored = reference.load("nb201/supernet")
    state, x, labels = reference.group(stored, "state/"), tf.constant(stored["x"]), stored["labels"]
    alphas = tf.constant(state.pop("arch_parameters"))
    assert [f"{node}<-{source}" for node, source in EDGES] == stored["edges"].tolist()
    assert list(OPERATIONS) == stored["operations"].tolist()
    net = Nb201Supernet(len(state["classifier.bias"]), len(state["stem.1.weight"]), 1)
    net.build((None, *x.shape[1:]))
    names = named(net.stack)
    assert names.keys() == state.keys()
    reference.assign(names, in_our_layout(state))
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        mixing = {"normal": tf.nn.softmax(alphas)}
        logits = net(x, mixing, training=True)
        loss = loss_of(labels, logits)
    reference.close(logits, stored["logits_train"], 1e-9)
    reference.close(loss, stored["loss_train"], 1e-9)
    reference.close(tape.gradient(loss, alphas), stored["grad_alphas"], 1e-9)
    assert str(net.genotype(mixing)) == str(stored["genotype"])


@pytest.mark.parametrize("architecture", PARAMETERS)
def test_parameters(architecture, zero_start):
    genotype = Nb201Genotype.from_architecture(architecture)
    for classes, count in PARAMETERS[architecture].items():
        network = SPACE.network(genotype, ImageInputs((32, 32, 3), int(classes)), init_channels=16, layers=5)
        assert sum(math.prod(v.shape) for v in network.trainable_variables) == count


# The genotype


def test_the_authors_form():
    text = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|none~2|"
    genotype = Nb201Genotype.from_architecture(text)
    assert str(genotype) == text and genotype.normal[4] == ("avg_pool_3x3", 1)
    assert genotype.edge_operations() == {"normal": [op for op, _ in genotype.normal]}
    assert genotype.skip_connections() == 1 and "none" in genotype.operations()
    assert Nb201Genotype.from_dict(json.loads(genotype.to_json()) | {}) == genotype


def test_files(tmp_path):
    text = str(genotypes.load("ResNet", "nb201"))
    (tmp_path / "cell.txt").write_text(text + "\n")
    assert genotypes.load(tmp_path / "cell.txt", "nb201") == genotypes.load("ResNet", "nb201")


@pytest.mark.parametrize(
    "text",
    [
        "|nor_conv_3x3~0|",
        "|warp~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|none~0|+|none~1|none~0|+|none~0|none~1|none~2|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|none~3|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2",
        "|none~0|+|none~0||none~1|+|none~0|none~1|none~2|",
    ],
)
def test_architectures_that_are_none(text):
    with pytest.raises(GenotypeError):
        Nb201Genotype.from_architecture(text)


@pytest.mark.parametrize(
    "normal,sentence",
    [
        ([], "list of 6 entries"),
        (3, "list of 6 entries"),
        ([["none", 0]] * 6, r"`normal\[2\]` leads to node 2 from node 1"),
        ([["none", 0], ["none", False], *[["none", 0]] * 4], r"`normal\[1\]` leads"),
        ([["none"]] + [["none", 0]] * 5, r"must be \[op, source\]"),
        ([[["none"], 0]] + [["none", 0]] * 5, r"must be \[op, source\]"),
    ],
)
def test_genotypes_that_are_none(normal, sentence):
    with pytest.raises(GenotypeError, match=sentence):
        genotypes.from_dict({"space": "nb201", "normal": normal})


# All architectures, and which of them compute the same


def test_all_architectures_in_a_fixed_order():
    every = list(architectures.all_genotypes())
    assert len(set(every)) == len(every) == architectures.COUNT == 15625
    assert str(every[0]) == "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert str(every[1]) == "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"


def papers_form(genotype):
    """The string by which the paper counts (section 2.1): it leaves zeros in sums, and repeats what is used twice."""
    nodes, sums = ["0"], {}
    for (op, source), (node, _) in zip(genotype.normal, EDGES):
        while len(nodes) < node:
            nodes.append("+".join(sorted(sums[len(nodes)])))
        zero = op == "none" or nodes[source] == "#"
        text = "#" if zero else nodes[source] if op == "skip_connect" else f"({nodes[source]})@{op}"
        sums.setdefault(node, []).append(text)
    return "+".join(sorted(sums[len(sums)]))


SIDE, CHANNELS = 4, 2


def as_matrix(operation):
    """A linear map of `(1, SIDE, SIDE, CHANNELS)` as a matrix."""
    size = SIDE * SIDE * CHANNELS
    units = tf.reshape(tf.eye(size, dtype=tf.float64), (size, SIDE, SIDE, CHANNELS))
    return np.reshape(operation(units), (size, size))


class Formula:
    """What a cell computes from six random convolutions, written down once more in matrices."""

    def __init__(self):
        generator = np.random.default_rng(0)
        self.x = generator.normal(size=(3, SIDE * SIDE * CHANNELS))
        self.pool = as_matrix(lambda x: tf.nn.avg_pool2d(x, 3, 1, "SAME"))
        self.convolutions = {}
        for size in (1, 3):
            kernels = generator.normal(size=(6, size, size, CHANNELS, CHANNELS))
            convolutions = [as_matrix(lambda x, k=k: tf.nn.conv2d(x, k, 1, "SAME")) for k in kernels]
            self.convolutions[f"nor_conv_{size}x{size}"] = convolutions
        self.gains, self.offsets = generator.normal(size=(2, 6, CHANNELS))

    def __call__(self, genotype):
        places = {row: place for place, row in enumerate(architectures.matched_rows(genotype))}
        nodes = [self.x, 0 * self.x, 0 * self.x, 0 * self.x]
        for row, ((op, source), (node, _)) in enumerate(zip(genotype.normal, EDGES)):
            if op == "skip_connect":
                nodes[node] = nodes[node] + nodes[source]
            elif op == "avg_pool_3x3":
                nodes[node] = nodes[node] + nodes[source] @ self.pool
            elif op != "none" and row in places:
                y = np.maximum(nodes[source], 0) @ self.convolutions[op][places[row]]
                y = y.reshape(-1, CHANNELS)
                y = (y - y.mean(0)) / np.sqrt(y.var(0) + 1e-5) * self.gains[places[row]] + self.offsets[places[row]]
                nodes[node] = nodes[node] + y.reshape(nodes[node].shape)
        return nodes[3]


def test_how_many_functions_there_are():
    """The paper's string counts 6,466; ours merges what that leaves apart, and keeps apart what shares weights.

    Cells of one canonical form give the same result from the same convolutions, cells of different ones another.
    """
    formula, results, papers, both = Formula(), {}, set(), set()
    for genotype in architectures.all_genotypes():
        form, paper = architectures.canonical(genotype), papers_form(genotype)
        result = formula(genotype)
        np.testing.assert_allclose(result, results.setdefault(form, result), rtol=0, atol=1e-9)
        papers.add(paper)
        both.add((form, paper))
    assert (len(results), len(papers), len(both)) == (5234, 6466, 7147)
    assert len({tuple(np.round(result.ravel(), 6) + 0.0) for result in results.values()}) == len(results)


def test_cells_of_one_form_are_the_same_network(float64):
    """The same on networks, whose convolutions are given to each other."""
    pairs = [
        ("|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|skip_connect~2|",
         "|avg_pool_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|skip_connect~1|nor_conv_1x1~2|"),
    ]  # fmt: skip
    for texts in pairs:
        cells = [Nb201Genotype.from_architecture(text) for text in texts]
        assert architectures.canonical(cells[0]) == architectures.canonical(cells[1])
        nets = [SPACE.network(cell, ImageInputs((8, 8, 1), 3), init_channels=2, layers=1) for cell in cells]
        names = [named(net.stack) for net in nets]
        rows = dict(zip(*map(architectures.matched_rows, cells)))
        values = {}
        for name, value in reference.read(names[0]).items():
            number = name.split(".")
            if "layers" in number:
                number[3] = str(rows[int(number[3])])
            values[".".join(number)] = value
        reference.assign(names[1], values)
        x = tf.random.stateless_normal((3, 8, 8, 1), (0, 1), dtype=tf.float64)
        reference.close(nets[1](x, training=True), np.array(nets[0](x, training=True)), 1e-12)
