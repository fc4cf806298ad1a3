"""PC-DARTS against the authors' program: partial channels, edge normalisation, both orders, cells."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.support import build, precision, reference
from tfdarts import operations, optimizers
from tfdarts.layers.choices import alike
from tfdarts.layers.edges import MixedEdges
from tfdarts.layers.partial import PartialEdges
from tfdarts.spaces.conv.supernet import Supernet, edge_weights, strongest
from tfdarts.strategies import hypergradient

REGULAR = operations.load("regular")
FOLDER = "strategies/pcdarts/"
INPUTS, EXPECTED = (reference.load(FOLDER + f"supernet/{name}") for name in ("inputs", "expected"))
CONFIG = reference.load(FOLDER + "supernet/config.json")["config"]
CELLS = reference.load(FOLDER + "genotypes.json")
MIXED = reference.load(FOLDER + "mixed_op")
KINDS = ("normal", "reduce")


def padded(vector, nodes):
    """A row for each node of what its incoming edges have, filled up with zeros: ours of the authors' vector."""
    table, first = np.zeros((nodes, nodes + 1)), 0
    for node in range(nodes):
        table[node, : node + 2] = vector[first : first + node + 2]
        first += node + 2
    return table


def parameters(alphas, betas, suffix="", arrays=EXPECTED):
    """One vector in our order: the tables of operations, then those of inputs."""
    tables = [arrays[f"{alphas}_{kind}{suffix}"] for kind in KINDS]
    tables += [padded(arrays[f"{betas}_{kind}{suffix}"], CONFIG["steps"]) for kind in KINDS]
    return np.concatenate([table.ravel() for table in tables])


@pytest.mark.parametrize("case", sorted({"/".join(name.split("/")[:2]) for name in MIXED}))
def test_a_partial_edge(case, float64):
    stored = reference.group(MIXED, case + "/")
    share, stride = int(case[1]), int(case[-1])
    channels = stored["input"].shape[-1]
    edge = PartialEdges(REGULAR, [REGULAR.searched], channels, stride, (0,), share=share)
    x, alphas = tf.constant(stored["input"], tf.float64), tf.constant(stored["alphas"], tf.float64)

    def run(x, mixing):
        ((_, y),) = edge(x, [weight[None] for weight in tf.unstack(mixing)], training=True)
        return y

    run(x, alphas)
    names = {}
    for name, operation in zip(edge.inner.names, edge.inner.operations):
        names |= {f"{name}/{key}": (v, ...) for key, v in reference.variables(operation).items() if v.trainable}
    reference.assign(names, reference.group(stored, "weights/"))
    variables = [variable for variable, _ in names.values()]
    with tf.GradientTape() as tape:
        tape.watch([x, alphas])
        mixing = tf.nn.softmax(alphas)
        tape.watch(mixing)
        y = run(x, mixing)
        total = tf.reduce_sum(y * stored["cotangent"])
    values = [v.value for v in variables]
    grad_x, grad_alphas, grad_mixing, gradients = tape.gradient(total, [x, alphas, mixing, values])
    reference.close(y, stored["output"], 1e-10)
    for name, value in {"input": grad_x, "alphas": grad_alphas, "mixing": grad_mixing}.items():
        reference.close(value, stored[f"grad_{name}"], 1e-8)
    reference.close(dict(zip(names, gradients)), reference.group(stored, "grad_weights/"), 1e-8)


class Search:
    def __init__(self):
        with precision.floatx("float64"):
            sizes = CONFIG["num_classes"], CONFIG["C"], CONFIG["layers"], CONFIG["steps"], CONFIG["multiplier"]
            self.net = Supernet(REGULAR, *sizes, partial_channels=CONFIG["k"], edge_normalization=True)
            self.net.build((None, *INPUTS["train/images"].shape[1:]))
            self.darts = build.search(
                self.net,
                learning_rate=CONFIG["eta"],
                momentum=CONFIG["momentum"],
                weight_decay=CONFIG["weight_decay"],
                grad_clip=CONFIG["grad_clip"],
                arch_learning_rate=CONFIG["arch_learning_rate"],
                arch_betas=tuple(CONFIG["adam_betas"]),
                arch_weight_decay=CONFIG["arch_weight_decay"],
            )
        self.names = reference.named(self.net)
        self.alphas = parameters("alphas", "betas", arrays=INPUTS)
        reference.assign(self.names, reference.group(INPUTS, "weights/"))
        self.weights = optimizers.flatten(self.net.trainable_variables)
        self.darts.alphas.assign(self.alphas)
        self.darts.weight_optimizer.buffer.assign(self.weights / 8)
        self.train, self.valid = (
            (tf.constant(INPUTS[f"{part}/images"], tf.float64), tf.constant(INPUTS[f"{part}/labels"]))
            for part in ("train", "valid")
        )

    def by_name(self, vector):
        values = optimizers.unflatten(vector, self.net.trainable_variables)
        return reference.arrays(self.names, self.net.trainable_variables, values)


@pytest.fixture(scope="module")
def made():
    return Search()


@pytest.fixture
def search(made, eagerly):
    return made


def test_logits_loss_and_gradients(search):
    mixing = search.darts.mixing()
    for kind in KINDS:
        reference.close(mixing[kind], EXPECTED[f"mixing/{kind}"], 1e-12)
        reference.close(edge_weights(mixing[kind + "_inputs"]), EXPECTED[f"edge_weights/{kind}"], 1e-12)
    for part in ("train", "valid"):
        gradient, alphas, (loss, logits, _) = build.both(
            search.darts, search.weights, search.darts.alphas.value, getattr(search, part)
        )
        reference.close(logits, EXPECTED[f"{part}/logits"], 1e-10)
        reference.close(loss, EXPECTED[f"{part}/loss"], 1e-10)
        if part == "train":
            reference.close(alphas, parameters("train/grad_alphas", "train/grad_betas"), 1e-8)
            reference.close(search.by_name(gradient), reference.group(EXPECTED, "train/grad_weights/"), 1e-8)


def after_adam(search, gradient):
    hyper = CONFIG["arch_learning_rate"], tuple(CONFIG["adam_betas"]), CONFIG["arch_weight_decay"]
    zero = tf.zeros_like(gradient)
    return optimizers.adam(search.darts.alphas.value, gradient, zero, zero, 1, *hyper)[0]


def test_both_orders_and_the_step_of_the_weights(search):
    search.darts.order = "first"
    batches = [build.inputs(batch) for batch in (search.train, search.valid)]
    gradient, _ = search.darts.hypergradient(search.weights, *batches)
    reference.close(gradient, parameters("first_order/dalphas", "first_order/dbetas"), 1e-8)
    got, names = after_adam(search, gradient), ("first_order/alphas", "first_order/betas")
    reference.close(got, parameters(*names, "_after_adam"), 1e-8)  # Adam divides by what may be tiny
    result = hypergradient.second_order(
        search.darts._both, lambda *arguments: search.darts._architecture(*arguments)[0], search.weights,
        search.darts.alphas.value, search.darts.weight_optimizer.buffer.value, *batches, CONFIG["eta"],
        CONFIG["momentum"], CONFIG["weight_decay"],
    )  # fmt: skip
    where = "second_order/"
    reference.close(tf.norm(result.vector), EXPECTED[where + "unrolled/grad_weights_norm"], 1e-8)
    unrolled = reference.group(EXPECTED, where + "unrolled/weights/")
    reference.close(search.by_name(result.unrolled), unrolled, 1e-10)
    reference.close(result.direct, parameters(where + "unrolled/dalphas", where + "unrolled/dbetas"), 1e-8)
    reference.close(result.implicit, parameters(where + "hvp/implicit_alphas", where + "hvp/implicit_betas"), 1e-6)
    reference.close(result.value, parameters(where + "dalphas", where + "dbetas"), 1e-6)
    stepped = after_adam(search, result.value)
    reference.close(stepped, parameters(where + "alphas", where + "betas", "_after_adam"), 1e-8)
    gradient, _, (loss, logits, _) = build.both(search.darts, search.weights, stepped, search.train)
    reference.close(logits, EXPECTED["weight_step/logits"], 1e-8)
    reference.close(loss, EXPECTED["weight_step/loss"], 1e-8)
    gradient, norm = optimizers.clip(gradient, CONFIG["grad_clip"])
    reference.close(norm, EXPECTED["weight_step/grad_norm_before_clip"], 1e-8)
    after, _ = optimizers.sgd(
        search.weights, gradient, search.weights / 8, CONFIG["eta"], CONFIG["momentum"], CONFIG["weight_decay"]
    )
    reference.close(search.by_name(after), reference.group(EXPECTED, "weight_step/weights_after/"), 1e-8)


@pytest.mark.parametrize("case", CELLS["cases"], ids=lambda case: case["kind"])
def test_cells(case):
    nodes = CELLS["steps"]
    table = alike(CELLS["row_order"], CELLS["primitives_order"])
    for kind in KINDS:
        betas = padded(case[f"betas_{kind}"], nodes)
        betas[np.arange(nodes + 1) >= np.arange(nodes)[:, None] + 2] = -np.inf
        edges = edge_weights(tf.nn.softmax(betas))
        mixing = tf.nn.softmax(np.array(case[f"alphas_{kind}"]))
        found = strongest(mixing, table, nodes, edges)
        assert [[op, source] for op, _, source in found] == case["genotype"][kind]


def test_partial_edges_of_candidates_that_differ_add_up():
    few = (("skip_connect", "sep_conv_3x3"), ("max_pool_3x3", "skip_connect"), ("sep_conv_3x3", "none"))
    edges = PartialEdges(REGULAR, few, 4, 1, (0, 1, 2), share=2)
    x, weights = tf.random.normal((2, 5, 5, 4)), [tf.constant([0.2, 0.3, 0.4]), tf.constant([0.8, 0.7, 0.6])]
    ((_, got),) = edges(x, weights, training=False)
    whole = MixedEdges(REGULAR, few, 2, 1, (0, 1, 2))
    whole.build((2, 5, 5, 2))
    expected = np.zeros((2, 5, 5, 6), np.float32)
    for targets, y in edges.inner(x[..., :2], weights, training=False):
        for place, target in enumerate(targets):
            expected[..., 2 * target : 2 * target + 2] += y[..., 2 * place : 2 * place + 2]
    np.testing.assert_allclose(np.reshape(got, (2, 5, 5, 3, 2, 2))[..., 0], expected.reshape(2, 5, 5, 3, 2), rtol=1e-6)
    np.testing.assert_array_equal(np.reshape(got, (2, 5, 5, 3, 2, 2))[..., 1], np.stack([x[..., 2:]] * 3, 3))


@pytest.mark.parametrize("location", ["after_every_and_end", "double_mixed"])
def test_an_edges_weight_multiplies_what_follows_the_operations(location):
    """Attention modules behind the edges see them before they are weighed; the weight of a single edge scales it."""
    known = operations.load("regular", location=location)
    known = dataclasses.replace(known, searched=("skip_connect", "sep_conv_3x3"))
    net = Supernet(known, 3, 4, 1, 1, 1, partial_channels=2, edge_normalization=True)
    net.build((None, 8, 8, 1))
    cell, taken = net.cells[0], []
    images = tf.random.normal((2, 8, 8, 1))
    mixing = {name: tf.ones((len(table), len(table[0].candidates))) for name, table in net.choices.items()}
    for weights in ((1.0, 0.0), (0.0, 1.0), (2.0, 3.0)):
        own = mixing | {kind + "_inputs": tf.constant([weights]) for kind in KINDS}
        by_source = net._by_source(own, "normal")
        stem = net.stem(images, training=False)
        inputs = [cell.preprocess0(stem[0], training=False), cell.preprocess1(stem[1], training=False)]
        results = (
            edges(state, weights=own, training=False) for edges, state, own in zip(cell.edges, inputs, by_source)
        )
        taken.append(sum(y.numpy() for parts in results for _, y in parts))
    np.testing.assert_allclose(taken[2], 2 * taken[0] + 3 * taken[1], rtol=1e-4, atol=1e-5)


def test_channels_that_cannot_be_divided():
    with pytest.raises(ValueError, match="multiple of 8"):
        PartialEdges(REGULAR, [REGULAR.searched], 4, 2, (0,), share=4)


@pytest.mark.parametrize("stride", [1, 2])
def test_maps_of_odd_size(stride):
    edges = PartialEdges(REGULAR, [("skip_connect", "max_pool_3x3")], 8, stride, (3,), share=2)
    x = tf.random.stateless_normal((2, 7, 5, 8), (1, 2))
    ((_, y),) = edges(x, [tf.zeros(1), tf.zeros(1)], training=True)
    passed = tf.reshape(y, (*y.shape[:3], 4, 2))[..., 1]
    rows = [[x[:, i : i + stride, j : j + stride, 4:] for j in range(0, 5, stride)] for i in range(0, 7, stride)]
    expected = tf.stack([tf.stack([tf.reduce_max(window, (1, 2)) for window in row], 1) for row in rows], 1)
    reference.close(passed, expected, 0)


@pytest.mark.parametrize(
    "about,options,size",
    [
        ("PC-DARTS search, K 4, cifar stem, C 16, 8 cells, 10 classes", {"partial_channels": 4}, 32),
        (
            "PC-DARTS search, K 2, imagenet stem, C 16, 8 cells, 1000 classes",
            {"partial_channels": 2, "stem": "imagenet", "classes": 1000},
            64,
        ),
        ("P-DARTS search, first stage, C 16, 5 cells, 10 classes", {"layers": 5}, 32),
        ("SDARTS, DARTS-PT, FairDARTS search (no `none`), C 16, 8 cells, 10 classes", {}, 32),
    ],
    ids=["K 4", "K 2, ImageNet", "five cells", "plain"],
)
def test_parameters_of_supernets(about, options, size, zero_start):
    counts = reference.load("strategies/published.json")["trainable_parameters_without_auxiliary_head_and_architecture"]
    net = Supernet(REGULAR, **({"classes": 10} | options))
    net.build((None, size, size, 3))
    assert sum(math.prod(variable.shape) for variable in net.trainable_variables) == counts[about]


def test_a_layer_whose_edges_have_fewer_candidates_than_others_passes_its_channels():
    """In a table of three candidates an edge that may carry two has a column more; it is no edge's weight."""
    two, three = ("skip_connect", "max_pool_3x3"), ("skip_connect", "max_pool_3x3", "avg_pool_3x3")
    own = {kind: [two, three, two, three, three] for kind in KINDS}  # two from the first input, rows 0 and 2
    net = Supernet(REGULAR, 3, 4, 3, 2, 2, candidates=own, partial_channels=2)
    net.build((None, 8, 8, 3))
    mixing = {kind: tf.ones((5, 3)) for kind in net.choices}
    for place, count in enumerate((2, 3, 3)):
        weights = net._by_source(mixing, "normal")[place]
        assert weights.shape[0] == count
    (first, *_), x = net.cells[0].edges, tf.random.stateless_normal((2, 4, 4, 4), [0, 0])
    ((_, y),) = first(x, net._by_source(mixing, "normal")[0], training=False)
    np.testing.assert_array_equal(np.reshape(y, (2, 4, 4, 2, 2, 2))[..., 1], np.stack([x[..., 2:]] * 2, 3))
