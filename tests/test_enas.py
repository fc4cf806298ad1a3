"""The alternation of shared steps and REINFORCE: rewards and baselines of the authors, a planted problem, its twin."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import reference
from tfdarts import controllers
from tfdarts.strategies.enas import Enas, EnasOnImages, EnasOnText, Policy

OP, ENTRY = 2, 0  # of every layer in the planted problem: the right operation, the one entry to connect to


class Planted(keras.Model):
    """A shared network that is right about as many images as an architecture has choices right; one weight."""

    features = 1

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        self.layers_, self.traces = layers, 0
        self.weight = self.add_weight(name="weight", shape=(), initializer="ones")
        self.built = True

    def call(self, images, arc, dropout=None, training=None):
        self.traces += 1
        ops, skips = arc
        wanted = np.zeros((self.layers_, self.layers_), bool)
        wanted[1:, ENTRY] = True
        below = np.tril(np.ones_like(wanted), -1)
        right = tf.reduce_sum(tf.cast(tf.equal(ops, OP), tf.float32))
        right += tf.reduce_sum(below * tf.cast(tf.equal(skips, wanted), tf.float32))
        share = right / (self.layers_ + below.sum())
        hit = tf.cast(images[:, 0, 0, 0] < share, tf.float32)  # images hold numbers from 0 to 1
        return self.weight * tf.stack([hit, 1 - hit], 1)

    def genotype(self, arc):
        return arc


def planted(updates, layers=4, **options):
    network, controller = Planted(layers), controllers.MacroController(layers, 16)
    controller.build()
    images = tf.reshape(tf.linspace(0.0, 0.999, 64), (64, 1, 1, 1))
    batch = images, tf.zeros((64,), tf.int32)
    policy = Policy(2, updates, 4, lambda epoch: 0.01, betas=(0.0, 0.999), epsilon=1e-3, derived=20, **options)
    sgd = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.0, "grad_clip": np.inf}
    learner = EnasOnImages(network, controller, policy, batch, dropout=0.0, **sgd)
    learner.compile(jit_compile=False)
    data = tf.data.Dataset.from_tensors(batch).repeat()
    return learner, data, policy.steps


@pytest.fixture(scope="module")
def solved():
    learner, data, steps = planted(150, baseline_decay=0.95)
    learner.fit(data, steps_per_epoch=steps, epochs=3, verbose=0)
    return learner


def test_the_controller_solves_a_planted_problem_that_uniform_draws_do_not(solved):
    derived = solved.derived()
    assert derived.rewards.mean() > 0.97 and derived.rewards.max() == 1.0
    assert derived.uniform_rewards.mean() < 0.6 and derived.uniform_rewards.max() < 0.9
    ops, skips = solved.genotype()
    assert (ops == OP).all() and skips[1:, ENTRY].all() and skips.sum() == 3
    assert derived.tables["operation"][:, OP].min() > 0.9


def test_one_trace_serves_all_architectures(solved):
    # fit: a shared and a controller's branch; deriving: one; Keras itself calls it once more or less to build.
    assert solved.network.traces <= 4


def test_deriving_changes_nothing_and_repeats_itself(solved):
    before = [v.numpy() for v in solved.state()]
    again = solved.derive(20)
    np.testing.assert_array_equal(again.rewards, solved.derived().rewards)
    for variable, value in zip(solved.state(), before):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_without_updates_the_controller_stays_and_draws_uniformly():
    learner, data, steps = planted(0)
    before = [v.numpy() for v in learner.controller.trainable_variables]
    learner.fit(data, steps_per_epoch=steps, epochs=2, verbose=0)
    for variable, value in zip(learner.controller.trainable_variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)
    derived = learner.derived()
    assert derived.rewards.mean() < 0.6 and derived.uniform_rewards.size == 0
    assert "reward" not in learner.results()


def test_rewards_and_baselines_are_the_authors():
    """Of recurrent cells: a reward for every decision, the baseline beginning anew with a phase."""
    trace = reference.load("enas/reward_trace")
    count = trace["entropies"].shape[1]

    class Bare(EnasOnText):
        def __init__(self):
            keras.Model.__init__(self)
            self.policy = Policy(1, 1)
            self.baseline = self.add_weight(name="baseline", shape=(count,), initializer="zeros", trainable=False)

    learner = Bare()
    for k, (perplexity, entropies) in enumerate(zip(trace["valid_ppl"], trace["entropies"])):
        advantage = Enas._advantage(learner, 80.0 / perplexity, entropies, tf.constant(k == 0))
        reference.close(learner.baseline.numpy(), trace["baselines"][k], 1e-6)
        np.testing.assert_allclose(advantage, trace["advantages"][k], atol=2e-6)
