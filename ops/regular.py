"""DARTS's own operations (Liu et al. 2019, arXiv:1806.09055, sections 2.1 and 3.1.1), and two of NASNet's.

Every layer obeys the contract `layer(x, weights=None, training=None)` with results edge after edge. Two optional
methods let the cell share work between the operations that leave one state:

* `narrow(x, training)`: the result of an operation that is the same for all its edges, `(..., channels)`. The cell
  computes it once and mixes it into the edges.
* `prepare(x)` and `apply(prepared, weights, training)`, which together are the call: what comes before the first
  weight (ReLU, copies for the edges, the layout for dilation). `prepare_key` says which preparations are the same.

The searched operations can also be built with `wide=True`, for a map that holds each edge's own already.
"""

import keras
import tensorflow as tf

from ops.common import (
    BatchNorm,
    FactorizedReduce,
    depthwise,
    fan_in_uniform,
    grouped_conv,
    per_channel,
    spread,
    tile_edges,
)


class Zero(keras.layers.Layer):
    """`none`: no connection. Zeros of shape `x[:, ::stride, ::stride]`, once per edge."""

    def __init__(self, channels, stride, edges, affine, wide=False, **kwargs):
        super().__init__(**kwargs)
        self.stride, self.copies = stride, 1 if wide else edges

    def call(self, x, weights=None, training=None):
        return tile_edges(tf.zeros_like(x[:, :: self.stride, :: self.stride]), self.copies)


class Pool(keras.layers.Layer):
    """3x3 pooling with one cell of padding, which neither wins the maximum nor counts in the average.

    In the supernet's form (`affine=False`) a BatchNorm without scale and offset follows.
    """

    def __init__(self, kind, stride, edges, affine, wide=False, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.stride, self.copies = kind, stride, 1 if wide else edges
        self.bn = None if affine else BatchNorm(False, name="bn")

    def build(self, shape):
        if self.bn:
            self.bn.build(shape)

    def narrow(self, x, training=None):
        y = tf.nn.pool(x, [3, 3], self.kind, padding="SAME")
        if self.stride == 2:  # symmetric padding puts the windows at even places; `"SAME"` at stride 2 would not
            y = y[:, ::2, ::2]
        return self.bn(y, training=training) if self.bn else y

    def call(self, x, weights=None, training=None):
        return spread(self.narrow(x, training), weights, self.copies)


class Identity(keras.layers.Layer):
    """`skip_connect` at stride 1."""

    def __init__(self, edges, wide=False, **kwargs):
        super().__init__(**kwargs)
        self.copies = 1 if wide else edges

    def narrow(self, x, training=None):
        return x

    def call(self, x, weights=None, training=None):
        return spread(x, weights, self.copies)


class SepConv(keras.layers.Layer):
    """Separable convolution, twice: ReLU, depthwise, pointwise, BatchNorm; the stride is in the first round."""

    def __init__(self, kernel_size, channels, stride, edges, affine, wide=False, **kwargs):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: {kernel_size}.")
        self.kernel_size, self.channels, self.stride, self.edges = kernel_size, channels, stride, edges
        self.copies = 1 if wide else edges
        self.bn_1, self.bn_2 = BatchNorm(affine, name="bn_1"), BatchNorm(affine, name="bn_2")

    def build(self, shape):
        size, wide_in, wide = self.kernel_size, self.copies * shape[-1], self.edges * self.channels
        channels_in = wide_in // self.edges
        self.depthwise_1 = self.add_weight(
            name="depthwise_1", shape=(size, size, wide_in, 1), initializer=fan_in_uniform(size * size)
        )
        self.pointwise_1 = self.add_weight(
            name="pointwise_1", shape=(1, 1, channels_in, wide_in), initializer=fan_in_uniform(channels_in)
        )
        self.depthwise_2 = self.add_weight(
            name="depthwise_2", shape=(size, size, wide_in, 1), initializer=fan_in_uniform(size * size)
        )
        self.pointwise_2 = self.add_weight(
            name="pointwise_2", shape=(1, 1, channels_in, wide), initializer=fan_in_uniform(channels_in)
        )
        self.bn_1.build((*shape[:-1], wide_in))
        self.bn_2.build((*shape[:-1], wide))

    @property
    def prepare_key(self):
        return "relu", self.copies

    def prepare(self, x):
        return tile_edges(tf.nn.relu(x), self.copies)

    def apply(self, prepared, weights=None, training=None):
        y = depthwise(prepared, tf.convert_to_tensor(self.depthwise_1), self.stride)
        y = grouped_conv(y, tf.convert_to_tensor(self.pointwise_1), self.edges)
        y = tf.nn.relu(self.bn_1(y, training=training))
        y = depthwise(y, tf.convert_to_tensor(self.depthwise_2))
        y = grouped_conv(y, tf.convert_to_tensor(self.pointwise_2), self.edges)
        scale = None if weights is None else per_channel(weights, self.channels)
        return self.bn_2(y, scale=scale, training=training)

    def call(self, x, weights=None, training=None):
        return self.apply(self.prepare(x), weights, training)


class DilConv(keras.layers.Layer):
    """ReLU, depthwise convolution with dilation 2, pointwise, BatchNorm.

    At stride 1 the four grids that dilation 2 keeps apart are laid side by side in the batch (space to batch), where
    the convolution is an ordinary one. At stride 2 it samples the even grid only.
    """

    def __init__(self, kernel_size, channels, stride, edges, affine, wide=False, **kwargs):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: {kernel_size}.")
        self.kernel_size, self.channels, self.stride, self.edges = kernel_size, channels, stride, edges
        self.copies = 1 if wide else edges
        self.bn = BatchNorm(affine, name="bn")

    def build(self, shape):
        size, wide_in, wide = self.kernel_size, self.copies * shape[-1], self.edges * self.channels
        channels_in = wide_in // self.edges
        self.depthwise = self.add_weight(
            name="depthwise", shape=(size, size, wide_in, 1), initializer=fan_in_uniform(size * size)
        )
        self.pointwise = self.add_weight(
            name="pointwise", shape=(1, 1, channels_in, wide), initializer=fan_in_uniform(channels_in)
        )
        self.bn.build((*shape[:-1], wide))
        self.crops = [[0, shape[1] % 2], [0, shape[2] % 2]]  # odd sizes: the layout takes one more row of zeros

    @property
    def prepare_key(self):
        return "relu dilated", self.copies

    def prepare(self, x):
        x = tf.nn.relu(x)
        x = x[:, ::2, ::2] if self.stride == 2 else tf.space_to_batch(x, [2, 2], self.crops)
        return tile_edges(x, self.copies)

    def apply(self, prepared, weights=None, training=None):
        y = depthwise(prepared, tf.convert_to_tensor(self.depthwise))
        if self.stride == 1:
            y = tf.batch_to_space(y, [2, 2], self.crops)
        y = grouped_conv(y, tf.convert_to_tensor(self.pointwise), self.edges)
        scale = None if weights is None else per_channel(weights, self.channels)
        return self.bn(y, scale=scale, training=training)

    def call(self, x, weights=None, training=None):
        return self.apply(self.prepare(x), weights, training)


class Conv7x1(keras.layers.Layer):
    """ReLU, 1x7 convolution, 7x1 convolution, BatchNorm: the factorised 7x7 of NASNet and AmoebaNet.

    Only the published cells use it, never many edges at once, so the edges are convolved one after the other.
    """

    def __init__(self, channels, stride, edges, affine, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.stride, self.edges = channels, stride, edges
        self.bn = BatchNorm(affine, name="bn")

    def build(self, shape):
        channels_in, wide = shape[-1], self.edges * self.channels
        self.conv_1x7 = self.add_weight(
            name="conv_1x7", shape=(1, 7, channels_in, wide), initializer=fan_in_uniform(7 * channels_in)
        )
        self.conv_7x1 = self.add_weight(
            name="conv_7x1", shape=(7, 1, self.channels, wide), initializer=fan_in_uniform(7 * self.channels)
        )
        self.bn.build((*shape[:-1], wide))

    def call(self, x, weights=None, training=None):
        stride = self.stride
        across = tf.nn.conv2d(
            tf.nn.relu(x), tf.convert_to_tensor(self.conv_1x7), [1, stride], [[0, 0], [0, 0], [3, 3], [0, 0]]
        )
        kernels = tf.split(tf.convert_to_tensor(self.conv_7x1), self.edges, -1)
        down = [
            tf.nn.conv2d(part, kernel, [stride, 1], [[0, 0], [3, 3], [0, 0], [0, 0]])
            for part, kernel in zip(tf.split(across, self.edges, -1), kernels)
        ]
        scale = None if weights is None else per_channel(weights, self.channels)
        return self.bn(tf.concat(down, -1), scale=scale, training=training)


def _max_pool(channels, stride, edges, affine, wide=False):
    return Pool("MAX", stride, edges, affine, wide)


def _avg_pool(channels, stride, edges, affine, wide=False):
    return Pool("AVG", stride, edges, affine, wide)


def _skip(channels, stride, edges, affine, wide=False):
    return Identity(edges, wide) if stride == 1 else FactorizedReduce(channels, edges, affine)


def _sep_conv(kernel_size):
    def make(channels, stride, edges, affine, wide=False):
        return SepConv(kernel_size, channels, stride, edges, affine, wide)

    return make


def _dil_conv(kernel_size):
    def make(channels, stride, edges, affine, wide=False):
        return DilConv(kernel_size, channels, stride, edges, affine, wide)

    return make


# The first eight, in this order, are what a search chooses from.
OPS = {
    "none": Zero,
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "skip_connect": _skip,
    "sep_conv_3x3": _sep_conv(3),
    "sep_conv_5x5": _sep_conv(5),
    "dil_conv_3x3": _dil_conv(3),
    "dil_conv_5x5": _dil_conv(5),
    "sep_conv_7x7": _sep_conv(7),
    "conv_7x1_1x7": Conv7x1,
}
SEARCHED = tuple(OPS)[:8]
