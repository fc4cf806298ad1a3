import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from ops.recurrent import SEARCHED
from tests import reference
from tfdarts import genotype, optimizers, recurrent, space
from tfdarts.data import text
from tfdarts.genotype import RecurrentGenotype
from tfdarts.language import EvaluationLanguageModel, LanguageSupernet
from tfdarts.language_training import LanguageTraining
from tfdarts.strategies import hypergradient
from tfdarts.strategies.language import LanguageDarts

ACTIVATIONS = space.load("recurrent", recurrent=True)
WEIGHTS = {"embedding": "embedding", "bias": "decoder_bias", "start": "W0", "kernels": "Ws"}


def golden(name):
    return reference.load(f"recurrent/{name}")


def network(arrays):
    """The network of a golden, with its weights."""
    words, units = arrays["embedding"].shape
    if "arch_weights" in arrays:
        net = LanguageSupernet(ACTIVATIONS, words, units)
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


@pytest.mark.parametrize("name", ["lm_search", "lm_eval", "lm_search_dropout", "lm_eval_dropout"])
def test_language_model(name, floatx, monkeypatch):
    arrays = golden(name)
    net = network(arrays)
    search = "arch_weights" in arrays
    cls = LanguageDarts if search else LanguageTraining
    learner = cls(net, 3, 5, alpha=float(arrays["alpha"]), beta=float(arrays["beta"]))
    masks = {ours: arrays[theirs].astype(floatx) for ours, theirs in MASKS.items() if theirs in arrays}
    masks = {name: mask[0] if mask.ndim == 3 else mask for name, mask in masks.items()}
    monkeypatch.setattr("tfdarts.language_training.dropout_masks", lambda *_: masks)
    batch = (arrays["tokens"], arrays["targets"], tf.constant(arrays["h0"][0], floatx), None, 1.0)
    weights = optimizers.flatten(net.trainable_variables)
    alphas = tf.constant(arrays["arch_weights"].ravel() if search else [], floatx)
    with tf.GradientTape() as tape:
        tape.watch([weights, alphas])
        mixing = [learner._softmax(alphas)] if search else []
        total, (loss, logits, hidden), _ = learner.sequence_loss(weights, batch, *mixing)
    gradients = tape.gradient(total, {"weights": weights, "alphas": alphas})
    tolerance = 1e-7 if floatx == "float64" else 1e-4 if search else 3e-6
    (_, _, raw, dropped), _ = learner.read(weights, *batch[:1], batch[2], *mixing, masks=masks, training=True)
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
    keras.config.set_floatx(request.param)
    keras.config.set_dtype_policy(request.param)
    darts = LanguageDarts(network(golden("architect_clipped")), 8, 5, beta=0.0)
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    return darts


@pytest.mark.parametrize("name", ["architect_clipped", "architect_unclipped"])
def test_architecture_gradients(name, search):
    arrays, darts, net = golden(name), search, search.supernet
    dtype = darts.alphas.dtype
    eta, clip, decay = (float(arrays[key]) for key in ("eta", "clip", "weight_decay"))
    assign(net, arrays)
    darts.alphas.assign(arrays["arch_weights"].ravel())
    darts.weight_decay, darts.unrolled_clip = decay, clip
    weights, alphas = optimizers.flatten(net.trainable_variables), darts.alphas.value
    train, valid = (
        (
            tf.constant(arrays[f"tokens_{part}"]),
            tf.constant(arrays[f"targets_{part}"]),
            tf.constant(arrays[f"hidden_{part}"][0], dtype),
            tf.zeros(2, tf.int64),
            tf.zeros(()),
        )
        for part in ("train", "valid")
    )
    before = [np.asarray(v.value) for v in darts.variables]
    tight, loose = (1e-6, 2e-5) if dtype == "float64" else (2e-5, 2e-3)

    darts.order = "first"
    gradient, (loss, hidden) = darts.hypergradient(weights, train, valid)
    reference.close(gradient, arrays["dalpha_first_order"].ravel(), tight)
    reference.close(loss, arrays["loss_valid"], tight)
    reference.close(hidden, arrays["hidden_valid_next_first_order"][0], tight)
    after, _, _ = optimizers.adam(alphas, gradient, darts.first.value, darts.second.value, 1, *darts.arch_hyper)
    reference.close(after, arrays["arch_weights_after_first_order_step"].ravel(), tight)

    result = hypergradient.second_order(
        darts._both, lambda *arguments: darts._architecture(*arguments)[0], weights, alphas, darts.buffer.value,
        train, valid, eta, 0.0, decay, clip,
    )  # fmt: skip
    unrolled = by_name(net, result.unrolled)
    reference.close(unrolled["embedding"], arrays["unrolled_embedding_tie_fixed"], tight)
    for key in ("W0", "Ws", "decoder_bias"):
        reference.close(unrolled[key], arrays[f"unrolled_{key}"], tight, key)
    reference.close(result.valid[0], arrays["unrolled_valid_loss_tie_fixed"], tight)
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


@pytest.mark.parametrize("index", range(11))
def test_derived_genotypes(index):
    case = golden("genotypes.json")["cases"][index]
    mixing = tf.nn.softmax(golden("genotypes")["arch_weights"][index])
    assert recurrent.strongest(mixing, SEARCHED, 8) == tuple((op, previous) for op, previous in case["recurrent"])


def test_training_trajectory(floatx):
    arrays = golden("train_trajectory")
    net = network(arrays)
    rows = text.batchify(arrays["stream"], 3, "training")
    np.testing.assert_array_equal(rows, arrays["batchified"])
    options = {name: float(arrays[key]) for name, key in (("beta", "beta"), ("weight_decay", "weight_decay"))}
    training = LanguageTraining(
        net, 3, 5, learning_rate=float(arrays["lr"]), grad_clip=float(arrays["clip"]), **options
    )
    tolerance, row = 2e-7 if floatx == "float64" else 1e-5, 0
    step = tf.function(training.train_step, autograph=False)
    for k, length in enumerate(arrays["seq_lens"]):
        if k == arrays["n_sgd_steps"]:
            for key, value in by_name(net, optimizers.flatten(net.trainable_variables)).items():
                reference.close(value, arrays[f"after_sgd_{key}"], tolerance, key)
            training.averaging.assign(1)
        scale = tf.constant(length / int(arrays["bptt"]), floatx)
        reference.close(training.learning_rate.value * scale, arrays["learning_rates_set"][k], 1e-6)
        training.reset_metrics()
        tokens, targets = (tf.constant(rows[row + d : row + d + length]) for d in (0, 1))
        result = step((tokens, targets, scale, tf.constant(row == 0)))
        reference.close(result["loss"], arrays["raw_losses"][k], tolerance)
        row += length
    for key, value in by_name(net, optimizers.flatten(net.trainable_variables)).items():
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
