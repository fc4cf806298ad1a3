"""The operations of the final cells of ENAS's micro space, on parallel edges."""

import functools

import keras
import tensorflow as tf

from tfdarts.layers.tf1 import DebiasedBatchNorm, FactorizedReduce, average_pool, he_normal, max_pool
from tfdarts.operations import Operations
from tfdarts.ops.common import tile_edges
from tfdarts.spaces.micro.genotype import MICRO_OPS
from tfdarts.spaces.micro.stack import separable


class SepConv(keras.layers.Layer):
    """Twice ReLU, depthwise and pointwise convolution, BatchNorm, on parallel edges; the stride is in the first half.

    Args:
        size: int, side of the depthwise kernels.
        channels: int, of the map and of each edge's result.
        stride: 1 or 2.
        edges: int.

    Call: `(batch, height, width, channels)` to `(batch, height', width', edges * channels)`, edge after edge.
    """

    def __init__(self, size, channels, stride, edges, **kwargs):
        super().__init__(**kwargs)
        self.size, self.channels, self.stride, self.edges = size, channels, stride, edges
        self.bn_1, self.bn_2 = DebiasedBatchNorm(name="bn_1"), DebiasedBatchNorm(name="bn_2")

    def build(self, shape):
        size, channels, wide = self.size, self.channels, self.edges * self.channels

        def kernel(name, shape, fan_in):
            return self.add_weight(name=name, shape=shape, initializer=he_normal(fan_in))

        self.depthwise_1 = kernel("depthwise_1", (size, size, wide, 1), size * size * channels)
        self.pointwise_1 = kernel("pointwise_1", (1, 1, channels, wide), channels)
        self.depthwise_2 = kernel("depthwise_2", (size, size, wide, 1), size * size * channels)
        self.pointwise_2 = kernel("pointwise_2", (1, 1, channels, wide), channels)
        self.bn_1.build((None, None, None, wide))
        self.bn_2.build((None, None, None, wide))

    def call(self, x, training=None):
        x = tile_edges(x, self.edges)
        kernels = tf.convert_to_tensor(self.depthwise_1), tf.convert_to_tensor(self.pointwise_1)
        x = self.bn_1(separable(x, *kernels, self.stride), training=training)
        kernels = tf.convert_to_tensor(self.depthwise_2), tf.convert_to_tensor(self.pointwise_2)
        return self.bn_2(separable(x, *kernels), training=training)


class Weightless(keras.layers.Layer):
    """A function without weights on parallel edges, whose results are all the same."""

    def __init__(self, function, edges, **kwargs):
        super().__init__(**kwargs)
        self.function, self.edges = function, edges

    def call(self, x, training=None):
        return tile_edges(self.function(x), self.edges)


def _skip(channels, stride):
    return FactorizedReduce(channels) if stride == 2 else Weightless(tf.identity, 1)


OPERATIONS = Operations(
    "micro",
    {
        "sep_conv_3x3": lambda channels, stride, edges: SepConv(3, channels, stride, edges),
        "sep_conv_5x5": lambda channels, stride, edges: SepConv(5, channels, stride, edges),
        "avg_pool_3x3": lambda stride, edges: Weightless(functools.partial(average_pool, stride=stride), edges),
        "max_pool_3x3": lambda stride, edges: Weightless(functools.partial(max_pool, stride=stride), edges),
        "skip_connect": _skip,
    },
    MICRO_OPS,
)
