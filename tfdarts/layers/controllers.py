"""ENAS's controllers: policies that draw an architecture, decision by decision (Pham et al. 2018, arXiv:1802.03268).

An architecture is made of tensors, as the shared networks take it. It is drawn inside the graph; the log-probability
of what was drawn is what REINFORCE differentiates.
"""

import typing

import keras
import tensorflow as tf

_NEVER = -1e9  # logit of what may not be chosen; finite, so that its entropy is 0


class Sample(typing.NamedTuple):
    """An architecture that was drawn."""

    arc: typing.Any  # tensors, what the shared network takes
    log_probs: tf.Tensor  # (decisions,)
    entropies: tf.Tensor  # (decisions,)
    penalty: tf.Tensor  # scalar, of the skip connections of the macro space; else 0


class Decisions:
    """Draws decisions one after the other, and keeps their log-probabilities and entropies.

    Args:
        seed: two integers.
        uniform: bool tensor or bool: whether every choice is as likely as any other, whatever the logits.
        outcome_entropy: whether an entropy is `-p log p` of the outcome alone, as in the authors' macro space,
            instead of the whole distribution's.
    """

    def __init__(self, seed, uniform=False, outcome_entropy=False):
        self.seed, self.uniform, self.outcome_entropy = seed, uniform, outcome_entropy
        self.log_probs, self.entropies = [], []

    def draw(self, logits):
        """Draws for each row of logits `(..., choices)` a choice, int32 `(...,)`."""
        rows = tf.reshape(logits, [-1, logits.shape[-1]])
        seed = tf.stack([self.seed[0], self.seed[1] + (len(self.log_probs) << 40)])
        return tf.reshape(tf.random.stateless_categorical(rows, 1, seed, dtype=tf.int32), logits.shape[:-1])

    def __call__(self, logits, allowed=None):
        """Decides: `(choices,)` to a scalar, or independently `(decisions, choices)` to `(decisions,)`; int32.

        Args:
            logits: as above.
            allowed: bools of their shape, what may be chosen; None for everything.
        """
        logits = tf.where(self.uniform, tf.zeros_like(logits), logits)
        if allowed is not None:
            logits = tf.where(allowed, logits, tf.constant(_NEVER, logits.dtype))
        action, log_softmax = self.draw(logits), tf.nn.log_softmax(logits)
        chosen = tf.gather(log_softmax, action, batch_dims=logits.shape.rank - 1)
        terms = tf.exp(chosen) * chosen
        entropy = -terms if self.outcome_entropy else -tf.reduce_sum(tf.exp(log_softmax) * log_softmax, -1)
        self.log_probs.append(tf.reshape(chosen, [-1]))
        self.entropies.append(tf.reshape(entropy, [-1]))
        return action

    def sample(self, arc, penalty=None):
        """The `Sample` of an architecture that all decisions made."""
        log_probs, entropies = tf.concat(self.log_probs, 0), tf.concat(self.entropies, 0)
        penalty = tf.zeros((), log_probs.dtype) if penalty is None else penalty
        return Sample(arc, log_probs, tf.stop_gradient(entropies), penalty)


class Controller(keras.layers.Layer):
    """What the controllers share: an LSTM whose output decides and whose next input is what was decided.

    Args:
        units: int, of the LSTM.
        use_bias: whether the LSTM has a bias.

    A subclass has `decide(decisions, training) -> (arc, penalty)`, and `choices` and `table_values` for reports.
    """

    outcome_entropy = False

    def __init__(self, units, use_bias, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        start = self.start
        self.lstm = keras.layers.LSTMCell(
            units,
            use_bias=use_bias,
            kernel_initializer=start(),
            recurrent_initializer=start(),
            bias_initializer=start(),
            unit_forget_bias=False,
        )
        self.lstm.build((None, units))

    @staticmethod
    def start():
        """Initialiser of all weights; a new one each, for one instance repeats its values."""
        return keras.initializers.RandomUniform(-0.1, 0.1)

    def add(self, name, *shape):
        return self.add_weight(name=name, shape=shape, initializer=self.start())

    def remember(self, x, state):
        """One step of the LSTM: input `(units,)` and state to output `(1, units)` and the next state."""
        return self.lstm(x[None], state)

    def zero_state(self):
        zeros = tf.zeros((1, self.units), self.compute_dtype)
        return [zeros, zeros]

    def call(self, seed, uniform=False, training=True):
        """Draws an architecture.

        Args:
            seed: two integers; the same give the same architecture from the same weights.
            uniform: whether all choices are equally likely.
            training: False for the sharper distribution that recurrent architectures are derived from.

        Returns:
            `Sample`.
        """
        decisions = Decisions(seed, uniform, self.outcome_entropy)
        return decisions.sample(*self.decide(decisions, training))


class AttentionController(Controller):
    """What the controllers of convolutional spaces share: earlier layers or states are chosen by attention.

    Args:
        operations: names.
        units: int.
        tanh_constant: largest magnitude of logits.
    """

    def __init__(self, operations, units, tanh_constant, **kwargs):
        super().__init__(units, use_bias=False, **kwargs)
        self.operations, self.tanh_constant = operations, tanh_constant

    def build(self):
        self.first = self.add("first", self.units)
        self.embedding = self.add("embedding", len(self.operations), self.units)
        self.softmax = self.add("softmax", self.units, len(self.operations))
        self.key, self.query = self.add("key", self.units, self.units), self.add("query", self.units, self.units)
        self.score = self.add("score", self.units, 1)

    def attend(self, keys, h):
        """Scores `(n,)` of keys `(n, units)`, which are anchors times `key`, for an output of the LSTM."""
        return tf.matmul(tf.tanh(keys + tf.matmul(h, tf.convert_to_tensor(self.query))), self.score)[:, 0]
