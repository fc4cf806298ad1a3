"""An operation module of one's own: `python3 search_cell.py --recipe digits --ops examples/my_ops.py`.

`conv_3x3` knows parallel edges: it convolves them all at once. `blur_conv` does not: it is built once per edge.
"""

import keras
import tensorflow as tf
from tfdarts.ops.common import BatchNorm, per_channel
from tfdarts.ops.regular import OPS as REGULAR


class Conv3x3(keras.layers.Layer):
    """ReLU, 3x3 convolution, BatchNorm: `(batch, height, width, channels)` to `(..., edges * channels)`."""

    def __init__(self, channels, stride, edges, affine):
        super().__init__()
        self.channels = channels
        self.conv = keras.layers.Conv2D(edges * channels, 3, stride, padding="same", use_bias=False)
        self.bn = BatchNorm(affine)

    def call(self, x, weights=None, training=None):
        scale = None if weights is None else per_channel(weights, self.channels)  # an edge's weight scales its channels
        return self.bn(self.conv(tf.nn.relu(x)), scale=scale, training=training)


def blur_conv(channels, stride):
    """Average of 3x3 pixels, then a 1x1 convolution; any Keras layer will do."""
    pool = keras.layers.AveragePooling2D(3, stride, padding="same")
    return keras.Sequential([pool, keras.layers.Conv2D(channels, 1, activation="relu")])


OPS = {"skip_connect": REGULAR["skip_connect"], "conv_3x3": Conv3x3, "blur_conv": blur_conv}
