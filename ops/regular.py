"""DARTS's own operations (Liu et al. 2019, arXiv:1806.09055, sections 2.1 and 3.1.1), and two of NASNet's.

Every layer obeys the contract `layer(x, weights=None, training=None)` with results edge after edge. Three optional
attributes let the cell share work between the operations that leave one state:

* `narrow(x, training)`: the result of an operation that is the same for all edges of an input, `(..., inputs *
  channels)`. The cell computes it once and mixes it into the edges.
* `preparations` and `apply(prepared, weights, training)`, which together are the call (`common.prepare`): what comes
  before the first weight (ReLU and copies for the edges, the layout for dilation), functions that follow each other,
  each with a key by which the cell knows that another operation does the same.
* `finish(y)`: what brings the result of `apply` to the layout of `x`, where `finish_key` is not None. It is linear, so
  that the cell adds up the results that have one key, and does it once for the sum.

An operation with `takes_scale` also takes weights that are spread over the channels, `(edges * channels,)`, which the
cell makes once for all operations.

The searched operations can also be built for several `inputs`, whose maps lie side by side in `x`. Each input has its
share of the edges, those of the first input first; with as many inputs as edges, each edge has a map of its own.
"""

import keras
import tensorflow as tf
from tfdarts.ops.common import (
    BatchNorm,
    Convolving,
    FactorizedReduce,
    grid,
    prepare,
    scale_edges,
    scale_of,
    spread,
    tile_edges,
)


class Zero(keras.layers.Layer):
    """`none`: no connection. Zeros of shape `x[:, ::stride, ::stride]`, once per edge."""

    def __init__(self, channels, stride, edges, affine, inputs=1, **kwargs):
        super().__init__(**kwargs)
        self.stride, self.edges, self.inputs = stride, edges, inputs

    def call(self, x, weights=None, training=None):
        return tile_edges(tf.zeros_like(x[:, :: self.stride, :: self.stride]), self.edges, self.inputs)


class Noise(keras.layers.Layer):
    """`noise`: noise from N(0, 1) instead of what comes in (RobustDARTS, Zela et al. 2020, arXiv:1909.09656, space S4).

    Nothing is learnt from it, in training or without: a good search avoids it. The numbers follow from the bits of the
    input alone, so that every pass is a function of what goes in, and a run that is gone on with sees the same.
    """

    def __init__(self, channels, stride, edges, affine, inputs=1, **kwargs):
        super().__init__(**kwargs)
        self.stride, self.edges, self.inputs = stride, edges, inputs

    def call(self, x, weights=None, training=None):
        bits = tf.bitcast(x, {2: tf.int16, 4: tf.int32, 8: tf.int64}[x.dtype.size])
        seed = tf.stack([tf.reduce_sum(tf.cast(bits, tf.int64)), 0])  # a sum of integers has no order
        height, width, channels = -(-x.shape[1] // self.stride), -(-x.shape[2] // self.stride), x.shape[3]
        shape = (tf.shape(x)[0], height, width, channels * self.edges // self.inputs)
        return scale_edges(tf.random.stateless_normal(shape, seed, dtype=x.dtype), weights)


class Pool(keras.layers.Layer):
    """3x3 pooling with one cell of padding, which neither wins the maximum nor counts in the average.

    In the supernet's form (`affine=False`) a BatchNorm without scale and offset follows.
    """

    def __init__(self, kind, stride, edges, affine, inputs=1, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.stride, self.edges, self.inputs = kind, stride, edges, inputs
        self.bn = None if affine else BatchNorm(False, name="bn")

    def build(self, shape):
        if self.bn:
            self.bn.build(shape)

    def narrow(self, x, training=None):
        y = tf.nn.pool(x, [3, 3], self.kind, padding="SAME")
        if self.stride == 2:  # symmetric padding puts the windows at even places; `"SAME"` at stride 2 would not
            y = grid(y)
        return self.bn(y, training=training) if self.bn else y

    def call(self, x, weights=None, training=None):
        return spread(self.narrow(x, training), weights, self.edges, self.inputs)


class Identity(keras.layers.Layer):
    """`skip_connect` at stride 1."""

    def __init__(self, edges, inputs=1, **kwargs):
        super().__init__(**kwargs)
        self.edges, self.inputs = edges, inputs

    def narrow(self, x, training=None):
        return x

    def call(self, x, weights=None, training=None):
        return spread(x, weights, self.edges, self.inputs)


class SepConv(Convolving):
    """Separable convolution, twice: ReLU, depthwise, pointwise, BatchNorm; the stride is in the first round."""

    takes_scale = True

    def __init__(self, kernel_size, channels, stride, edges, affine, inputs=1, **kwargs):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: {kernel_size}.")
        self.kernel_size, self.channels, self.stride, self.edges = kernel_size, channels, stride, edges
        self.inputs = inputs
        self.bn_1, self.bn_2 = BatchNorm(affine, name="bn_1"), BatchNorm(affine, name="bn_2")

    def build(self, shape):
        size, channels_in = self.kernel_size, shape[-1] // self.inputs
        wide_in, wide = self.edges * channels_in, self.edges * self.channels
        self.add_kernel("depthwise_1", (size, size, wide_in, 1), size * size)
        self.add_kernel("pointwise_1", (1, 1, channels_in, wide_in), channels_in)
        self.add_kernel("depthwise_2", (size, size, wide_in, 1), size * size)
        self.add_kernel("pointwise_2", (1, 1, channels_in, wide), channels_in)
        self.bn_1.build((*shape[:-1], wide_in))
        self.bn_2.build((*shape[:-1], wide))

    @property
    def preparations(self):
        return self.relu, self.copies

    def apply(self, prepared, weights=None, training=None):
        y = self.convolve_depthwise(prepared, "depthwise_1", training, self.stride)
        y = self.convolve(y, "pointwise_1", training)
        y = tf.nn.relu(self.bn_1(y, training=training))
        y = self.convolve_depthwise(y, "depthwise_2", training)
        y = self.convolve(y, "pointwise_2", training)
        return self.bn_2(y, scale=scale_of(weights, self.channels, self.edges), training=training)

    def call(self, x, weights=None, training=None):
        return self.apply(prepare(self, x), weights, training)


class DilConv(Convolving):
    """ReLU, depthwise convolution with dilation 2, pointwise, BatchNorm.

    At stride 1 the four grids that dilation 2 keeps apart are laid side by side in the batch (space to batch), where
    the convolution is an ordinary one. At stride 2 it samples the even grid only.
    """

    takes_scale = True

    def __init__(self, kernel_size, channels, stride, edges, affine, inputs=1, **kwargs):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: {kernel_size}.")
        self.kernel_size, self.channels, self.stride, self.edges = kernel_size, channels, stride, edges
        self.inputs = inputs
        self.bn = BatchNorm(affine, name="bn")

    def build(self, shape):
        size, channels_in = self.kernel_size, shape[-1] // self.inputs
        wide_in, wide = self.edges * channels_in, self.edges * self.channels
        self.add_kernel("depthwise", (size, size, wide_in, 1), size * size)
        self.add_kernel("pointwise", (1, 1, channels_in, wide), channels_in)
        self.bn.build((*shape[:-1], wide))
        self.crops = [[0, shape[1] % 2], [0, shape[2] % 2]]  # odd sizes: the layout takes one more row of zeros

    @property
    def preparations(self):
        if self.stride == 2:
            return self.relu, self.grids, ("even", lambda grids: grids[0]), self.copies
        return self.relu, self.copies, ("dilated", lambda x: self.arrange(x, self._layout))

    def _layout(self, x):
        return tf.space_to_batch(x, [2, 2], self.crops)

    @property
    def finish_key(self):
        """`"dilated"` where the result stays in the layout: with even sizes. Odd ones have rows of padding in it."""
        return "dilated" if self.stride == 1 and self.crops == [[0, 0], [0, 0]] else None

    def finish(self, y):
        return tf.batch_to_space(y, [2, 2], self.crops)

    def apply(self, prepared, weights=None, training=None):
        y = self.convolve_depthwise(prepared, "depthwise", training)
        if self.stride == 1 and self.finish_key is None:
            y = self.finish(y)
        y = self.convolve(y, "pointwise", training)
        return self.bn(y, scale=scale_of(weights, self.channels, self.edges), training=training)

    def call(self, x, weights=None, training=None):
        y = self.apply(prepare(self, x), weights, training)
        return self.finish(y) if self.finish_key else y


class Conv7x1(Convolving):
    """ReLU, 1x7 convolution, 7x1 convolution, BatchNorm: the factorised 7x7 of NASNet and AmoebaNet.

    Only the published cells use it.
    """

    takes_scale = True

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
        return self.bn(y, scale=scale_of(weights, self.channels, self.edges), training=training)


def operations(sep_conv, dil_conv, conv_7x1, factorized_reduce):
    """The operations by name, from the layers that convolve."""

    def of(layer, size):
        return lambda channels, stride, edges, affine, inputs=1: layer(size, channels, stride, edges, affine, inputs)

    def pool(kind):
        return lambda channels, stride, edges, affine, inputs=1: Pool(kind, stride, edges, affine, inputs)

    def skip(channels, stride, edges, affine, inputs=1):
        return Identity(edges, inputs) if stride == 1 else factorized_reduce(channels, edges, affine, inputs)

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
