"""ENAS's recurrent space: the language model that all cells share, and its cells as genotypes."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import precision, reference
from tfdarts.report import drawing as visualize
from tfdarts.spaces.recurrent.genotype import ENAS_ACTIVATIONS, RecurrentGenotype
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel
from tfdarts.spaces.recurrent.shared import SharedLanguageModel
from tfdarts.tasks.base import cross_entropy

ARC = ((2, 1, 0, 3), (0, 0, 1))  # leaves 2 and 3


def theirs(arrays, prefix=""):
    """Our variables' values, or those of their gradients, put together from a golden's."""
    w = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    rows = np.argsort([j * (j - 1) // 2 + i for i, j in arrays["node_pairs"]])
    return {
        "embedding": w["embedding"],
        "bias": w["decoder_bias"],
        "start": np.block([[w[f"w_{x}{kind}_kernel"] for kind in "ch"] for x in "xh"]),
        "offset": np.concatenate([w[f"w_x{kind}_bias"] for kind in "ch"]),
        "kernels": np.concatenate([w["w_c_kernels"], w["w_h_kernels"]], -1)[rows],
    } | {name: w[f"bn_{name}"] for name in ("gamma", "beta") if f"bn_{name}" in w}


def assign(net, arrays):
    for name, value in theirs(arrays).items():
        getattr(net, name).assign(value)


def network(arrays):
    net = SharedLanguageModel(*arrays["embedding"].shape, nodes=int(arrays["node_pairs"].max()) + 1)
    net.build()
    assign(net, arrays)
    return net


def arcs(arrays, prefix=""):
    """An architecture of a golden, as tensors."""
    return tuple(tf.constant(arrays[f"{prefix}{name}"]) for name in ("activations", "prev_nodes"))


def ints(arc):
    """The same, as the trace of a single cell takes it."""
    return tuple(tuple(np.asarray(part).tolist()) for part in arc)


def with_gradients(net):
    """A compiled function of tokens, targets, hidden state, architecture and `training`: results, loss, gradients."""

    def run(tokens, targets, hidden, arc, training):
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            results = net(tokens, hidden, arc=arc, training=training)
            loss = cross_entropy(results[0], targets)
        sources = {v.name: v.value for v in net.trainable_variables} | {"h0": hidden}
        gradients = tape.gradient(loss, sources, unconnected_gradients="zero")
        return results, loss, {name: tf.convert_to_tensor(value) for name, value in gradients.items()}

    return tf.function(run, autograph=False, reduce_retracing=True)


GOLDENS = reference.names("enas/shared_rnn_blocks*.npz")
CASES = [(name, "float64") for name in GOLDENS] + [(name, "float32") for name in GOLDENS if "blocks12" not in name]


@pytest.fixture(scope="module", params=CASES, ids=" ".join)
def shared(request):
    """A golden, its network, the network with gradients, and the precision."""
    name, floatx = request.param
    with precision.floatx(floatx):
        arrays = reference.load(name)
        net = network(arrays)
        yield arrays, net, with_gradients(net), floatx


def test_every_architecture_in_one_trace(shared):
    arrays, net, run, floatx = shared
    tolerance = 1e-5 if floatx == "float32" else 2e-7
    before = np.asarray(net.statistics)
    batch = arrays["tokens"], arrays["targets"], tf.constant(arrays["h0"], floatx)
    for training, suffix in ((False, "nobn"), (True, "bn")):
        step = tf.function(lambda *a, t=training: net(*a, training=t), autograph=False)
        for q in range(reference.count(arrays, r"dag\d+_prev_nodes")):
            prefix, arc = f"dag{q}_{suffix}_", arcs(arrays, f"dag{q}_")
            (logits, hidden, output, dropped), loss, gradients = run(*batch, arc, training)
            for key, got in (("logits", logits), ("hidden_last", hidden), ("output", output), ("loss", loss)):
                reference.close(got, arrays[prefix + key], tolerance, key)
            np.testing.assert_array_equal(dropped, output)
            reference.close(gradients["h0"], arrays[f"{prefix}grad_h0"], tolerance, "h0")
            if f"{prefix}grad_w_hc_kernel" in arrays:
                stored = theirs(arrays, f"{prefix}grad_")
                assert ("gamma" in stored) == training
                for key, value in stored.items():
                    reference.close(gradients[key], value, tolerance, f"{prefix} {key}")
            if training:
                reference.close(net.statistics[0], arrays[f"{prefix}running_mean_after"], tolerance)
                reference.close(net.statistics[1], arrays[f"{prefix}running_var_after"], tolerance)
            else:
                np.testing.assert_array_equal(net.statistics, before)
            net.statistics.assign(before)
            h, hiddens = batch[2], []
            for tokens in arrays["tokens"]:
                _, h, *_ = step(tokens[None], h, arc)
                hiddens.append(h)
            reference.close(tf.stack(hiddens), arrays[f"{prefix}hiddens"], tolerance)
            net.statistics.assign(before)
        assert step.experimental_get_tracing_count() == 1
    assert run.experimental_get_tracing_count() == 2


def test_what_is_not_chosen_changes_nothing_and_the_fixed_cell_is_the_same(shared):
    arrays, net, run, floatx = shared
    arc, before = arcs(arrays, "dag1_"), np.asarray(net.statistics)
    batch = arrays["tokens"], arrays["targets"], tf.constant(arrays["h0"], floatx)
    expected = run(*batch, arc, True)
    statistics = np.asarray(net.statistics)
    chosen = [j * (j - 1) // 2 + i for j, i in enumerate(ints(arc)[1], 1)]
    kernels = np.full(net.kernels.shape, np.nan)
    kernels[chosen] = np.asarray(net.kernels)[chosen]
    net.kernels.assign(kernels)
    net.statistics.assign(before)
    for one, other in zip(tf.nest.flatten(run(*batch, arc, True)), tf.nest.flatten(expected)):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(net.statistics, statistics)
    fixed = with_gradients(net)(*batch, ints(arc), True)
    for one, other in zip(tf.nest.flatten(fixed), tf.nest.flatten(expected)):
        reference.close(one, other.numpy(), 1e-5 if floatx == "float32" else 1e-13)
    assign(net, arrays)
    net.statistics.assign(before)


def test_only_the_chosen_activation_runs():
    net = SharedLanguageModel(5, 2, 4)
    net.build()

    def fail(x):
        tf.debugging.Assert(False, ["the sigmoid ran"])
        return x

    net.operations = dataclasses.replace(net.operations, ops=net.operations.ops | {"sigmoid": fail})
    step = tf.function(lambda arc: net(np.zeros((3, 2), np.int32), tf.zeros((2, 2)), arc)[0], autograph=False)
    step(tuple(map(tf.constant, ((0, 1, 2, 0), (0, 1, 2)))))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the sigmoid ran"):
        step(tuple(map(tf.constant, ((0, 1, 2, 3), (0, 1, 2)))))
    assert step.experimental_get_tracing_count() == 1


def test_long_hidden_states_are_shortened(float64):
    arrays = reference.load("enas/shared_rnn_hidden_clip")
    net, arc = network(arrays), arcs(arrays)
    h0 = tf.constant(arrays["h0"], "float64")
    with tf.GradientTape() as tape:
        tape.watch(h0)
        h, hiddens = h0, []
        for tokens in arrays["tokens"]:
            _, h, *_ = net(tokens[None], h, arc, training=False)
            hiddens.append(h)
        hiddens = tf.stack(hiddens)
        loss = tf.reduce_sum(hiddens * arrays["cotangent_hiddens"])
    reference.close(hiddens, arrays["hiddens"], 1e-7)
    reference.close(tf.norm(hiddens, axis=-1), arrays["hidden_norms"], 1e-7)
    reference.close(tape.gradient(loss, h0), arrays["grad_h0"], 1e-7)
    logits, hidden, output, _ = net(arrays["tokens"], h0, arc, training=False)
    for key, got in (("logits", logits), ("output", output)):
        reference.close(got, arrays[key], 1e-7, key)
    np.testing.assert_allclose(hidden, h, rtol=1e-12)


def test_the_cell_as_a_genotype_is_the_same_and_opens_again(float64, tmp_path):
    """With all kinds of dropout; the network of a genotype has no biases in state 0 and no normalisation."""
    rng = np.random.default_rng(0)
    net = SharedLanguageModel(7, 3, 4)
    net.build()
    for variable in net.trainable_variables:
        variable.assign(rng.normal(scale=9, size=variable.shape))  # so that hidden states are shortened
    net.offset.assign(tf.zeros(6))
    cell = net.genotype(ARC)
    child = EvaluationLanguageModel(cell, 7, 3)
    child.build()
    for name in ("embedding", "bias", "start"):
        getattr(child, name).assign(getattr(net, name))
    child.kernels.assign(tf.gather(net.kernels, [0, 1, 4]))  # 0 to 1, 0 to 2, 1 to 3
    tokens, hidden = rng.integers(0, 7, (5, 2)), tf.constant(rng.normal(size=(2, 3)))
    names = ("dropoute", "dropouti", "dropoutx", "dropouth", "dropout", "wdrop")
    shapes = {"dropoute": (7, 1), "wdrop": (3, 6)}
    masks = {name: tf.constant(rng.uniform(0.5, 2, shapes.get(name, (2, 3)))) for name in names}
    expected = net(tokens, hidden, tuple(map(tf.constant, ARC)), masks, training=False)
    np.testing.assert_allclose(np.linalg.norm(expected[1], axis=-1).max(), 25.0)
    for name in names:
        rest = {other: mask for other, mask in masks.items() if other != name}
        assert np.any(
            np.asarray(net(tokens, hidden, tuple(map(tf.constant, ARC)), rest, training=False)[3]) != expected[3]
        ), name
    child.save(tmp_path / "model.keras")
    for model in (child, keras.saving.load_model(tmp_path / "model.keras")):
        assert model.genotype == cell
        for one, other in zip(model(tokens, hidden, masks), expected):
            np.testing.assert_allclose(one, other, rtol=1e-12)
    child.kernels.assign(child.kernels[::-1])
    assert np.any(np.asarray(child(tokens, hidden, masks)[0]) != expected[0])


def test_weights_may_be_handed_in():
    """As the learners of language models do; where the weights start."""
    keras.utils.set_random_seed(0)  # among so few units all may be rectified
    net = SharedLanguageModel(50, 4)
    net.build()
    for variable in net.trainable_variables:
        value = np.asarray(variable.value)
        assert np.abs(value).max() <= 0.025 and (value.any() or variable is net.bias), variable.name
    assert net.kernels.shape == (66, 4, 8) and net.multiply_adds() == (2 + 11) * 2 * 4 * 4 + 50 * 4
    weights, others = ([v.value for v in part] for part in (net.trainable_variables, net.non_trainable_variables))
    tokens, hidden, arc = np.arange(6).reshape(2, 3), tf.zeros((3, 4)), ((1,) * 12, (0,) * 11)
    call = tf.function(lambda *a: net.stateless_call(weights, others, *a, training=True), autograph=False)
    results, (statistics,) = call(tokens, hidden, tuple(map(tf.constant, arc)))
    np.testing.assert_array_equal(net.statistics[0], np.zeros(4))
    for one, other in zip(results, net(tokens, hidden, arc=arc, training=True)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(statistics, net.statistics, rtol=1e-5)
    assert np.any(np.asarray(statistics[0]) != 0)


@pytest.mark.parametrize("case", reference.load("enas/dags.json")["cases"], ids=itertools.count())
def test_graphs(case):
    """Their graph numbers x and h -1 and -2; a node after the last one makes the mean of the leaves."""
    cell = RecurrentGenotype.from_arc((np.array(case["activations"]), np.array(case["prev_nodes"])))
    assert cell.concat == tuple(case["leaf_nodes"])
    graph = visualize.graphs(cell)["recurrent"]
    edges = {(graph.states[source], graph.nodes[node], label) for source, node, label in graph.edges}
    edges |= {(graph.states[state], graph.output, graph.join) for state in graph.joined}
    last = case["num_blocks"]
    names = {-1: "x, h", -2: "x, h", last: graph.output}
    expected = {
        (names.get(int(source), source), names.get(node, str(node)), {"avg": "mean"}.get(label, label.lower()))
        for source, targets in case["dag"].items()
        for node, label in targets
        if node <= last  # beyond is the output's own name
    }
    assert edges == expected
    assert f"state {last - 1} is carried on" in graph.title
    assert f"  0 = {ENAS_ACTIVATIONS[case['activations'][0]]}(x, h)\n" in visualize.ascii_drawing(cell)
