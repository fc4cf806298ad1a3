"""The alternation of shared steps and REINFORCE: rewards and baselines of the authors, a planted problem, its twin."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import reference
from tfdarts import optimizers, recipes, spaces, tasks
from tfdarts.spaces.macro.controller import MacroController
from tfdarts.spaces.micro.controller import MicroController
from tfdarts.spaces.recurrent.controller import RecurrentController
from tfdarts.strategies import enas
from tfdarts.strategies.enas import Enas, Policy
from tfdarts.tasks.images import ImageTask

# Planted problems: a controller, the best architecture as the numbers of its choices.
PROBLEMS = {
    "macro": (lambda: MacroController(4, 16, tanh_constant=4.0), [2, 0, 5, 3] + [0] * 6),
    "micro": (lambda: MicroController(1, 16, 4.0, 1.0), [0, 4, 1, 2] * 2),
    "recurrent": (lambda: RecurrentController(3, 16, 1.0, 4.0), [2, 0, 3, 0, 1]),
}


def choices(arc):
    """An architecture's choices as one vector; of skip connections those that can be."""
    parts = arc if isinstance(arc, tuple) else (arc,)
    below = [np.tril(np.ones(part.shape, bool), -1) if part.dtype == tf.bool else None for part in parts]
    parts = [part if mask is None else tf.boolean_mask(part, mask) for part, mask in zip(parts, below)]
    return tf.concat([tf.reshape(tf.cast(part, tf.int32), [-1]) for part in parts], 0)


class Planted(keras.Model):
    """A shared network that is right about as large a share of images as an architecture has of the best choices."""

    features, shares_statistics = 1, False

    def __init__(self, best, **kwargs):
        super().__init__(**kwargs)
        self.best, self.traces = best, 0
        self.weight = self.add_weight(name="weight", shape=(), initializer="ones")
        self.built = True

    def call(self, images, arc, dropout=None, training=None):
        self.traces += 1
        share = tf.reduce_mean(tf.cast(tf.equal(choices(arc), self.best), tf.float32))
        hit = tf.cast(images[:, 0, 0, 0] < share, tf.float32)  # images hold numbers from 0 to 1
        return self.weight * tf.stack([hit, 1 - hit], 1)

    def genotype(self, arc):
        return choices(tf.nest.map_structure(tf.constant, arc)).numpy().tolist()


def planted(space, updates, optimizer=None, controller_optimizer=None):
    keras.utils.set_random_seed(0)
    make, best = PROBLEMS[space]
    network, controller = Planted(best), make()
    controller.build()
    if space == "micro":
        controller.bias.assign(tf.zeros(5))  # its start keeps to the separable convolutions, longer than a test lasts
    images = tf.reshape(tf.linspace(0.0, 0.999, 64), (64, 1, 1, 1))
    batch = images, tf.zeros((64,), tf.int32)
    policy = Policy(2, updates, 4, lambda epoch: 0.01, baseline_decay=0.9, derived=20)
    adam = optimizers.Adam(0.01, (0.0, 0.999), epsilon=1e-3, epsilon_before_correction=True)
    learner = Enas(
        network,
        ImageTask(),
        optimizer or optimizers.Sgd(0.1, 0.9),
        controller,
        policy,
        controller_optimizer or adam,
        batch,
    )
    learner.compile(jit_compile=False)
    return learner, tf.data.Dataset.from_tensors(batch).repeat()


@pytest.fixture(scope="module", params=PROBLEMS)
def solved(request):
    learner, data = planted(request.param, 500)
    learner.fit(data, steps_per_epoch=learner.policy.steps, epochs=1, verbose=0, shuffle=False)
    return learner


def test_the_controller_solves_a_planted_problem_that_uniform_draws_do_not(solved):
    derived = solved.derived()
    assert derived.rewards.mean() > 0.8
    assert derived.uniform_rewards.mean() < 0.6
    assert solved.genotype() == solved.network.best


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
    learner, data = planted("macro", 0)
    before = [v.numpy() for v in learner.controller.trainable_variables]
    learner.fit(data, steps_per_epoch=2, epochs=2, verbose=0, shuffle=False)
    for variable, value in zip(learner.controller.trainable_variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)
    derived = learner.derived()
    assert derived.rewards.mean() < 0.6 and derived.uniform_rewards.size == 0
    assert "reward" not in learner.results()


def test_rewards_and_baselines_are_the_authors():
    """Of recurrent cells: a reward for every decision, the baseline beginning anew with a phase."""
    trace = reference.load("enas/reward_trace")
    count = trace["entropies"].shape[1]

    class Bare(Enas):
        def __init__(self):
            keras.Model.__init__(self)
            self.policy = Policy(1, 1, per_decision=True)
            self.baseline = self.add_weight(name="baseline", shape=(count,), initializer="zeros", trainable=False)

    learner = Bare()
    for k, (perplexity, entropies) in enumerate(zip(trace["valid_ppl"], trace["entropies"])):
        advantage = Enas._advantage(learner, 80.0 / perplexity, entropies, tf.constant(k == 0))
        reference.close(learner.baseline.numpy(), trace["baselines"][k], 1e-6)
        np.testing.assert_allclose(advantage, trace["advantages"][k], atol=2e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_controllers_optimizers_are_tensorflow_1s(optimizer):
    adam = {"betas": (0.5, 0.999), "epsilon": 1e-3}
    chosen = enas.controller_optimizer(adam, controller_optim=optimizer, controller_lr=0.01)
    learner, _ = planted("macro", 1, controller_optimizer=chosen)

    def weights():
        return np.concatenate([v.numpy().ravel() for v in learner.controller.trainable_variables])

    expected, first, second = weights(), 0.0, 0.0
    for count in (1, 2, 3):
        gradient = np.linspace(-0.1, 0.1 * count, expected.size, dtype=np.float32)
        learner.gradient_sum.assign(gradient)
        learner._update_controller()
        first, second = 0.5 * first + 0.5 * gradient, 0.999 * second + 0.001 * gradient**2
        rate = 0.01 * (1 - 0.999**count) ** 0.5 / (1 - 0.5**count)
        expected = expected - (rate * first / (second**0.5 + 1e-3) if optimizer == "adam" else 0.01 * gradient)
        np.testing.assert_allclose(weights(), expected, atol=1e-6)
        assert not learner.gradient_sum.numpy().any()


def test_shared_weights_by_adam_count_their_own_steps():
    learner, _ = planted("macro", 1, optimizers.Adam(0.1, (0.9, 0.999)))
    gradient = tf.constant([0.5])
    for step, count in ((1, 1), (2, 2), (7, 3)):  # the steps 3 to 6 are the controller's
        learner.step.assign(step)
        assert int(learner._shared_count()) == count
        before = learner.network.weight.numpy()
        learner.descend(before[None], gradient, count=learner._shared_count())
        np.testing.assert_allclose(learner.network.weight.numpy(), before - 0.1, rtol=1e-5)


def test_lines_and_warm_up():
    rate = optimizers.schedule(epochs=250, learning_rate=0.5, learning_rate_min=0.0, schedule="linear", warmup_epochs=5)
    np.testing.assert_allclose([rate(epoch) for epoch in range(6)], [0.1, 0.2, 0.3, 0.4, 0.5, 0.49])
    assert rate(249) == pytest.approx(0.002)
    rate = optimizers.schedule(epochs=50, learning_rate=0.5, learning_rate_min=0.0, warmup_epochs=5)
    assert rate(4) == 0.5 and rate(25) == pytest.approx(0.25)


def test_nesterov_momentum_and_restarted_cosines():
    w, buffer = optimizers.sgd(np.float64(1.0), 0.5, np.float64(2.0), 0.1, 0.9, 0.2, nesterov=True)
    assert buffer == pytest.approx(0.9 * 2 + 0.7) and w == pytest.approx(1 - 0.1 * (0.7 + 0.9 * 2.5))
    rate = optimizers.restarts(0.05, 0.001, 10, 2)
    assert [rate(epoch) for epoch in (0, 10, 30, 70)] == [0.05] * 4
    assert rate(5) == pytest.approx(0.0255) == rate(20) and rate(29) < 0.0014


def test_batches_from_any_step_are_the_rest_of_all():
    policy = Policy(3, 2, 2)

    def numbers(offset):
        return lambda start: tf.data.Dataset.range(start, 1000).map(lambda n: n + offset)

    def from_step(step):
        return list(enas.alternate(numbers(0), numbers(1000), policy, step).take(21 - step).as_numpy_iterator())

    whole = from_step(0)
    assert whole[:9] == [0, 1, 2, 1000, 1001, 1002, 1003, 3, 4]
    assert all(from_step(step) == whole[step:] for step in range(21))


@pytest.fixture(scope="module")
def on_text():
    """A learner on a short text, the batches that it takes, its schedule."""
    given = {"nhid": 8, "nodes": 3, "batch_size": 64, "shared_max_step": 0, "ppl_square": True}
    settings, task = recipes.resolve("enas_topics", "search", given), tasks.load("text")
    job = enas.job(spaces.load("recurrent"), task.load(**settings.pick(task.load)), settings)
    for variable in job.model.network.trainable_variables:
        variable.assign(20.0 * variable)  # so that what was read before matters
    return job.model, list(job.batches(0).take(2)), job.schedule


def test_rewards_on_text_fall_with_the_squared_perplexity_of_what_was_read(on_text):
    learner, ((tokens, targets, scale, first), (more, more_targets, *_)), _ = on_text

    def reward(batch, restart):
        result, carried = learner._reward(batch, arc, restart)
        learner.task.keep(carried, 1)
        return float(result)

    arc = tf.constant([0, 1, 2]), tf.constant([0, 1])
    hidden, losses = tf.zeros((64, 8)), []
    for x, y in ((tokens, targets), (more, more_targets)):
        logits, hidden, *_ = learner.network(x, hidden, arc, training=True)
        losses.append(tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)).numpy())
    expected = [80 / np.exp(loss) ** 2 for loss in losses]
    batch, after = (tokens, targets, scale, first), (more, more_targets, scale, tf.constant(False))
    assert bool(first) and reward(batch, tf.constant(True)) == pytest.approx(expected[0], rel=1e-5)
    assert reward(after, tf.constant(False)) == pytest.approx(expected[1], rel=1e-5)
    fresh = reward(after, tf.constant(True))
    assert abs(fresh / expected[1] - 1) > 1e-6  # the hidden state matters


def test_a_search_on_text_has_a_pass_of_the_data_and_a_rate_that_falls_late(on_text):
    learner, _, schedule = on_text
    assert learner.policy.shared_steps > 10
    assert [schedule(epoch) for epoch in (0, 14)] == [20.0, 20.0] and schedule(16) == pytest.approx(20 * 0.96**2)
    draws = {tuple(learner.stream(purpose).numpy()) for purpose in range(5)}
    assert len(draws) == 5  # a stream for each purpose
