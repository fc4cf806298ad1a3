"""Compiled steps on vectors: few kernels an update, and the network's variables up to date wherever one looks."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.measure import IDLE
from tests.support import build
from tests.support.jobs import StopAt
from tfdarts import operations
from tfdarts.runs import checkpoint
from tfdarts.runs.callbacks import Stopped
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.spaces.genotypes import load
from tfdarts.training import vectors
from tfdarts.training.job import Job

IMAGES = np.random.default_rng(0).normal(size=(24, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(24, dtype=np.int32) % 10
PAIR = (tf.constant(IMAGES[:4]), tf.constant(LABELS[:4]))
KINDS = ("search", "training")


def learner_of(kind):
    """A compiled search of the weights alone, or a training, of a tiny network."""
    keras.utils.set_random_seed(0)
    if kind == "search":
        network = Supernet(operations.load("regular"), 10, 2, 1, 2, 1)
        network.build((None, 8, 8, 1))
        learner = build.search(network, "weights")
    else:
        network = EvaluationNetwork(load("digits"), 10, channels=2, layers=1, auxiliary=False)
        network.build((None, 8, 8, 1))
        learner = build.training(network)
    learner.compile(jit_compile=False)
    return learner


@pytest.fixture(scope="module", params=KINDS)
def shared(request):
    """A learner for several tests, and what a step of it takes."""
    return learner_of(request.param), (PAIR, PAIR) if request.param == "search" else PAIR


def job_of(learner, callbacks=()):
    """Epochs of 3 steps."""

    def batches(step):
        data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(4, drop_remainder=True).repeat().skip(step)
        return data.map(twice) if hasattr(learner, "alphas") else data

    def twice(*pair):
        return pair, pair

    return Job(learner, batches, 3, lambda epoch: 0.1, callbacks=callbacks)


def values(network):
    """What a network's variables hold, whoever keeps them."""
    return [variable.numpy() for variable in network.variables]


def test_an_update_is_a_few_kernels(shared):
    learner, batch = shared
    graph = tf.function(learner.train_step, autograph=False)
    own = learner.stepping(graph.get_concrete_function)(batch).graph
    assigned = [op for op in own.get_operations() if op.type.startswith("Assign")]
    assert len(assigned) <= 10 < len(learner.network.variables)
    if hasattr(learner, "alphas"):  # the pass is a function of its own, so that the rest is the update
        kinds = collections.Counter(op.type for op in own.get_operations() if op.type not in IDLE)
        assert kinds.total() <= 100, kinds


def test_compiled_steps_do_what_steps_on_the_variables_do(shared):
    learner, batch = shared
    start = [v.numpy() for v in learner.state()]
    compiled = learner.stepping(tf.function(learner.train_step, autograph=False))
    for _ in range(2):
        compiled(batch)
    stale = values(vars(learner)["network"])  # read behind its back
    found = [v.numpy() for v in learner.state()]
    assert not all(map(np.array_equal, stale, values(learner.network)))
    for variable, value in zip(learner.state(), start):
        variable.assign(value)
    for _ in range(2):
        learner.train_step(batch)
    for variable, value in zip(learner.state(), found):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-4, atol=1e-5, err_msg=variable.path)


def test_a_step_compiled_behind_the_learner_s_back_is_refused(shared):
    learner, batch = shared
    with pytest.raises(RuntimeError, match="called through `Learner.stepping`"):
        tf.function(learner.train_step, autograph=False)(batch)


class Look(keras.callbacks.Callback):
    """Compares a network, held from before, with the model's vector; and what changed since the last look."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, [values(network)]

    def look(self):
        now = values(self.network)
        assert not any(map(np.array_equal, now, self.seen[-1]))  # weights, means and variances have all moved
        self.seen.append(now)

    def on_epoch_end(self, epoch, logs=None):
        self.look()

    def on_test_begin(self, logs=None):
        self.look()
        self.seen.pop()

    def on_train_end(self, logs=None):
        assert all(map(np.array_equal, values(self.network), self.seen[-1]))


@pytest.mark.parametrize("kind", KINDS)
def test_callbacks_validation_and_whoever_comes_after_see_the_network_as_it_is(kind):
    learner = learner_of(kind)
    network, look = learner.network, Look(learner.network)
    validation = tf.data.Dataset.from_tensors(PAIR)
    found = fit(None, job_of(learner, (look,))._replace(validation=validation), 2, 60.0)
    assert len(look.seen) == 3 and np.isfinite(found.history["val_loss"]).all()
    assert all(map(np.array_equal, values(network), look.seen[-1]))

    def write(model):  # what is written in mid-epoch is what the next step goes on from
        model.network.trainable_variables[0].assign(np.full(network.trainable_variables[0].shape, 3.0, np.float32))
        assert not np.array_equal(values(network)[-1], look.seen[-1][-1])

    fit(None, job_of(learner, (StopAt(8, write),)), 3, 60.0)
    assert np.abs(network.trainable_variables[0].numpy() - 3).max() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_in_mid_epoch_has_the_network_under_the_names_it_always_had(kind, tmp_path):
    learner = learner_of(kind)
    start = [v.numpy() for v in learner.state()]
    fit(RunFolder.start(tmp_path / "whole", {"stage": "search"}), job_of(learner), 2, 60.0)
    whole = [v.numpy() for v in learner.state()]
    for variable, value in zip(learner.state(), start):
        variable.assign(value)
    folder = RunFolder.start(tmp_path / "cut", {"stage": "search"})
    with pytest.raises(Stopped):
        fit(folder, job_of(learner), 2, 60.0, [StopAt(2)])
    network = learner.network
    (path,) = folder.folder.glob("checkpoint_*.npz")
    with np.load(path) as file:
        stored = {name.removeprefix("state/"): file[name] for name in file.files if name.startswith("state/")}
    names = {name: variable for name, variable in checkpoint.names(learner).items() if name.startswith("network/")}
    assert {id(variable) for variable in names.values()} == {id(variable) for variable in network.variables}
    other = {"step", "epoch", "learning_rate", "weight_optimizer/buffer"}
    other |= {f"{metric}/{part}" for metric in ("loss_metric", "_loss_tracker") for part in ("total", "count")}
    scores = {f"score_metrics/{k}/{part}" for k in range(len(learner.score_metrics)) for part in ("total", "count")}
    arch = {"alphas", "arch_optimizer/m", "arch_optimizer/v", "valid_loss_metric/total", "valid_loss_metric/count"}
    assert set(stored) - set(names) == other | scores | (arch if kind == "search" else set())
    for name, variable in names.items():
        np.testing.assert_array_equal(stored[name], variable)
    again = learner_of(kind)
    fit(RunFolder.resume(folder.folder), job_of(again), 2, 60.0)
    for variable, value in zip(again.state(), whole):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)


def test_tensors_of_several_dtypes_become_one_vector_each():
    tensors = [tf.ones((2, 3)), tf.constant([5, 6]), tf.zeros(()), tf.constant(7)]
    joined = vectors.join(tensors)
    assert [(vector.dtype, vector.shape) for vector in joined] == [(tf.float32, (7,)), (tf.int32, (3,))]
    for tensor, again in zip(tensors, vectors.cut(joined, tensors), strict=True):
        np.testing.assert_array_equal(tensor, again)
    assert vectors.join([]) == () and vectors.cut((), []) == []
