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
the operands, is turned off by `ops.approximate`.) Else the errors are gathered, tap after tap.
"""

import math
import typing

import numpy as np
import tensorflow as tf
from tfdarts.ops import multipliers
from tfdarts.ops.common import grouped_conv

LEVELS = 255
LARGEST_RANK = 16  # for the sum by convolution; measured (benchmarks/approximate_conv.py)
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
            if 0 < self.rank <= LARGEST_RANK:
                left, right = multipliers.factors(error)
                self.bound = int((np.abs(left) @ np.abs(right)).max())
                self.left, self.right = tf.constant(left, tf.float32), tf.constant(right.T, tf.float32)

    def by_convolution(self, taps, dtype):
        """Whether sums over `taps` products (of one channel) are taken by a convolution."""
        return self.left is not None and taps * self.bound <= largest_integer(dtype)


def largest_integer(dtype):
    """Up to here a floating point format holds every integer: 2^24 for float32."""
    return 2 ** (np.finfo(tf.as_dtype(dtype).as_numpy_dtype).nmant + 1)


def extremes(x, edges=1):
    """Least and greatest value of each edge of a wide map `(..., edges * channels)`: `(2, edges, 1)`."""
    flat = tf.reshape(x, [-1, edges, x.shape[-1] // edges])
    return tf.concat([reduce(flat, [0, 2], keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max)], 0)


def _ends(ranges, channels):
    """Ranges per edge, `(2, edges, 1)`, to ends per channel: a pair of `(channels,)`, or of `()` if there is one."""
    edges = ranges.shape[1]
    if edges == 1:
        return tf.unstack(tf.reshape(ranges, [2]))
    return tf.unstack(tf.reshape(tf.tile(ranges, [1, 1, channels // edges]), [2, channels]))


def fake_quantise(x, low, high):
    """Rounds to the 256 values that codes stand for, over a range that is nudged so that 0 is one of them.

    TensorFlow's own operation, in float32: its gradient passes where x lies within the nudged range, and goes to the
    range's end beyond it. A range of [0, 0] gives zeros; one that excludes 0 is moved, not widened.

    Args:
        x: `(..., channels)`.
        low, high: least and greatest value, `(channels,)`, or `()` for all.

    Returns:
        A tensor like `x`.
    """
    operation = tf.quantization.fake_quant_with_min_max_vars
    if low.shape.rank:
        operation = tf.quantization.fake_quant_with_min_max_vars_per_channel
    return tf.cast(operation(*(tf.cast(v, tf.float32) for v in (x, low, high))), x.dtype)


def step_and_zero(low, high):
    """Difference between two neighbouring values, and the code of 0, of the range that `fake_quantise` makes."""
    low, high = tf.cast(low, tf.float32), tf.cast(high, tf.float32)
    step = (high - low) / LEVELS
    return step, tf.clip_by_value(tf.floor(0.5 - tf.math.divide_no_nan(low, step)), 0.0, LEVELS)


def codes(value, step, zero):
    """The codes, int32, of what `fake_quantise` gave; step and zero per channel, or for all."""
    return tf.cast(tf.math.divide_no_nan(tf.cast(value, tf.float32), step) + (zero + 0.5), tf.int32)


class Geometry(typing.NamedTuple):
    """How a convolution lies on its map; padding is that of `tf.nn.conv2d`, row by row for all four axes."""

    padding: list
    strides: tuple = (1, 1)
    dilations: tuple = (1, 1)
    edges: int = 1
    depthwise: bool = False

    def convolve(self, x, kernel, padding=None):
        """The exact convolution."""
        padding = padding or self.padding
        if not self.depthwise:
            return grouped_conv(x, kernel, self.strides, padding, self.dilations)
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


def convolution(x, kernel, ranges, multiplier, geometry):
    """A convolution, or a depthwise one, whose products of codes come from a table.

    Padding counts: its taps are zeros with a code of their own, whose products come from the table like all others.
    The kernel's range is its own, edge by edge.

    Args:
        x: `(batch, height, width, edges_in * channels_in)`.
        kernel: `(h, w, channels_in, edges * channels)`, or depthwise `(h, w, edges * channels_in, 1)`.
        ranges: least and greatest value of the input, `(2, maps, 1)` for the maps that lie in it, or `(2, 1, 1)`;
            gradients flow into them.
        multiplier: `Multiplier`.
        geometry: `Geometry`; its `edges` are the kernel's.

    Returns:
        `(batch, height', width', edges * channels)`.
    """
    flat = tf.reshape(kernel, [-1, kernel.shape[2]]) if geometry.depthwise else kernel  # the edges last
    ends, kernel_ends = _ends(ranges, x.shape[-1]), _ends(extremes(flat, geometry.edges), flat.shape[-1])
    x, flat = fake_quantise(x, *ends), fake_quantise(flat, *kernel_ends)
    w = tf.reshape(flat, kernel.shape) if geometry.depthwise else flat
    y = geometry.convolve(x, w)
    if multiplier.rank:
        with tf.name_scope("table_errors"):
            (step, zero), (kernel_step, kernel_zero) = step_and_zero(*ends), step_and_zero(*kernel_ends)
            a = codes(tf.pad(x, geometry.pads(x, w)), step, zero)
            b = tf.reshape(codes(flat, kernel_step, kernel_zero), kernel.shape)
            errors = error_sums(a, b, multiplier, geometry, y.dtype)
            if x.shape[-1] != y.shape[-1]:
                step, _ = step_and_zero(*_ends(ranges, y.shape[-1]))
            y += tf.stop_gradient(tf.cast(errors, y.dtype) * tf.cast(step * kernel_step, y.dtype))
    return y


def error_sums(a, b, multiplier, geometry, dtype):
    """Sum of the table's errors over the taps of a convolution, exactly.

    Args:
        a: codes of the padded map, int32.
        b: codes of the kernel, int32.
        dtype: floating point format to calculate in.

    Returns:
        Integers, as floating point numbers or int32, `(batch, height, width, channels)`.
    """
    if multiplier.by_convolution(math.prod(b.shape[:2]), dtype):
        return _sums_by_convolution(a, b, multiplier, geometry, dtype)
    return (_sums_by_depthwise_gather if geometry.depthwise else _sums_by_gather)(a, b, multiplier, geometry)


def _sums_by_convolution(a, b, multiplier, geometry, dtype):
    left, right = tf.cast(multiplier.left, dtype), tf.cast(multiplier.right, dtype)
    rank, size, (height, width, channels, filters) = multiplier.rank, a.shape[1:3], b.shape
    if geometry.depthwise:
        x = tf.reshape(tf.gather(left, a), [-1, *size, channels * rank])
        kernel = tf.reshape(tf.gather(right, b), [height, width, channels * rank, 1])
        y = geometry.convolve(x, kernel, "VALID")
        return tf.reduce_sum(tf.reshape(y, [-1, *y.shape[1:3], channels, rank]), -1)
    groups = a.shape[-1] // channels
    most = largest_integer(dtype) // (height * width * multiplier.bound)  # channels of one sum
    sums = []
    for first in range(0, channels, most):
        part, kernel = min(most, channels - first), b
        if part < channels:
            a = tf.reshape(a, [-1, *size, groups, channels])
            kernel = b[:, :, first : first + part]
        x = tf.gather(left, a[..., first : first + part] if part < channels else a)
        kernel = tf.transpose(tf.gather(right, kernel), [0, 1, 2, 4, 3])
        sums.append(
            geometry.convolve(
                tf.reshape(x, [-1, *size, groups * part * rank]),
                tf.reshape(kernel, [height, width, part * rank, filters]),
                "VALID",
            )
        )
    return sums[0] if len(sums) == 1 else tf.add_n([tf.cast(y, tf.int32) for y in sums])


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
    (height, width, channels, filters), edges = b.shape, a.shape[-1] // b.shape[2]
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
    """For a row of the kernel, the errors of every code with all its taps are gathered together, then shifted."""
    height, width, channels, _ = b.shape
    left, across = geometry.dilations[1], geometry.strides[1]
    whole_rows = geometry._replace(strides=(geometry.strides[0], 1))
    window, (rows, _) = _window(a, whole_rows, (height, 1))
    span = a.shape[2] - left * (width - 1)
    kernel = tf.reshape(b, [height, width, channels])

    def add(row, total):
        errors = tf.transpose(tf.gather(multiplier.error, kernel[row]), [1, 2, 0])  # (channels, 256, width)
        places = window(row, 0) + 256 * tf.range(channels)
        taps = tf.unstack(tf.gather(tf.reshape(errors, [-1, width]), places), axis=-1)
        parts = [tap[:, :, shift : shift + span : across] for tap, shift in zip(taps, range(0, left * width, left))]
        return row + 1, total + tf.add_n(parts)

    start = tf.zeros([tf.shape(a)[0], rows, -(-span // across), channels])
    return _loop(height, add, start)[1]


def _loop(count, body, start):
    """One step after the other, so that only one step's tensors are held."""
    return tf.while_loop(
        lambda step, _: step < count,
        body,
        [0, start],
        shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, *start.shape[1:]])],
        parallel_iterations=1,
    )
