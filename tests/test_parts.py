"""The hooks of DARTS's parts, choices that differ from edge to edge, masks; plain DARTS is what is left unchanged."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import build
from tfdarts import naming, operations, optimizers, spaces
from tfdarts.layers.edges import MixedEdges
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.strategies.darts import Stop, edges_of
from tfdarts.strategies.parts import Part, softmax

OPERATIONS = operations.load("regular")
KINDS = ("normal", "reduce")


def supernet(**options):
    keras.utils.set_random_seed(0)
    net = Supernet(OPERATIONS, 3, channels=2, layers=1, nodes=2, multiplier=2, **options)
    net.build((None, 8, 8, 1))
    return net


def batches():
    generator = np.random.default_rng(0)
    images = generator.normal(size=(2, 4, 8, 8, 1)).astype(np.float32)
    return tuple((tf.constant(x), tf.constant([0, 1, 2, 0])) for x in images)


def weights_after(search, steps=2):
    for _ in range(steps):
        search.train_step(batches())
    return search.weights_vector().numpy(), search.alphas.numpy()


@pytest.fixture(scope="module")
def plain():
    """Weights and architecture parameters after two steps of plain DARTS."""
    return weights_after(build.search(supernet(), "first"))


@pytest.fixture(autouse=True)
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


class Softmax(Part):
    """Plain DARTS's mixing weights, by the hook."""

    def mixing(self, alphas, moment):
        assert moment is None or moment.draw.shape == (2,) and float(moment.progress) == 0
        return softmax(alphas)


class Same(Part):
    """A perturbation that changes nothing, but looks at the loss."""

    seen = None

    def perturb(self, mixing, loss, moment):
        type(self).seen = float(loss(mixing))
        return mixing


class NoPenalty(Part):
    def penalty(self, alphas, progress):
        return sum(0.0 * tf.reduce_sum(table) for table in alphas.values())


@pytest.mark.parametrize("part", [Part, Softmax, Same, NoPenalty])
def test_a_part_that_changes_nothing_leaves_plain_darts(part, plain):
    got = weights_after(build.search(supernet(), "first", parts=[part()]))
    for one, other in zip(got, plain):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    if part is Same:
        assert np.isfinite(Same.seen)


class Uniform(Part):
    def perturb(self, mixing, loss, moment):
        return {name: tf.ones_like(table) / table.shape[1] for name, table in mixing.items()}


def test_a_perturbation_changes_the_weights_step_alone(plain):
    weights, alphas = weights_after(build.search(supernet(), "first", parts=[Uniform()]), 1)
    reference = build.search(supernet(), "first")
    expected, same = weights_after(reference, 1)
    np.testing.assert_allclose(alphas, same, rtol=1e-6)
    assert np.abs(weights - expected).max() > 1e-6


class Pull(Part):
    """Pulls every parameter up."""

    def penalty(self, alphas, progress):
        return -1e3 * sum(tf.reduce_sum(table) for table in alphas.values())


def test_a_penalty_moves_the_architecture():
    search = build.search(supernet(), "first", parts=[Pull()])
    before = search.alphas.numpy()
    _, after = weights_after(search, 1)
    assert np.all(after > before)


class Second(Part):
    def stop(self, search, logs):
        return "that is enough" if int(search.step.numpy()) >= 2 else None


class First(Part):
    def select(self, search):
        return search.supernet.genotype({name: np.eye(8)[[4] * len(table)] for name, table in search.choices.items()})


def test_stop_and_select(capsys):
    search = build.search(supernet(), "first", parts=[Second(), First()])
    assert {op for op, _ in search.genotype().normal} == {OPERATIONS.searched[4]}
    search.compile(jit_compile=False, run_eagerly=True)
    data = tf.data.Dataset.from_tensors(batches()).repeat()
    search.fit(data, steps_per_epoch=1, epochs=5, verbose=0, shuffle=False, callbacks=[Stop()])
    assert int(search.step.numpy()) == 2
    assert "stopped after epoch 2: that is enough" in capsys.readouterr().out


def test_two_parts_for_one_hook_are_refused():
    with pytest.raises(ValueError, match="one part that overrides 'mixing'"):
        build.search(supernet(), parts=[Softmax(), Softmax()])


def test_what_sits_on_the_edges_is_handed_in():
    class Halved(MixedEdges):
        def call(self, x, weights, training=None):
            return [(targets, 0.5 * y) for targets, y in super().call(x, weights, training=training)]

    net, other = supernet(edges=Halved), supernet()
    mixing = {name: tf.fill((5, 8), 0.125) for name in KINDS}
    x = tf.random.normal((2, 8, 8, 1))
    for one, two in zip(net.variables, other.variables):
        two.assign(one)
    assert np.abs(net(x, mixing) - other(x, mixing)).max() > 1e-6


def test_a_part_brings_its_edges():
    class Edges(Part):
        edges = MixedEdges

    conv, text = spaces.load("conv"), spaces.load("recurrent")
    assert edges_of(conv, [Part(), Edges()]) == {"edges": MixedEdges} and edges_of(text, [Part()]) == {}
    for space, parts in ((conv, [Edges(), Edges()]), (text, [Edges()])):
        with pytest.raises(ValueError, match="one part with `edges`"):
            edges_of(space, parts)


RAGGED = (("skip_connect", "sep_conv_3x3"), ("none", "max_pool_3x3", "dil_conv_3x3"), ("sep_conv_3x3", "skip_connect"))
CANDIDATES = {kind: [RAGGED[k % 3] for k in range(5)] for kind in KINDS}


def test_candidates_that_differ_are_the_full_supernet_with_zeros():
    net, full = supernet(candidates=CANDIDATES), supernet()
    generator = np.random.default_rng(1)
    mixing, whole = {}, {}
    for kind in KINDS:
        mixing[kind], whole[kind] = np.zeros((5, 3), np.float32), np.zeros((5, 8), np.float32)
        for row, names in enumerate(CANDIDATES[kind]):
            for column, name in enumerate(names):
                mixing[kind][row, column] = value = generator.uniform(0.1, 1)
                whole[kind][row, OPERATIONS.searched.index(name)] = value
    naming.assign(naming.named(full), naming.read(naming.named(net)))
    x = tf.random.normal((3, 8, 8, 1))
    got = net(x, {kind: tf.constant(table) for kind, table in mixing.items()}, training=False)
    expected = full(x, {kind: tf.constant(table) for kind, table in whole.items()}, training=False)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_a_search_over_candidates_that_differ(capsys):
    search = build.search(supernet(candidates=CANDIDATES), "second")
    mixing = {name: table.numpy() for name, table in search.mixing().items()}
    np.testing.assert_allclose(mixing["normal"].sum(1), 1, rtol=1e-6)
    assert mixing["normal"][0, 2] == 0 and np.all(mixing["normal"][1] > 0)
    before = search.alphas.numpy()
    _, after = weights_after(search, 1)
    assert np.isfinite(after).all() and np.any(before != after)
    for op, source in search.genotype().normal[:2]:
        assert op in RAGGED[source]


def test_a_masked_candidate_weighs_nothing_and_is_never_chosen():
    masks = {kind: np.ones((5, 8), bool) for kind in KINDS}
    for mask in masks.values():
        mask[:, 1:4] = False
    search = build.search(supernet(), "first", masks=masks)
    mixing = search.mixing()["normal"].numpy()
    assert np.all(mixing[:, 1:4] == 0) and np.all(mixing[:, [0, 4, 5, 6, 7]] > 0)
    search.mask.assign(np.concatenate([np.eye(8)[[5] * 5].ravel()] * 2))
    assert {op for op, _ in search.genotype().normal} == {OPERATIONS.searched[5]}


def test_the_optimizers_as_layers_are_the_formulas():
    w, g = tf.constant([1.0, -2.0]), tf.constant([0.5, 0.25])
    sgd, adam = optimizers.Sgd(0.1, 0.9, 0.01), optimizers.Adam(0.1, (0.9, 0.99), 0.01)
    for optimizer in (sgd, adam):
        optimizer.build(2)
    np.testing.assert_allclose(sgd.update(w, g, 0.1, 1), optimizers.sgd(w, g, 0.0, 0.1, 0.9, 0.01)[0])
    expected = optimizers.adam(w, g, 0.0, 0.0, 1, 0.1, (0.9, 0.99), 0.01)[0]
    np.testing.assert_allclose(adam.update(w, g, 0.1, 1), expected)
