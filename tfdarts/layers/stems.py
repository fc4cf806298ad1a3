"""Stems: what images go through before the first cell."""

import keras
import tensorflow as tf

from tfdarts.ops.common import BatchNorm, fan_in_uniform


class Conv3x3(keras.layers.Layer):
    """3x3 convolution without bias, one row of zeros on every side, and BatchNorm with scale and offset."""

    def __init__(self, channels, stride, relu=False, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.stride, self.relu = channels, stride, relu
        self.bn = BatchNorm(name="bn")

    def build(self, shape):
        self.conv = self.add_weight(
            name="conv", shape=(3, 3, shape[-1], self.channels), initializer=fan_in_uniform(9 * shape[-1])
        )
        self.bn.build((*shape[:-1], self.channels))

    def call(self, x, training=None):
        x = tf.nn.relu(x) if self.relu else x
        y = tf.nn.conv2d(x, tf.convert_to_tensor(self.conv), self.stride, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return self.bn(y, training=training)


class CifarStem(keras.layers.Layer):
    """One convolution; both inputs of the first cell are its result (DARTS, section 3.1.1).

    Call: `(batch, height, width, channels_in)` to a pair of `(batch, height, width, channels)`.
    """

    reduces = False

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.conv = Conv3x3(channels, 1)

    def call(self, x, training=None):
        s = self.conv(x, training=training)
        return s, s


class ImageNetStem(keras.layers.Layer):
    """Three convolutions of stride 2; the first cell gets the results of the second and the third.

    DARTS, section 3.3: 224x224 images reach the first cell as 56x56 and 28x28.

    Call: `(batch, height, width, channels_in)` to maps of a quarter and an eighth of the size.
    """

    reduces = True

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.conv_1 = Conv3x3(channels // 2, 2)
        self.conv_2 = Conv3x3(channels, 2, relu=True)
        self.conv_3 = Conv3x3(channels, 2, relu=True)

    def call(self, x, training=None):
        s0 = self.conv_2(self.conv_1(x, training=training), training=training)
        return s0, self.conv_3(s0, training=training)
