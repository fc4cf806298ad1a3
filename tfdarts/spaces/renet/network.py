"""Recurrent cells that sweep an image row by row and column by column: the network searched, and the one built.

ReNet (Visin et al. 2015, arXiv:1505.00393) with the cells of DartsReNet (Moser et al. 2020, arXiv:2304.05838), or with
its own LSTM and GRU. A sweep reads every line of a map from both ends at once: the two directions are the axis before
the batch of `recurrent.step`. Sequences are `(steps, lines of all images, features)`, states `(2, lines, units)`.
"""

import functools
import math

import keras
import tensorflow as tf

from tfdarts import genotype as genotypes
from tfdarts import operations as spaces
from tfdarts.layers import recurrent
from tfdarts.layers.network import Linear, TrainedNetwork
from tfdarts.ops.common import BN_EPSILON, BatchNorm, fan_in_uniform

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
            return self.add_weight(name=name, shape=shape, initializer=start, trainable=False)

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
            x, moments = recurrent.batch_norm(x, done, True)  # at a position both directions see the same lines
            moments = tf.transpose(moments, [1, 0, 2])
            updates = moments, tf.reverse(moments, [0])
            done = tf.stack([recurrent.moving(done[:, i], update) for i, update in enumerate(updates)], 1)
        else:
            mean, variance = tf.unstack(done[..., None])
            from_input *= tf.math.rsqrt(variance + BN_EPSILON)
            offset -= tf.reduce_sum(mean * from_input, 1, keepdims=True)

        def gates(x, h):
            h, moments = recurrent.batch_norm(h, waiting, training)
            return x + tf.matmul(h, from_hidden), moments

        return products(x, from_input) + offset, done, gates

    def call(self, x, node, training=None):
        start, statistics_in = tf.convert_to_tensor(self.start), tf.convert_to_tensor(self.statistics_in)
        statistics, kernels = tf.convert_to_tensor(self.statistics), tf.unstack(tf.convert_to_tensor(self.kernels))
        kernel = tf.convert_to_tensor(self.gamma_in)[..., None] * start
        offset = tf.matmul(tf.convert_to_tensor(self.beta_in)[:, None], start)
        inputs, done, gates = self.prepare(x, kernel, offset, statistics_in, training)
        if self.affine:
            gamma, beta = (tf.unstack(tf.convert_to_tensor(v)) for v in (self.gamma, self.beta))

        def normalize(index, state):
            if not self.affine:
                return recurrent.batch_norm(state, statistics, training)
            state, moments = recurrent.batch_norm(state, statistics[index], training)
            return state * gamma[index] + beta[index], moments

        def cell(x, state):
            h, *old = state
            made, moments_in = gates(x, h)
            h, moments = recurrent.step(h, made, kernels, node, self.concat, normalize)
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
        gate = tf.convert_to_tensor(self.gate)

        def gates(x, h):
            z = tf.concat([x, h], -1)
            z, moments = recurrent.batch_norm(z * tf.sigmoid(tf.matmul(z, gate)), statistics, training)
            return tf.matmul(z, kernel) + offset, moments

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


class Sweep(keras.layers.Layer):
    """Runs a cell along all rows or all columns of a map, from both ends at once (ReNet, arXiv:1505.00393, section 2).

    As DartsReNet does, the second half of the output is left in the order in which it is read: position t joins what
    the first direction knows after t + 1 steps with what the other knows after t + 1 steps from the far end.

    Args:
        cell: layer from `(steps, lines, features)` to `(steps, 2, lines, units)`.
        patch: int, side of the square of pixels that is read at once; where it does not divide the size, the last row
            or column of patches is filled up with zeros. Features are ordered row, column, channel.
        vertical: whether it runs along columns.

    Call: `(batch, height, width, channels)` to `(batch, ceil(height / patch), ceil(width / patch), 2 * units)`; other
    keyword arguments go to the cell.
    """

    def __init__(self, cell, patch, vertical, **kwargs):
        super().__init__(**kwargs)
        self.cell, self.patch, self.vertical = cell, patch, vertical

    def build(self, shape):
        self.cell.build((None, None, self.patch**2 * shape[-1]))

    def compute_output_shape(self, shape):
        return (shape[0], *(-(-size // self.patch) for size in shape[1:3]), 2 * self.cell.units)

    def call(self, x, training=None, **parts):
        patch, channels = self.patch, x.shape[-1]
        _, height, width, _ = self.compute_output_shape(x.shape)
        missing = height * patch - x.shape[1], width * patch - x.shape[2]
        if any(missing):
            x = tf.pad(x, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
        x = tf.reshape(x, [-1, height, patch, width, patch * channels])
        x = tf.transpose(x, [1, 0, 3, 2, 4] if self.vertical else [3, 0, 1, 2, 4])
        steps, lines = (height, width) if self.vertical else (width, height)
        y = self.cell(tf.reshape(x, [steps, -1, patch * patch * channels]), training=training, **parts)
        y = tf.reshape(y, [steps, 2, -1, lines, y.shape[-1]])
        y = tf.transpose(y, [2, 0, 3, 1, 4] if self.vertical else [2, 3, 0, 1, 4])
        return tf.reshape(y, [-1, height, width, 2 * y.shape[-1]])


class ConvReLUBN(keras.layers.Layer):
    """Convolution with bias and `size // 2` zeros on every side, ReLU, BatchNorm."""

    def __init__(self, channels, size, stride, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.size, self.stride = channels, size, stride
        self.bn = BatchNorm(name="bn")

    def build(self, shape):
        fan_in = self.size * self.size * shape[-1]
        shape = (self.size, self.size, shape[-1], self.channels)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=fan_in_uniform(fan_in))
        self.bias = self.add_weight(name="bias", shape=(self.channels,), initializer=fan_in_uniform(fan_in))
        self.bn.build((None, None, None, self.channels))

    def compute_output_shape(self, shape):
        return (shape[0], *(-(-size // self.stride) for size in shape[1:3]), self.channels)

    def call(self, x, training=None):
        border = [self.size // 2] * 2
        y = tf.nn.conv2d(x, tf.convert_to_tensor(self.kernel), self.stride, [[0, 0], border, border, [0, 0]])
        return self.bn(tf.nn.relu(y + self.bias), training=training)


class Body(keras.layers.Layer):
    """Three convolutions, the first of stride 2, then layers of a sweep over 2x2 patches along the rows and one over
    single pixels along the columns (DartsReNet, arXiv:2304.05838, section 4).

    Args:
        make_cell: function that makes the cell of one sweep, `units -> layer`.
        units: int, even: channels of all maps, half of them for either direction.
        layers: int; each halves the map, down to one pixel.

    Call: `(batch, height, width, channels_in)` to features `(batch, height' * width' * units)`; other keyword arguments
    go to the cells.
    """

    def __init__(self, make_cell, units, layers, **kwargs):
        super().__init__(**kwargs)
        if units % 2:
            raise ValueError(f"`units` must be even, for two directions. Received: {units}.")
        self.stem = tuple(ConvReLUBN(units, *form) for form in ((7, 2), (3, 1), (3, 1)))
        self.sweeps = tuple(
            Sweep(make_cell(units // 2), patch, vertical)
            for _ in range(layers)
            for patch, vertical in ((2, False), (1, True))
        )

    def build(self, shape):
        for layer in (*self.stem, *self.sweeps):
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.features = math.prod(shape[1:])

    def call(self, x, training=None, **parts):
        for convolution in self.stem:
            x = convolution(x, training=training)
        for sweep in self.sweeps:
            x = sweep(x, training=training, **parts)
        return tf.reshape(x, [-1, self.features])


class ReNetSupernet(keras.Model):
    """The network whose cells mix all activations on all earlier states, with the same mixture in all sweeps.

    It owns no architecture parameters: whoever runs it hands in the mixing weights.

    Args:
        space: `Space` of activations.
        classes: int.
        units: int, even: channels of all maps.
        layers: int; each halves the map.
        cell: `"vanilla"`, `"sigmoid"` or `"directional"`.
        nodes: int.
        classifier_range: the classifier's kernel starts uniformly within plus and minus this.

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        mixing: dictionary with the table `recurrent`, `(nodes * (nodes + 1) / 2, operations)`.

    Returns:
        Logits `(batch, classes)`.

    Raises:
        ValueError: for an unknown `cell`, or odd `units`.
    """

    shares_statistics = True  # all states of a cell, at all steps

    def __init__(self, space, classes, units=128, layers=3, cell="vanilla", nodes=8, classifier_range=0.5, **kwargs):
        super().__init__(**kwargs)
        if cell not in VARIANTS:
            raise ValueError(f"`cell` must be one of {', '.join(VARIANTS)}. Received: {cell!r}.")
        self.space, self.cell, self.nodes = space, cell, nodes
        self.concat = tuple(range(1, nodes + 1))
        self.body = Body(lambda half: VARIANTS[cell](half, nodes, self.concat, affine=False), units, layers)
        self.classifier = Linear(classes, classifier_range, name="classifier")

    @property
    def tables(self):
        """The table of mixing weights that it takes: name to the names of rows (edges) and columns (activations)."""
        return {"recurrent": (recurrent.edge_names(self.nodes), self.space.searched)}

    def build(self, shape):
        self.body.build(shape)
        self.classifier.build((None, self.body.features))

    def call(self, images, mixing, training=None):
        node = recurrent.MixedNodes(mixing["recurrent"], self.space.searched, self.space.ops)
        return self.classifier(self.body(images, training=training, node=node))

    def genotype(self, mixing):
        """The `ReNetGenotype` that mixing weights stand for."""
        entries = recurrent.strongest(mixing["recurrent"], self.space.searched, self.nodes)
        return genotypes.ReNetGenotype(entries, self.concat, ops=self.space.name, cell=self.cell)


@keras.saving.register_keras_serializable("tfdarts")
class ReNetNetwork(TrainedNetwork):
    """The network of a genotype, or of LSTM or GRU cells, with a normalised classifier.

    Args:
        cell: `ReNetGenotype`, or its dictionary form; or `"lstm"` or `"gru"`.
        classes: int.
        units: int, even: channels of all maps.
        layers: int; each halves the map.
        classifier_range: the classifier's kernel starts uniformly within plus and minus this.
        preprocessing: as in `TrainedNetwork`.

    Call arguments:
        images: `(batch, height, width, channels_in)`.

    Returns:
        Logits `(batch, classes)`.

    Raises:
        ValueError: for an unknown `cell`, or odd `units`.
    """

    def __init__(self, cell, classes, units=256, layers=3, classifier_range=0.5, preprocessing=None, **kwargs):
        super().__init__(**kwargs)
        self.cell = genotypes.from_dict(cell) if isinstance(cell, dict) else cell
        self.options = {
            "classes": classes,
            "units": units,
            "layers": layers,
            "classifier_range": classifier_range,
            "preprocessing": preprocessing,
        }
        self.parts = {}
        if isinstance(self.cell, genotypes.ReNetGenotype):
            space = spaces.load(self.cell.ops, recurrent=True)
            space.check(self.cell)
            self.parts = {"node": recurrent.FixedNodes(self.cell.recurrent, space.ops)}
            nodes, concat = len(self.cell.recurrent), self.cell.concat
            make_cell = functools.partial(VARIANTS[self.cell.cell], nodes=nodes, concat=concat, affine=True)
        elif self.cell in BASELINES:
            make_cell = BASELINES[self.cell]
        else:
            raise ValueError(f"`cell` must be a ReNetGenotype or one of {', '.join(BASELINES)}. Received: {cell!r}.")
        self.body = Body(make_cell, units, layers)
        self.bn = BatchNorm(name="bn")
        self.classifier = Linear(classes, classifier_range, name="classifier")

    def build(self, shape):
        self.body.build(shape)
        self.bn.build((None, None, None, self.body.features))
        self.classifier.build((None, self.body.features))

    def call(self, images, training=None):
        x = self.body(images, training=training, **self.parts)
        x = self.bn(x[:, None, None], training=training)[:, 0, 0]
        return self.classifier(x)

    def get_config(self):
        cell = self.cell if self.cell in BASELINES else self.cell.to_dict()
        return {"cell": cell, **self.options}
