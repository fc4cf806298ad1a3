"""DARTS's operations with approximate multipliers in their convolutions (TFApprox, arXiv:2002.09481).

Stem and classifier of a network stay exact, and so do the cells' preprocessing convolutions unless asked for. The
layers have the variables of `ops.regular`, by the same names, and one more per kernel: the moving range of the
convolution's input.
"""

import functools
import types

import tensorflow as tf
from tfdarts.ops import common, multipliers, quantised, regular

OPTIONS = {
    "mul_table": (
        "exact",
        f"multiplier of the operation module approximate: {multipliers.NAMES}, or FILE.bin of 65,536 little-endian "
        "uint16",
    ),
    "approx_range": (
        "moving",
        "range of a convolution's input in testing, for the operation module approximate: moving (average of training) "
        "or batch",
    ),
    "approx_preprocess": (
        False,
        "approximate the cells' preprocessing convolutions too, for the operation module approximate",
    ),
}
EXACT_FLOAT32 = True  # sums of products of integers, which TensorFloat-32 would round on a GPU
RANGES = ("moving", "batch")
RANGE_MOMENTUM = 0.9  # share of the old value that a moving range keeps at one step


class Approximate(common.Convolving):
    """Convolutions in 8 bits by a multiplier's table, with a range of its own for every edge's input and kernel.

    In training the range of an input is the batch's. Its moving average is the range in testing: `<kernel>_range`,
    `(3, edges, 1)`, holds decaying sums of the batches' least and greatest values and of their shares.

    Args:
        multiplier: `quantised.Multiplier`.
        batch_range: whether the range is the batch's in testing too.
    """

    def __init__(self, *args, multiplier, batch_range, **kwargs):
        super().__init__(*args, **kwargs)
        self.multiplier, self.batch_range = multiplier, batch_range

    def add_kernel(self, name, shape, fan_in):
        super().add_kernel(name, shape, fan_in)
        moving = self.add_weight(name=name + "_range", shape=(3, self.edges, 1), initializer="zeros", trainable=False)
        setattr(self, name + "_range", moving)

    def arrange(self, x, arrangement):
        """The part or layout, and the range of all of `x`, which counts even where a stride leaves some of it out."""
        x, seen = x if isinstance(x, tuple) else (x, quantised.extremes(x, self.inputs))
        return arrangement(x), seen

    def convolve(self, x, name, training, strides=(1, 1)):
        return self._by_table(x, name, training, strides, depthwise=False)

    def convolve_depthwise(self, x, name, training, stride=1):
        return self._by_table(x, name, training, (stride, stride), depthwise=True)

    def _by_table(self, x, name, training, strides, depthwise):
        x, seen = x if isinstance(x, tuple) else (x, None)
        kernel, moving = (tf.convert_to_tensor(getattr(self, key)) for key in (name, name + "_range"))
        maps = self.edges if depthwise else x.shape[-1] // kernel.shape[2]  # that lie in `x`, each with its range
        maps = maps if seen is None else seen.shape[1]
        if training or self.batch_range:
            ranges = quantised.extremes(x, maps) if seen is None else seen
        else:
            sums = moving[:, :: self.edges // maps]
            ranges = tf.math.divide_no_nan(sums[:2], sums[2:])
        if training:
            ones = tf.ones([1, *ranges.shape[1:]], ranges.dtype)
            new = tf.concat([tf.stop_gradient(ranges), ones], 0)
            new = tf.repeat(new, self.edges // maps, axis=1) if 1 < maps < self.edges else new
            getattr(self, name + "_range").assign(moving + (1 - RANGE_MOMENTUM) * (new - moving))
        geometry = quantised.Geometry(common.symmetric_padding(kernel), strides, edges=self.edges, depthwise=depthwise)
        return quantised.convolution(x, kernel, ranges, self.multiplier, geometry)


class ReLUConvBN(Approximate, common.ReLUConvBN):
    """`common.ReLUConvBN` by table."""


class FactorizedReduce(Approximate, common.FactorizedReduce):
    """`common.FactorizedReduce` by table."""


class SepConv(Approximate, regular.SepConv):
    """`regular.SepConv` by table."""


class DilConv(Approximate, regular.DilConv):
    """`regular.DilConv` by table."""


class Conv7x1(Approximate, regular.Conv7x1):
    """`regular.Conv7x1` by table."""


def make(mul_table, approx_range, approx_preprocess):
    """The module under its options.

    Returns:
        A namespace with `OPS`, `SEARCHED`, `PREPROCESS`, and `options`, in which a file has become the table in it.

    Raises:
        ValueError: if there is no such table or range.
    """
    if approx_range not in RANGES:
        raise ValueError(f"The range must be one of {', '.join(RANGES)}. Received: {approx_range!r}.")
    how = {"multiplier": quantised.Multiplier(mul_table), "batch_range": approx_range == "batch"}
    relu_conv_bn, factorized_reduce, sep_conv, dil_conv, conv_7x1 = (
        functools.partial(layer, **how) for layer in (ReLUConvBN, FactorizedReduce, SepConv, DilConv, Conv7x1)
    )

    def preprocess(channels, halve, affine):
        return factorized_reduce(channels, 1, affine) if halve else relu_conv_bn(channels, affine)

    return types.SimpleNamespace(
        OPS=regular.operations(sep_conv, dil_conv, conv_7x1, factorized_reduce),
        SEARCHED=regular.SEARCHED,
        PREPROCESS=preprocess if approx_preprocess else common.preprocess,
        options={
            "mul_table": multipliers.inline(mul_table),
            "approx_range": approx_range,
            "approx_preprocess": approx_preprocess,
        },
    )
