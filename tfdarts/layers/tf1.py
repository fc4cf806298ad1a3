"""What the two convolutional spaces of ENAS share (Pham et al. 2018, arXiv:1802.03268), as its authors programmed it.

Maps are `(batch, height, width, channels)`. Convolutions pad as `"SAME"` does, also at stride 2, have no bias and start
He-normal (He et al. 2015, arXiv:1502.01852): `"he_normal"`, or `he_normal` for tables of kernels.
"""

import functools
import math

import keras
import tensorflow as tf

from tfdarts.ops import common
from tfdarts.ops.common import BatchNorm


def he_normal(fan_in):
    """`"he_normal"` where the shape does not tell the fan-in."""
    inside = 0.8796256610342398  # deviation of the unit normal distribution cut off at two deviations
    return keras.initializers.TruncatedNormal(stddev=math.sqrt(2.0 / fan_in) / inside)


def debiased(moving, batch, start_share, momentum):
    """One step of moving statistics that do not count the values that they started with.

    After t steps they are what a plain average that starts at zero would be, divided by 1 - momentum^t.

    Args:
        moving, batch: lists of tensors, the statistics and the batch's.
        start_share: momentum^(t-1).
        momentum: share of the old value that a plain average keeps.

    Returns:
        List of the new statistics, and momentum^t.
    """
    start_share = momentum * start_share
    share = (1 - momentum) / (1 - start_share)
    return [old + share * (new - old) for old, new in zip(moving, batch)], start_share


@keras.saving.register_keras_serializable("tfdarts")
class DebiasedBatchNorm(BatchNorm):
    """`BatchNorm` whose moving statistics are `debiased`: the first are the first batch's."""

    def build(self, shape):
        super().build(shape)
        self.start_share = self.add_weight(
            name="start_share", shape=(), initializer="ones", trainable=False, autocast=False
        )

    def call(self, x, scale=None, training=None):
        if not training:
            return super().call(x, scale)
        y, *batch = common.batch_norm(x, *self._gain_and_offset(scale, x), epsilon=self.epsilon)
        moving = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        start_share = tf.convert_to_tensor(self.start_share)
        (mean, variance), start_share = debiased(moving, batch, start_share, self.momentum)
        self.moving_mean.assign(mean)
        self.moving_variance.assign(variance)
        self.start_share.assign(start_share)
        return y


# ENAS's micro search always normalises by the batch's statistics.
BatchStatistics = functools.partial(BatchNorm, momentum=None)


def depthwise(x, kernel, stride=1):
    """Convolves every channel by itself; `kernel` is `(size, size, channels, 1)`."""
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], "SAME")


def average_pool(x, stride=1):
    """3x3 average over the pixels of the window that lie inside the map."""
    return tf.nn.avg_pool2d(x, 3, stride, "SAME")


def max_pool(x, stride=1):
    """3x3 maximum."""
    return tf.nn.max_pool2d(x, 3, stride, "SAME")


class ConvBN(keras.layers.Layer):
    """Convolution and BatchNorm.

    Args:
        channels: int.
        size: int, side of the kernel.
        norm: makes the BatchNorm, `name -> layer`.

    Call: `(batch, height, width, channels_in)` to `(batch, height, width, channels)`.
    """

    def __init__(self, channels, size=1, norm=DebiasedBatchNorm, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.size = channels, size
        self.bn = norm(name="bn")

    def build(self, shape):
        shape = (self.size, self.size, shape[-1], self.channels)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="he_normal")
        self.bn.build((None, None, None, self.channels))

    def call(self, x, training=None):
        return self.bn(tf.nn.conv2d(x, tf.convert_to_tensor(self.kernel), 1, "SAME"), training=training)


class FactorizedReduce(common.FactorizedReduce):
    """`common.FactorizedReduce` of one edge, without ReLU.

    Args:
        channels: int.
        norm: as in `ConvBN`.

    Call: `(batch, height, width, channels_in)` to `(batch, ceil(height / 2), ceil(width / 2), channels)`.
    """

    def __init__(self, channels, norm=DebiasedBatchNorm, **kwargs):
        super().__init__(channels, **kwargs)
        self.bn = norm(name="bn")

    def add_kernel(self, name, shape, fan_in):
        setattr(self, name, self.add_weight(name=name, shape=shape, initializer="he_normal"))

    @property
    def preparations(self):
        return (self.grids,)

    def call(self, x, training=None):
        return self.apply(common.prepare(self, x), training=training)


class PooledLinear(keras.layers.Layer):
    """The head: global average, dropout, product with a kernel, no bias; not rounded to 16 bits, as `heads.Linear`.

    Call arguments:
        x: `(batch, height, width, features)`.
        dropout: factors `(batch, features)`, 0 or 1 / keep probability; None for none.

    Returns:
        `(batch, units)`.
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        shape = (shape[-1], self.units)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer="he_normal", autocast=False)

    def call(self, x, dropout=None):
        kernel = tf.convert_to_tensor(self.kernel)
        x = tf.cast(tf.reduce_mean(x, [1, 2]), kernel.dtype)
        return tf.matmul(x if dropout is None else x * tf.cast(dropout, x.dtype), kernel)
