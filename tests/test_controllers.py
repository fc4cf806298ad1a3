"""ENAS's controllers against the authors' programs, and what they learn."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.support import reference
from tfdarts import api
from tfdarts.layers import controllers
from tfdarts.spaces.conv.restrictions import RestrictionError
from tfdarts.spaces.macro.controller import MacroController
from tfdarts.spaces.micro import SPACE
from tfdarts.spaces.micro.controller import MicroController
from tfdarts.spaces.micro.genotype import MICRO_OPS
from tfdarts.spaces.recurrent.controller import RecurrentController

NAMES = {
    "first": "g_emb",
    "embedding": "emb/w",
    "softmax": "softmax/w",
    "bias": "softmax/b",
    "key": "attention/w_1",
    "query": "attention/w_2",
    "score": "attention/v",
}


class Forced(controllers.Decisions):
    """Decisions that are given, of which the logits are kept too."""

    def __init__(self, given, **options):
        super().__init__((0, 0), **options)
        self.given, self.logits = iter(given), []

    def draw(self, logits):
        self.logits.append(logits)
        return tf.convert_to_tensor(next(self.given), tf.int32)


def to_keras(weights):
    """The reference's LSTM weights `[x, h] W`, gates i, f, o, g, as Keras's kernels with gates i, f, g, o."""
    i, f, o, g = np.split(weights, 4, 1)
    return np.split(np.concatenate([i, f, g, o], 1), 2)


def attention_values(arrays, prefix):
    values = dict(zip(("lstm/kernel", "lstm/recurrent_kernel"), to_keras(arrays[f"{prefix}lstm/layer_0/w"])))
    return values | {ours: arrays[prefix + theirs] for ours, theirs in NAMES.items() if prefix + theirs in arrays}


def variables(controller):
    lstm = {"lstm/kernel": controller.lstm.kernel, "lstm/recurrent_kernel": controller.lstm.recurrent_kernel}
    return lstm | {name: getattr(controller, name) for name in NAMES if hasattr(controller, name)}


@pytest.fixture(params=["macro", "micro"])
def attention(request, float64):
    """The name of a convolutional space, its golden values, a controller with their weights."""
    arrays = reference.load(f"enas/{request.param}_controller")
    units, decisions = arrays["var:controller/g_emb"].shape[-1], len(arrays["arc0_arc"])
    if request.param == "macro":  # a decision per layer and one per pair of them
        layers = next(n for n in itertools.count(1) if n * (n + 1) // 2 == decisions)
        controller = MacroController(layers, units)
    else:
        controller = MicroController(decisions // 8, units)
    controller.build()
    for name, value in attention_values(arrays, "var:controller/").items():
        variable = variables(controller)[name]
        variable.assign(value.reshape(variable.shape))
    return request.param, arrays, controller


def decisions_of(kind, numbers):
    """The reference's number string in the order of our decisions."""
    result, numbers = [], list(numbers)
    if kind == "macro":
        for layer in itertools.takewhile(lambda _: numbers, itertools.count()):
            op, *bits = (numbers.pop(0) for _ in range(1 + layer))
            result += [op, np.array(bits)] if layer else [op]
    else:
        for block in np.reshape(numbers, (-1, 4)):
            result += [*block[::2], *block[1::2]]
    return result


@pytest.mark.parametrize("q", range(reference.count(reference.load("enas/macro_controller"), r"arc\d+_arc$")))
def test_convolutional_controllers_have_the_authors_numbers(attention, q):
    kind, arrays, controller = attention
    values = {name[5:]: value for name, value in arrays.items() if name.startswith(f"arc{q}_")}
    decisions = Forced(decisions_of(kind, values["arc"]), outcome_entropy=kind == "macro")
    with tf.GradientTape() as tape:
        sample = decisions.sample(*controller.decide(decisions, True))
        entropy = tf.reduce_sum(sample.entropies)
        reward = values["valid_acc"] + 1e-4 * entropy
        loss = -tf.reduce_sum(sample.log_probs) * (reward - values["baseline"]) + 0.8 * sample.penalty
    reference.close(-sample.log_probs, values["neg_log_probs"], 2e-6)
    rows = [row for logits in decisions.logits for row in tf.reshape(logits, [-1, logits.shape[-1]]).numpy()]
    stored = [row[:size] for row, size in zip(values["logits_padded"], values["logits_sizes"])]
    assert [row.size for row in rows] == [row.size for row in stored]
    reference.close(np.concatenate(rows), np.concatenate(stored), 2e-6)
    reference.close(-tf.reduce_sum(sample.log_probs), values["sample_log_prob"], 2e-6)
    reference.close(entropy, values["sample_entropy"], 2e-6)
    reference.close(loss, values["loss"], 2e-6)
    if kind == "macro":
        reference.close(sample.penalty, values["skip_penalty"], 2e-6)
        ops, skips = (x.numpy() for x in sample.arc)
        assert skips.sum() == values["skip_count"]
        flat = [number for layer in range(len(ops)) for number in (ops[layer], *skips[layer, :layer])]
        assert flat == values["arc"].tolist()
    else:
        assert sample.arc.numpy().ravel().tolist() == values["arc"].tolist()
    if q == 0:
        named = variables(controller)
        gradients = dict(zip(named, tape.gradient(loss, [v.value for v in named.values()])))
        stored = attention_values(values, "grad:controller/")
        reference.close({name: tf.reshape(gradients[name], stored[name].shape) for name in stored}, stored, 1e-5)


def recurrent(name):
    arrays = reference.load(name)
    blocks, units = (arrays["actions"].shape[1] + 1) // 2, arrays["lstm_kernel"].shape[0]
    controller = RecurrentController(blocks, units)
    controller.build()
    for variable, value in recurrent_pairs(controller, arrays, ""):
        variable.assign(value)
    return arrays, controller


def recurrent_pairs(controller, arrays, prefix):
    """Variables and their golden values; the reference has two LSTM biases, whose gradients are the same."""
    bias = arrays[prefix + "lstm_bias_ih"]
    if not prefix:
        bias = bias + arrays["lstm_bias_hh"]
    yield controller.embedding, arrays[prefix + "encoder"][: controller.embedding.shape[0]]
    yield controller.lstm.kernel, arrays[prefix + "lstm_kernel"]
    yield controller.lstm.recurrent_kernel, arrays[prefix + "lstm_recurrent_kernel"]
    yield controller.lstm.bias, bias
    for number, (kernel, offset) in enumerate(controller.decoders):
        yield kernel, arrays[f"{prefix}decoder{number}_kernel"]
        if not prefix:
            yield offset, arrays[f"decoder{number}_bias"]


@pytest.mark.parametrize("name", reference.names("enas/controller_blocks*.npz"))
def test_the_recurrent_controller_has_the_authors_numbers(name, float64):
    arrays, controller = recurrent(name)
    count = arrays["actions"].shape[1]
    for mode in ("train", "derive"):
        loss = 0.0
        with tf.GradientTape() as tape:
            for q, actions in enumerate(arrays["actions"]):
                decisions = Forced(actions)
                sample = decisions.sample(*controller.decide(decisions, mode == "train"))
                loss -= tf.reduce_sum(sample.log_probs * arrays["advantages"].reshape(count, -1)[:, q])
                reference.close(sample.log_probs, arrays[f"{mode}_log_probs"][:, q], 2e-6)
                reference.close(sample.entropies, arrays[f"{mode}_entropies"][:, q], 2e-6)
                padded = arrays[f"{mode}_logits_padded"][:, q]
                for logits, stored in zip(decisions.logits, padded):
                    np.testing.assert_allclose(logits, stored[: logits.shape[0]], atol=2e-6)
                if "activations" in arrays:
                    assert sample.arc[0].numpy().tolist() == arrays["activations"][q].tolist()
                    assert sample.arc[1].numpy().tolist() == arrays["prev_nodes"][q].tolist()
        if mode == "train":
            reference.close(loss, arrays["policy_loss"], 2e-6)
            pairs = list(recurrent_pairs(controller, arrays, "grad_"))
            gradients = tape.gradient(loss, [v.value for v, _ in pairs], unconnected_gradients="zero")
            stored = {v.path: value for v, value in pairs}
            reference.close({v.path: tf.convert_to_tensor(g) for (v, _), g in zip(pairs, gradients)}, stored, 2e-6)


CANDIDATES = {"normal": [["sep_conv_3x3"], ["avg_pool_3x3", "skip_connect"]], "reduce": [["sep_conv_5x5"], MICRO_OPS]}


@pytest.mark.parametrize("uniform", [False, True])
def test_a_micro_controller_draws_among_its_candidates(uniform):
    controller = MicroController(2, 8, candidates=CANDIDATES)
    controller.build()
    drawn = set()
    for number in range(20):
        with tf.GradientTape() as tape:
            sample = controller(seed=(0, number), uniform=uniform)
            total = tf.reduce_sum(sample.log_probs)
        for kind, cell in zip(CANDIDATES, sample.arc.numpy()):
            for block, (_, first, _, second) in enumerate(cell):
                drawn |= {(kind, block, MICRO_OPS[op]) for op in (first, second)}
        assert np.all(np.isfinite(sample.entropies)) and np.all(np.isfinite(sample.log_probs))
        gradients = [g for g in tape.gradient(total, controller.trainable_variables) if g is not None]
        assert uniform or gradients
        assert all(np.all(np.isfinite(tf.convert_to_tensor(gradient))) for gradient in gradients)
    allowed = {(kind, block, op) for kind in CANDIDATES for block, ops in enumerate(CANDIDATES[kind]) for op in ops}
    assert drawn <= allowed
    assert not uniform or drawn == allowed


def test_candidates_of_the_micro_space_come_from_a_file(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(CANDIDATES))
    for genotype in api.random_genotypes(5, space="micro", nodes=2, restrict=str(path)):
        assert genotype.edge_operations()["normal"][:2] == ["sep_conv_3x3"] * 2
        assert genotype.edge_operations()["reduce"][:2] == ["sep_conv_5x5"] * 2
    with pytest.raises(RestrictionError, match="2 blocks, where a cell has 5; see --nodes"):
        api.random_genotypes(1, space="micro", restrict=str(path))
    with pytest.raises(RestrictionError, match="--restrict takes a JSON file; cannot read"):
        api.random_genotypes(1, space="micro", restrict="s1")
    before = SPACE.remembered(nodes=2, restrict=str(path))
    path.write_text(json.dumps(CANDIDATES | {"reduce": CANDIDATES["normal"]}))
    assert SPACE.remembered(nodes=2, restrict=str(path)) != before
