"""Recurrent cells that sweep an image.

ReNet (Visin et al. 2015, arXiv:1505.00393) with the cells of DartsReNet (Moser et al. 2020, arXiv:2304.05838), or with
its own LSTM and GRU. A sweep reads every line of a map from both ends at once: the two directions are the axis before
the batch of `recurrent.step`. Sequences are `(steps, lines of all images, features)`, states `(2, lines, units)`.
"""

import functools

import keras
import tensorflow as tf

from tfdarts.layers import recurrent
from tfdarts.ops.common import BN_EPSILON, fan_in_uniform

RANGE = 0.04  # of the cells' uniform start


def both_ways(forward, backward):
    """What each direction reads, `(steps, lines, ...)` in the map's order, as it is read: `(steps, 2, lines, ...)`."""
    return tf.stack([forward, tf.reverse(backward, [0])], 1)


def products(x, kernels):
    """`x` times the kernel of each direction, for all steps at once: `(steps, 2, lines, columns)`.

    Args:
        x: `(steps, lines, features)`.
        kernels: `(2, features, columns)`.
    """
    flat = tf.reshape(x, [-1, x.shape[-1]])
    shape = tf.concat([tf.shape(x)[:2], kernels.shape[-1:]], 0)
    return both_ways(*(tf.reshape(tf.matmul(flat, kernel), shape) for kernel in tf.unstack(kernels)))


def start_state(x, units):
    """Zeros `(2, lines, units)` for sequences `(steps, lines, features)`."""
    return tf.zeros((2, x.shape[1] or tf.shape(x)[1], units), x.dtype)


class ReNetCell(keras.layers.Layer):
    """The searched cell in both directions (DartsReNet, arXiv:2304.05838, section 3): `vanilla` and `directional`.

    The input and hidden state together are normalised, then make the initial state; each state is normalised over the
    lines of all images, step by step. Input statistics and input products do not wait for the hidden state: they are
    computed for all steps before the loop.

    Args:
        units: int, of one direction.
        nodes: int.
        concat: the states whose mean is the output.
        affine: True normalises each state with scale, offset and statistics of its own (evaluation), False with one
            pair of statistics for all states (search).
        shared: whether both directions have the same kernels (`directional`).

    Call arguments:
        x: `(steps, lines, features)`.
        node: `recurrent.FixedNodes` or `recurrent.MixedNodes`.

    Returns:
        `(steps, 2, lines, units)`, each direction in the order in which it reads.
    """

    def __init__(self, units, nodes, concat, affine, shared=False, **kwargs):
        super().__init__(**kwargs)
        self.units, self.nodes, self.concat = units, nodes, tuple(concat)
        self.affine, self.shared = affine, shared

    def build(self, shape):
        size, directions = shape[-1] + self.units, 1 if self.shared else 2

        def statistics(name, shape):
            start = keras.initializers.Constant([[[0.0]], [[1.0]]])
            return self.add_weight(name=name, shape=shape, initializer=start, trainable=False, autocast=False)

        self.start = self._uniform("start", (directions, size, 2 * self.units))
        self.kernels = self._uniform("kernels", (self.nodes, directions, self.units, 2 * self.units))
        self.gamma_in = self.add_weight(name="gamma_in", shape=(2, size), initializer="ones")
        self.beta_in = self.add_weight(name="beta_in", shape=(2, size), initializer="zeros")
        self.statistics_in = statistics("statistics_in", (2, 2, size))
        states = (self.nodes + 1,) if self.affine else ()
        if self.affine:
            self.gamma = self.add_weight(name="gamma", shape=(*states, 2, 1, self.units), initializer="ones")
            self.beta = self.add_weight(name="beta", shape=(*states, 2, 1, self.units), initializer="zeros")
        self.statistics = statistics("statistics", (*states, 2, 2, self.units))

    def _uniform(self, name, shape):
        start = keras.initializers.RandomUniform(-RANGE, RANGE)  # a new one each: one instance repeats its values
        return self.add_weight(name=name, shape=shape, initializer=start)

    def prepare(self, x, kernel, offset, statistics, training):
        """What can be computed for all steps at once, and what each step makes of it.

        Args:
            x: `(steps, lines, features)`.
            kernel: `(2, features + units, 2 * units)`, the input normalisation's scale included.
            offset: `(2, 1, 2 * units)`, what the input normalisation's offset adds.
            statistics: `(2, 2, features + units)`, the input normalisation's.
            training: bool.

        Returns:
            The loop's inputs `(steps, 2, lines, ...)`; the statistics of the features that are done with,
            `(2, 2, features done)`; a function `(input, h) -> (gates, moments of the other features)`.
        """
        features = x.shape[-1]
        from_input, from_hidden = tf.split(kernel, [features, self.units], 1)
        done, waiting = tf.split(statistics, [features, self.units], -1)
        if training:
            x, moments = recurrent.normalized(x, done, True)  # at a position both directions see the same lines
            moments = tf.transpose(moments, [1, 0, 2])
            updates = moments, tf.reverse(moments, [0])
            done = tf.stack([recurrent.moving(done[:, i], update) for i, update in enumerate(updates)], 1)
        else:
            mean, variance = tf.unstack(done[..., None])
            from_input *= tf.cast(tf.math.rsqrt(variance + BN_EPSILON), from_input.dtype)
            offset -= tf.reduce_sum(tf.cast(mean, from_input.dtype) * from_input, 1, keepdims=True)

        product = recurrent.product_with(from_hidden, training)

        def gates(x, h):
            h, moments = recurrent.normalized(h, waiting, training)
            return x + product(h), moments

        return products(x, from_input) + offset, done, gates

    def call(self, x, node, training=None):
        start, statistics_in = tf.convert_to_tensor(self.start), tf.convert_to_tensor(self.statistics_in)
        statistics = tf.convert_to_tensor(self.statistics)
        node_products = recurrent.products_with(tf.convert_to_tensor(self.kernels), training)
        kernel = tf.convert_to_tensor(self.gamma_in)[..., None] * start
        offset = tf.matmul(tf.convert_to_tensor(self.beta_in)[:, None], start)
        inputs, done, gates = self.prepare(x, kernel, offset, statistics_in, training)
        if self.affine:
            gamma, beta = (tf.unstack(tf.convert_to_tensor(v)) for v in (self.gamma, self.beta))

        def normalize(index, state):
            if not self.affine:
                return recurrent.normalized(state, statistics, training)
            state, moments = recurrent.normalized(state, statistics[index], training)
            return state * gamma[index] + beta[index], moments

        def cell(x, state):
            h, *old = state
            made, moments_in = gates(x, h)
            h, moments = recurrent.step(h, made, node_products, node, self.concat, normalize)
            if training:
                moments = (moments_in[None], moments[None] if self.affine else moments)
                old = [recurrent.moving(value, moment) for value, moment in zip(old, moments)]
            return h, (h, *old)

        state = (start_state(x, self.units),)
        if training:
            state += (statistics_in[..., done.shape[-1] :], statistics)
        outputs, (_, *updated) = recurrent.unroll(cell, inputs, state)
        if training:
            self.statistics_in.assign(tf.concat([done, updated[0]], -1))
            self.statistics.assign(updated[1])
        return outputs


class SigmoidCell(ReNetCell):
    """`ReNetCell` whose input and hidden state are first scaled by a gate computed from them (`sigmoid`).

    Both directions share the gate's weights. The gate makes the input's statistics depend on the hidden state, so that
    the whole normalisation stays inside the loop.
    """

    def build(self, shape):
        super().build(shape)
        self.gate = self._uniform("gate", (shape[-1] + self.units, 1))

    def prepare(self, x, kernel, offset, statistics, training):
        gate, product = tf.convert_to_tensor(self.gate), recurrent.product_with(kernel, training)

        def gates(x, h):
            z = tf.concat([x, h], -1)
            z, moments = recurrent.normalized(z * tf.sigmoid(tf.matmul(z, gate)), statistics, training)
            return product(z) + offset, moments

        return both_ways(x, x), statistics[..., :0], gates


class BaselineCell(keras.layers.Layer):
    """What `LSTMCell` and `GRUCell` share: weights of each direction's own, PyTorch's initialisation.

    Args:
        units: int, of one direction.

    Call: as `ReNetCell`, without nodes.
    """

    gates = None  # blocks of `units` columns in the kernels

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        def uniform(name, rows):
            shape = (2, rows, self.gates * self.units)
            return self.add_weight(name=name, shape=shape, initializer=fan_in_uniform(self.units))

        self.kernel = uniform("kernel", shape[-1])
        self.recurrent = uniform("recurrent", self.units)
        self.bias = uniform("bias", 1)

    def inputs(self, x):
        """The input's share of the gates, for all steps: `(steps, 2, lines, gates * units)`."""
        return products(x, tf.convert_to_tensor(self.kernel)) + tf.convert_to_tensor(self.bias)


class LSTMCell(BaselineCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); columns: input, forget, new, output gate."""

    gates = 4

    def call(self, x, training=None):
        kernel, start = tf.convert_to_tensor(self.recurrent), start_state(x, self.units)

        def cell(x, state):
            h, c = state
            i, f, g, o = tf.split(x + tf.matmul(h, kernel), 4, -1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            h = tf.sigmoid(o) * tf.tanh(c)
            return h, (h, c)

        return recurrent.unroll(cell, self.inputs(x), (start, start))[0]


class GRUCell(BaselineCell):
    """Gated recurrent unit (Cho et al. 2014, arXiv:1406.1078); columns: update, reset, new."""

    gates = 3

    def call(self, x, training=None):
        to_gates, to_new = tf.split(tf.convert_to_tensor(self.recurrent), [2 * self.units, self.units], -1)

        def cell(x, state):
            (h,) = state
            x_gates, x_new = tf.split(x, [2 * self.units, self.units], -1)
            z, r = tf.split(tf.sigmoid(x_gates + tf.matmul(h, to_gates)), 2, -1)
            h = z * h + (1 - z) * tf.tanh(x_new + tf.matmul(r * h, to_new))
            return h, (h,)

        return recurrent.unroll(cell, self.inputs(x), (start_state(x, self.units),))[0]


VARIANTS = {
    "vanilla": ReNetCell,
    "sigmoid": SigmoidCell,
    "directional": functools.partial(ReNetCell, shared=True),
}
BASELINES = {"lstm": LSTMCell, "gru": GRUCell}
