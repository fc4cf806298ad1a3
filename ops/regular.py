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
from tfdarts.ops.common import (
    BatchNorm,
    Convolving,
    FactorizedReduce,
    per_channel,
    scale_edges,
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


class Noise(keras.layers.Layer):
    """`noise`: noise from N(0, 1) instead of what comes in (RobustDARTS, Zela et al. 2020, arXiv:1909.09656, space S4).

    Nothing is learnt from it, in training or without: a good search avoids it. The numbers follow from the bits of the
    input alone, so that every pass is a function of what goes in, and a run that is gone on with sees the same.
    """

    def __init__(self, channels, stride, edges, affine, wide=False, **kwargs):
        super().__init__(**kwargs)
        self.stride, self.copies = stride, 1 if wide else edges

    def call(self, x, weights=None, training=None):
        bits = tf.bitcast(x, {2: tf.int16, 4: tf.int32, 8: tf.int64}[x.dtype.size])
        seed = tf.stack([tf.reduce_sum(tf.cast(bits, tf.int64)), 0])  # a sum of integers has no order
        height, width, channels = -(-x.shape[1] // self.stride), -(-x.shape[2] // self.stride), x.shape[3]
        shape = (tf.shape(x)[0], height, width, channels * self.copies)
        return scale_edges(tf.random.stateless_normal(shape, seed, dtype=x.dtype), weights)


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


class SepConv(Convolving):
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
        self.add_kernel("depthwise_1", (size, size, wide_in, 1), size * size)
        self.add_kernel("pointwise_1", (1, 1, channels_in, wide_in), channels_in)
        self.add_kernel("depthwise_2", (size, size, wide_in, 1), size * size)
        self.add_kernel("pointwise_2", (1, 1, channels_in, wide), channels_in)
        self.bn_1.build((*shape[:-1], wide_in))
        self.bn_2.build((*shape[:-1], wide))

    @property
    def prepare_key(self):
        return "relu", self.copies

    def prepare(self, x):
        return self.arrange(tf.nn.relu(x), lambda x: tile_edges(x, self.copies))

    def apply(self, prepared, weights=None, training=None):
        y = self.convolve_depthwise(prepared, "depthwise_1", training, self.stride)
        y = self.convolve(y, "pointwise_1", training)
        y = tf.nn.relu(self.bn_1(y, training=training))
        y = self.convolve_depthwise(y, "depthwise_2", training)
        y = self.convolve(y, "pointwise_2", training)
        scale = None if weights is None else per_channel(weights, self.channels)
        return self.bn_2(y, scale=scale, training=training)

    def call(self, x, weights=None, training=None):
        return self.apply(self.prepare(x), weights, training)


class DilConv(Convolving):
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
        self.add_kernel("depthwise", (size, size, wide_in, 1), size * size)
        self.add_kernel("pointwise", (1, 1, channels_in, wide), channels_in)
        self.bn.build((*shape[:-1], wide))
        self.crops = [[0, shape[1] % 2], [0, shape[2] % 2]]  # odd sizes: the layout takes one more row of zeros

    @property
    def prepare_key(self):
        return "relu dilated", self.copies

    def prepare(self, x):
        return self.arrange(tf.nn.relu(x), self._layout)

    def _layout(self, x):
        x = x[:, ::2, ::2] if self.stride == 2 else tf.space_to_batch(x, [2, 2], self.crops)
        return tile_edges(x, self.copies)

    def apply(self, prepared, weights=None, training=None):
        y = self.convolve_depthwise(prepared, "depthwise", training)
        if self.stride == 1:
            y = tf.batch_to_space(y, [2, 2], self.crops)
        y = self.convolve(y, "pointwise", training)
        scale = None if weights is None else per_channel(weights, self.channels)
        return self.bn(y, scale=scale, training=training)

    def call(self, x, weights=None, training=None):
        return self.apply(self.prepare(x), weights, training)


class Conv7x1(Convolving):
    """ReLU, 1x7 convolution, 7x1 convolution, BatchNorm: the factorised 7x7 of NASNet and AmoebaNet.

    Only the published cells use it.
    """

    def __init__(self, channels, stride, edges, affine, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.stride, self.edges = channels, stride, edges
        self.bn = BatchNorm(affine, name="bn")

    def build(self, shape):
        channels_in, wide = shape[-1], self.edges * self.channels
        self.add_kernel("conv_1x7", (1, 7, channels_in, wide), 7 * channels_in)
        self.add_kernel("conv_7x1", (7, 1, self.channels, wide), 7 * self.channels)
        self.bn.build((*shape[:-1], wide))

    def call(self, x, weights=None, training=None):
        y = self.convolve(tf.nn.relu(x), "conv_1x7", training, strides=(1, self.stride))
        y = self.convolve(y, "conv_7x1", training, strides=(self.stride, 1))
        scale = None if weights is None else per_channel(weights, self.channels)
        return self.bn(y, scale=scale, training=training)


def operations(sep_conv, dil_conv, conv_7x1, factorized_reduce):
    """The operations by name, from the layers that convolve."""

    def of(layer, size):
        return lambda channels, stride, edges, affine, wide=False: layer(size, channels, stride, edges, affine, wide)

    def pool(kind):
        return lambda channels, stride, edges, affine, wide=False: Pool(kind, stride, edges, affine, wide)

    def skip(channels, stride, edges, affine, wide=False):
        return Identity(edges, wide) if stride == 1 else factorized_reduce(channels, edges, affine)

    def conv_7x1_1x7(channels, stride, edges, affine):
        return conv_7x1(channels, stride, edges, affine)

    return {
        "none": Zero,
        "max_pool_3x3": pool("MAX"),
        "avg_pool_3x3": pool("AVG"),
        "skip_connect": skip,
        "sep_conv_3x3": of(sep_conv, 3),
        "sep_conv_5x5": of(sep_conv, 5),
        "dil_conv_3x3": of(dil_conv, 3),
        "dil_conv_5x5": of(dil_conv, 5),
        "sep_conv_7x7": of(sep_conv, 7),
        "conv_7x1_1x7": conv_7x1_1x7,
        "noise": Noise,
    }


OPS = operations(SepConv, DilConv, Conv7x1, FactorizedReduce)
SEARCHED = tuple(OPS)[:8]  # the first eight, in this order, are what a search chooses from
