"""Half precision: what is rounded and what is not, the loss's scale, and every space and operation module under it."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdarts
from tests.support import build
from tests.support.commands import ROOT
from tests.support.jobs import CONV, StopAt, assign_state, job_of
from tfdarts import operations, optimizers, precision, recipes, spaces, tasks
from tfdarts.errors import UserError
from tfdarts.runs.callbacks import Stopped
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder, saved_config
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel
from tfdarts.strategies import darts
from tfdarts.tasks.text import TextTask
from tfdarts.training.trainer import AveragedTrainer

MIXED = precision.POLICIES[1:]
HALF = {"mixed_bfloat16": tf.bfloat16, "mixed_float16": tf.float16}
FEW = dataclasses.replace(
    operations.load("regular"), searched=("none", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
)
RNG = np.random.default_rng(0)
BATCHES = [(tf.constant(RNG.normal(size=(32, 8, 8, 3)), tf.float32), tf.constant(RNG.integers(0, 3, 32)))] * 2
BATCHES[1] = tf.constant(RNG.normal(size=(32, 8, 8, 3)), tf.float32), tf.constant(RNG.integers(0, 3, 32))
PIXELS, LABELS = RNG.integers(0, 256, (24, 8, 8), np.uint8), np.arange(24) % 3
WORDS = " ".join(RNG.choice(list("abcdefgh"), 400))
TEXT = {"train": WORDS, "valid": WORDS[:200], "test": WORDS[:200]}


def rounded(x, dtype):
    return tf.cast(tf.cast(x, dtype), tf.float32)


def error(x, exact):
    """The norm of a difference, over the norm of what is exact."""
    return float(tf.norm(x - exact) / tf.norm(exact))


def inputs(batch, dtype=None):
    images, labels = batch
    return build.inputs((images if dtype is None else rounded(images, dtype), labels))


@pytest.fixture(scope="module")
def searches():
    """A search of a small supernet under each policy, all from the same weights."""
    keras.utils.set_random_seed(0)
    result = {}
    for policy in precision.POLICIES:
        with precision.policy(policy):
            net = Supernet(FEW, 3, channels=4, layers=1, nodes=2, multiplier=2)
            net.build((None, 8, 8, 3))
        result[policy] = build.search(net)
    first = result["float32"]
    state = [v.numpy() for v in first.network.variables], first.alphas.numpy()
    for search in result.values():
        search.original = state
        reset(search)
    return result


def reset(search):
    weights, alphas = search.original
    for variable, value in zip(search.network.variables, weights, strict=True):
        variable.assign(value)
    search.alphas.assign(alphas)
    for variable in (*search.weight_optimizer.variables, *search.arch_optimizer.variables):
        variable.assign(tf.zeros_like(variable))
    if search.loss_scale:
        search.loss_scale.factor.assign(2.0**15)
        search.loss_scale.sound.assign(0)


def gradients(search, order, dtype=None):
    """Gradients for weights and architecture; with `dtype` from weights and images that are rounded to it."""
    weights = search.weights_vector() if dtype is None else rounded(search.weights_vector(), dtype)
    train, valid = (inputs(batch, dtype) for batch in BATCHES)
    search.order = order
    of_weights, _, (result, _) = search.both_gradients(weights, search.alphas.value, train)
    of_architecture, (loss, _) = search.hypergradient(weights, train, valid)
    return of_weights, of_architecture, tf.stack([result.loss, loss])


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("policy", MIXED)
def test_gradients_are_float32s_but_for_rounding(policy, order, searches, eagerly):
    """The measure is what rounding weights and images alone, two roundings on the way, does to float32's gradients.

    Some 50 roundings, of the maps and of their gradients, do five times that much if their errors are independent. A
    gradient that is wrong, or still scaled, is off by its own length.
    """
    exact = gradients(searches["float32"], order)
    least = gradients(searches["float32"], order, HALF[policy])
    found = gradients(searches[policy], order)
    for value, measure, right in zip(found[:2], least, exact):
        assert value.dtype == tf.float32
        assert 0 < error(value, right) < min(5 * error(measure, right), 0.5)
    np.testing.assert_allclose(found[2], exact[2], rtol=2.0**-8)


@pytest.mark.parametrize("policy", MIXED)
def test_the_difference_quotient_is_float32s_to_the_bit(policy, searches, eagerly):
    exact, search, train = searches["float32"], searches[policy], inputs(BATCHES[0])
    arguments = exact.weights_vector(), exact.alphas.value, train
    expected, own = exact.architecture_gradient(*arguments)[0], search.architecture_gradient(*arguments)[0]
    np.testing.assert_array_equal(search._quotient(*arguments)[0], expected)
    assert search._quotient is not search._architecture and exact._quotient is exact._architecture
    assert not np.array_equal(own, expected) and search.network.compute_dtype == HALF[policy].name


@pytest.mark.parametrize("policy", MIXED)
def test_what_is_trained_and_what_is_sensitive_stays_float32(policy, searches, eagerly):
    search = searches[policy]
    assert {v.dtype for v in search.state()} <= {"float32", "int64"}
    logits = search.evaluated_network()(BATCHES[0][0], training=False)
    assert logits.dtype == tf.float32
    search.order = "second"
    before = search.weights_vector().numpy()
    search.train_step(BATCHES)
    assert {v.dtype for v in search.state()} <= {"float32", "int64"}
    statistics = [v.numpy() for v in search.network.non_trainable_variables]
    assert any(not np.array_equal(rounded(v, HALF[policy]), v) for v in statistics)  # and are not rounded meanwhile
    weights = search.weights_vector().numpy()
    assert not np.array_equal(weights, before) and np.isfinite(weights).all()
    assert not np.array_equal(rounded(weights, HALF[policy]), weights)
    reset(search)


def test_weights_are_cast_together(searches):
    """A cast of each weight would be a kernel each; mixing weights are not cast for each normalisation either."""
    counts = {}
    for policy in ("float32", "mixed_bfloat16"):
        search = searches[policy]
        arguments = search.weights_vector(), search.alphas.value, inputs(BATCHES[0])
        graph = tf.function(search.both_gradients, autograph=False).get_concrete_function(*arguments).graph
        counts[policy] = [op.type for op in graph.get_operations()]
    casts = {policy: types.count("Cast") for policy, types in counts.items()}
    more = casts["mixed_bfloat16"] - casts["float32"]  # whose loss has some in a deterministic process
    assert 0 < more < len(searches["float32"].network.trainable_variables)
    assert len(counts["mixed_bfloat16"]) < 1.1 * len(counts["float32"])


@pytest.mark.parametrize("order", ["first", "second"])
def test_an_overflow_in_float16_skips_the_steps_and_halves_the_scale(order, searches, eagerly):
    search = searches["mixed_float16"]
    search.order = order
    search.loss_scale.factor.assign(2.0**100)
    stepped = [search.alphas, *search.network.trainable_variables]
    stepped += [*search.weight_optimizer.variables, *search.arch_optimizer.variables]
    before = [v.numpy() for v in stepped]
    metrics = search.train_step(BATCHES)
    for variable, value in zip(stepped, before):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert float(search.loss_scale.factor.numpy()) == 2.0**98  # by the architecture's gradient and by the weights'
    search.loss_scale.factor.assign(2.0**10)
    search.train_step(BATCHES)
    assert float(search.loss_scale.factor.numpy()) == 2.0**10 and int(search.loss_scale.sound.numpy()) == 2
    assert not any(np.array_equal(v, value) for v, value in zip(stepped[:2], before))
    reset(search)


def test_an_overflow_in_float16_is_no_step_of_averaged_sgd():
    text = np.random.default_rng(0).integers(0, 9, (7, 2)).astype(np.int32)
    batch = (tf.constant(text[:-1]), tf.constant(text[1:]), tf.constant(0.5), tf.constant(True))
    with precision.policy("mixed_float16"):
        net = EvaluationLanguageModel(RecurrentGenotype([["tanh", 0], ["relu", 1]], [1, 2]), 9, 4)
        net.build()
    learner = AveragedTrainer(net, TextTask(4, 2, 6), optimizers.Sgd(1.0))
    learner.averaging.assign(1)
    learner.train_step(batch)
    watched = [learner.average, learner.averaged_steps, learner.last_scale, *net.trainable_variables]
    before = [np.asarray(v.value) for v in watched]
    assert before[1] == 1 and before[2] == 0.5
    learner.loss_scale.factor.assign(2.0**100)
    learner.train_step((*batch[:2], tf.constant(1.0), batch[3]))
    for variable, value in zip(watched, before):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)
    learner.loss_scale.factor.assign(2.0**10)
    learner.train_step(batch)
    assert int(learner.averaged_steps.numpy()) == 2


def test_the_scale_doubles_after_sound_gradients_and_stays_at_least_one():
    scale, sound, bad = precision.LossScale(4.0, patience=3), tf.ones(2), tf.constant([1.0, math.nan])
    seen = []
    for gradient in (sound, sound, sound, sound, bad, sound, sound, bad, bad, bad, bad):
        usable = bool(scale.judge(gradient))
        assert usable == (gradient is sound)
        seen.append(float(scale.factor.numpy()))
    assert seen == [4, 4, 8, 8, 4, 4, 4, 2, 1, 1, 1]


@pytest.mark.parametrize("factor", [1.0, 2.0**15])
def test_the_scale_does_not_change_clipped_steps(factor, searches, eagerly):
    """Clipping sees the gradient itself: a scale that was still on it would shorten each to the same length."""
    search = searches["mixed_float16"]
    search.order, search.learning_rate = "weights", search.learning_rate
    search.weight_optimizer.grad_clip = 0.1
    search.loss_scale.factor.assign(factor)
    before = search.weights_vector()
    _, gradient, result = search.weight_gradient((*BATCHES[0], {}), search.mixing_of(search.alphas.value))
    _, exact, _ = searches["float32"].weight_gradient((*BATCHES[0], {}), search.mixing_of(search.alphas.value))
    assert result.loss.dtype == tf.float32 and error(gradient, exact) < 0.2
    stepped = search.descend(before, gradient)
    np.testing.assert_allclose(tf.norm(stepped - before), 0.025 * 0.1, rtol=2e-2)  # the decay adds a little
    search.weight_optimizer.grad_clip = 5.0
    reset(search)


@pytest.mark.parametrize("policy", MIXED)
def test_a_stopped_search_goes_on_to_the_same_bits(policy, tmp_path):
    settings, data, job = job_of("digits", CONV | {"precision": policy})
    start = [v.numpy() for v in job.model.state()]
    fit(RunFolder.start(tmp_path / "whole", settings.to_config()), job, 2, 60.0)
    whole = [v.numpy() for v in job.model.state()]
    assign_state(job.model, start)
    log = RunFolder.start(tmp_path / "cut", settings.to_config() | {"data_info": data.remembered})
    with pytest.raises(Stopped):
        fit(log, job, 2, 60.0, [StopAt(3)])
    assert saved_config(log.folder, "search")["precision"] == policy
    assign_state(job.model, [value + 1 for value in start])
    fit(RunFolder.resume(log.folder), job, 2, 60.0)
    for variable, expected in zip(job.model.state(), whole):
        np.testing.assert_array_equal(variable, expected, err_msg=variable.path)


ONE = {"epochs": 1, "batch_size": 10}
CELLS = ONE | {"recipe": "digits", "init_channels": 4, "layers": 1, "nodes": 1, "multiplier": 1}
SHARED = ONE | {"shared_max_step": 1, "controller_max_step": 1, "derive_num_sample": 1}
IMAGES = SHARED | {"init_channels": 4, "controller_num_aggregate": 1, "batch_size": 4}
SWEEPS = ONE | {"space": "renet", "nhid": 8, "layers": 1, "nodes": 2}
SEARCHES = {
    "regular": CELLS | {"unrolled": True},
    "attention": CELLS | {"ops": "attention"},
    "attention_modules": CELLS | {"location": "after_every_and_end"},
    "example": CELLS | {"ops": str(ROOT / "examples" / "my_ops.py")},
    "sampled_edges": CELLS | {"mixing": "gumbel", "unrolled": False},
    "partial_channels": CELLS | {"partial_channels": 2, "edge_normalization": True, "unrolled": False},
    "adversarial": CELLS | {"perturb": "adversarial", "unrolled": False},
    "nb201": ONE | {"space": "nb201", "init_channels": 4, "layers": 1},
    "renet_vanilla": SWEEPS | {"rnn_cell": "vanilla"},
    "renet_sigmoid": SWEEPS | {"rnn_cell": "sigmoid"},
    "renet_directional": SWEEPS | {"rnn_cell": "directional"},
    "macro": IMAGES | {"recipe": "macro_digits", "layers": 2},
    "micro": IMAGES | {"recipe": "micro_digits", "layers": 1, "nodes": 1},
    "recurrent": {"recipe": "topics", "epochs": 1, "nhid": 8, "nodes": 2, "batch_size": 4, "unrolled": True},
    "recurrent_enas": SHARED | {"recipe": "enas_topics", "nhid": 8, "nodes": 3, "batch_size": 4},
}
KEPT = ("recipe", "space", "init_channels", "nhid", "batch_size", "epochs")


@pytest.mark.parametrize("policy", MIXED)
@pytest.mark.parametrize("name", SEARCHES)
def test_every_space_and_module_searches_and_trains(name, policy, tmp_path):
    options, recurrent = SEARCHES[name], name.startswith("recurrent")
    for part, words in TEXT.items():
        (tmp_path / f"{part}.txt").write_text(words)
    data = str(tmp_path) if recurrent else (PIXELS, LABELS)
    found = tfdarts.search(data, precision=policy, **options)
    network = found.model.network
    assert network.compute_dtype == HALF[policy].name
    assert {v.dtype for v in found.model.state()} <= {"float32", "int64"}
    assert np.isfinite([value for values in found.history.values() for value in values]).all()
    assert keras.config.dtype_policy().name == "float32"
    own = {key: options[key] for key in KEPT if key in options}
    test = None if recurrent else (PIXELS[:9], LABELS[:9])
    model = tfdarts.train(found.genotype, data, test, precision=policy, logdir=tmp_path, **own)
    again = tfdarts.evaluate(str(model.folder / "model.keras"), test)
    assert again and again == {key: pytest.approx(model.results[key], rel=1e-5) for key in again}


@pytest.mark.parametrize("policy", MIXED)
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_the_sweeps_baselines_train(cell, policy, tmp_path, monkeypatch):
    was_half, make_exact = [], precision.make_exact
    monkeypatch.setattr(precision, "make_exact", lambda net: was_half.append(net.compute_dtype) or make_exact(net))
    own = {key: value for key, value in SWEEPS.items() if key in KEPT}
    test = PIXELS[:9], LABELS[:9]
    model = tfdarts.train(None, (PIXELS, LABELS), test, rnn_cell=cell, precision=policy, logdir=tmp_path, **own)
    assert was_half == [HALF[policy].name]
    again = tfdarts.evaluate(str(model.folder / "model.keras"), test)
    assert again and again == {key: pytest.approx(model.results[key], rel=1e-5) for key in again}


def test_what_needs_all_bits_of_float32_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(UserError, match="approximate.* leave out --precision"):
        tfdarts.search((PIXELS, LABELS), ops="approximate", precision="mixed_bfloat16", **CELLS)
    assert keras.config.dtype_policy().name == "float32"
    with pytest.raises(UserError, match="--precision must be float32 or mixed_bfloat16 or mixed_float16"):
        tfdarts.search((PIXELS, LABELS), precision="float16", **CELLS)


def test_the_estimate_knows_that_maps_are_smaller_but_for_the_second_order():
    found = {}
    for policy, unrolled in (("float32", True), ("mixed_bfloat16", True), ("mixed_bfloat16", False)):
        given = CELLS | {"batch_size": 2000, "precision": policy, "unrolled": unrolled}
        settings = recipes.resolve(None, "search", {k: v for k, v in given.items() if k != "recipe"})
        report = darts.costs(
            spaces.load("conv"), tasks.load("images"), spaces.base.ImageInputs((16, 16, 3), 3), settings
        )
        found[policy, unrolled] = report["peak_memory_estimate_bytes"]
        assert report["multiply_adds"] == found.setdefault("multiply_adds", report["multiply_adds"])
    second, mixed_second = found["float32", True], found["mixed_bfloat16", True]
    assert mixed_second == pytest.approx(second, rel=0.05)  # its difference quotient is taken in float32
    maps = 0.69 * 2000 * 16 * 16 * 4 * 12  # bytes of a few maps: much of what there is
    assert found["mixed_bfloat16", False] < second - maps
