import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import build, precision, reference
from tfdarts import operations as space
from tfdarts import optimizers
from tfdarts.layers import choices
from tfdarts.layers.edges import MixedEdges
from tfdarts.spaces.conv.supernet import Supernet, strongest
from tfdarts.strategies import hypergradient
from tfdarts.strategies.darts import Darts

INPUTS, EXPECTED = reference.load("supernet/inputs"), reference.load("supernet/expected")
CONFIG = reference.load("supernet/config.json")["config"]
DECAY = CONFIG["momentum"], CONFIG["weight_decay"]
SIZES = CONFIG["num_classes"], CONFIG["C"], CONFIG["layers"], CONFIG["steps"], CONFIG["multiplier"]


# Where any operations will do.
FEW = dataclasses.replace(space.load("regular"), searched=("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3"))


HYPER = CONFIG["arch_learning_rate"], tuple(CONFIG["adam_betas"]), CONFIG["arch_weight_decay"]


class Search:
    """The reference's small supernet with its weights, and the search on it."""

    def __init__(self, dtype):
        self.dtype = dtype
        with precision.floatx(dtype):
            self.net = Supernet(space.load("regular"), *SIZES)
            self.net.build((None, *INPUTS["train/images"].shape[1:]))
            self.names = reference.named(self.net)
            self.darts = build.search(
                self.net,
                arch_learning_rate=CONFIG["arch_learning_rate"],
                arch_betas=tuple(CONFIG["adam_betas"]),
                arch_weight_decay=CONFIG["arch_weight_decay"],
                learning_rate=CONFIG["eta"],
                momentum=CONFIG["momentum"],
                weight_decay=CONFIG["weight_decay"],
                grad_clip=CONFIG["grad_clip"],
            )
        self.batches = {part: self.batch(INPUTS, part) for part in ("train", "valid")}
        # For most values, and for the difference quotient: the stored float32 one is itself 1.5e-5 from its float64.
        self.tight, self.loose = (2e-5, 2e-4) if dtype == "float32" else (1e-5, 2e-5)

    def batch(self, arrays, part):
        images, labels = arrays[f"{part}/images"], arrays[f"{part}/labels"]
        return tf.constant(images, self.dtype), tf.constant(labels)

    def reset(self, order, momentum=True):
        """Weights, statistics and optimizers as stored; the search of that order."""
        search = self.darts  # one for both orders, so that the gradients are traced once
        search.order = order
        reference.assign(self.names, reference.group(INPUTS, "weights/"))
        for variable in self.net.non_trainable_variables:
            variable.assign(tf.ones_like(variable) if "variance" in variable.path else tf.zeros_like(variable))
        adam, buffer = search.arch_optimizer, search.weight_optimizer.buffer
        for variable in (adam.m, adam.v, buffer, search.step):
            variable.assign(tf.zeros_like(variable))
        search.learning_rate.assign(CONFIG["eta"])
        search.alphas.assign(self.stored_alphas("alphas"))
        if momentum:
            # The stored buffers have the names of the weights: write them as weights, read them as a vector.
            reference.assign(self.names, reference.group(INPUTS, "momentum/"))
            search.weight_optimizer.buffer.assign(self.weights())
            reference.assign(self.names, reference.group(INPUTS, "weights/"))
        return search

    def stored_alphas(self, name):
        return pair(name, INPUTS)

    def weights(self):
        return optimizers.flatten(self.net.trainable_variables)

    def by_name(self, vector):
        values = optimizers.unflatten(vector, self.net.trainable_variables)
        return reference.arrays(self.names, self.net.trainable_variables, values)


@pytest.fixture(scope="module")
def single():
    return Search("float32")


@pytest.fixture(scope="module")
def double():
    return Search("float64")


@pytest.fixture(params=["float32", "float64"])
def search(request):
    return request.getfixturevalue("single" if request.param == "float32" else "double")


def pair(prefix, arrays=EXPECTED, suffix=""):
    return np.concatenate([arrays[f"{prefix}_{kind}{suffix}"].ravel() for kind in ("normal", "reduce")])


def pair_of_step(prefix, arrays, step):
    return np.concatenate([arrays[f"{prefix}_{kind}"][step].ravel() for kind in ("normal", "reduce")])


def test_every_variable_has_a_reference_name(single):
    covered = {}
    for variable, index in single.names.values():
        seen = covered.setdefault(id(variable), np.zeros(variable.shape, bool))
        seen[index] = True
    assert all(np.all(covered[id(variable)]) for variable in single.net.variables)
    trainable = {name for name, (variable, _) in single.names.items() if variable.trainable}
    assert trainable == set(reference.group(INPUTS, "weights/"))


def test_logits_loss_and_gradients(search):
    darts = search.reset("first")
    for part in ("train", "valid"):
        gradient, alphas, (loss, logits, _) = build.both(
            darts, search.weights(), darts.alphas.value, search.batches[part]
        )
        reference.close(logits, EXPECTED[f"{part}/logits"], search.tight)
        reference.close(loss, EXPECTED[f"{part}/loss"], search.tight)
        if part == "train":
            reference.close(alphas, pair("train/grad_alphas"), search.tight)
            reference.close(search.by_name(gradient), reference.group(EXPECTED, "train/grad_weights/"), search.tight)


def test_first_order(search):
    darts = search.reset("first")
    gradient, _ = darts.hypergradient(
        search.weights(), *(build.inputs(search.batches[part]) for part in ("train", "valid"))
    )
    reference.close(gradient, pair("first_order/dalpha"), search.tight)
    if search.dtype == "float64":
        reference.close(gradient, pair("first_order/dalpha", suffix="_f64"), 1e-9)
    alphas, _, _ = optimizers.adam(
        darts.alphas.value, gradient, darts.arch_optimizer.m.value, darts.arch_optimizer.v.value, 1, *HYPER
    )
    np.testing.assert_allclose(alphas, pair("first_order/alphas", suffix="_after_adam"), rtol=0, atol=1e-6)


def test_second_order_and_its_parts(search):
    darts = search.reset("second")
    before = [np.asarray(v.value) for v in darts.variables]
    calls = []

    def architecture(*arguments):
        calls.append(darts._architecture(*arguments))
        return calls[-1][0]

    result = hypergradient.second_order(
        darts._both, architecture, search.weights(), darts.alphas.value, darts.weight_optimizer.buffer.value,
        build.inputs(search.batches["train"]), build.inputs(search.batches["valid"]), CONFIG["eta"], *DECAY,
    )  # fmt: skip
    stored = "second_order/"
    (passed, _) = result.valid
    loss, logits = passed.loss, passed.logits
    reference.close(
        search.by_name(result.unrolled), reference.group(EXPECTED, stored + "unrolled/weights/"), search.tight
    )
    reference.close(logits, EXPECTED[stored + "unrolled/valid_logits"], search.tight)
    reference.close(loss, EXPECTED[stored + "unrolled/valid_loss"], search.tight)
    reference.close(
        search.by_name(result.vector), reference.group(EXPECTED, stored + "unrolled/grad_weights/"), search.tight
    )
    norm = tf.norm(result.vector)
    reference.close(norm, EXPECTED[stored + "unrolled/grad_weights_norm"], search.loose)
    reference.close(CONFIG["hvp_r"] / norm, EXPECTED[stored + "hvp/R"], search.loose)
    reference.close(result.direct, pair(stored + "unrolled/dalpha"), search.tight)
    for side, (gradient, (loss, _)) in zip("pn", calls, strict=True):
        reference.close(loss, EXPECTED[f"{stored}hvp/loss_{side}"], search.tight)
        reference.close(gradient, pair(f"{stored}hvp/grads_{side}"), search.tight)
        if search.dtype == "float64":
            reference.close(gradient, pair(f"{stored}hvp/grads_{side}", suffix="_f64"), 1e-9)
    reference.close(result.implicit, pair(stored + "hvp/implicit"), search.loose)
    reference.close(result.value, pair(stored + "dalpha"), search.loose)
    if search.dtype == "float64":
        reference.close(result.implicit, pair(stored + "hvp/implicit", suffix="_f64"), 1e-9)
        reference.close(result.value, pair(stored + "dalpha", suffix="_f64"), 1e-9)
    alphas, _, _ = optimizers.adam(
        darts.alphas.value, result.value, darts.arch_optimizer.m.value, darts.arch_optimizer.v.value, 1, *HYPER
    )
    np.testing.assert_allclose(alphas, pair(stored + "alphas", suffix="_after_adam"), rtol=0, atol=1e-6)
    for variable, value in zip(darts.variables, before):  # nothing was touched, the architecture least of all
        np.testing.assert_array_equal(variable, value)


def test_weight_step_after_the_architecture_step(search):
    darts = search.reset("second")
    train, valid = search.batches["train"], search.batches["valid"]
    # Its parts are compiled; the step as a whole once, to see that this makes no difference.
    compiled = darts.stepping(tf.function(darts.train_step, autograph=False))
    step = compiled if search.dtype == "float32" else darts.train_step
    step((train, valid))
    darts.settle()
    np.testing.assert_allclose(darts.alphas, pair("second_order/alphas", suffix="_after_adam"), rtol=0, atol=1e-6)
    got = search.by_name(search.weights())
    reference.close(got, reference.group(EXPECTED, "weight_step/weights_after/"), search.tight)


def test_clipping(search):
    darts = search.reset("second")
    darts.alphas.assign(pair("second_order/alphas", suffix="_after_adam"))
    gradient, _, (loss, logits, _) = build.both(darts, search.weights(), darts.alphas.value, search.batches["train"])
    reference.close(logits, EXPECTED["weight_step/logits"], search.tight)
    reference.close(loss, EXPECTED["weight_step/loss"], search.tight)
    clipped, norm = optimizers.clip(gradient, CONFIG["grad_clip"])
    reference.close(norm, EXPECTED["weight_step/grad_norm_before_clip"], search.tight)
    reference.close(tf.norm(clipped) / norm, EXPECTED["weight_step/clip_coefficient"], search.tight)


@pytest.mark.parametrize("order", ["first", "second"])
def test_trajectory(order, search, monkeypatch):
    if order == "second" and search.dtype == "float32":
        pytest.skip("the difference quotient is discontinuous: a correct float32 run may land on the other side")
    stored = reference.load("supernet/trajectory")
    inputs, expected = reference.group(stored, "input/"), reference.group(stored, f"{order}_order/")
    darts = search.reset(order, momentum=False)
    norms, clip = [], optimizers.clip

    def clipped(gradient, max_norm):
        result = clip(gradient, max_norm)
        norms.append(result[1])
        return result

    monkeypatch.setattr(optimizers, "clip", clipped)
    last = None
    for s in range(len(inputs["learning_rates_f64"])):
        train, last = (
            (tf.constant(inputs[f"{part}_images"][s], search.dtype), tf.constant(inputs[f"{part}_labels"][s]))
            for part in ("train", "valid")
        )
        darts.learning_rate.assign(inputs["learning_rates_f64"][s])
        _, _, (valid_loss, _, _) = build.both(darts, search.weights(), darts.alphas.value, last)
        reference.close(valid_loss, expected["valid_loss_at_w"][s], 2e-5, "valid loss")
        gradient, _ = darts.hypergradient(search.weights(), build.inputs(train), build.inputs(last))
        tolerance = 1e-2 if order == "first" else 1e-4
        reference.close(gradient, pair_of_step("dalpha", expected, s), tolerance, "dalpha")
        darts.reset_metrics()
        result = darts.train_step((train, last))
        reference.close(darts.alphas.value, pair_of_step("alphas", expected, s), 2e-5, "alphas")
        reference.close(result["loss"], expected["train_loss"][s], 2e-5, "train loss")
        reference.close(norms.pop(), expected["grad_norm_before_clip"][s], 2e-5, "norm")
        reference.close(tf.norm(search.weights()), expected["weights_l2"][s], 2e-5, "weights")
    got = search.by_name(search.weights())
    reference.close(got["classifier/kernel"], expected["final_classifier_kernel"], 2e-5)
    reference.close(got["stem/conv"], expected["final_stem_conv"], 2e-5)


def test_moving_statistics_of_the_authors_four_passes(search):
    darts = search.reset("second")
    train, valid = search.batches["train"], search.batches["valid"]
    passes = []

    def architecture(weights, alphas, batch):
        passes.append(weights)
        return darts._architecture(weights, alphas, batch)[0]

    weights, alphas = search.weights(), darts.alphas.value
    result = hypergradient.second_order(
        darts._both, architecture, weights, alphas, darts.weight_optimizer.buffer.value,
        build.inputs(train), build.inputs(valid), CONFIG["eta"], *DECAY,
    )  # fmt: skip
    adam = darts.arch_optimizer
    after, _, _ = optimizers.adam(alphas, result.value, adam.m.value, adam.v.value, 1, *HYPER)
    for w, a in ((weights, alphas), (passes[0], alphas), (passes[1], alphas), (weights, after)):
        gradient, _, (_, _, state) = build.both(darts, w, a, train)
        darts.set_statistics(state)
    stored = reference.load("supernet/bn_state")
    expected = reference.group(stored, "after_second_order_search_step/")
    scalars = {name: expected.pop(name) for name in ("eval_valid_logits", "eval_valid_loss")}
    reference.close(reference.read(search.names, expected), expected, 2e-5)
    # Evaluation mode with the weights and the architecture after the whole step.
    new, _ = optimizers.sgd(
        weights,
        optimizers.clip(gradient, CONFIG["grad_clip"])[0],
        darts.weight_optimizer.buffer.value,
        CONFIG["eta"],
        *DECAY,
    )
    for variable, value in zip(
        search.net.trainable_variables, optimizers.unflatten(new, search.net.trainable_variables)
    ):
        variable.assign(value)
    logits = search.net(valid[0], darts.mixing_of(after), training=False)
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(valid[1], logits))
    reference.close(logits, scalars["eval_valid_logits"], 1e-4)
    reference.close(loss, scalars["eval_valid_loss"], 1e-4)


DERIVED = reference.load("supernet/genotypes.json")


@pytest.mark.parametrize("case", DERIVED["cases"])
def test_derived_genotypes(case):
    genotype = case["genotype"]
    for kind in ("normal", "reduce"):
        mixing = tf.nn.softmax(case[f"alphas_{kind}"])
        found = strongest(mixing, build.table(DERIVED["primitives_order"], len(mixing)), DERIVED["steps"])
        assert [[op, source] for op, _, source in found] == genotype[kind]
        assert [node for _, node, _ in found] == [k // 2 for k in range(len(found))]


def test_ties_go_to_the_lower_source_and_operation():
    names = ("none", "a", "b")
    assert strongest(np.full((5, 3), 1 / 3), build.table(names, 5), 2) == [
        ("a", node, source) for node in (0, 1) for source in (0, 1)
    ]


def test_hessian_vector_product_of_a_known_function(float64):
    w, a, v = (tf.constant(values, "float64") for values in ([1.0, 2.0], [0.3, -0.2], [0.5, -1.0]))
    got = hypergradient.hessian_vector(lambda w: 2 * a * w**3, w, v)  # gradient of sum(a^2 w^3) for a
    np.testing.assert_allclose(got, 6 * a * w**2 * v, rtol=1e-3)


def test_hessian_vector_product_of_a_network_against_exact_derivatives(float64):
    keras.utils.set_random_seed(0)
    net = Supernet(space.load("regular"), 3, channels=2, layers=3, nodes=2, multiplier=2)
    net.build((None, 8, 8, 1))
    darts = build.search(net)
    batch = tf.random.normal((8, 8, 8, 1), dtype="float64"), tf.constant([0, 1, 2, 0, 1, 2, 0, 1])
    weights, alphas = optimizers.flatten(net.trainable_variables), darts.alphas.value
    vector = tf.constant(np.random.default_rng(0).normal(size=weights.shape))

    # Eagerly: in a tf.function with the meta optimizer off (conftest.py, as in run.py) the second derivative is wrong.
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        gradient, _, _ = darts.both_gradients(weights, alphas, build.inputs(batch))
        product = tf.reduce_sum(gradient * vector)
    exact = tape.gradient(product, alphas)

    # So short a step that no ReLU switches on the way.
    got = hypergradient.hessian_vector(
        lambda w: darts._architecture(w, alphas, build.inputs(batch))[0], weights, vector, radius=1e-6
    )
    reference.close(got, np.array(exact), 1e-3)


@pytest.mark.parametrize("nodes,multiplier", [(2, 1), (5, 4)])
def test_second_order_with_any_number_of_nodes(nodes, multiplier, eagerly):
    net = Supernet(FEW, 3, channels=2, layers=3, nodes=nodes, multiplier=multiplier)
    net.build((None, 9, 7, 1))
    darts = build.search(net)
    batch = tf.random.normal((4, 9, 7, 1)), tf.constant([0, 1, 2, 0])
    before = np.asarray(darts.alphas.value)
    result = darts.train_step((batch, batch))
    assert np.isfinite(float(result["loss"]))
    assert np.abs(before - np.asarray(darts.alphas.value)).max() > 0
    assert len(darts.genotype().normal) == 2 * nodes
    assert len(darts.genotype().normal_concat) == multiplier


class Counted(Darts):
    """Counts how often the bodies are traced."""

    def __init__(self, *arguments, **options):
        self.traces = {"step": 0, "both": 0, "architecture": 0}
        super().__init__(*arguments, **options)

    def train_step(self, data):
        self.traces["step"] += 1
        return super().train_step(data)

    def both_gradients(self, *arguments):
        self.traces["both"] += 1
        return super().both_gradients(*arguments)

    def architecture_gradient(self, *arguments):
        self.traces["architecture"] += 1
        return super().architecture_gradient(*arguments)


def test_one_trace_over_two_epochs_and_a_checkpoint_that_restores(tmp_path):
    net = Supernet(FEW, 3, channels=2, layers=3, nodes=2, multiplier=2)
    net.build((None, 8, 8, 1))
    darts = build.search(net, "second", kind=Counted)
    darts.compile(jit_compile=False)
    half = tf.data.Dataset.from_tensor_slices((tf.random.normal((10, 8, 8, 1)), tf.zeros(10, tf.int32))).batch(4)
    darts.fit(tf.data.Dataset.zip(half, half), epochs=2, verbose=0, shuffle=False)
    assert darts.traces == {"step": 1, "both": 1, "architecture": 1}

    saved = [np.asarray(v.value) for v in darts.variables]
    darts.save_weights(tmp_path / "c.weights.h5")
    for variable in darts.variables:
        variable.assign(tf.cast(tf.zeros_like(variable), variable.dtype) + 7)
    darts.load_weights(tmp_path / "c.weights.h5")
    for variable, value in zip(darts.variables, saved):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)


class Apart(MixedEdges):
    takes_inputs = False


@pytest.mark.parametrize("location,size", [("no_attention", 8), ("no_attention", 7), ("mixed_with_operation", 8)])
@pytest.mark.parametrize("module", ["regular", "approximate"])
def test_the_edges_of_both_inputs_are_one_layer_and_the_mathematics_of_two(module, size, location, float64):
    module, nets = (
        space.load(module, {"mul_table": "truncated:2"} if module == "approximate" else None, location=location),
        [],
    )
    for edges in (MixedEdges, Apart):
        keras.utils.set_random_seed(0)
        nets.append(Supernet(module, 3, channels=4, layers=3, nodes=2, multiplier=2, edges=edges))
        nets[-1].build((None, size, size, 1))
    together, apart = nets
    assert [len(net.cells[0].edges) for net in nets] == [2, 3]
    names = [reference.named(net) for net in nets]
    reference.assign(names[1], reference.read(names[0]))
    generator = np.random.default_rng(0)
    images = tf.constant(generator.normal(size=(4, size, size, 1)))
    mixing = {
        kind: tf.nn.softmax(generator.normal(size=choices.shape(table))) for kind, table in together.choices.items()
    }
    found = []
    for net, own in zip(nets, names):
        with tf.GradientTape() as tape:
            tape.watch(mixing)
            loss = tf.reduce_sum(net(images, mixing, training=True) ** 2)
        of_weights, of_mixing = tape.gradient(loss, (net.trainable_variables, mixing))
        found.append(reference.arrays(own, net.trainable_variables, of_weights) | {k: v for k, v in of_mixing.items()})
        found[-1] |= {"loss": loss, "tested": net(images, mixing, training=False)} | reference.read(own)
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_a_multiplier_above_the_nodes_is_refused():
    with pytest.raises(ValueError, match="multiplier"):
        Supernet(space.load("regular"), 3, nodes=2, multiplier=3)
