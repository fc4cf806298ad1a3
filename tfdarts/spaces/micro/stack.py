"""What the searched and the final networks of ENAS's micro space share.

Pham et al. 2018, arXiv:1802.03268, section 2.4, as its authors programmed it. Networks of `layers` have `layers + 2`
cells; what is called a block there is a node here. Maps are `(batch, height, width, channels)`.
"""

import keras
import tensorflow as tf

from tfdarts.layers.network import plan
from tfdarts.layers.tf1 import ConvBN, FactorizedReduce, depthwise
from tfdarts.ops.common import grouped_conv


def cell_plan(layers, channels):
    """The cells of this space as `layers.network.plan` has them.

    Reductions are cells `layers // 3` and `2 * (layers // 3) + 1`.
    """
    return plan(layers + 2, channels, {layers // 3, 2 * (layers // 3) + 1})


class AfterReLU(keras.layers.Layer):
    """Layers in turn, each after a ReLU: what an input of a cell goes through. None leave a map as it is."""

    def __init__(self, *layers, **kwargs):
        super().__init__(**kwargs)
        self.layers = layers

    def call(self, x, training=None):
        for layer in self.layers:
            x = layer(tf.nn.relu(x), training=training)
        return x


def calibration(channels, channels_in, halve, norm):
    """The layers, for `AfterReLU`, that bring an input of a cell to its size and channels."""
    if halve:
        return (FactorizedReduce(channels, norm),)
    return () if channels_in == channels else (ConvBN(channels, norm=norm),)


def separable(x, depthwise_kernel, pointwise_kernel, stride=1):
    """ReLU, depthwise and pointwise convolution: half of a separable operation but for the BatchNorm that follows."""
    return grouped_conv(depthwise(tf.nn.relu(x), depthwise_kernel, stride), pointwise_kernel)
