"""What turns an image into features: convolutions, then sweeps of recurrent cells row by row and column by column."""

import math

import keras
import tensorflow as tf

from tfdarts.ops.common import BatchNorm, fan_in_uniform


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
