"""Classifiers: the linear one at the end, and the auxiliary one that training adds."""

import keras
import tensorflow as tf

from tfdarts.ops.common import BatchNorm, fan_in_uniform


class Linear(keras.layers.Layer):
    """`x @ kernel + bias`, with PyTorch's initialisation of both, or the kernel's within plus and minus `bound`.

    It is not rounded to 16 bits, for a loss follows.
    """

    def __init__(self, units, bound=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.bound = units, bound

    def build(self, shape):
        size = shape[-1]
        start = keras.initializers.RandomUniform(-self.bound, self.bound) if self.bound else fan_in_uniform(size)
        shape, of_bias = (size, self.units), fan_in_uniform(size)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=start, autocast=False)
        self.bias = self.add_weight(name="bias", shape=shape[1:], initializer=of_bias, autocast=False)

    def call(self, x):
        kernel = tf.convert_to_tensor(self.kernel)
        return tf.matmul(tf.cast(x, kernel.dtype), kernel) + self.bias


class AuxiliaryHead(keras.layers.Layer):
    """A second classifier on the map of the cell two thirds of the way, used in training only (DARTS, section 3.2).

    ReLU, average pool 5, convolution 1x1 to 128, BatchNorm, ReLU, convolution 2x2 to 768, BatchNorm, ReLU, linear.
    On a map smaller than the authors' 8x8 the windows shrink to fit; on a larger one the 768 channels are averaged.

    Args:
        classes: int.
        pool_stride: 3 in the CIFAR form, 2 in the ImageNet form.
        second_bn: False in the ImageNet form of DARTS, whose authors left the second BatchNorm out.

    Call: `(batch, height, width, channels)` to logits `(batch, classes)`.
    """

    def __init__(self, classes, pool_stride, second_bn, **kwargs):
        super().__init__(**kwargs)
        self.pool_stride = pool_stride
        self.bn_1 = BatchNorm(name="bn_1")
        self.bn_2 = BatchNorm(name="bn_2") if second_bn else None
        self.classifier = Linear(classes, name="classifier")

    def build(self, shape):
        self.window = tuple(min(5, size) for size in shape[1:3])
        pooled = tuple((size - w) // self.pool_stride + 1 for size, w in zip(shape[1:3], self.window))
        kernel = tuple(min(2, size) for size in pooled)
        self.conv_1 = self.add_weight(
            name="conv_1", shape=(1, 1, shape[-1], 128), initializer=fan_in_uniform(shape[-1])
        )
        self.conv_2 = self.add_weight(
            name="conv_2", shape=(*kernel, 128, 768), initializer=fan_in_uniform(128 * kernel[0] * kernel[1])
        )
        self.bn_1.build((None, None, None, 128))
        if self.bn_2:
            self.bn_2.build((None, None, None, 768))
        self.classifier.build((None, 768))

    def call(self, x, training=None):
        y = tf.nn.avg_pool2d(tf.nn.relu(x), self.window, self.pool_stride, "VALID")
        y = tf.nn.relu(self.bn_1(tf.nn.conv2d(y, tf.convert_to_tensor(self.conv_1), 1, "VALID"), training=training))
        y = tf.nn.conv2d(y, tf.convert_to_tensor(self.conv_2), 1, "VALID")
        y = tf.nn.relu(self.bn_2(y, training=training) if self.bn_2 else y)
        return self.classifier(tf.reduce_mean(y, [1, 2]))
