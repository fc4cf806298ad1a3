"""Convolutions in 8 bits whose products come from a table (TFApprox, Vaverka et al. 2020, arXiv:2002.09481).

A real number v stands for the code `v / scale + zero point`, from 0 to 255. With x and w the fake-quantised operands
of a convolution, a and b their codes and `E[a, b] = table[a, b] - a * b` the multiplier's error,

    sum of scale_x scale_w (table[a, b] - z_w a - z_x b + z_x z_w) = sum of x w + scale_x scale_w * sum of E[a, b],

over the taps: the exact convolution of the fake-quantised operands, whose gradient is the one wanted, plus a sum of
errors, which gets none. Everything here is made of plain differentiable operations, so that it works wherever
TensorFlow takes gradients, under `stateless_call` too.

The errors are summed as integers. Where E has a small rank r, `E = left @ right` in integers, the sum is one
convolution with r times the channels: of `left` at the input's codes with `right` at the kernel's. It is exact while
`taps * max(|left| @ |right|)`, which bounds every partial sum in any order, stays within the integers of the floating
point format; longer sums are split by channels. (On a GPU this asks for direct summation: TensorFloat-32, which rounds
the operands, must be off.) Else the errors are gathered, tap after tap.
"""

import math
import typing

import numpy as np
import tensorflow as tf

from ops import multipliers
from ops.common import grouped_convolution, per_channel

LEVELS = 255
# Largest rank for the sum by convolution, by whether it is depthwise; measured (benchmarks/approximate_conv.py).
LARGEST_RANK = {False: 20, True: 24}
_ROWS = 2**22  # elements of a gathered table of a block of taps


class Multiplier:
    """A multiplier's table, made ready for convolutions.

    Args:
        name: as `multipliers.load` takes it.

    Attributes:
        rank: of the table's error.
        largest: the largest absolute error.
        error: `(256, 256)`, row the weight's code, column the activation's.
        left, right: integer factors of the error, `(256, rank)`, or None where the rank is too large for them.
        bound: the largest sum of absolute products of the factors, for one pair of codes.
    """

    def __init__(self, name):
        error = multipliers.load(name).astype(np.int64) - multipliers.exact()
        self.largest = int(np.abs(error).max())
        self.rank = multipliers.rank(error) if self.largest else 0
        self.left = self.right = None
        with tf.init_scope():  # one tensor that all graphs refer to, not a constant in each operation
            self.error = tf.constant(error.T, tf.float32)
            if 0 < self.rank <= max(LARGEST_RANK.values()):
                left, right = multipliers.factors(error)
                self.bound = int((np.abs(left) @ np.abs(right)).max())
                self.left, self.right = tf.constant(left, tf.float32), tf.constant(right.T, tf.float32)

    def by_convolution(self, depthwise, taps, dtype):
        """Whether sums over `taps` products (of one channel) are taken by a convolution."""
        if self.left is None or self.rank > LARGEST_RANK[depthwise]:
            return False
        return taps * self.bound <= largest_integer(dtype)


def largest_integer(dtype):
    """Up to here a floating point format holds every integer: 2^24 for float32."""
    return 2 ** (np.finfo(tf.as_dtype(dtype).as_numpy_dtype).nmant + 1)


def value_range(x, edges=1):
    """Least and greatest value of each edge of a wide map `(..., edges * channels)`: `(2, edges)`."""
    if edges == 1:
        return tf.stack([[tf.reduce_min(x)], [tf.reduce_max(x)]])
    x = tf.reshape(x, [-1, edges, x.shape[-1] // edges])
    return tf.stack([tf.reduce_min(x, [0, 2]), tf.reduce_max(x, [0, 2])])


class Quantised(typing.NamedTuple):
    """A tensor in 8 bits."""

    value: tf.Tensor  # what the codes stand for, with the gradient of fake quantisation
    offsets: tf.Tensor  # codes less the zero point, as floating point numbers
    scale: tf.Tensor  # per channel
    zero_point: tf.Tensor  # per channel


def quantise(x, ranges):
    """Fake quantisation to 8 bits over a range that is nudged so that 0 has a code.

    The gradient passes where x lies within the nudged range, and goes to the range's end beyond it (as that of
    TensorFlow's `fake_quant_with_min_max_vars`, whose values these are). A range of [0, 0] gives zeros; one that
    excludes 0 is moved, not widened.

    Args:
        x: `(..., channels)`.
        ranges: least and greatest value per channel, `(2, channels)` or `(2, 1)`.

    Returns:
        `Quantised`.
    """
    low, high = ranges[0], ranges[1]
    scale = tf.stop_gradient((high - low) / LEVELS)
    zero_point = tf.clip_by_value(tf.floor(0.5 - tf.math.divide_no_nan(tf.stop_gradient(low), scale)), 0.0, LEVELS)
    start, stop = -zero_point * scale, (LEVELS - zero_point) * scale
    infinite = tf.where(scale > 0, tf.zeros_like(scale), np.inf)  # an empty range clips nothing: all gradient is x's
    clipped = tf.maximum(x, low + tf.stop_gradient(start - low) - infinite)
    clipped = tf.minimum(clipped, high + tf.stop_gradient(stop - high) + infinite)
    codes = tf.floor(tf.math.divide_no_nan(tf.stop_gradient(clipped) - start, scale) + 0.5)
    offsets = tf.stop_gradient(codes - zero_point)
    value = clipped + tf.stop_gradient(offsets * scale - clipped)
    return Quantised(value, offsets, scale, zero_point)


class Geometry(typing.NamedTuple):
    """How a convolution lies on its map; padding is that of `tf.nn.conv2d`, row by row for all four axes."""

    padding: list
    strides: tuple = (1, 1)
    dilations: tuple = (1, 1)
    edges: int = 1  # of the input: groups of channels, each seen by its own share of the filters
    depthwise: bool = False

    def convolve(self, x, kernel, padding=None):
        """The exact convolution."""
        padding = padding or self.padding
        if not self.depthwise:
            return grouped_convolution(x, kernel, self.edges, self.strides, padding, self.dilations)
        if self.strides[0] != self.strides[1]:
            raise ValueError(f"A depthwise convolution has one stride. Received: {self.strides}.")
        if padding == "SAME":
            return tf.nn.depthwise_conv2d(x, kernel, [1, *self.strides, 1], "SAME", dilations=self.dilations)
        x = x if padding == "VALID" else tf.pad(x, padding)
        return tf.nn.depthwise_conv2d(x, kernel, [1, *self.strides, 1], "VALID", dilations=self.dilations)

    def pads(self, x, kernel):
        """The padding in numbers: one pair per axis."""
        if self.padding == "VALID":
            return [[0, 0]] * 4
        if self.padding != "SAME":
            return self.padding
        result = [[0, 0]]
        for size, window, stride, dilation in zip(x.shape[1:3], kernel.shape[:2], self.strides, self.dilations):
            span = dilation * (window - 1) + 1
            total = max(0, (-(-size // stride) - 1) * stride + span - size)
            result.append([total // 2, total - total // 2])
        return [*result, [0, 0]]


def convolution(x, kernel, x_range, multiplier, geometry):
    """A convolution, or a depthwise one, whose products of codes come from a table.

    Padding counts: its taps are zeros with a code of their own, whose products come from the table like all others.
    The kernel's range is its own, edge by edge.

    Args:
        x: `(batch, height, width, edges_in * channels_in)`.
        kernel: `(h, w, channels_in, edges * channels)`, or depthwise `(h, w, edges * channels_in, 1)`.
        x_range: least and greatest input per edge, `(2, edges)`; gradients flow into it. Where all edges see one map
            (`geometry.edges` is 1) the ranges must be the same for all.
        multiplier: `Multiplier`.
        geometry: `Geometry`.

    Returns:
        `(batch, height', width', edges * channels)`.
    """
    edges, channels = x_range.shape[1], x.shape[-1] // geometry.edges
    if geometry.depthwise:
        flat = tf.reshape(kernel, [-1, kernel.shape[2]])
        kernel_range = value_range(flat, edges)
        w = quantise(kernel, _spread(kernel_range, channels)[:, :, None])
    else:
        kernel_range = value_range(kernel, edges)
        w = quantise(kernel, _spread(kernel_range, kernel.shape[3] // edges))
    x = quantise(x, _spread(x_range[:, : geometry.edges], channels))
    y = geometry.convolve(x.value, w.value)
    if not multiplier.rank:
        return y
    scale = x_range[1] - x_range[0], kernel_range[1] - kernel_range[0]
    scale = per_channel(scale[0] / LEVELS * (scale[1] / LEVELS), y.shape[-1] // edges)
    errors = error_sums(x, w, multiplier, geometry)
    return y + tf.stop_gradient(tf.cast(errors, y.dtype) * scale)


def _spread(ranges, channels):
    """Ranges per edge, `(2, edges)`, to ranges per channel."""
    return ranges if ranges.shape[1] == 1 else tf.repeat(ranges, channels, axis=1)


def error_sums(x, w, multiplier, geometry):
    """Sum of the table's errors over the taps of a convolution, exactly.

    Args:
        x, w: `Quantised` map and kernel.

    Returns:
        int32, `(batch, height', width', channels)`.
    """
    padded = tf.pad(x.offsets, geometry.pads(x.offsets, w.offsets)) + x.zero_point
    a, b = tf.cast(padded, tf.int32), tf.cast(w.offsets + w.zero_point, tf.int32)
    if multiplier.by_convolution(geometry.depthwise, math.prod(b.shape[:2]), x.offsets.dtype):
        return _sums_by_convolution(a, b, multiplier, geometry, x.offsets.dtype)
    return (_sums_by_depthwise_gather if geometry.depthwise else _sums_by_gather)(a, b, multiplier, geometry)


def _sums_by_convolution(a, b, multiplier, geometry, dtype):
    left, right = tf.cast(multiplier.left, dtype), tf.cast(multiplier.right, dtype)
    rank, (height, width, channels, filters) = multiplier.rank, b.shape
    if geometry.depthwise:
        x = tf.reshape(tf.gather(left, a), [*_sizes(a), channels * rank])
        kernel = tf.reshape(tf.gather(right, b), [height, width, channels * rank, 1])
        y = geometry.convolve(x, kernel, "VALID")
        return tf.cast(tf.reduce_sum(tf.reshape(y, [*_sizes(y), channels, rank]), -1), tf.int32)
    most = largest_integer(dtype) // (height * width * multiplier.bound)  # channels of one sum
    total = 0
    for first in range(0, channels, most):
        part = min(most, channels - first)
        codes = a
        if part < channels:
            codes = tf.reshape(a, [*_sizes(a), geometry.edges, channels])[..., first : first + part]
        x = tf.reshape(tf.gather(left, codes), [*_sizes(a), geometry.edges * part * rank])
        kernel = tf.transpose(tf.gather(right, b[:, :, first : first + part]), [0, 1, 2, 4, 3])
        kernel = tf.reshape(kernel, [height, width, part * rank, filters])
        total += tf.cast(geometry.convolve(x, kernel, "VALID"), tf.int32)
    return total


def _sizes(x):
    return [tf.shape(x)[0], *x.shape[1:3]]


def _window(a, geometry, kernel_size):
    """Function from a tap's row and column to the codes that it meets, and their height and width."""
    (top, left), (down, across) = geometry.dilations, geometry.strides
    spans = [size - step * (window - 1) for size, step, window in zip(a.shape[1:3], (top, left), kernel_size)]
    sizes = [-(-span // step) for span, step in zip(spans, (down, across))]

    def window(row, column):
        part = tf.slice(a, [0, row * top, column * left, 0], [-1, *spans, -1])[:, ::down, ::across]
        return tf.ensure_shape(part, [None, *sizes, a.shape[-1]])

    return window, sizes


def _sums_by_gather(a, b, multiplier, geometry):
    """For a block of channels of one tap, the errors of every code with all filters are rows; rows are added up."""
    (height, width, channels, filters), edges = b.shape, geometry.edges
    window, sizes = _window(a, geometry, (height, width))
    each = filters // edges
    block = min(channels, largest_integer(tf.float32) // multiplier.largest, max(1, _ROWS // (256 * filters)))
    blocks = -(-channels // block)
    kernel = tf.reshape(b, [height * width, channels, edges, each])

    def add(step, total):
        tap, first = step // blocks, step % blocks * block
        codes = window(tap // width, tap % width)
        codes = tf.reshape(codes, [-1, edges, channels])[:, :, first : first + block]
        rows = tf.transpose(tf.gather(multiplier.error, kernel[tap, first : first + block]), [1, 0, 3, 2])
        count = tf.shape(codes)[2]
        places = codes + 256 * tf.reshape(tf.range(edges * count), [edges, count])
        sums = tf.sparse.segment_sum(
            tf.reshape(rows, [-1, each]),
            tf.reshape(places, [-1]),
            tf.repeat(tf.range(tf.shape(codes)[0] * edges), count),
        )
        return step + 1, total + tf.cast(tf.ensure_shape(sums, [None, each]), tf.int32)

    batch = tf.shape(a)[0]
    start = tf.zeros([batch * math.prod(sizes) * edges, each], tf.int32)
    _, total = _loop(height * width * blocks, add, start)
    return tf.reshape(total, [batch, *sizes, filters])


def _sums_by_depthwise_gather(a, b, multiplier, geometry):
    height, width, channels, _ = b.shape
    window, sizes = _window(a, geometry, (height, width))
    error = tf.cast(tf.reshape(multiplier.error, [-1]), tf.int32)
    places = 256 * tf.reshape(b, [height * width, channels])

    def add(tap, total):
        return tap + 1, total + tf.gather(error, window(tap // width, tap % width) + places[tap])

    start = tf.zeros([tf.shape(a)[0], *sizes, channels], tf.int32)
    return _loop(height * width, add, start)[1]


def _loop(count, body, start):
    """One step after the other, so that only one step's tensors are held."""
    return tf.while_loop(
        lambda step, _: step < count,
        body,
        [0, start],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, *start.shape[1:]])],
        parallel_iterations=1,
    )
