"""The space of NAS-Bench-201: networks and parameters against the authors' program, architectures, tables, searches."""

import bz2
import json
import math
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import tensorflow as tf
from absl import flags

from tests.support import reference
from tests.support.jobs import job_of
from tests.support.runs import folder_of, kill_at, outcome
from tfdarts import api, cost, optimizers, recipes, spaces
from tfdarts.cli.flags import check_remembered
from tfdarts.errors import UserError
from tfdarts.genotype import GenotypeError
from tfdarts.layers.sampled import sampled_edges
from tfdarts.options import OptionError
from tfdarts.spaces import genotypes
from tfdarts.spaces.base import ImageInputs
from tfdarts.spaces.conv.restrictions import RestrictionError
from tfdarts.spaces.nb201 import architectures, pickles, restrictions, table
from tfdarts.spaces.nb201.genotype import EDGES, OPERATIONS, Nb201Genotype
from tfdarts.spaces.nb201.stack import Cell
from tfdarts.spaces.nb201.supernet import Nb201Supernet, by_source

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
    counts = {int(classes): count for classes, count in PARAMETERS[architecture].items()}
    classes = min(counts)
    network = SPACE.network(genotype, ImageInputs((32, 32, 3), classes), init_channels=16, layers=5)
    body, features = cost.count_parameters([network]), network.stack.classifier.kernel.shape[0]
    body -= cost.count_parameters([network.stack.classifier])
    assert {classes: body + (features + 1) * classes for classes in counts} == counts


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


def test_random_architectures():
    def drawn(count, **values):
        settings = recipes.resolve("nb201", "search", {"strategy": "random", "samples": count} | values)
        return SPACE.random(count, 0, **settings.pick(SPACE.random))

    assert drawn(5) == drawn(8)[:5] and len(set(drawn(300))) > 290
    counts = np.bincount([OPERATIONS.index(op) for cell in drawn(300) for op, _ in cell.normal])
    assert counts.min() > 300  # of 1800, none among them
    assert not any("none" in cell.operations() for cell in drawn(50, restrict="without_none"))
    different = drawn(700, unique=True)
    assert len({architectures.canonical(cell) for cell in different}) == 700
    assert len({architectures.canonical(cell) for cell in drawn(700)}) < 700


def test_more_random_architectures_than_there_are(tmp_path):
    (tmp_path / "few.json").write_text(json.dumps({"normal": [["skip_connect", "none"], *[["skip_connect"]] * 5]}))
    with pytest.raises(UserError, match="--unique: these candidates make 2 different functions; lower --samples 3"):
        api.random_genotypes(3, recipe="nb201", restrict=str(tmp_path / "few.json"), unique=True)
    with pytest.raises(OptionError, match="--unique has no meaning with --strategy darts"):
        recipes.resolve("nb201", "search", {"unique": True})


# Searches with all parts

PARTS = {
    "second order": {"unrolled": True},
    "gumbel": {"mixing": "gumbel", "penalty": "beta", "nesterov": True},
    "sigmoid": {"mixing": "sigmoid", "penalty": "zero_one"},
    "dirichlet, partial channels": {"mixing": "dirichlet", "penalty": "kl", "partial_channels": 2},
    "random perturbation, without none": {"perturb": "random", "restrict": "without_none"},
    "adversarial perturbation": {"perturb": "adversarial"},
    "clipped": {"arch_grad_clip": 0.1, "arch_beta_1": 0.9},
}


@pytest.mark.parametrize("values", PARTS.values(), ids=PARTS)
def test_every_part_searches(values, request):
    _, _, job = job_of("nb201_digits", TINY | {"batch_size": 8} | values)
    before, batch = job.model.alphas.numpy(), next(iter(job.batches(0)))
    request.getfixturevalue("eagerly")
    job.model.train_step(batch)
    after = job.model.alphas.numpy()
    assert np.all(np.isfinite(after)) and np.any(after != before)
    assert job.model.genotype().space == "nb201"


def test_only_the_drawn_operations_have_a_gradient(float64, eagerly):
    """GDAS: with one-hot weights, a cell is the cell of the genotype, and what no edge drew has no gradient."""
    net = Nb201Supernet(3, 2, 1, edges=sampled_edges())
    cell = net.stack.blocks[0]
    x = tf.random.stateless_normal((4, 8, 8, 2), (0, 1), dtype=tf.float64)
    drawn = tf.one_hot([2, 3, 1, 4, 0, 2], 5, dtype=tf.float64)
    found = net.genotype({"normal": drawn})
    assert str(found) == "|nor_conv_1x1~0|+|nor_conv_3x3~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
    with tf.GradientTape() as tape:
        y = cell(x, weights=by_source(drawn), training=True)
        loss = tf.reduce_sum(y**3)
    gradients = iter(tape.gradient(loss, [v.value for v in cell.trainable_variables], unconnected_gradients="zero"))
    used = set()
    for source, layer in zip(cell.sources, cell.edges):
        for target, names, shapes in zip(layer.targets, layer.candidates, layer.shapes):
            pieces = tf.split(next(gradients), [sum(map(math.prod, own)) for own in shapes])
            used |= {(target, source, op) for op, piece in zip(names, pieces) if np.any(np.abs(piece) > 1e-9)}
    assert used == {(0, 0, "nor_conv_1x1"), (1, 0, "nor_conv_3x3"), (2, 2, "nor_conv_1x1")}


def test_operations_are_decided_one_by_one(request):
    """DARTS-PT: six decisions, none about edges."""
    values = {"select": "perturbation", "projection_every": 1, "epochs": 1, "projection_criterion": "loss"}
    _, _, job = job_of("nb201_digits", TINY | values)
    assert job.further_epochs == 6
    projection = job.callbacks[-1]
    projection.set_model(job.model)
    projection.images = list(job.validation.take(1))
    request.getfixturevalue("eagerly")
    for number in range(1, 7):
        projection.on_epoch_begin(number)
        mask, kept = job.model.decided()
        assert (mask["normal"].sum(1) == 1).sum() == number and np.all(kept["normal"])
    chosen = [OPERATIONS[column] for column in mask["normal"].argmax(1)]
    assert job.model.genotype() == Nb201Genotype.of(chosen)


@pytest.mark.parametrize(
    "values,sentence",
    [
        ({"edge_normalization": True}, "--edge_normalization: the space 'nb201' has no such option"),
        ({"nodes": 3}, "--nodes: the space 'nb201' has no such option"),
        ({"location": "end"}, "--location: the space 'nb201' has no such option"),
        ({"select": "perturbation", "mixing": "sigmoid"}, "--select perturbation needs --mixing softmax"),
        ({"partial_channels": 3}, "--init_channels must be a multiple of --partial_channels"),
        ({"unrolled": True, "nesterov": True}, "--unrolled goes with --nonesterov"),
        ({"init_channels": 3}, "--init_channels must be even"),
        ({"strategy": "enas"}, "takes --strategy random or darts, not 'enas'"),
    ],
)
def test_refused(values, sentence):
    with pytest.raises(OptionError, match=sentence):
        recipes.resolve("nb201", "search", values)


def test_nesterov_by_the_formula(request):
    """Two steps of training: `buf = mu buf + g`, `w -= rate (mu buf + g)`, decay in g."""
    values = recipes.resolve("nb201", "train", {}).values
    assert values["nesterov"] and recipes.resolve("darts_cifar10", "train", {}).values["nesterov"] is False
    settings = recipes.resolve("nb201", "train", {"momentum": 0.8, "weight_decay": 0.1})
    sgd = optimizers.Sgd(**SPACE.weight_sgd(**settings.pick(SPACE.weight_sgd)))
    assert sgd.grad_clip == math.inf
    sgd.build(2)
    w, buffer = np.array([1.0, -2.0]), np.zeros(2)
    ours = tf.constant(w, tf.float32)
    for step, gradient in enumerate(np.array([[0.3, 0.2], [-0.1, 0.5]])):
        decayed = gradient + 0.1 * w
        buffer = 0.8 * buffer + decayed
        w = w - 0.1 * (0.8 * buffer + decayed)
        ours = sgd.update(ours, tf.constant(gradient, tf.float32), 0.1, step + 1)
    np.testing.assert_allclose(ours, w, rtol=1e-6)


@pytest.mark.parametrize("recipe", ["digits", "nb201_digits", "renet_digits"])
def test_nesterov_reaches_the_search(recipe, monkeypatch):
    made = []
    monkeypatch.setattr(optimizers, "Sgd", lambda **options: made.append(options) or (_ for _ in ()).throw(KeyError))
    for nesterov in (True, False):
        with pytest.raises(KeyError):
            job_of(recipe, {"nesterov": nesterov, "unrolled": False, "layers": 1, "batch_size": 300})
    assert [options["nesterov"] for options in made] == [True, False]


# Candidates edge by edge


def test_candidates_edge_by_edge(tmp_path):
    rows = [["nor_conv_3x3"], ["none", "nor_conv_1x1"], *[["skip_connect", "avg_pool_3x3", "none"]] * 4]
    (tmp_path / "own.json").write_text(json.dumps({"normal": rows}))
    settings, _, job = job_of("nb201_digits", TINY | {"restrict": str(tmp_path / "own.json")})
    assert [list(choice.candidates) for choice in job.model.choices["normal"]] == rows
    mixing = {"normal": np.array([[0.1, 0.9, 0.9], [0.6, 0.4, 0.9], *[[0.1, 0.2, 0.7]] * 4])}
    found = job.model.supernet.genotype(mixing)
    assert found.edge_operations()["normal"] == ["nor_conv_3x3", "none", "none", "none", "none", "none"]
    for genotype in SPACE.random(30, 0, restrict=str(tmp_path / "own.json"), unique=False):
        assert all(op in names for (op, _), names in zip(genotype.normal, rows))


@pytest.mark.parametrize(
    "text,sentence",
    [
        ("[1]", "must be an object of one list, normal, a list for each edge"),
        ('{"normal": [], "reduce": []}', "must be an object of one list, normal"),
        ('{"normal": 3}', "must be an object of one list, normal"),
        ("{", "--restrict takes without_none or a JSON file; cannot read"),
        ('{"normal": [["none"]]}', "normal: 1 edges, where a cell has 6[.]"),
        ('{"normal": [["warp"], [], [], [], [], []]}', "edge 0 names 'warp'; there are none, skip_connect"),
        ('{"normal": [["none"], [], [], [], [], []]}', "edge 0 needs different operations, one of them not none"),
        ('{"normal": [["skip_connect"], [3], [], [], [], []]}', "edge 1 names 3"),
    ],
)
def test_bad_files_of_candidates(text, sentence, tmp_path):
    (tmp_path / "own.json").write_text(text)
    with pytest.raises(RestrictionError, match=sentence):
        restrictions.load(str(tmp_path / "own.json"))


SEARCHES = {
    "nb201": ["--recipe", "nb201_digits", "--init_channels", "2", "--layers", "1"],
    "conv": ["--recipe", "digits", "--init_channels", "2", "--layers", "1", "--nodes", "1", "--multiplier", "1"],
}
ROWS = {
    "nb201": {"normal": [["skip_connect", "avg_pool_3x3"]] * 6},
    "conv": {kind: [["skip_connect", "max_pool_3x3"]] * 2 for kind in ("normal", "reduce")},
}


@pytest.mark.parametrize("space", SEARCHES)
def test_changed_candidates_are_no_longer_what_a_run_remembers(space, tmp_path):
    path, where = tmp_path / "own.json", spaces.load(space)

    def remembered(rows):
        path.write_text(json.dumps(rows))
        values = {"restrict": str(path)} | ({"nodes": 1, "multiplier": 1} if space == "conv" else {})
        settings = recipes.resolve(SEARCHES[space][1], "search", values)
        return where.remembered(**settings.pick(where.remembered))

    before = remembered(ROWS[space])
    values = flags.FlagValues()
    flags.DEFINE_string("resume", str(tmp_path), "a run's folder", flag_values=values)
    values(["search"])
    (tmp_path / "config.json").write_text(json.dumps({"stage": "search", "format": 1, "space_info": before}))
    check_remembered(values, remembered(ROWS[space]))
    rows = json.loads(json.dumps(ROWS[space]))
    rows["normal"][1].reverse()
    with pytest.raises(UserError, match="the candidates of .* are not what they were when it began"):
        check_remembered(values, remembered(rows))


@pytest.mark.parametrize("space", SEARCHES)
def test_changed_candidates_are_noticed(space, tmp_path, command):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(ROWS[space]))
    words = ["search_cell.py", *SEARCHES[space], "--nounrolled", "--batch_size", "300", "--epochs", "1"]
    command(*words, "--restrict", path, "--logdir", tmp_path)
    (folder,) = (tmp_path / "search_arch").iterdir()
    rows = json.loads(json.dumps(ROWS[space]))
    rows["normal"][1].reverse()
    path.write_text(json.dumps(rows))
    error = command("search_cell.py", "--resume", folder, "--epochs", "2", code=2).stderr
    assert error.startswith(f"error: the candidates of {folder} are not what they were") and error.count("\n") == 1
    path.write_text(json.dumps(ROWS[space], indent=4))  # the same, written otherwise
    command("search_cell.py", "--resume", folder, "--epochs", "2")


# Tables of known accuracies

BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
WORST = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
ROWS_OF_TABLE = [(BEST, "cifar10", 94.0), (WORST, "cifar10", 10.5), (BEST, "ImageNet16-120", 46.25)]


def test_tables_of_ones_own(tmp_path):
    lines = [",".join(table.COLUMNS), *(f"{cell},{name},{value}" for cell, name, value in ROWS_OF_TABLE)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "t.json").write_text(json.dumps([dict(zip(table.COLUMNS, row)) for row in ROWS_OF_TABLE]))
    best, worst = map(Nb201Genotype.from_architecture, (BEST, WORST))
    for name in ("t.csv", "t.json"):
        found = table.load(tmp_path / name)
        assert found.of(best) == {"cifar10": 94.0, "ImageNet16-120": 46.25} and found.best("cifar10") == 94.0
        assert found.metrics(worst) == {"table_accuracy_cifar10": 10.5, "table_regret_cifar10": 83.5}
        assert found.of(genotypes.load("ResNet", "nb201")) == {}
    assert table.load(tmp_path / "t.json") is found  # kept
    (tmp_path / "t.json").write_text(json.dumps([dict(zip(table.COLUMNS, ROWS_OF_TABLE[0]))]))
    assert table.load(tmp_path / "t.json").of(worst) == {}
    table.save(found, tmp_path / "again.csv")
    assert table.load(tmp_path / "again.csv").accuracies == found.accuracies


@pytest.mark.parametrize(
    "name,text,sentence",
    [
        ("t.csv", "", "its first line must be architecture,dataset,accuracy"),
        ("t.csv", "architecture,accuracy\n", "its first line must be"),
        ("t.csv", "architecture,dataset,accuracy\n", "it holds no accuracies"),
        ("t.csv", f"architecture,dataset,accuracy\n{BEST},cifar10\n", "line 2 must have 3 columns, it has 2"),
        ("t.csv", f"architecture,dataset,accuracy\n{BEST},cifar10,high\n", "line 2: the accuracy must be a number"),
        ("t.csv", f"architecture,dataset,accuracy\n{BEST},cifar10,nan\n", "line 2: the accuracy must be a number"),
        ("t.csv", f"architecture,dataset,accuracy\n{BEST},a/b,9\n", "line 2: it needs an architecture and the name"),
        ("t.csv", "architecture,dataset,accuracy\nsomething,cifar10,9\n", "line 2: An architecture must look like"),
        ("t.csv", f"architecture,dataset,accuracy\n{BEST},c,9\n{BEST},c,8\n", "has two accuracies on c"),
        ("t.csv", "x" * 200_000, "it is no CSV"),
        ("t.json", "[", "it is no JSON"),
        ("t.json", "[]", "it holds no accuracies"),
        ("t.json", "{}", "it must be a list of objects with the fields architecture, dataset, accuracy"),
        ("t.json", '[{"architecture": 3, "dataset": "c", "accuracy": 9}]', "entry 1: it needs an architecture"),
        ("t.json", json.dumps([{"architecture": BEST, "dataset": "c", "accuracy": True}]), "entry 1: the accuracy"),
        ("NAS-Bench-201-v1_1-096897.pth", "x", "give NATS-Bench's folder NATS-tss-v1_0-3ffb9-simple"),
        ("NATS-tss-v1_0-3ffb9.pickle.pbz2", "x", "give NATS-Bench's folder NATS-tss-v1_0-3ffb9-simple"),
    ],
)
def test_bad_tables(name, text, sentence, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(table.TableError, match=sentence) as error:
        table.load(tmp_path / name)
    assert str(error.value).startswith("--nb201_table") and "\n" not in str(error.value)


def results_of(accuracies, epochs=200):
    """Results of an architecture in NATS-Bench's form; accuracies by data set, one for each seed."""
    found = {}
    for dataset, values in accuracies.items():
        for seed, value in zip((777, 888, 999), values):
            name = {"cifar10-valid": "x-valid", "cifar10": "ori-test"}.get(dataset, "x-test")
            reached = {f"{name}@{epochs - 2}": np.float64(1.0), f"{name}@{epochs - 1}": np.float64(value)}
            found[dataset, seed] = {"epochs": epochs, "eval_acc1es": OrderedDict(reached), "eval_names": [name]}
    return found


def write_folder(folder, data):
    folder.mkdir(exist_ok=True)
    (folder / "meta.pickle.pbz2").write_bytes(b"not looked at")
    for number, content in enumerate(data):
        (folder / f"{number:06d}.pickle.pbz2").write_bytes(bz2.compress(content))
    return folder


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_nats_bench(protocol, tmp_path, capsys, monkeypatch):
    one = {"cifar10-valid": [80.0, 82.0], "cifar10": [90.0, 91.0, 95.0], "cifar100": [60.0], "ImageNet16-120": [30.5]}
    data = [
        {"200": {"arch_str": BEST, "all_results": results_of(one)}, "12": {"arch_str": BEST, "all_results": {}}},
        {"200": {"arch_str": WORST, "all_results": results_of({"cifar10": [10.0]})}},
    ]
    monkeypatch.setattr(table, "_MANY", 1)
    folder = write_folder(tmp_path / "simple", [pickle.dumps(each, protocol) for each in data])
    found = table.load(folder)
    assert capsys.readouterr().err.startswith(f"reading 2 files of {folder}, about 0 minutes; `tfdarts table")
    expected = {"cifar10-valid": 81.0, "cifar10": 92.0, "cifar100": 60.0, "ImageNet16-120": 30.5}
    assert found.of(Nb201Genotype.from_architecture(BEST)) == pytest.approx(expected)
    assert found.of(Nb201Genotype.from_architecture(WORST)) == {"cifar10": 10.0}


def test_what_pickles_may_hold():
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    value = {
        "numbers": [1, -300, 1 << 40, 2.5, True, False, None, np.float32(0.5), np.int64(7), np.float64(1e-300)],
        ("a", 1): OrderedDict(x=[1, 2], y=b"bytes"),
        "nested": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), "ä" * 300),
    }
    for protocol in (2, 3, 4, 5):
        found = pickles.read(pickle.dumps(value, protocol))
        assert found == value
    assert pickles.read(pickle.dumps({1, 2}, 4)) == {1, 2}
    for order in ("<i4", ">f8", "|u1"):
        expected = array.astype(order)
        found = pickles.read(pickle.dumps([expected, expected], 4))
        np.testing.assert_array_equal(found[1], expected)


class Calls:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Plain:
    pass


EVIL = {
    "a call": (Calls(os.system, "touch evil"), "asks for posix.system"),
    "eval": (Calls(eval, "1"), "asks for (builtins|__builtin__).eval"),
    "a getter": (Calls(getattr, "", "join"), "asks for (builtins|__builtin__).getattr"),
    "an object": (Plain(), "asks for tests.test_nb201.Plain"),
    "an array of objects": (np.array([None, {}]), "numbers of the type 'O8'"),
    "a date": (np.datetime64("2020-01-01"), "numbers of the type 'M8'"),
    "a complex number": (1j, "asks for (builtins|__builtin__).complex"),
    "a record": (np.zeros(2, [("a", "f8")]), "numbers of the type 'V8'"),
}


@pytest.mark.parametrize("value,sentence", EVIL.values(), ids=EVIL)
def test_pickles_that_ask_for_more_are_refused(value, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for protocol in (2, 4):
        data = pickle.dumps({"200": value}, protocol)
        with pytest.raises(pickles.Refused, match=sentence):
            pickles.read(data)
    with pytest.raises(table.TableError, match=f"000000.pickle.pbz2 is refused: it .*{sentence}"):
        table.load(write_folder(tmp_path / "simple", [data]))
    assert not (tmp_path / "evil").exists()


DAMAGED = {
    "no pickle": b"hello",
    "cut short": pickle.dumps([1, 2, 3], 4)[:-4],
    "nothing": b"",
    "no mark": b"\x80\x04]e.",
    "an empty stack": b"\x80\x04.",
    "an unknown memo": b"\x80\x04h\x05.",
    "a list as key": b"\x80\x04}]K\x01s.",
    "items of a number": b"\x80\x04K\x01K\x02K\x03s.",
    "a call of a number": b"\x80\x04K\x01)R.",
    "persistent": b"\x80\x04Pname\n.",
    "an extension": b"\x80\x04\x82\x01.",
    "an instance": b"(ios\nsystem\n.",
    "a text's state": b"\x80\x04X\x01\x00\x00\x00a}b.",
    "a name's state": b"\x80\x02cnumpy\ndtype\n}b.",
    "an array called": b"\x80\x02cnumpy\nndarray\nK\x05\x85R.",
    "two results": b"\x80\x04K\x01K\x02.",
    "a huge text": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\x00\x00abc.",
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_damaged_pickles_are_refused(data, tmp_path):
    with pytest.raises(pickles.Refused):
        pickles.read(data)


@pytest.mark.parametrize(
    "content,sentence",
    [
        (pickle.dumps([1, 2], 4), "does not hold the results of an architecture"),
        (pickle.dumps({"12": {}}, 4), "does not hold the results of an architecture"),
        (pickle.dumps({"200": {"arch_str": BEST, "all_results": {3: 4}}}, 4), "does not hold the results"),
        (pickle.dumps({"200": {"arch_str": "?", "all_results": results_of({"cifar10": [1.0]})}}, 4), "must look like"),
        (bytes(1 << 27), "too large for one architecture"),
    ],
)
def test_files_that_are_not_nats_benchs(content, sentence, tmp_path):
    with pytest.raises(table.TableError, match=sentence):
        table.load(write_folder(tmp_path / "simple", [content]))


def test_folders_that_are_not_nats_benchs(tmp_path):
    with pytest.raises(table.TableError, match="the folder has no files like 000000"):
        table.load(tmp_path)
    (tmp_path / "000000.pickle.pbz2").write_bytes(b"?")
    with pytest.raises(table.TableError, match="000000.pickle.pbz2 is refused: it cannot be unpacked"):
        table.load(tmp_path)
    with pytest.raises(table.TableError, match="cannot read .*nowhere.csv"):
        table.load(tmp_path / "nowhere.csv")


# Whole commands


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A made-up table of all architectures: the more convolutions, the better."""
    path = tmp_path_factory.mktemp("table") / "made_up.csv"
    every = architectures.all_genotypes()
    rows = [(cell, "made_up", 60 + 5 * sum("conv" in op for op, _ in cell.normal)) for cell in every]
    table.save(table.Table(rows), path)
    return path


@pytest.fixture(scope="module")
def searched(known, tmp_path_factory, command):
    """What a tiny search with a table says, and its folder."""
    logs = tmp_path_factory.mktemp("nb201")
    words = ["search_cell.py", *SEARCHES["nb201"], "--batch_size", "300", "--epochs", "2", "--checkpoint_minutes", "0"]
    out = command(*words, "--nb201_table", known, "--logdir", logs).stdout
    return out, folder_of(logs), [*words, "--nb201_table", known]


def test_a_search_with_a_table(searched, command, tmp_path):
    out, folder, _ = searched
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    genotype = genotypes.load(folder / "genotype.json", "nb201")
    convolutions = sum("conv" in op for op, _ in genotype.normal)
    assert lines[-1]["table_accuracy_made_up"] == 60 + 5 * convolutions
    assert lines[-1]["table_regret_made_up"] == 90 - lines[-1]["table_accuracy_made_up"]
    assert {"skips_normal", "without_weights_normal", "entropy_normal"} <= set(lines[-1])
    assert f"known accuracies: made_up {60 + 5 * convolutions:.2f} %" in out and "train.py --recipe nb201_digits" in out
    command("visualize.py", folder, "--output", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "evolution_normal.gif",
        "mixing_normal.svg",
        "epoch_2_normal.svg",
    }
    command("-m", "tfdarts.report", folder, "--output", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "Known accuracy of the cell" in text and "What the best known cell has more" in text


def test_a_killed_search_goes_on_to_the_same_bits(searched, forks, tmp_path):
    _, folder, words = searched
    expected = outcome(folder)
    kill_at(int(expected[0]) // 2 + 1, forks.start(*words, "--logdir", tmp_path), tmp_path)
    cut = folder_of(tmp_path)
    forks.run("search_cell.py", "--resume", cut)
    assert outcome(cut) == expected


def test_a_found_cell_is_trained_and_tested(searched, command, tmp_path):
    words = ["train.py", *SEARCHES["nb201"], "--batch_size", "300", "--epochs", "1", "--logdir", tmp_path]
    command(*words, "--genotype_file", searched[1] / "genotype.json")
    folder = folder_of(tmp_path)
    results = json.loads((folder / "results.json").read_text())
    again = json.loads(command("evaluate.py", "--model_path", folder / "model.keras").stdout.splitlines()[-1])
    assert again["test_error_percent"] == pytest.approx(results["test_error_percent"], rel=1e-5)


def test_random_cells_with_a_table(known, command, tmp_path):
    words = ["search_cell.py", "--space", "nb201", "--strategy", "random", "--samples", "2", "--unique"]
    out = command(*words, "--nb201_table", known, "--logdir", tmp_path).stdout
    folder = folder_of(tmp_path)
    found = json.loads((folder / "known.json").read_text())
    assert len(found) == 2 and f"genotype_1.json: made_up {found[0]['made_up']:.2f} %" in out


def test_the_command_that_writes_tables(tmp_path, command):
    write_folder(tmp_path / "simple", [
        pickle.dumps({"200": {"arch_str": BEST, "all_results": results_of({"cifar10": [94.0]})}}, 4)
    ])  # fmt: skip
    out = command("-m", "tfdarts", "table", tmp_path / "simple", tmp_path / "t.csv").stdout
    assert "cifar10: 1 architectures, the best has 94.00 %" in out
    assert table.load(tmp_path / "t.csv").best("cifar10") == 94.0
    assert "give a table" in command("-m", "tfdarts", "table", "one", code=2).stderr


@pytest.mark.parametrize("words", [["search_cell.py"], ["train.py", "--arch", "NATS_Size"]], ids=["search", "train"])
def test_a_dry_run(words, command):
    convolutions = sum(5 * 6 * (width * width + 9 * width * width + 2 * width) for width in (16, 32, 64))
    searched = PARAMETERS[WORST]["10"] + convolutions  # with a bias each
    report = json.loads(command(*words, "--space", "nb201", "--dry_run").stdout.splitlines()[-1])
    assert report["parameters"] == (PARAMETERS[BEST]["10"] if len(words) > 1 else searched)
    assert report["multiply_adds"] > 1e8 and report["peak_memory_estimate_bytes"] > 5e8


def test_a_table_that_is_none(command):
    error = command("search_cell.py", *SEARCHES["nb201"], "--nb201_table", "nowhere.csv", code=2).stderr
    assert error.startswith("error: --nb201_table: cannot read nowhere.csv") and error.count("\n") == 1
