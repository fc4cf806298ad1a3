"""One recurrent step, the same for search and evaluation; what unrolls it is elsewhere.

DARTS (Liu et al. 2019, arXiv:1806.09055, sections 2.1 and 3.1.2) and ENAS (Pham et al. 2018, arXiv:1802.03268,
section 2.1), with the highway bypass of Zilly et al. 2017 (arXiv:1607.03474). States are `(..., batch, units)`: axes
before the batch, if any, are cells that run side by side with kernels of their own.
"""

import math

import tensorflow as tf

from tfdarts.genotype import NONE
from tfdarts.gradients import custom_gradient
from tfdarts.layers.choices import heaviest
from tfdarts.ops.common import BN_EPSILON, BN_MOMENTUM, batch_norm
from tfdarts.precision import exact_type

LONGEST = 25.0  # norm of a last state that is carried on


def product_with(kernel, training=True):
    """Returns the function `x -> x @ kernel`, for the body of a loop; to be made in the graph that holds the loop.

    The kernel is transposed once, before the loop, for the gradient. TensorFlow's own gradient reads it transposed at
    every step, which on the CPU, where steps are small and many, takes longer than the product itself.

    Args:
        kernel: `(..., inputs, outputs)`. `x` is `(..., batch, inputs)` with as many leading axes; one of size 1 of the
            kernel serves all of `x` along that axis.
        training: whether a gradient is expected; if not, the product is TensorFlow's own, which exported models need.
    """
    if not training:
        return lambda x: tf.matmul(x, kernel)
    transposed = tf.linalg.matrix_transpose(kernel)
    spread = [axis for axis, size in enumerate(kernel.shape[:-2]) if size == 1]

    @custom_gradient
    def product(x, kernel):
        def gradient(upstream):
            of_kernel = tf.matmul(x, upstream, transpose_a=True)
            of_kernel = tf.reduce_sum(of_kernel, spread, keepdims=True) if spread else of_kernel
            return tf.matmul(upstream, transposed), of_kernel

        return tf.matmul(x, kernel), gradient

    return lambda x: product(x, kernel)


def products_with(kernels, training=True):
    """A list of one `product_with` for each kernel of `(kernels, ..., inputs, outputs)`."""
    return [product_with(kernel, training) for kernel in tf.unstack(kernels)]


def highway(state, gates, candidate):
    """`state + sigmoid(c) * (candidate(a) - state)`, where `gates = [c | a]` along the last axis.

    Args:
        state: `(..., units)`.
        gates: `(..., 2 * units)`.
        candidate: function of a tensor like `state`.
    """
    c, a = tf.split(gates, 2, -1)
    return state + tf.sigmoid(c) * (candidate(a) - state)


class FixedNodes:
    """Nodes of a genotype: each one activation on one earlier state.

    Args:
        entries: the genotype's `(activation, previous)`.
        activations: dictionary from name to function.
    """

    def __init__(self, entries, activations):
        self.entries = [(activations[name], previous) for name, previous in entries]

    def __call__(self, states, masked, product):
        activation, previous = self.entries[len(states) - 1]
        return highway(states[previous], product(masked[previous]), activation)


class MixedNodes:
    """Nodes of a search: each the mixture of all activations on all earlier states.

    Args:
        weights: mixing weights `(nodes * (nodes + 1) / 2, operations)`; node i has the rows i * (i + 1) / 2 + previous.
        table: tuple of `Choice`, one a row; `none` contributes nothing.
        activations: dictionary from name to function.
    """

    def __init__(self, weights, table, activations):
        names = dict.fromkeys(name for choice in table for name in choice.candidates if name != NONE)
        columns = [_column(weights, table, name) for name in names]
        columns = tf.stack([*columns, tf.add_n(columns)])[..., None, None]
        nodes = range(math.isqrt(2 * len(table)))
        self.columns = tf.split(columns, [1 + node for node in nodes], 1)  # here, not anew in each step
        self.activations = [activations[name] for name in names]

    def __call__(self, states, masked, product):
        (*ahead, _, units), count = states[0].shape, len(states)
        *columns, total = tf.unstack(self.columns[count - 1])  # a mixing weight for each earlier state
        stacked = tf.stack(states, -3)
        gates = stacked if masked is states else tf.stack(masked, -3)
        gates = product(tf.reshape(gates, [*ahead, -1, units]))  # all in one product
        c, a = tf.split(tf.reshape(gates, [*ahead, count, -1, 2 * units]), 2, -1)
        mixture = tf.add_n([column * function(a) for column, function in zip(columns, self.activations)])
        state = total * stacked
        return tf.reduce_sum(state + tf.sigmoid(c) * (mixture - state), -3)


def _column(weights, table, name):
    """A candidate's mixing weight in each row, 0 where it is none of the candidates: `(rows,)`."""
    places = [choice.candidates.index(name) if name in choice.candidates else None for choice in table]
    if len(set(places)) == 1:
        return weights[:, places[0]]
    nothing = tf.zeros((), weights.dtype)
    return tf.stack([nothing if place is None else weights[row, place] for row, place in enumerate(places)])


def normalized(x, statistics, training):
    """BatchNorm over the batch, without scale and offset (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Args:
        x: `(..., batch, units)`.
        statistics: `(2, ..., units)`, moving mean and variance, float32 where `x` has 16 bits; what is used outside
            training.
        training: bool.

    Returns:
        The normalised `x`, and in training the batch's mean and unbiased variance, shaped like `statistics`, else None.
    """
    exact = exact_type(x.dtype)
    if not training:
        mean, variance = tf.unstack(tf.expand_dims(statistics, -2))
        return tf.cast((tf.cast(x, exact) - mean) * tf.math.rsqrt(variance + BN_EPSILON), x.dtype), None
    *ahead, _, units = x.shape
    channels, rank = math.prod(ahead) * units, x.shape.rank
    first = [rank - 2, *range(rank - 2), rank - 1]  # the batch before all other axes, which are channels then
    y = x if rank == 2 else tf.reshape(tf.transpose(x, first), [-1, channels])
    y, *moments = batch_norm(y, tf.ones([channels], exact), tf.zeros([channels], exact))
    moments = tf.stop_gradient(tf.reshape(tf.stack(moments), [2, *ahead, units]))
    if rank == 2:
        return y, moments
    back = [*range(1, rank - 1), 0, rank - 1]
    return tf.transpose(tf.reshape(y, [-1, *ahead, units]), back), moments


def moving(statistics, moments):
    """Moving statistics after a sequence of updates `statistics = 0.9 * statistics + 0.1 * moments[i]`.

    Args:
        statistics: tensor of any shape.
        moments: `(updates, ...)`, of that shape behind the first axis.
    """
    keep, count = tf.constant(BN_MOMENTUM, moments.dtype), tf.shape(moments)[0]
    powers = tf.pow(keep, tf.cast(tf.range(count, -1, -1), moments.dtype))
    return powers[0] * statistics + tf.tensordot((1 - keep) * powers[1:], moments, 1)


def cell_states(h, gates, products, node, normalize=None, mask=None, start=tf.tanh):
    """The states of a recurrent cell in one step: the initial state and the nodes.

    Args:
        h: hidden state, `(..., batch, units)`.
        gates: `(..., batch, 2 * units)`, input and hidden state times the initial state's kernel.
        products: of `products_with`, for each node a function that multiplies by its kernel, `(..., units, 2 * units)`.
        node: `(states, masked states, product) -> state`, an instance of `FixedNodes` or `MixedNodes`.
        normalize: `(index, state) -> (state, moments)`, applied to each state before it is used; None for none.
        mask: factors of the states in the nodes' matrix products (variational dropout); None for none.
        start: activation of the initial state.

    Returns:
        A list of `nodes + 1` states, and their moments (`(nodes + 1, ...)`; None where `normalize` gave none).
    """
    states, moments = [], []
    masked = states if mask is None else []

    def add(state):
        if normalize is not None:
            state, moment = normalize(len(states), state)
            moments.append(moment)
        states.append(state)
        if mask is not None:
            masked.append(state * mask)

    add(highway(h, gates, start))
    for product in products:
        add(node(states, masked, product))
    return states, None if not moments or moments[0] is None else tf.stack(moments)


def mean(states, concat):
    """The mean of the states whose indices `concat` lists."""
    return tf.add_n([states[i] for i in concat]) / len(concat)


def step(h, gates, products, node, concat, normalize=None, mask=None):
    """One step of DARTS's cell, whose output is its hidden state.

    Args:
        concat: indices of the states whose mean is the new hidden state; 0 is the initial state.
        h, gates, products, node, normalize, mask: as in `cell_states`.

    Returns:
        The new hidden state, and the states' moments.
    """
    states, moments = cell_states(h, gates, products, node, normalize, mask)
    return mean(states, concat), moments


def sampled_states(h, gates, products, activations, previous, mask=None):
    """The states of a sampled cell in one step, its parents being data, so that one graph serves all cells.

    Args:
        h, gates, mask: as in `cell_states`.
        products: as in `cell_states`.
        activations: functions of a tensor, for the initial state and for each node.
        previous: each node's parent, a scalar tensor or an int.

    Returns:
        The states, `(nodes + 1, batch, units)`.
    """
    states = tf.TensorArray(h.dtype, len(activations), element_shape=h.shape, clear_after_read=False)
    states = states.write(0, highway(h, gates, activations[0]))
    for node, (product, activation, parent) in enumerate(zip(products, activations[1:], previous), 1):
        state = states.read(parent)
        gates = product(state if mask is None else state * mask)
        states = states.write(node, highway(state, gates, activation))
    return states.stack()


def bounded(state):
    """A last state as it is carried on: rows `(units,)` longer than `LONGEST` are shortened to that.

    Nothing else keeps it from growing: normalisation and penalties look at the output only. The factor is a constant
    for the gradient, as in the PyTorch program of ENAS.
    """
    return state * tf.stop_gradient(tf.minimum(LONGEST / tf.norm(state, axis=-1, keepdims=True), 1))


def unroll(cell, inputs, state):
    """Runs a cell over time, in one compiled loop whose length may vary without a new trace.

    Args:
        cell: `(input, state) -> (output, state)`, the output shaped like `state[0]`.
        inputs: `(time, ...)`.
        state: tuple of tensors.

    Returns:
        Outputs `(time, ...)` and the last state.
    """
    known = inputs.shape[0]
    time = known or tf.shape(inputs)[0]
    inputs = tf.TensorArray(inputs.dtype, time, element_shape=inputs.shape[1:]).unstack(inputs)
    outputs = tf.TensorArray(state[0].dtype, time, element_shape=state[0].shape)

    def body(t, outputs, state):
        output, state = cell(inputs.read(t), state)
        return t + 1, outputs.write(t, output), state

    # Where the length is known the graph says so, and so does `tfdarts/cost.py`, which knows the loop by its name.
    start = (0, outputs, tuple(state))
    _, outputs, state = tf.while_loop(lambda t, *_: t < time, body, start, maximum_iterations=known, name="unroll")
    return outputs.stack(), state


def edge_names(nodes):
    """Names of the rows of a table of mixing weights, for people: 36 of them for 8 nodes."""
    return tuple(f"{previous} to {node}" for node in range(1, nodes + 1) for previous in range(node))


def strongest(mixing, table, nodes):
    """The genotype's entries that mixing weights stand for (DARTS, section 2.4, with one input per node).

    Each node keeps the earlier state whose best operation other than `none` weighs most (ties: the lower state), and of
    it that operation (ties: the earlier one). `none` has no say but for the weight that it takes from others.

    Args:
        mixing: `(nodes * (nodes + 1) / 2, operations)`, rows as in `MixedNodes`.
        table: tuple of `Choice`, one a row.
        nodes: int.

    Returns:
        A tuple of `(activation, previous)`.
    """
    best, weights = heaviest(mixing, table)
    entries = []
    for node in range(nodes):
        first = node * (node + 1) // 2
        previous = int(weights[first : first + node + 1].argmax())
        entries.append((best[first + previous], previous))
    return tuple(entries)
