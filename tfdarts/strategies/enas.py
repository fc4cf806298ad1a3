"""ENAS: a controller draws architectures, which all share one set of weights (Pham et al. 2018, arXiv:1802.03268)."""

import math
import typing

import keras
import numpy as np
import tensorflow as tf

from tfdarts.layers.network import dropout_factors
from tfdarts.tasks.text import Reading, cross_entropy
from tfdarts.training import optimizers
from tfdarts.training.learner import Learner

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
        optimizer: "adam" or "sgd".
        betas, epsilon: of Adam.
        entropy_weight: of the entropy in the reward.
        baseline_decay: share that the reward's moving average keeps at one sample.
        penalty_weight: of the skip connections' penalty.
        derived: architectures that are drawn and scored at the end of an epoch.
    """

    shared_steps: int
    updates: int
    samples: int = 1
    learning_rate: typing.Callable = lambda epoch: 3.5e-4
    optimizer: str = "adam"
    betas: tuple = (0.9, 0.999)
    epsilon: float = 1e-8
    entropy_weight: float = 1e-4
    baseline_decay: float = 0.95
    penalty_weight: float = 0.0
    derived: int = 100

    @property
    def steps(self):
        """Steps of an epoch: those of the weights, then one for each sample of the controller."""
        return self.shared_steps + self.updates * self.samples


class Derived(typing.NamedTuple):
    """Architectures that were drawn after some step, scored on the same validation batch."""

    step: int
    best: typing.Any  # the best architecture, as numpy arrays
    tables: dict  # how often each choice was made, in the controller's tables
    rewards: np.ndarray  # of each architecture
    uniform_rewards: np.ndarray  # of as many that were drawn uniformly; empty where all are


class Enas(Learner):
    """Alternates between steps of shared weights, each on one drawn architecture, and steps of the controller.

    Trained by `fit` on a data set whose first `policy.shared_steps` batches of an epoch are for the weights, and the
    others, of validation data, for the controller. A subclass says how a batch is read: `shared_loss` and `score`.

    Args:
        network: built shared network, with `genotype(arc)`.
        controller: built `Controller`.
        policy: `Policy`.
        held_out: validation batch on which derived architectures are scored.
        shared_optimizer: "sgd" or "adam", for the weights.
        learning_rate, momentum, weight_decay, grad_clip, nesterov: of the weights, as in `Learner`.
        seed: int, of all draws.
    """

    per_decision = False  # whether each decision has a reward, with its own entropy, and a baseline that begins anew

    def __init__(self, network, controller, policy, held_out, shared_optimizer="sgd", seed=0, **sgd):
        super().__init__(network, **sgd)
        self.controller, self.policy, self.held_out, self.seed = controller, policy, held_out, seed
        self.shared_optimizer = shared_optimizer
        self.last_derived = None

        def state(name, shape=(), **options):
            return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False, **options)

        if shared_optimizer == "adam":
            self.shared_second = state("shared_second", self.buffer.shape)
        size = sum(math.prod(v.shape) for v in controller.trainable_variables)
        names = ("policy_gradient", "policy_first", "policy_second")
        self.gradient_sum, self.first, self.second = (state(name, (size,)) for name in names)
        self.updates = state("updates", dtype="int64")
        self.epoch = state("epoch")
        decisions = controller(seed=(0, 0)).log_probs.shape if self.per_decision else ()
        self.baseline = state("baseline", decisions)
        if policy.updates:
            self.reward_metric = keras.metrics.Mean(name="reward")
            self.entropy_metric = keras.metrics.Mean(name="entropy")
        self.built = True
        self._score = tf.function(self._scored, autograph=False)

    def shared_loss(self, batch, arc, draw):
        """The loss of an architecture on a training batch, in training.

        Returns:
            The loss, its gradient for the weights as one vector, logits, labels.
        """
        raise NotImplementedError

    def score(self, batch, arc):
        """What an architecture is worth on a validation batch by itself; changes nothing."""
        raise NotImplementedError

    def reward(self, batch, arc, first):
        """The score on a batch of the controller's phase, of which it is the `first` or not."""
        return self.score(batch, arc)

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
        loss, gradient, logits, labels = self.shared_loss(batch, arc, self.stream(_DROPOUT))
        self.descend(optimizers.flatten(self.network.trainable_variables), gradient)
        self.update_metrics(loss, logits, labels)
        return tf.no_op()

    def descend(self, weights, gradient, scale=1.0):
        if self.shared_optimizer == "sgd":
            return super().descend(weights, gradient, scale)
        gradient, _ = optimizers.clip(gradient, self.grad_clip)
        rate, step = self.learning_rate.value * scale, self._shared_count()
        moments = (self.buffer.value, self.shared_second.value)
        weights, *moments = optimizers.adam(weights, gradient, *moments, step, rate, (0.9, 0.999), self.weight_decay)
        for variable, value in zip((self.buffer, self.shared_second), moments):
            variable.assign(value)
        self.set_weights_vector(weights)
        return weights

    def _shared_count(self):
        """Number of this step among those of the weights, from 1."""
        epochs, position = (self.step.value - 1) // self.policy.steps, (self.step.value - 1) % self.policy.steps
        return epochs * self.policy.shared_steps + position + 1

    def _controller_step(self, batch, position):
        """REINFORCE on one drawn architecture: `position` counts them from 0 in an epoch."""
        policy, variables, first = self.policy, self.controller.trainable_variables, tf.equal(position, 0)
        with tf.GradientTape() as tape:
            sample = self.controller(self.stream(_CONTROLLER))
            with tape.stop_recording():
                reward = self.reward(batch, sample.arc, first)
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
        bonus = self.policy.entropy_weight * (entropies if self.per_decision else tf.reduce_sum(entropies))
        reward, keep = reward + bonus, self.policy.baseline_decay
        before = self.baseline.value
        if self.per_decision:
            before = tf.where(first, reward, before)
        self.baseline.assign(keep * before + (1 - keep) * reward)
        return reward - self.baseline.value

    def _update_controller(self):
        policy, variables = self.policy, self.controller.trainable_variables
        weights, gradient = optimizers.flatten(variables), self.gradient_sum.value
        count, rate = self.updates.assign_add(1), policy.learning_rate(self.epoch.value)
        if policy.optimizer == "sgd":
            weights, _ = optimizers.sgd(weights, gradient, tf.zeros_like(weights), rate, 0.0, 0.0)
        else:
            # TensorFlow 1's Adam adds epsilon before the second moment is corrected: so did the authors on images.
            epsilon = policy.epsilon / tf.sqrt(1 - tf.pow(policy.betas[1], tf.cast(count, weights.dtype)))
            moments = (self.first.value, self.second.value)
            weights, *moments = optimizers.adam(weights, gradient, *moments, count, rate, policy.betas, 0.0, epsilon)
            for variable, value in zip((self.first, self.second), moments):
                variable.assign(value)
        for variable, value in zip(variables, optimizers.unflatten(weights, variables)):
            variable.assign(value)
        self.gradient_sum.assign(tf.zeros_like(gradient))
        return tf.no_op()

    def results(self):
        """Loss and accuracy of the weights' steps, and of the controller's, if there are any, reward and entropy."""
        return {metric.name: metric.result() for metric in self.metrics}

    def _scored(self, number, uniform):
        seed = tf.stack([tf.constant(self.seed + (_DERIVE << 32), tf.int64), self.step.value * (1 << 20) + number])
        arc = self.controller(seed, uniform=uniform, training=False).arc
        return arc, self.score(self.held_out, arc)

    def derive(self, count):
        """Draws `count` architectures, scores each on the held-out batch; the same weights give the same `Derived`."""
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
    def tables(self):
        """Names of the rows and columns of the tables of `mixing`."""
        return self.controller.tables

    def mixing(self):
        """How often the derived architectures make each choice, by table."""
        return self.derived().tables


class EnasOnImages(Enas):
    """Batches are `(images, labels)`; the reward is the accuracy on a batch (section 3.2).

    Args:
        dropout: probability that a pooled feature is dropped while weights are trained.
    """

    def __init__(self, *arguments, dropout=0.1, **options):
        super().__init__(*arguments, **options)
        self.dropout = dropout

    def shared_loss(self, batch, arc, draw):
        images, labels = batch
        variables, factors = self.network.trainable_variables, None
        if self.dropout:
            factors = dropout_factors((tf.shape(images)[0], self.network.features), self.dropout, draw)
        with tf.GradientTape() as tape:
            logits = self.network(images, arc, dropout=factors, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, [v.value for v in variables], unconnected_gradients="zero")
        return loss, optimizers.flatten(gradients), logits, labels

    def score(self, batch, arc):
        images, labels = batch
        hits = tf.equal(tf.argmax(self.network(images, arc, training=False), -1, output_type=labels.dtype), labels)
        return tf.reduce_mean(tf.cast(hits, tf.float32))


class EnasOnText(Reading, Enas):
    """Batches are `(tokens, targets, first)`, `first` where the text begins; the reward falls with the perplexity.

    Section 3.1: `scale / perplexity` of a piece of the validation text, as the shared weights have it without dropout.
    Every decision has a reward, with its own entropy, and a baseline, which begins anew with every phase of the
    controller.

    Args:
        batch_size, bptt, rates: as in `LanguageTraining`.
        scale: of the reward.
        square: whether the perplexity is squared in it.
    """

    per_decision = True

    def __init__(self, *arguments, batch_size=64, bptt=35, rates=(), scale=80.0, square=False, **options):
        super().__init__(*arguments, **options)
        self.set_reading(batch_size, bptt, dict(rates), 0.0, 0.0, self.seed)
        self.hidden_valid = self.add_hidden("hidden_valid")
        self.scale, self.power = scale, 2 if square else 1

    def shared_loss(self, batch, arc, draw):
        tokens, targets, first = batch
        weights = optimizers.flatten(self.network.trainable_variables)
        inputs = tokens, targets, self.begin(self.hidden.value, first), draw, tf.zeros(())
        with tf.GradientTape() as tape:
            tape.watch(weights)
            _, (loss, logits, hidden), state = self.sequence_loss(weights, inputs, arc)
        self.hidden.assign(hidden)
        for variable, value in zip(self.network.non_trainable_variables, state):
            variable.assign(value)
        return loss, tape.gradient(loss, weights), logits, targets

    def score(self, batch, arc):
        tokens, targets, _ = batch
        return self._read_valid(tokens, targets, tf.zeros_like(self.hidden_valid.value), arc)[0]

    def reward(self, batch, arc, first):
        tokens, targets, beginning = batch
        hidden = self.begin(self.hidden_valid.value, tf.logical_or(first, beginning))
        reward, hidden = self._read_valid(tokens, targets, hidden, arc)
        self.hidden_valid.assign(hidden)
        return reward

    def _read_valid(self, tokens, targets, hidden, arc):
        weights = optimizers.flatten(self.network.trainable_variables)
        (logits, hidden, *_), _ = self.read(weights, tokens, hidden, arc, training=True)
        return self.scale / tf.exp(cross_entropy(logits, targets)) ** self.power, hidden

    def results(self):
        result = Enas.results(self)
        return result | {"perplexity": tf.exp(result["loss"])}


class Derive(keras.callbacks.Callback):
    """After each epoch: derives architectures, and adds their rewards to the epoch's metrics."""

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.model.rewards())
