import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfdarts.ops.recurrent import SEARCHED

from tests.support import build, precision, reference
from tests.support.jobs import StopAt, assign_state
from tfdarts import operations as space
from tfdarts import optimizers
from tfdarts.data import text
from tfdarts.layers import recurrent
from tfdarts.runs.callbacks import GenotypeCallback, Stopped
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder
from tfdarts.spaces import genotypes as genotype
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype
from tfdarts.spaces.recurrent.model import dropout_masks
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel
from tfdarts.spaces.recurrent.supernet import LanguageSupernet
from tfdarts.strategies import hypergradient
from tfdarts.strategies.darts import Darts
from tfdarts.tasks.base import cross_entropy
from tfdarts.tasks.text import TextTask
from tfdarts.training.job import Job
from tfdarts.training.learner import Call
from tfdarts.training.trainer import AveragedTrainer, FinishEpoch

ACTIVATIONS = space.load("recurrent", recurrent=True)
WEIGHTS = {"embedding": "embedding", "bias": "decoder_bias", "start": "W0", "kernels": "Ws"}


def golden(name):
    return reference.load(f"recurrent/{name}")


def network(arrays):
    """The network of a golden, with its weights."""
    words, units = arrays["embedding"].shape
    if "arch_weights" in arrays:
        net = LanguageSupernet(ACTIVATIONS, words, units, len(arrays["Ws"]))
    else:
        entries = [(SEARCHED[op], int(p)) for op, p in zip(arrays["genotype_ops"], arrays["genotype_prev"])]
        net = EvaluationLanguageModel(RecurrentGenotype(entries, arrays["genotype_concat"].tolist()), words, units)
    net.build()
    assign(net, arrays)
    return net


def assign(net, arrays, prefix=""):
    for ours, theirs in WEIGHTS.items():
        getattr(net, ours).assign(arrays[prefix + theirs])


def by_name(net, vector):
    values = optimizers.unflatten(vector, net.trainable_variables)
    return {WEIGHTS[v.name]: np.asarray(value) for v, value in zip(net.trainable_variables, values)}


MASKS = {
    "dropoute": "mask_embedding_rows",
    "dropouti": "mask_input",
    "dropoutx": "mask_x",
    "dropouth": "mask_h",
    "dropout": "mask_output",
}


def searching_by(
    net, batch_size, bptt=5, kind=Darts, rates=(), beta=0.0, seed=0, arch_lr=3e-3, arch_weight_decay=1e-3, **options
):
    """A search on text with the authors' hyperparameters."""
    task = TextTask(net.units, batch_size, bptt, dict(rates), beta=beta, searches=True)
    adam = optimizers.Adam(arch_lr, (0.9, 0.999), arch_weight_decay, name="arch_adam")
    sgd = optimizers.Sgd(20.0, weight_decay=5e-7, grad_clip=0.25)
    return kind(net, task, sgd, arch_optimizer=adam, unrolled_clip=0.25, seed=seed, **options)


@pytest.mark.parametrize("name", ["lm_search", "lm_eval", "lm_search_dropout", "lm_eval_dropout"])
def test_language_model(name, floatx):
    arrays = golden(name)
    net = network(arrays)
    search = "arch_weights" in arrays
    bptt, batch_size = arrays["tokens"].shape
    options = {name: float(arrays[name]) for name in ("alpha", "beta")}
    task = TextTask(net.units, batch_size, bptt, **options, searches=search)
    learner = Darts(net, task, optimizers.Sgd(20.0)) if search else AveragedTrainer(net, task, optimizers.Sgd(20.0))
    masks = {ours: arrays[theirs].astype(floatx) for ours, theirs in MASKS.items() if theirs in arrays}
    masks = {name: mask[0] if mask.ndim == 3 else mask for name, mask in masks.items()}
    batch = (arrays["tokens"], arrays["targets"], tf.constant(arrays["h0"][0], floatx), masks, 1.0)
    weights = optimizers.flatten(net.trainable_variables)
    alphas = tf.constant(arrays["arch_weights"].ravel() if search else [], floatx)
    with tf.GradientTape() as tape:
        tape.watch([weights, alphas])
        call = Call(net, weights, *([learner.mixing_of(alphas)] if search else []))
        total, (loss, logits, _, (hidden,)) = task.loss(call, batch)
    gradients = tape.gradient(total, {"weights": weights, "alphas": alphas})
    tolerance = 1e-7 if floatx == "float64" else 1e-4 if search else 3e-6
    _, _, raw, dropped = call(batch[0], batch[2], masks=masks, training=True)
    for got, key in ((logits, "logits"), (raw, "raw_output"), (dropped, "dropped_output"), (loss, "nll")):
        reference.close(got, arrays[key], tolerance, key)
    reference.close(hidden, arrays["hidden_next"][0], tolerance)
    reference.close(total, arrays["total_loss"], tolerance)
    penalty = arrays["activation_reg"] + arrays["temporal_activation_reg"]
    reference.close(total - loss, penalty, 2e-7 * arrays["nll"] / penalty + tolerance)
    for key, gradient in by_name(net, gradients["weights"]).items():
        reference.close(gradient, arrays[f"grad_{key}"], tolerance, key)
    if search:
        reference.close(gradients["alphas"], arrays["grad_arch_weights"].ravel(), tolerance)


@pytest.fixture(scope="module", params=["float32", "float64"])
def search(request):
    """One search for both goldens of the architecture's gradient, so that its gradients are traced once."""
    arrays = golden("architect_clipped")
    bptt, batch_size = arrays["tokens_train"].shape
    options = {name: float(arrays[name]) for name in ("arch_lr", "arch_weight_decay")}
    with precision.floatx(request.param):
        return searching_by(network(arrays), batch_size, bptt, **options)


@pytest.mark.parametrize("name", ["architect_clipped", "architect_unclipped"])
def test_architecture_gradients(name, search):
    arrays, darts, net = golden(name), search, search.supernet
    dtype = darts.alphas.dtype
    eta, clip, decay = (float(arrays[key]) for key in ("eta", "clip", "weight_decay"))
    assign(net, arrays)
    darts.alphas.assign(arrays["arch_weights"].ravel())
    darts.weight_optimizer.weight_decay, darts.unrolled_clip = decay, clip
    weights, alphas = optimizers.flatten(net.trainable_variables), darts.alphas.value
    train, valid = (
        (
            tf.constant(arrays[f"tokens_{part}"]),
            tf.constant(arrays[f"targets_{part}"]),
            tf.constant(arrays[f"hidden_{part}"][0], dtype),
            {},
            tf.zeros(()),
        )
        for part in ("train", "valid")
    )
    train, valid = (train, None), (valid, None)
    before = [np.asarray(v.value) for v in darts.variables]
    tight, loose = (1e-6, 2e-5) if dtype == "float64" else (2e-5, 2e-3)

    darts.order = "first"
    gradient, (loss, (hidden,)) = darts.hypergradient(weights, train, valid)
    reference.close(gradient, arrays["dalpha_first_order"].ravel(), tight)
    reference.close(loss, arrays["loss_valid"], tight)
    reference.close(hidden, arrays["hidden_valid_next_first_order"][0], tight)
    after, _, _ = optimizers.adam(
        alphas, gradient, darts.arch_optimizer.m.value, darts.arch_optimizer.v.value, 1, 3e-3, (0.9, 0.999), 1e-3
    )
    reference.close(after, arrays["arch_weights_after_first_order_step"].ravel(), tight)

    result = hypergradient.second_order(
        darts._both, lambda *arguments: darts._architecture(*arguments)[0], weights, alphas,
        darts.weight_optimizer.buffer.value, train, valid, eta, 0.0, decay, clip,
    )  # fmt: skip
    unrolled = by_name(net, result.unrolled)
    reference.close(unrolled["embedding"], arrays["unrolled_embedding_tie_fixed"], tight)
    for key in ("W0", "Ws", "decoder_bias"):
        reference.close(unrolled[key], arrays[f"unrolled_{key}"], tight, key)
    reference.close(result.valid[0].loss, arrays["unrolled_valid_loss_tie_fixed"], tight)
    reference.close(result.implicit, arrays["implicit_grad_tie_fixed"].ravel(), loose)
    reference.close(result.value, arrays["dalpha_unrolled_tie_fixed_coef_clamped"].ravel(), loose)

    # As the search calls it, the learning rate scaled by the sequence's length.
    darts.order = "second"
    darts.learning_rate.assign(2 * eta)
    gradient, _ = darts.hypergradient(weights, train, valid, 0.5)
    reference.close(gradient, arrays["dalpha_unrolled_tie_fixed_coef_clamped"].ravel(), loose)
    darts.learning_rate.assign(before[[v is darts.learning_rate for v in darts.variables].index(True)])
    for variable, value in zip(darts.variables, before):
        np.testing.assert_array_equal(variable, value)
    for function in (darts._both, darts._architecture):
        assert function.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("index", range(len(golden("genotypes.json")["cases"])))
def test_derived_genotypes(index):
    stored = golden("genotypes.json")
    case = stored["cases"][index]
    mixing = tf.nn.softmax(golden("genotypes")["arch_weights"][index])
    expected = tuple((op, previous) for op, previous in case["recurrent"])
    assert recurrent.strongest(mixing, build.table(SEARCHED, len(mixing)), stored["steps"]) == expected


def test_training_trajectory(floatx):
    arrays = golden("train_trajectory")
    net = network(arrays)
    batch_size, bptt = arrays["batchified"].shape[1], int(arrays["bptt"])
    rows = text.batchify(arrays["stream"], batch_size, "training")
    np.testing.assert_array_equal(rows, arrays["batchified"])
    options = {name: float(arrays[key]) for name, key in (("beta", "beta"), ("weight_decay", "weight_decay"))}
    task = TextTask(net.units, batch_size, bptt, beta=options["beta"])
    sgd = optimizers.Sgd(float(arrays["lr"]), 0.0, options["weight_decay"], float(arrays["clip"]))
    training = AveragedTrainer(net, task, sgd)
    tolerance, row = 2e-7 if floatx == "float64" else 1e-5, 0
    step = training.stepping(tf.function(training.train_step, autograph=False))
    for k, length in enumerate(arrays["seq_lens"]):
        if k == arrays["n_sgd_steps"]:
            for key, value in by_name(net, training.weights_vector()).items():
                reference.close(value, arrays[f"after_sgd_{key}"], tolerance, key)
            training.averaging.assign(1)
        scale = tf.constant(length / bptt, floatx)
        reference.close(training.learning_rate.value * scale, arrays["learning_rates_set"][k], 1e-6)
        training.reset_metrics()
        tokens, targets = (tf.constant(rows[row + d : row + d + length]) for d in (0, 1))
        result = step((tokens, targets, scale, tf.constant(row == 0)))
        reference.close(result["loss"], arrays["raw_losses"][k], tolerance)
        row += length
    for key, value in by_name(net, training.weights_vector()).items():
        reference.close(value, arrays[f"after_asgd_{key}"], tolerance, key)
    for key, value in by_name(net, training.average.value).items():
        reference.close(value, arrays[f"asgd_average_{key}"], tolerance, key)
    # The reported loss is per predicted word; the authors' divides by one row more.
    rows = text.batchify(arrays["stream"], 2, "test")
    training.compile(jit_compile=False)
    loss = training.evaluate(text.whole(rows), verbose=0, return_dict=True)["loss"]
    reference.close(loss, arrays["evaluate_loss_divided_by_predictions"], tolerance)
    reference.close(loss * (len(rows) - 1) / len(rows), arrays["evaluate_loss"], tolerance)


COUNTS = {name: count for name, count in golden("param_counts.json").items() if name.startswith(("ptb", "wt2"))}


@pytest.mark.parametrize("name,count", COUNTS.items())
def test_parameter_counts(name, count):
    corpus, stage, units, *cell = name.split("_", 3)
    words = {"ptb": 10_000, "wt2": 33_278}[corpus]
    if stage == "search":
        net = LanguageSupernet(ACTIVATIONS, words, int(units))
    else:
        net = EvaluationLanguageModel(genotype.load(cell[0], "recurrent"), words, int(units))
    with keras.StatelessScope():  # shapes only
        net.build()
    assert sum(math.prod(v.shape) for v in net.trainable_variables) == count
    # Every weight is used once per word, but for the bias and, in a search, the kernels of the nodes.
    again = 28 * 2 * net.units**2 if stage == "search" else 0
    assert net.multiply_adds() == count - words + again


RATES = {"dropout": 0.5, "dropouth": 0.25, "dropoutx": 0.5, "dropouti": 0.2, "dropoute": 0.1}
STREAM = np.random.default_rng(0).integers(0, 20, 400, np.int32)
ROWS, VALID = text.batchify(STREAM, 4, "training"), text.batchify(STREAM[:120], 2, "validation")


def test_dropout_masks():
    rates = RATES | {"wdrop": 0.6}
    masks = dropout_masks(rates, 1000, 20, 50, tf.constant([1, 2], tf.int64), "float32")
    assert masks["dropoute"].shape == (1000, 1) and masks["dropouth"].shape == (20, 50)
    assert masks["wdrop"].shape == (50, 100)
    for name, mask in masks.items():
        assert set(np.unique(mask)) == {0.0, np.float32(1 / (1 - rates[name]))}
        assert np.mean(mask == 0) == pytest.approx(rates[name], abs=0.05)
    again = dropout_masks(rates, 1000, 20, 50, tf.constant([1, 2], tf.int64), "float32")
    other = dropout_masks(rates, 1000, 20, 50, tf.constant([1, 3], tf.int64), "float32")
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, again[name])
        assert np.any(mask != other[name])
    assert np.any(masks["dropoutx"] != masks["dropout"])
    assert not dropout_masks({"dropout": 0.0}, 5, 2, 3, tf.constant([1, 2], tf.int64), "float32")


def searching(seed=0):
    keras.utils.set_random_seed(seed)
    net = LanguageSupernet(ACTIVATIONS, 20, 6, 2)
    net.build()
    darts = searching_by(net, 4, 5, CountedSearch, RATES, 1e-3, seed)
    darts.learning_rate.assign(1.0)
    darts.compile(jit_compile=False)
    return darts, lambda step: text.search_batches(ROWS, ROWS[:40], 5, seed, step)


def training(seed=0):
    keras.utils.set_random_seed(seed)
    net = EvaluationLanguageModel(RecurrentGenotype((("tanh", 0), ("relu", 1)), (1, 2)), 20, 6)
    net.build()
    task = TextTask(6, 4, 5, RATES, alpha=0.1, beta=1e-3)
    sgd = optimizers.Sgd(1.0, weight_decay=8e-7, grad_clip=0.25)
    learner = CountedTraining(net, task, sgd, seed, nonmono=1)
    learner.averaging.assign(1)  # a run that is stopped while it averages
    learner.compile(jit_compile=False)
    return learner, lambda step: text.train_batches(ROWS, 5, seed, step)


class CountedSearch(Darts):
    traces = 0

    def train_step(self, data):
        self.traces += 1
        return super().train_step(data)


class CountedTraining(AveragedTrainer):
    traces = 0

    def train_step(self, data):
        self.traces += 1
        return super().train_step(data)


def state(learner):
    return [np.asarray(v.value) for v in learner.state()]


@pytest.mark.parametrize("make,steps", [(searching, 8), (training, 9)])
def test_a_stopped_run_goes_on_to_the_same_bits_in_one_trace(make, steps, tmp_path):
    learner, batches = make()
    before = state(learner)
    finish = (FinishEpoch(),) if make is training else ()
    job = Job(learner, batches, steps, lambda epoch: 1.0, text.whole(VALID), finish)
    fit(RunFolder.start(tmp_path, {"stage": "search"}), job, 2, 100)
    whole = state(learner)

    log = RunFolder.start(tmp_path / "stopped", {"stage": "search"})
    written = [GenotypeCallback(log)] if make is searching else []
    assign_state(learner, before)
    with pytest.raises(Stopped):
        fit(log, job, 2, 100, [StopAt(5)])
    assign_state(learner, [value + 1 for value in before])
    fit(log, job, 2, 100, written)
    for start, one, other, variable in zip(before, whole, state(learner), learner.state()):
        np.testing.assert_array_equal(one, other, err_msg=variable.path)
        if any(variable is v for v in learner.network.variables):
            assert np.any(start != one), variable.path
    assert int(learner.step.numpy()) == 2 * steps and learner.traces == 1
    metrics = [json.loads(line) for line in (log.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["val_perplexity"] for line in metrics] == pytest.approx([np.exp(line["val_loss"]) for line in metrics])
    if make is searching:
        assert {f.experimental_get_tracing_count() for f in (learner._both, learner._architecture)} == {1}
        assert genotype.load(log.folder / "train/genotype_epoch_2") == learner.genotype()
        line = json.loads((log.folder / "mixing.jsonl").read_text().splitlines()[-1])
        assert line["tables"]["recurrent"]["edges"] == ["0 to 1", "0 to 2", "1 to 2"]


def test_the_averaging_begins_when_the_loss_stops_falling_and_the_best_is_kept():
    net = EvaluationLanguageModel(RecurrentGenotype((("tanh", 0),), (1,)), 5, 2)
    net.build()
    learner = AveragedTrainer(net, TextTask(2, 2, 5), optimizers.Sgd(20.0), nonmono=2)
    seen = []
    for epoch, loss in enumerate([5.0, 3.0, 4.0, 4.5, 2.9, 3.5, 9.0]):
        learner.average.assign(tf.fill(learner.average.shape, float(epoch)))
        learner.finish_epoch(loss)
        seen.append(int(learner.averaging.numpy()))
    # 4.5 is not above 5; 3.5 is above 3, the best of more than two epochs before.
    assert seen == [0, 0, 0, 0, 0, 1, 1]
    learner.take_best()
    np.testing.assert_array_equal(net.embedding, np.full((5, 2), 4.0))
    np.testing.assert_array_equal(learner.evaluated_network().weights, learner.best)


def test_a_saved_model_opens_and_agrees(tmp_path):
    learner, _ = training()
    net = learner.network
    net.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    tokens, hidden = tf.constant(VALID[:9]), tf.zeros((2, 6))
    for one, other in zip(net(tokens, hidden), loaded(tokens, hidden)):
        np.testing.assert_array_equal(one, other)
    assert loaded.genotype == net.genotype


def test_evaluation_does_not_depend_on_how_the_text_is_cut():
    learner, _ = training()
    for rows in (VALID, text.batchify(STREAM, 1, "test")):  # testing follows validation, with other columns
        loss = learner.evaluate(text.whole(rows), verbose=0, return_dict=True)["loss"]
        logits, *_ = learner.evaluated_network()(rows[:-1], tf.zeros((rows.shape[1], 6)), training=False)
        np.testing.assert_allclose(loss, cross_entropy(logits, rows[1:]), rtol=1e-6)
    losses = []
    for bptt in (5, 7):
        learner.task.bptt = bptt
        learner.compile(jit_compile=False)
        losses.append(learner.evaluate(text.whole(VALID), verbose=0, return_dict=True)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("dtype,tolerance", [("float32", 1e-6), ("float64", 1e-12)])
def test_the_loss_of_labels_that_are_all_but_impossible(dtype, tolerance):
    """Their probability rounds to 0; the loss and its gradient are right all the same."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, 2, 7)), rng.integers(0, 7, (3, 2), np.int32)
    logits[0], logits[1, 0, labels[1, 0]] = 2000 * logits[0], -1500
    logits = tf.constant(logits, dtype)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = cross_entropy(logits, labels)
    exact = tf.cast(logits, "float64")
    shares = np.exp(exact - tf.reduce_logsumexp(exact, -1, keepdims=True))
    expected = tf.reduce_logsumexp(exact, -1) - tf.gather(exact, labels, batch_dims=2)
    assert tf.reduce_max(expected) > 1000
    np.testing.assert_allclose(loss, np.mean(expected), rtol=tolerance)
    np.testing.assert_allclose(tape.gradient(loss, logits), (shares - np.eye(7)[labels]) / 6, atol=tolerance)
    for broken in (np.nan, np.inf):
        logits = tf.constant([[0.5, broken, 1.0]], dtype)
        assert not any(np.isfinite(cross_entropy(logits, [label])) for label in range(3))


def test_a_search_validates_by_the_columns_statistics():
    darts, _ = searching()
    statistics = darts.network.statistics.numpy()
    found = darts.evaluate(text.whole(VALID), verbose=0, return_dict=True)
    np.testing.assert_array_equal(darts.network.statistics, statistics)
    losses = [
        cross_entropy(darts.network(VALID[:-1], tf.zeros((2, 6)), darts.mixing(), training=training)[0], VALID[1:])
        for training in (True, False)
    ]
    assert found["loss"] == pytest.approx(float(losses[0]), rel=1e-6)
    assert abs(losses[1] - losses[0]) > 1e-3


def test_activations_of_the_users_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import keras\nOPS = {'gelu': keras.ops.gelu, 'tanh': keras.ops.tanh}")
    net = LanguageSupernet(space.load(str(path), recurrent=True), 20, 6, 2)
    net.build()
    darts = searching_by(net, 4)
    net(VALID[:3], tf.zeros((2, 6)), darts.mixing(), training=True)
    found = darts.genotype()
    assert {name for name, _ in found.recurrent} <= {"gelu", "tanh"}
    EvaluationLanguageModel(found, 20, 6)
