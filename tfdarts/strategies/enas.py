"""ENAS: a controller draws architectures, which all share one set of weights (Pham et al. 2018, arXiv:1802.03268)."""

import functools
import math
import typing

import keras
import numpy as np
import tensorflow as tf

from tfdarts import optimizers, precision
from tfdarts.options import OptionError
from tfdarts.tasks.base import VALID
from tfdarts.training import devices
from tfdarts.training.job import Job
from tfdarts.training.learner import Call, Learner
from tfdarts.training.vectors import assign

# What random numbers are for: each draws from a stream of its own.
_SHARED, _CONTROLLER, _DERIVE, _DROPOUT = range(1, 5)


class Policy(typing.NamedTuple):
    """How a controller is trained (section 2.2), and how long.

    Attributes:
        shared_steps: steps of the weights in an epoch.
        updates: of the controller, after them; 0 leaves it alone and draws all architectures uniformly, the baseline
            of random search with weight sharing (Li and Talwalkar 2019, arXiv:1902.07638).
        samples: architectures that an update averages, one a step.
        learning_rate: `epoch -> rate`, of the controller; epochs as a tensor.
        entropy_weight: of the entropy in the reward.
        baseline_decay: share that the reward's moving average keeps at one sample.
        penalty_weight: of the skip connections' penalty.
        derived: architectures that are drawn and scored at the end of an epoch.
        per_decision: whether each decision has a reward, with its own entropy, and a baseline, which begins anew with
            every phase of the controller (the program for text).
    """

    shared_steps: int
    updates: int
    samples: int = 1
    learning_rate: typing.Callable = lambda epoch: 3.5e-4
    entropy_weight: float = 1e-4
    baseline_decay: float = 0.95
    penalty_weight: float = 0.0
    derived: int = 100
    per_decision: bool = False

    @property
    def steps(self):
        """Steps of an epoch: those of the weights, then one for each sample of the controller."""
        return self.shared_steps + self.updates * self.samples


class Derived(typing.NamedTuple):
    """Architectures that were drawn after some step, scored on the same validation batch."""

    step: int
    best: typing.Any  # the best architecture, as numpy arrays
    tables: dict  # how often each choice was made, in tables as the controller's `choices`
    rewards: np.ndarray  # of each architecture
    uniform_rewards: np.ndarray  # of as many that were drawn uniformly; empty where all are


class Enas(Learner):
    """Alternates between steps of shared weights, each on one drawn architecture, and steps of the controller.

    Trained by `fit` on a data set whose first `policy.shared_steps` batches of an epoch are for the weights, and the
    others, of validation data, for the controller.

    Args:
        network: built shared network, with `genotype(arc)`.
        task, optimizer, seed, epochs: as in `Learner`.
        controller: built `Controller`.
        policy: `Policy`.
        controller_optimizer: `optimizers.Adam` or `Sgd`, of the controller.
        held_out: validation batch on which derived architectures are scored.
    """

    def __init__(
        self, network, task, optimizer, controller, policy, controller_optimizer, held_out, seed=0, epochs=1, **kwargs
    ):
        super().__init__(network, task, optimizer, seed, epochs, **kwargs)
        self.controller, self.policy, self.held_out = controller, policy, held_out
        self.last_derived = None

        def state(name, shape=(), **options):
            return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False, **options)

        size = sum(math.prod(v.shape) for v in controller.trainable_variables)
        self.controller_optimizer = controller_optimizer
        controller_optimizer.build(size)
        self.gradient_sum = state("policy_gradient", (size,))
        self.updates = state("updates", dtype="int64")
        decisions = controller(seed=(0, 0)).log_probs.shape if policy.per_decision else ()
        self.baseline = state("baseline", decisions)
        if policy.updates:
            self.reward_metric = keras.metrics.Mean(name="reward")
            self.entropy_metric = keras.metrics.Mean(name="entropy")
        self.built = True
        self._score = tf.function(self.scored_draw, autograph=False)

    def stream(self, purpose):
        """Seed of this step's random numbers for a purpose."""
        return tf.stack([tf.constant(self.seed + (purpose << 32), tf.int64), self.step.value])

    def train_step(self, data):
        self.step.assign_add(1)
        position = (self.step.value - 1) % self.policy.steps - self.policy.shared_steps
        if self.policy.updates:
            tf.cond(position < 0, lambda: self._shared_step(data), lambda: self._controller_step(data, position))
        else:
            self._shared_step(data)
        return self.results()

    def _shared_step(self, batch):
        arc = self.controller(self.stream(_SHARED), uniform=not self.policy.updates).arc
        draw = functools.partial(self.stream, _DROPOUT - self.task.dropout_stream)
        weights, gradient, result = self.weight_gradient(self.task.inputs(self.network, batch, draw), arc)
        self.descend(weights, gradient, count=self._shared_count())
        self.task.keep(result.carry)
        self.update_metrics(result)
        return tf.no_op()

    def _shared_count(self):
        """Number of this step among those of the weights, from 1."""
        epochs, position = (self.step.value - 1) // self.policy.steps, (self.step.value - 1) % self.policy.steps
        return epochs * self.policy.shared_steps + position + 1

    def _reward(self, batch, arc, restart):
        """What an architecture is worth on a validation batch, and what it carries on."""
        inputs = self.task.inputs(self.network, batch, None, VALID, restart=restart)
        return self.task.reward(self.architecture_call(arc), inputs)

    def architecture_call(self, arc):
        """The network for an architecture, as a reward runs it: nothing that it would change in training changes."""
        return Call(self.network, self.weights_vector(), arc, statistics=self.statistics())

    def _controller_step(self, batch, position):
        """REINFORCE on one drawn architecture: `position` counts them from 0 in an epoch."""
        policy, variables, first = self.policy, self.controller.trainable_variables, tf.equal(position, 0)
        with tf.GradientTape() as tape:
            sample = self.controller(self.stream(_CONTROLLER))
            with tape.stop_recording():
                reward, carried = self._reward(batch, sample.arc, first)
                self.task.keep(carried, VALID)
                advantage = self._advantage(reward, sample.entropies, first)
            loss = tf.reduce_sum(-sample.log_probs * advantage) + policy.penalty_weight * sample.penalty
        gradients = tape.gradient(loss, [v.value for v in variables], unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        self.gradient_sum.assign_add(optimizers.flatten(gradients) / policy.samples)
        self.reward_metric.update_state(reward)
        self.entropy_metric.update_state(tf.reduce_sum(sample.entropies))
        return tf.cond(tf.equal((position + 1) % policy.samples, 0), self._update_controller, tf.no_op)

    def _advantage(self, reward, entropies, first):
        """By how much a reward, with its entropy, exceeds the moving average of those before, which it enters first."""
        per_decision = self.policy.per_decision
        bonus = self.policy.entropy_weight * (entropies if per_decision else tf.reduce_sum(entropies))
        reward, keep = reward + bonus, self.policy.baseline_decay
        before = self.baseline.value
        if per_decision:
            before = tf.where(first, reward, before)
        self.baseline.assign(keep * before + (1 - keep) * reward)
        return reward - self.baseline.value

    def _update_controller(self):
        variables, gradient = self.controller.trainable_variables, self.gradient_sum.value
        count, rate = self.updates.assign_add(1), self.policy.learning_rate(self.epoch.value)
        assign(variables, self.controller_optimizer.update(optimizers.flatten(variables), gradient, rate, count))
        self.gradient_sum.assign(tf.zeros_like(gradient))
        return tf.no_op()

    def results(self):
        values = super().results()
        if self.policy.updates:
            values |= {metric.name: metric.result() for metric in (self.reward_metric, self.entropy_metric)}
        return values

    def scored_draw(self, number, uniform):
        """Draws an architecture of that number, and its reward on the held-out batch."""
        seed = tf.stack([tf.constant(self.seed + (_DERIVE << 32), tf.int64), self.step.value * (1 << 20) + number])
        arc = self.controller(seed, uniform=uniform, training=False).arc
        return arc, self._reward(self.held_out, arc, True)[0]

    def derive(self, count):
        """Draws `count` architectures, scores each on the held-out batch; the same weights give the same `Derived`."""
        self.settle()
        uniform = not self.policy.updates
        drawn = [self._numpy_score(number, uniform) for number in range(count)]
        others = [] if uniform else [self._numpy_score(count + number, True)[1] for number in range(count)]
        arcs, rewards = [arc for arc, _ in drawn], np.array([reward for _, reward in drawn])
        tables = [self.controller.table_values(arc) for arc in arcs]
        means = {name: np.mean([table[name] for table in tables], 0) for name in tables[0]}
        return Derived(int(self.step.numpy()), arcs[rewards.argmax()], means, rewards, np.array(others))

    def _numpy_score(self, number, uniform):
        arc, reward = self._score(tf.constant(number, tf.int64), tf.constant(uniform))
        return tf.nest.map_structure(lambda x: x.numpy(), arc), float(reward)

    def derived(self):
        """`derive` as the policy has it, done once for a step."""
        if self.last_derived is None or self.last_derived.step != int(self.step.numpy()):
            self.last_derived = self.derive(self.policy.derived)
        return self.last_derived

    def rewards(self):
        """The derived architectures' best and mean reward, and the mean of as many drawn uniformly, as a dictionary."""
        derived = self.derived()
        result = {"best_reward": float(derived.rewards.max()), "mean_reward": float(derived.rewards.mean())}
        if derived.uniform_rewards.size:
            result["uniform_reward"] = float(derived.uniform_rewards.mean())
        return result

    def genotype(self):
        """The genotype of the best derived architecture."""
        return self.network.genotype(self.derived().best)

    @property
    def choices(self):
        """The choices that an architecture consists of: table of `mixing` to a tuple of `Choice`."""
        return self.controller.choices

    def mixing(self):
        """How often the derived architectures make each choice, by table."""
        return self.derived().tables


class Derive(keras.callbacks.Callback):
    """After each epoch: derives architectures, and adds their rewards to the epoch's metrics."""

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.model.rewards())


def check(values):
    """Raises OptionError for options of a search that do not go together."""
    if values["jit_compile"]:
        raise OptionError(
            "--jit_compile does not work with --strategy enas or random_ws: XLA cannot compile sampled paths; leave it "
            "out."
        )
    if values["remat"] != "none":
        raise OptionError(
            f"--remat {values['remat']} does not work with --strategy enas or random_ws, whose paths keep few maps; "
            "leave it out."
        )


def job(space, data, settings, parts=()):
    """A search as a `Job`; arguments as in `darts.job`, but that no part of DARTS has a meaning here.

    Raises:
        ValueError: if parts are given.
    """
    if parts:
        raise ValueError("`parts` are for the strategy darts.")
    devices.chosen(**settings.pick(devices.chosen))  # refuses several
    stream = data.shared(**settings.pick(data.shared))
    with precision.policy(settings.precision):
        network = space.shared_network(data.inputs, **settings.pick(space.shared_network))
    how = policy(settings.strategy, stream.steps, space.reward_per_decision, **settings.pick(policy))
    model = Enas(
        network,
        data.shared_task(network, **settings.pick(data.shared_task)),
        shared_optimizer(space.shared_sgd(**settings.pick(space.shared_sgd)), **settings.pick(shared_optimizer)),
        space.controller(**settings.pick(space.controller)),
        how,
        controller_optimizer(space.controller_adam, **settings.pick(controller_optimizer)),
        stream.held_out,
        seed=settings.values["seed"],
        epochs=settings.values["epochs"],
    )
    model.compile(jit_compile=False)  # XLA has no lists of a length that is drawn
    schedule = shared_schedule(**settings.pick(shared_schedule))
    batches = functools.partial(alternate, stream.train, stream.valid, how)
    return Job(model, batches, how.steps, schedule, callbacks=(Derive(),))


def policy(
    strategy,
    one_pass,
    per_decision,
    *,
    shared_max_step,
    controller_max_step,
    entropy_coeff,
    ema_baseline_decay,
    derive_num_sample,
    epochs,
    controller_lr,
    controller_lr_cosine,
    controller_lr_max,
    controller_lr_min,
    controller_num_aggregate=1,
    skip_weight=0.0,
):
    """The `Policy` of a strategy, `"enas"` or `"random_ws"`; `one_pass` is the number of training batches."""

    def rate(epoch):
        if not controller_lr_cosine:
            return controller_lr
        high, low = controller_lr_max, controller_lr_min
        return low + 0.5 * (high - low) * (1 + tf.cos(math.pi * epoch / epochs))

    return Policy(
        shared_max_step or one_pass,
        controller_max_step if strategy == "enas" else 0,
        controller_num_aggregate,
        rate,
        entropy_weight=entropy_coeff,
        baseline_decay=ema_baseline_decay,
        penalty_weight=skip_weight,
        derived=derive_num_sample,
        per_decision=per_decision,
    )


def shared_optimizer(sgd, *, shared_optim):
    """The optimizer of the shared weights; `sgd` has the arguments of `optimizers.Sgd`."""
    if shared_optim == "sgd":
        return optimizers.Sgd(**sgd)
    names = ("learning_rate", "weight_decay", "grad_clip")
    return optimizers.Adam(**{name: sgd[name] for name in names}, name="shared_adam")


def controller_optimizer(adam, *, controller_optim, controller_lr):
    """The optimizer of the controller; `adam` has arguments of `optimizers.Adam`."""
    if controller_optim == "sgd":
        return optimizers.Sgd(controller_lr, name="controller_sgd")
    if controller_optim == "momentum":  # as the authors' program has it
        return optimizers.Sgd(controller_lr, 0.9, nesterov=True, name="controller_momentum")
    return optimizers.Adam(controller_lr, **adam, epsilon_before_correction=True, name="controller_adam")


def shared_schedule(
    *,
    shared_lr,
    shared_lr_min=None,
    restart_epochs=None,
    restart_factor=None,
    shared_lr_decay=None,
    shared_decay_after=None,
):
    """The shared weights' learning rate, `epoch -> rate`: cosines with restarts, or a decay from some epoch on."""
    if shared_lr_decay is None:
        return optimizers.restarts(shared_lr, shared_lr_min, restart_epochs, restart_factor)
    return lambda epoch: shared_lr * shared_lr_decay ** max(0, epoch - shared_decay_after + 1)


def alternate(train, valid, policy, step):
    """The batches from a global step on: of every epoch the first from `train`, the controller's from `valid`.

    Args:
        train, valid: `start -> tf.data.Dataset`, endless from the batch of that number on.
        policy: `Policy`.
        step: int.
    """
    if not policy.updates:
        return train(step)
    epochs, position = divmod(step, policy.steps)
    shared = min(position, policy.shared_steps)
    others = epochs * (policy.steps - policy.shared_steps) + position - shared
    numbers = tf.data.Dataset.range(step, np.iinfo(np.int64).max)
    which = numbers.map(lambda number: tf.cast(number % policy.steps >= policy.shared_steps, tf.int64))
    return tf.data.Dataset.choose_from_datasets([train(epochs * policy.shared_steps + shared), valid(others)], which)


def costs(space, task, inputs, settings):
    """What the shared network costs, as a dictionary: all parameters, multiply-adds and memory of one architecture."""
    with precision.policy(settings.precision):
        network = space.shared_network(inputs, **settings.pick(space.shared_network))
    (arc,) = space.random_architectures(1, settings.values["seed"], **settings.pick(space.controller))
    return task.costs(network, inputs, space.search_memory, {"arc": arc}, **settings.pick(task.costs))


def random(space, settings):
    """Genotypes of architectures that the controller draws uniformly, `settings.samples` of them."""
    values = settings.values
    arcs = space.random_architectures(values["samples"], values["seed"], **settings.pick(space.controller))
    return [space.genotype.from_arc(arc) for arc in arcs]
