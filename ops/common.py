"""Pieces that operation modules share: parallel edges, BatchNorm with PyTorch's statistics, initialisation.

Maps are `(batch, height, width, channels)`. The result of `edges` parallel edges is *wide*: edge after edge along
the last axis, `edges * channels` channels in all.
"""

import functools
import math

import keras
import tensorflow as tf

from tfdarts import collectives
from tfdarts.backend import on_cpu
from tfdarts.gradients import custom_gradient
from tfdarts.precision import exact_type, of_container

BN_MOMENTUM = 0.9  # Keras's convention; PyTorch calls the same thing 0.1
BN_EPSILON = 1e-5
SMALL = 1 << 16  # vectors `(batch, channels)` of at most so many numbers take no fused BatchNorm on the CPU


def fan_in_uniform(fan_in):
    """PyTorch's default initialisation of convolutions and linear layers: U(-b, b) with b = 1/sqrt(fan_in)."""
    bound = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-bound, bound)  # a new one per weight: one instance repeats its values


def tile_edges(x, edges, inputs=1):
    """Repeats a map once per edge: `(..., channels)` to `(..., edges * channels)`.

    Where the maps of several `inputs` lie side by side, `(..., inputs * channels)`, each is repeated for its share of
    the edges; the edges of the first input come first.
    """
    if edges == inputs:
        return x
    *size, channels = x.shape[1:]
    by_input = x if inputs == 1 else tf.reshape(x, [-1, *size, inputs, channels // inputs])
    tiled = tf.tile(by_input, [1] * (by_input.shape.rank - 1) + [edges // inputs])
    return tiled if inputs == 1 else tf.reshape(tiled, [-1, *size, edges * channels // inputs])


def per_channel(weights, channels):
    """Spreads one mixing weight per edge over the edge's channels: `(edges,)` to `(edges * channels,)`."""
    return tf.reshape(tf.tile(weights[:, None], [1, channels]), [-1])


def scale_of(weights, channels, edges):
    """The scale of a wide map's channels, by `weights` of `(edges,)`, or already `(edges * channels,)`, or None."""
    return weights if weights is None or weights.shape[0] == edges * channels else per_channel(weights, channels)


def scale_edges(x, weights):
    """Multiplies a wide map `(..., edges * channels)` by one weight per edge, `(edges,)`; None leaves it as it is."""
    if weights is None:
        return x
    return x * tf.cast(per_channel(weights, x.shape[-1] // weights.shape[0]), x.dtype)


def spread(x, weights, edges, inputs=1):
    """Turns a result that is the same for every edge of an input into the wide form, scaled edge by edge."""
    return scale_edges(tile_edges(x, edges, inputs), weights)


def prepare(operation, x, done=None):
    """What an operation does before its first weight: its `preparations`, functions with a key each, in turn.

    Args:
        done: dictionary from the keys so far to a result, in which those are kept that other operations share.
    """
    done, keys = {} if done is None else done, ()
    for key, function in operation.preparations:
        keys = (*keys, key)
        if keys not in done:
            done[keys] = function(x)
        x = done[keys]
    return x


@functools.cache
def _grouped_gradient_works(dtype):
    """Whether a grouped convolution has a gradient here (on the CPU only with TensorFlow's oneDNN kernels)."""
    common = {"strides": [1, 1, 1, 1], "padding": "VALID"}
    with tf.init_scope():  # out of the graph; no tape, for this scope keeps tapes from recording
        x, kernel = tf.ones((1, 1, 1, 2), dtype), tf.ones((1, 1, 1, 2), dtype)
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, out_backprop=x, **common)
            tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, out_backprop=x, **common)
        except tf.errors.OpError:
            return False
    return True


def grouped_conv(x, kernel, strides=1, padding="SAME", dilations=1):
    """Convolution in which each edge sees its own channels only.

    Args:
        x: `(batch, height, width, edges * channels_in)`.
        kernel: `(height, width, channels_in, edges * channels)`; its third axis tells how many edges there are.
        strides, padding, dilations: as `tf.nn.conv2d` takes them.

    Returns:
        `(batch, height', width', edges * channels)`.
    """
    edges = x.shape[-1] // kernel.shape[2]
    if edges > 1 and not isinstance(padding, str):  # oneDNN has the gradient only where the padding is done before
        x, padding = tf.pad(x, padding), "VALID"
    if edges > 1 and not (x.dtype != tf.float64 and _grouped_gradient_works(x.dtype)):
        *size, channels_in, wide = kernel.shape  # as one convolution whose kernel is zero between the edges
        diagonal = tf.reshape(tf.eye(edges, dtype=kernel.dtype), [edges, 1, edges, 1])
        kernel = tf.reshape(kernel, [*size, 1, channels_in, edges, wide // edges]) * diagonal
        kernel = tf.reshape(kernel, [*size, edges * channels_in, wide])
    return tf.nn.conv2d(x, kernel, strides, padding, dilations=dilations)


def grid(x, start=0):
    """Every second row and column, from `start` (0 or 1): `(batch, height, width, channels)` to half the size.

    Where the height or width is odd, the grid from 1 has a row or column of zeros beyond the border, so that both grids
    have one size. On the CPU this takes a fourth to a tenth of the time of `x[:, ::2, ::2]`.
    """
    height, width, channels = x.shape[1:]
    if height % 2 or width % 2:
        x = tf.pad(x, [[0, 0], [0, height % 2], [0, width % 2], [0, 0]])
    height, width = -(-height // 2), -(-width // 2)
    paired = tf.reshape(x, [-1, 2, width, 2 * channels])
    taken = tf.slice(paired, [0, start, 0, start * channels], [-1, 1, width, channels])
    return tf.reshape(taken, [-1, height, width, channels])


def _depthwise_by_two_libraries(x, kernel):
    """Depthwise convolution of stride 1 with "SAME" padding, of which the kernel's gradient is not oneDNN's.

    TensorFlow leaves explicit padding to Eigen, which takes a third of oneDNN's time for that gradient where kernels
    are wider than 3; for the convolution and the gradient of `x` oneDNN is the faster one.
    """
    strides, zeros = [1, 1, 1, 1], sum(symmetric_padding(kernel), [])

    @custom_gradient
    def convolved(x, kernel):
        def gradient(dy):
            return tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, strides=strides, padding="SAME"
            ), tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=x,
                filter_sizes=kernel.shape,
                out_backprop=dy,
                strides=strides,
                padding="EXPLICIT",
                explicit_paddings=zeros,
            )

        return tf.nn.depthwise_conv2d(x, kernel, strides, "SAME"), gradient

    return convolved(x, kernel)


def depthwise(x, kernel, stride=1):
    """Depthwise convolution with `kernel_size // 2` zeros on every side, also at stride 2 (`"SAME"` would differ)."""
    size = kernel.shape[0]
    if stride == 1:
        if size > 3 and x.dtype == tf.float32 and on_cpu():
            return _depthwise_by_two_libraries(x, kernel)
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], symmetric_padding(kernel))


def batch_norm(x, gain, offset, statistics=(None, None), training=True, share=1.0, epsilon=BN_EPSILON):
    """Normalises a map over all but its last axis, with the biased batch variance, or by moving statistics.

    Float32 and 16 bits go through TensorFlow's fused kernel, whose statistics are float32. Mean and variance are taken
    by plain operations in float64, which that kernel refuses and the exactness checks need; over several devices; and
    of small vectors on the CPU, where the fused kernel takes a tenth of a millisecond to begin.

    Args:
        x: `(batch, height, width, channels)`, or vectors, `(batch, channels)`.
        gain, offset: `(channels,)`, float32 where `x` has 16 bits; likewise `statistics`.
        statistics: moving mean and variance, `(channels,)` each; needed unless `training` and `share` 1.
        training: whether to normalise by the batch's statistics.
        share: float, of the batch's in the new statistics.

    Returns:
        A map shaped like `x`, and in training the new mean and variance, into which the unbiased variance goes.
    """
    mean, variance = statistics
    shared = training and collectives.replicas() > 1
    vectors, channels = x.shape.rank == 2, x.shape[-1]
    small = vectors and x.shape.is_fully_defined() and x.shape.num_elements() <= SMALL and on_cpu()
    if not (x.dtype == tf.float64 or shared or small):
        y, *moments = tf.compat.v1.nn.fused_batch_norm(
            tf.reshape(x, [-1, 1, 1, channels]) if vectors else x,
            gain,
            offset,
            mean=mean,
            variance=variance,
            epsilon=epsilon,
            is_training=bool(training),
            exponential_avg_factor=share,
        )
        return tf.reshape(y, [-1, channels]) if vectors else y, *moments
    axes = list(range(x.shape.rank - 1))
    new_mean, new_variance = mean, variance
    dtype, x = x.dtype, tf.cast(x, exact_type(x.dtype))
    if training:
        if shared:
            mean, variance, count = collectives.moments(x, axes)
            mean, variance = (tf.reshape(y, [channels]) for y in (mean, variance))
        else:
            count = tf.cast(tf.size(x) / channels, x.dtype)
            # Not tf.nn.moments: it stops the gradient at the mean, so that second derivatives come out wrong.
            mean = tf.reduce_mean(x, axes)
            variance = tf.reduce_mean(tf.square(x - mean), axes)
        new_mean, new_variance = mean, variance * count / tf.maximum(count - 1, 1)
        if share != 1.0:
            old_mean, old_variance = statistics
            new_mean = (1 - share) * old_mean + share * new_mean
            new_variance = (1 - share) * old_variance + share * new_variance
    y = (x - mean) * (tf.math.rsqrt(variance + epsilon) * gain) + offset
    return tf.cast(y, dtype), new_mean, new_variance


@keras.saving.register_keras_serializable("tfdarts")
class BatchNorm(keras.layers.Layer):
    """BatchNorm over all but the last axis, with the statistics that PyTorch keeps.

    Ioffe and Szegedy 2015, arXiv:1502.03167. Normalises with the biased batch variance; the moving variance
    receives the unbiased one.

    Args:
        affine: whether there are a trainable scale and offset.
        momentum: share of the old value that a moving statistic keeps at one step; None for no moving statistics: the
            batch's are used always.
        epsilon: added to the variance.

    Call arguments:
        x: `(batch, height, width, channels)`.
        scale: `(channels,)` or None; multiplies the normalised map. A mixing weight enters here, so that it costs no
            operation of its own.

    Returns:
        A map shaped like `x`.
    """

    def __init__(self, affine=True, momentum=BN_MOMENTUM, epsilon=BN_EPSILON, **kwargs):
        super().__init__(**{"dtype": of_container(), **kwargs})
        self.affine = affine
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, shape):
        size = (shape[-1],)
        if self.affine:
            self.gamma = self.add_weight(name="gamma", shape=size, initializer="ones", autocast=False)
            self.beta = self.add_weight(name="beta", shape=size, initializer="zeros", autocast=False)
        if self.momentum is None:
            return
        kept = {"trainable": False, "autocast": False}
        self.moving_mean = self.add_weight(name="moving_mean", shape=size, initializer="zeros", **kept)
        self.moving_variance = self.add_weight(name="moving_variance", shape=size, initializer="ones", **kept)

    def call(self, x, scale=None, training=None):
        gain, offset = self._gain_and_offset(scale, x)
        if self.momentum is None:
            return batch_norm(x, gain, offset, epsilon=self.epsilon)[0]
        moving = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        y, mean, variance = batch_norm(x, gain, offset, moving, training, 1.0 - self.momentum, self.epsilon)
        if training:
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance)
        return y

    def _gain_and_offset(self, scale, x):
        dtype = exact_type(x.dtype)
        gain, offset = tf.ones(x.shape[-1:], dtype), tf.zeros(x.shape[-1:], dtype)
        if self.affine:
            gain, offset = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if scale is not None:
            scale = tf.cast(scale, dtype)
            offset = offset * scale if self.affine else offset
            gain = gain * scale if self.affine else scale
        return gain, offset

    def get_config(self):
        own = {"affine": self.affine, "momentum": self.momentum, "epsilon": self.epsilon}
        return {**super().get_config(), **own}


def symmetric_padding(kernel):
    """`size // 2` zeros on every side, in the form of `tf.nn.conv2d`."""
    height, width = kernel.shape[:2]
    if height == width == 1:
        return "VALID"
    return [[0, 0], [height // 2, height // 2], [width // 2, width // 2], [0, 0]]


class Convolving(keras.layers.Layer):
    """A layer that convolves `edges` parallel edges with kernels of its own; a subclass may multiply otherwise.

    All convolutions pad `size // 2` zeros on every side and have no bias.

    Its properties `relu`, `copies` and `grids` are what operations do before their first weight, for their
    `preparations` (see `prepare`).
    """

    edges, inputs = 1, 1

    @property
    def relu(self):
        return ("relu", type(self).arrange), lambda x: self.arrange(tf.nn.relu(x), lambda x: x)

    @property
    def copies(self):
        """A copy for each edge."""
        return ("copies", self.edges), lambda x: self.arrange(x, lambda x: tile_edges(x, self.edges, self.inputs))

    @property
    def grids(self):
        """The map's even rows and columns, and its odd ones."""
        return "grids", lambda x: tuple(self.arrange(x, functools.partial(grid, start=start)) for start in (0, 1))

    def add_kernel(self, name, shape, fan_in):
        """Adds a kernel, with PyTorch's initialisation, as the attribute `name`."""
        setattr(self, name, self.add_weight(name=name, shape=shape, initializer=fan_in_uniform(fan_in)))

    def arrange(self, x, arrangement):
        """What a convolution is given instead of `x`: a part of it, or a layout of it, by the function handed in.

        Args:
            x: a map, or what `arrange` gave.
        """
        return arrangement(x)

    def convolve(self, x, name, training, strides=(1, 1)):
        """Convolves by the kernel `name`.

        Args:
            x: a map that all edges see, or one with channels of its own for each edge; or what `arrange` gave.
            training: whether in training; the exact convolution is the same in both.
        """
        kernel = tf.convert_to_tensor(getattr(self, name))
        return grouped_conv(x, kernel, strides, symmetric_padding(kernel))

    def convolve_depthwise(self, x, name, training, stride=1):
        """Convolves every channel of a wide map by itself; arguments as in `convolve`."""
        return depthwise(x, tf.convert_to_tensor(getattr(self, name)), stride)


class ReLUConvBN(Convolving):
    """ReLU, 1x1 convolution without bias, BatchNorm (DARTS, Liu et al. 2019, arXiv:1806.09055, section 3.1.1).

    Call: `(batch, height, width, channels_in)` to `(batch, height, width, channels)`.
    """

    def __init__(self, channels, affine=True, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.bn = BatchNorm(affine, name="bn")

    def build(self, shape):
        self.add_kernel("conv", (1, 1, shape[-1], self.channels), shape[-1])
        self.bn.build((*shape[:-1], self.channels))

    def call(self, x, training=None):
        return self.bn(self.convolve(tf.nn.relu(x), "conv", training), training=training)


class FactorizedReduce(Convolving):
    """Halves the map: ReLU, two 1x1 convolutions of stride 2, the second shifted by one pixel, concat, BatchNorm.

    DARTS, section 3.1.1. The channels are divided between the two convolutions; where height or width is odd, the
    shifted one sees a row or column of zeros beyond the border, so that both halves have the same size.

    Call: `x` of `(batch, height, width, inputs * channels_in)`, `weights` of `(edges,)` or None, to
    `(batch, ceil(height / 2), ceil(width / 2), edges * channels)`.
    """

    takes_scale = True

    def __init__(self, channels, edges=1, affine=True, inputs=1, **kwargs):
        super().__init__(**kwargs)
        self.halves = (channels // 2, channels - channels // 2)
        self.channels, self.edges, self.inputs = channels, edges, inputs
        self.bn = BatchNorm(affine, name="bn")

    def build(self, shape):
        first, second = (half * self.edges for half in self.halves)
        channels_in = shape[-1] // self.inputs
        self.add_kernel("conv_1", (1, 1, channels_in, first), channels_in)
        self.add_kernel("conv_2", (1, 1, channels_in, second), channels_in)
        self.bn.build((*shape[:-1], self.edges * self.channels))

    @property
    def preparations(self):
        return self.relu, self.grids

    def call(self, x, weights=None, training=None):
        return self.apply(prepare(self, x), weights, training)

    def apply(self, prepared, weights=None, training=None):
        """What follows the `preparations`."""
        parts = [self.convolve(x, name, training) for x, name in zip(prepared, ("conv_1", "conv_2"))]
        height, width = parts[0].shape[1:3]
        parts = [tf.reshape(y, [-1, height, width, self.edges, half]) for y, half in zip(parts, self.halves)]
        equal = self.halves[0] == self.halves[1]  # stacked: one kernel in the gradient instead of two
        y = tf.stack(parts, -2) if equal else tf.concat(parts, -1)
        y = tf.reshape(y, [-1, height, width, self.edges * self.channels])
        return self.bn(y, scale=scale_of(weights, self.channels, self.edges), training=training)


def preprocess(channels, halve, affine):
    """The layer that brings an input of a cell to its size and channels."""
    return FactorizedReduce(channels, 1, affine) if halve else ReLUConvBN(channels, affine)
