"""Attention modules as Att-DARTS searches them (Nakai et al. 2020, section 3): beside or behind the operations.

Every layer obeys the contract of `ops/regular.py`. As an operation of an edge with stride 2 a module is preceded by a
factorised reduction, whose BatchNorm has no scale and offset. Their own BatchNorms have them, in the search too.

Modules that squeeze the channels do so by `RATIO`, and to one channel where there are fewer than that.
"""

import warnings

import keras
import tensorflow as tf
from tfdarts.ops import regular
from tfdarts.ops.common import BatchNorm, FactorizedReduce, fan_in_uniform, grouped_conv, scale_edges, tile_edges

from tfdarts.precision import exactly

RATIO = 16


def squeezed(channels):
    """Channels of the narrow part of a module: `channels // RATIO`, at least 1."""
    if channels < RATIO:
        warnings.warn(f"attention modules squeeze maps of fewer than {RATIO} channels to one channel", stacklevel=1)
    return max(1, channels // RATIO)


class EdgeConv(keras.layers.Layer):
    """Convolution in which each of `edges` parallel edges sees its own channels only, size kept by zeros around it.

    Call: `(batch, height, width, edges * channels_in)` to `(batch, height, width, edges * channels)`.
    """

    def __init__(self, channels, edges, kernel_size=1, dilation=1, bias=True, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.edges, self.kernel_size = channels, edges, kernel_size
        self.dilation, self.has_bias = dilation, bias

    def build(self, shape):
        size, channels_in, wide = self.kernel_size, shape[-1] // self.edges, self.edges * self.channels
        start = fan_in_uniform(size * size * channels_in)
        self.kernel = self.add_weight(name="kernel", shape=(size, size, channels_in, wide), initializer=start)
        if self.has_bias:
            start = fan_in_uniform(size * size * channels_in)
            self.bias = self.add_weight(name="bias", shape=(wide,), initializer=start)
        self.crops = [[0, -length % self.dilation] for length in shape[1:3]]  # zeros up to a multiple of the dilation

    def call(self, x):
        # The grids that a dilation keeps apart lie side by side in the batch, where the convolution is an ordinary one.
        blocks = [self.dilation, self.dilation]
        y = x if self.dilation == 1 else tf.space_to_batch(x, blocks, self.crops)
        y = grouped_conv(y, tf.convert_to_tensor(self.kernel))
        y = y if self.dilation == 1 else tf.batch_to_space(y, blocks, self.crops)
        return tf.nn.bias_add(y, tf.convert_to_tensor(self.bias)) if self.has_bias else y


class Attention(keras.layers.Layer):
    """What the modules share. They define `attend(x, weights, training)` for wide maps, one map per edge.

    Args:
        channels, stride, edges, inputs: as in the contract of operations.
    """

    def __init__(self, channels, stride, edges, inputs=1, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.edges = channels, edges
        self.skip = FactorizedReduce(channels, edges, False, inputs, name="skip") if stride == 2 else None
        self.inputs = edges if self.skip else inputs  # maps that there are before they are repeated for the edges

    def build(self, shape):
        pass  # the layers are built when they are called; without this Keras traces the call once more for it

    def call(self, x, weights=None, training=None):
        if self.skip:
            x = self.skip(x, training=training)
        return self.attend(tile_edges(x, self.edges, self.inputs), weights, training)

    def by_edge(self, x):
        """`(batch, height, width, edges * channels)` as `(batch, height * width, edges, channels)`."""
        return tf.reshape(x, [-1, x.shape[1] * x.shape[2], self.edges, x.shape[3] // self.edges])


class SqueezeExcitation(Attention):
    """`SE` (Hu et al. 2018, arXiv:1709.01507, section 3): channels scaled by two layers on their means."""

    def __init__(self, channels, stride, edges, inputs=1, **kwargs):
        super().__init__(channels, stride, edges, inputs, **kwargs)
        self.fc_1 = EdgeConv(squeezed(channels), edges, bias=False, name="fc_1")
        self.fc_2 = EdgeConv(channels, edges, bias=False, name="fc_2")

    def attend(self, x, weights, training):
        mean = tf.reduce_mean(x, [1, 2], keepdims=True)
        return x * scale_edges(tf.sigmoid(self.fc_2(tf.nn.relu(self.fc_1(mean)))), weights)


class BottleneckAttention(Attention):
    """`BAM` (Park et al. 2018, arXiv:1807.06514, section 3): `x * (1 + sigmoid(channel * spatial))`.

    The channel branch is two layers on the channels' means, the spatial branch four convolutions, two of dilation 4.
    As in Att-DARTS the branches are multiplied; the BAM paper adds them.
    """

    def __init__(self, channels, stride, edges, inputs=1, **kwargs):
        super().__init__(channels, stride, edges, inputs, **kwargs)
        narrow = squeezed(channels)
        self.fc_1, self.bn = EdgeConv(narrow, edges, name="fc_1"), BatchNorm(name="bn")
        self.fc_2 = EdgeConv(channels, edges, name="fc_2")
        self.conv_reduce, self.bn_reduce = EdgeConv(narrow, edges, name="conv_reduce"), BatchNorm(name="bn_reduce")
        self.conv_dilated_1 = EdgeConv(narrow, edges, 3, dilation=4, name="conv_dilated_1")
        self.bn_dilated_1 = BatchNorm(name="bn_dilated_1")
        self.conv_dilated_2 = EdgeConv(narrow, edges, 3, dilation=4, name="conv_dilated_2")
        self.bn_dilated_2 = BatchNorm(name="bn_dilated_2")
        self.conv_final = EdgeConv(1, edges, name="conv_final")

    def attend(self, x, weights, training):
        channel = self.fc_1(tf.reduce_mean(x, [1, 2], keepdims=True))
        channel = self.fc_2(tf.nn.relu(self.bn(channel, training=training)))
        spatial = tf.nn.relu(self.bn_reduce(self.conv_reduce(x), training=training))
        spatial = tf.nn.relu(self.bn_dilated_1(self.conv_dilated_1(spatial), training=training))
        spatial = tf.nn.relu(self.bn_dilated_2(self.conv_dilated_2(spatial), training=training))
        gate = tf.sigmoid(self.by_edge(channel) * self.by_edge(self.conv_final(spatial)))
        gate = tf.reshape(gate, [-1, *x.shape[1:]])
        return scale_edges(x + x * gate, weights)


class ConvolutionalBlockAttention(Attention):
    """`CBAM` (Woo et al. 2018, arXiv:1807.06521, section 3): channels scaled, then positions.

    Channels by two layers on their means and on their maxima, positions by a 7x7 convolution of the maxima and the
    means over the channels. The moving statistics of its BatchNorm keep 0.99 at a step, as the authors' do.
    """

    def __init__(self, channels, stride, edges, inputs=1, **kwargs):
        super().__init__(channels, stride, edges, inputs, **kwargs)
        self.fc_1 = EdgeConv(squeezed(channels), edges, name="fc_1")
        self.fc_2 = EdgeConv(channels, edges, name="fc_2")
        self.conv = EdgeConv(1, edges, 7, bias=False, name="conv")
        self.bn = BatchNorm(momentum=0.99, name="bn")

    def attend(self, x, weights, training):
        height, width = x.shape[1:3]
        pooled = tf.concat([pool(x, [1, 2], keepdims=True) for pool in (tf.reduce_mean, tf.reduce_max)], 1)
        channel = tf.reduce_sum(self.fc_2(tf.nn.relu(self.fc_1(pooled))), 1, keepdims=True)
        y = self.by_edge(x * tf.sigmoid(channel))
        pooled = tf.stack([tf.reduce_max(y, -1), tf.reduce_mean(y, -1)], -1)
        spatial = self.bn(self.conv(tf.reshape(pooled, [-1, height, width, 2 * self.edges])), training=training)
        spatial = scale_edges(tf.sigmoid(spatial), weights)
        return tf.reshape(y * self.by_edge(spatial), [-1, *x.shape[1:]])


class GatherExcite(Attention):
    """`GE_theta-plus` (Hu et al. 2018, arXiv:1810.12348, section 3), gathering over the whole map.

    Channels scaled by two layers on what a depthwise convolution with a kernel of the map's size sees; built for one
    size of map, therefore.
    """

    def __init__(self, channels, stride, edges, inputs=1, **kwargs):
        super().__init__(channels, stride, edges, inputs, **kwargs)
        self.bn = BatchNorm(name="bn")
        self.conv_1 = EdgeConv(squeezed(channels), edges, bias=False, name="conv_1")
        self.conv_2 = EdgeConv(channels, edges, bias=False, name="conv_2")

    def build(self, shape):
        height, width = shape[1:3] if self.skip is None else ((length + 1) // 2 for length in shape[1:3])
        self.depthwise = self.add_weight(
            name="depthwise",
            shape=(height, width, self.edges * self.channels, 1),
            initializer=fan_in_uniform(height * width),
        )

    def attend(self, x, weights, training):
        kernel = tf.reshape(tf.convert_to_tensor(self.depthwise), [1, *x.shape[1:]])
        gathered = self.bn(tf.reduce_sum(x * kernel, [1, 2], keepdims=True), training=training)
        return x * scale_edges(tf.sigmoid(self.conv_2(tf.nn.relu(self.conv_1(gathered)))), weights)


class DoubleAttention(Attention):
    """`DoubleAttention` (Chen et al. 2018, arXiv:1810.11579, section 3), added to its input.

    Gathers one descriptor per channel of B, each a mean of A under attention over positions, and gives every position
    a mixture of them by attention over descriptors. A quarter of the channels for A, B and V.
    """

    def __init__(self, channels, stride, edges, inputs=1, **kwargs):
        super().__init__(channels, stride, edges, inputs, **kwargs)
        inner = max(1, channels // 4)
        self.conv_A, self.conv_B = (EdgeConv(inner, edges, name=f"conv_{part}") for part in "AB")
        self.conv_V = EdgeConv(inner, edges, name="conv_V")
        self.conv_Z = EdgeConv(channels, edges, name="conv_Z")

    def attend(self, x, weights, training):
        features = self._by_channel(self.by_edge(self.conv_A(x)))
        gather = exactly(tf.nn.softmax, self._by_channel(self.by_edge(self.conv_B(x))))  # over positions
        distribute = self._by_channel(exactly(tf.nn.softmax, self.by_edge(self.conv_V(x))))  # over descriptors
        descriptors = tf.matmul(features, gather, transpose_b=True)  # (batch, edges, inner, inner)
        z = tf.transpose(tf.matmul(descriptors, distribute), [0, 3, 1, 2])
        z = self.conv_Z(tf.reshape(z, [-1, *x.shape[1:3], z.shape[2] * z.shape[3]]))
        return scale_edges(x + z, weights)

    def _by_channel(self, x):
        """`(batch, positions, edges, channels)` as `(batch, edges, channels, positions)`."""
        return tf.transpose(x, [0, 2, 3, 1])


# In the order of the architecture parameters' columns.
OPS = {
    "Identity": regular.OPS["skip_connect"],
    "SE": SqueezeExcitation,
    "BAM": BottleneckAttention,
    "CBAM": ConvolutionalBlockAttention,
    "GE_theta-plus": GatherExcite,
    "DoubleAttention": DoubleAttention,
}
