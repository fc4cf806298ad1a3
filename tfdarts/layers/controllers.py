"""ENAS's controllers: policies that draw an architecture, decision by decision (Pham et al. 2018, arXiv:1802.03268).

An architecture is made of tensors, as the shared networks take it. It is drawn inside the graph; the log-probability
of what was drawn is what REINFORCE differentiates.
"""

import typing

import keras
import numpy as np
import tensorflow as tf

from tfdarts.genotype import ENAS_ACTIVATIONS, MACRO_OPS, MICRO_OPS


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

    def __call__(self, logits):
        """Decides: `(choices,)` to a scalar, or independently `(decisions, choices)` to `(decisions,)`; int32."""
        logits = tf.where(self.uniform, tf.zeros_like(logits), logits)
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

    A subclass has `decide(decisions, training) -> (arc, penalty)`, and `tables` and `table_values` for reports.
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


class RecurrentController(Controller):
    """Draws a recurrent cell: for every node an activation, and but for the first an earlier node (section 2.1).

    Args:
        nodes: int.
        units: int.
        temperature: what logits are divided by.
        tanh_constant: largest magnitude of logits in training.

    Decisions: activation of node 0, then for each node its parent and its activation.
    """

    def __init__(self, nodes=12, units=100, temperature=5.0, tanh_constant=2.5, **kwargs):
        super().__init__(units, use_bias=True, **kwargs)
        self.nodes, self.temperature, self.tanh_constant = nodes, temperature, tanh_constant

    def build(self):
        self.embedding = self.add("embedding", len(ENAS_ACTIVATIONS) + self.nodes - 1, self.units)
        self.decoders = []
        for decision in range(2 * self.nodes - 1):
            choices = (decision + 1) // 2 if decision % 2 else len(ENAS_ACTIVATIONS)
            bias = self.add_weight(name=f"bias_{decision}", shape=(choices,), initializer="zeros")
            self.decoders.append((self.add(f"kernel_{decision}", self.units, choices), bias))

    def decide(self, decisions, training):
        embedding = tf.convert_to_tensor(self.embedding)
        x, state, chosen = tf.zeros_like(embedding[0]), self.zero_state(), []
        for number, (kernel, bias) in enumerate(self.decoders):
            h, state = self.remember(x, state)
            logits = (tf.matmul(h, tf.convert_to_tensor(kernel))[0] + bias) / self.temperature
            chosen.append(decisions(self.tanh_constant * tf.tanh(logits) if training else logits))
            x = tf.gather(embedding, chosen[-1] + (len(ENAS_ACTIVATIONS) if number % 2 else 0))
        return (tf.stack(chosen[::2]), tf.stack(chosen[1::2])), None

    @property
    def tables(self):
        """Names of the rows and columns of `table_values`."""
        nodes = tuple(map(str, range(self.nodes)))
        return {"activation": (nodes, ENAS_ACTIVATIONS), "previous": (nodes[1:], nodes[:-1])}

    def table_values(self, arc):
        """An architecture, as numpy arrays, in tables of zeros and ones."""
        activations, previous = arc
        return {
            "activation": np.eye(len(ENAS_ACTIVATIONS))[activations],
            "previous": np.eye(self.nodes - 1)[previous],
        }


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


class MacroController(AttentionController):
    """Draws a whole network: for every layer an operation and the earlier layers it is connected to (section 2.3).

    Args:
        layers: int.
        units: int.
        tanh_constant: largest magnitude of logits.
        skip_target: share of skip connections that the penalty pulls towards.

    Decisions: for each layer its operation, then the bits of all its skip connections.
    """

    outcome_entropy = True

    def __init__(self, layers=12, units=64, tanh_constant=1.5, skip_target=0.4, **kwargs):
        super().__init__(MACRO_OPS, units, tanh_constant, **kwargs)
        self.layers, self.skip_target = layers, skip_target

    def decide(self, decisions, training):
        x, state = tf.convert_to_tensor(self.first), self.zero_state()
        embedding, key = tf.convert_to_tensor(self.embedding), tf.convert_to_tensor(self.key)
        target = tf.constant([1 - self.skip_target, self.skip_target], x.dtype)
        ops, skips, anchors, keys, penalties = [], [tf.zeros((self.layers,), tf.bool)], [], [], []
        for layer in range(self.layers):
            h, state = self.remember(x, state)
            ops.append(decisions(self.tanh_constant * tf.tanh(tf.matmul(h, self.softmax)[0])))
            h, state = self.remember(tf.gather(embedding, ops[-1]), state)
            x = tf.convert_to_tensor(self.first)
            if layer:
                score = self.attend(tf.concat(keys, 0), h)
                logits = self.tanh_constant * tf.tanh(tf.stack([-score, score], 1))
                bits = decisions(logits)
                shares = tf.sigmoid(logits)
                penalties.append(tf.reduce_sum(shares * tf.math.log(shares / target)))
                chosen = tf.cast(bits, x.dtype)
                x = tf.linalg.matvec(tf.concat(anchors, 0), chosen, transpose_a=True) / (1 + tf.reduce_sum(chosen))
                skips.append(tf.pad(bits > 0, [[0, self.layers - layer]]))
            anchors.append(h)
            keys.append(tf.matmul(h, key))
        return (tf.stack(ops), tf.stack(skips)), tf.add_n(penalties) / len(penalties)

    @property
    def tables(self):
        """Names of the rows and columns of `table_values`."""
        layers = tuple(f"layer {layer}" for layer in range(self.layers))
        pairs = tuple(f"{entry} to {layer}" for layer in range(self.layers) for entry in range(layer))
        return {"operation": (layers, MACRO_OPS), "skip": (pairs, ("none", "connected"))}

    def table_values(self, arc):
        """An architecture, as numpy arrays, in tables of zeros and ones."""
        ops, skips = arc
        bits = np.asarray(skips)[np.tril_indices(self.layers, -1)].astype(int)
        return {"operation": np.eye(len(MACRO_OPS))[ops], "skip": np.eye(2)[bits]}


class MicroController(AttentionController):
    """Draws a normal and a reduction cell: for every block two earlier states and an operation on each (section 2.4).

    Args:
        blocks: int.
        units: int.
        tanh_constant: largest magnitude of the logits of states.
        op_tanh_reduce: that of the logits of operations is this many times smaller.

    Decisions: for each block of the normal, then of the reduction cell both states, then both operations.
    """

    def __init__(self, blocks=5, units=64, tanh_constant=1.1, op_tanh_reduce=2.5, **kwargs):
        super().__init__(MICRO_OPS, units, tanh_constant, **kwargs)
        self.blocks, self.op_tanh_constant = blocks, tanh_constant / op_tanh_reduce

    def build(self):
        super().build()
        # The authors favour the separable convolutions: by a bias at the start, in the normal cell for good too.
        favoured = keras.initializers.Constant([10.0, 10.0, 0.0, 0.0, 0.0])
        self.bias = self.add_weight(name="bias", shape=(len(MICRO_OPS),), initializer=favoured)

    def decide(self, decisions, training):
        state, cells = self.zero_state(), []
        for favour in (0.25, 0.0):
            cell, state = self._cell(decisions, state, favour)
            cells.append(cell)
        return tf.stack(cells), None

    def _cell(self, decisions, state, favour):
        first, embedding, key = (tf.convert_to_tensor(v) for v in (self.first, self.embedding, self.key))
        favour = tf.constant(favour, first.dtype) * tf.constant([1, 1, -1, -1, -1], first.dtype)
        anchors, keys = [tf.zeros_like(first[None])] * 2, []
        for _ in range(2):
            h, state = self.remember(first, state)
            keys.append(tf.matmul(h, key))
        blocks = []
        for _ in range(self.blocks):
            x, indices, ops = first, [], []
            for _ in range(2):
                h, state = self.remember(x, state)
                logits = self.tanh_constant * tf.tanh(self.attend(tf.concat(keys, 0), h))
                indices.append(decisions(logits))
                x = tf.gather(tf.concat(anchors, 0), indices[-1])
            for _ in range(2):
                h, state = self.remember(x, state)
                logits = tf.matmul(h, self.softmax)[0] + self.bias
                ops.append(decisions(self.op_tanh_constant * tf.tanh(logits) + favour))
                x = tf.gather(embedding, ops[-1])
            h, state = self.remember(x, state)
            anchors.append(h)
            keys.append(tf.matmul(h, key))
            blocks.append(tf.stack([indices[0], ops[0], indices[1], ops[1]]))
        return tf.stack(blocks), state

    @property
    def tables(self):
        """Names of the rows and columns of `table_values`."""
        inputs = tuple(f"block {block}, input {side}" for block in range(self.blocks) for side in (1, 2))
        states = ("c_{k-2}", "c_{k-1}", *map(str, range(self.blocks - 1)))
        kinds = ("normal", "reduce")
        return {f"{kind}_{what}": (inputs, names) for kind in kinds for what, names in
                (("state", states), ("operation", MICRO_OPS))}  # fmt: skip

    def table_values(self, arc):
        """An architecture, as numpy arrays, in tables of zeros and ones."""
        values = {}
        for kind, cell in zip(("normal", "reduce"), np.asarray(arc)):
            values[f"{kind}_state"] = np.eye(self.blocks + 1)[cell[:, ::2].ravel()]
            values[f"{kind}_operation"] = np.eye(len(MICRO_OPS))[cell[:, 1::2].ravel()]
        return values
