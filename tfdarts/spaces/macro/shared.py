"""The network whose weights all architectures share (ENAS; Pham et al. 2018, arXiv:1802.03268, section 2.3).

Each layer has one of six operations, works on the layer before it, and takes any of the earlier ones beside. What it
may take is the layer list: entry 0 the stem, entry q the result of layer q - 1. At two places every entry is halved in
height and width. Maps are `(batch, height, width, channels)`.
"""

import keras
import numpy as np
import tensorflow as tf

from tfdarts.layers.choose import choose
from tfdarts.layers.network import build_layers
from tfdarts.layers.tf1 import (
    ConvBN,
    DebiasedBatchNorm,
    PooledLinear,
    average_pool,
    debiased,
    depthwise,
    he_normal,
    max_pool,
)
from tfdarts.ops.common import BN_MOMENTUM, batch_norm
from tfdarts.spaces.macro.genotype import MACRO_OPS, MacroGenotype
from tfdarts.spaces.macro.stack import CONVOLUTIONS, kernel_size, reduction_layers

EPSILON = 1e-3  # of the norms behind the searched convolutions


class Entries:
    """The layer list, of which a sum over sampled entries reads those alone, forward and backward.

    It holds the maps twice, which costs nothing: as tensors, and in a list tensor. To gather from that has a gradient
    for the gathered elements alone; the sum of all maps times bits, or conditional sums, would fill zeros for the rest.

    Args:
        maps: of the same shape.
    """

    def __init__(self, maps):
        self.maps = []
        shape, dtype = tf.shape(maps[0]), maps[0].dtype
        self.handle = tf.raw_ops.EmptyTensorList(element_shape=shape, max_num_elements=-1, element_dtype=dtype)
        for x in maps:
            self.append(x)

    def append(self, x):
        self.maps.append(x)
        self.handle = tf.raw_ops.TensorListPushBack(input_handle=self.handle, tensor=x)

    def add(self, bits, x):
        """`x` plus the entries whose bit is set.

        Args:
            bits: bools, `(entries,)` or fewer: a tensor, or a list for a choice while the graph is traced.
        """
        if not tf.is_tensor(bits):
            return tf.add_n([*(self.maps[q] for q in np.flatnonzero(bits)), x])
        selected = tf.cast(tf.where(bits)[:, 0], tf.int32)
        gathered = tf.raw_ops.TensorListGather(
            input_handle=self.handle, indices=selected, element_shape=tf.shape(x), element_dtype=x.dtype
        )
        return x + tf.reduce_sum(tf.ensure_shape(gathered, [None, *x.shape]), 0)


class SampledBatchNorm(keras.layers.Layer):
    """A `DebiasedBatchNorm` for each of several operations, of which a call uses and updates one.

    Args:
        operations: int.

    Call arguments:
        x: `(batch, height, width, channels)`.
        op: scalar int, number of the operation; by name.
    """

    def __init__(self, operations, **kwargs):
        super().__init__(**kwargs)
        self.operations = operations

    def build(self, shape):
        size = (self.operations, shape[-1])
        self.gamma = self.add_weight(name="gamma", shape=size, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=size, initializer="zeros", autocast=False)
        self.statistics = add_statistics(self, *size)
        start = {"shape": (self.operations,), "initializer": "ones", "trainable": False, "autocast": False}
        self.start_share = self.add_weight(name="start_share", **start)

    def call(self, x, op, training=None):
        gamma, beta = tf.convert_to_tensor(self.gamma)[op], tf.convert_to_tensor(self.beta)[op]
        statistics, start = tf.convert_to_tensor(self.statistics), tf.convert_to_tensor(self.start_share)
        if not training:
            return batch_norm(x, gamma, beta, tf.unstack(statistics[op]), training=False)[0]
        y, *moments = batch_norm(x, gamma, beta)
        (moving,), share = debiased([statistics[op]], [tf.stack(moments)], start[op], BN_MOMENTUM)
        self.statistics.assign(replaced(statistics, op, moving))
        self.start_share.assign(replaced(start, op, share))
        return y


def add_statistics(layer, rows, channels):
    """Adds moving means and variances `(rows, 2, channels)` to a layer."""
    start = keras.initializers.Constant([[0.0], [1.0]])
    kept = {"trainable": False, "autocast": False}
    return layer.add_weight(name="statistics", shape=(rows, 2, channels), initializer=start, **kept)


def replaced(table, row, value):
    """The table with another row."""
    return tf.tensor_scatter_nd_update(table, [[row]], value[None])


class SampledOperation(keras.layers.Layer):
    """All six operations of a layer, each with weights of its own, of which a call runs one.

    A 1x1 convolution, BatchNorm and ReLU; then a convolution, BatchNorm and ReLU, or pooling.

    Args:
        channels: int.

    Call arguments:
        x: `(batch, height, width, channels_in)`.
        op: scalar int, number of the operation; a tensor, or an int for a choice while the graph is traced; by name.

    Returns:
        `(batch, height, width, channels)`.
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.norm = SampledBatchNorm(len(MACRO_OPS), name="norm")

    def build(self, shape):
        channels = self.channels
        size = (len(MACRO_OPS), 1, 1, shape[-1], channels)
        self.entry = self.add_weight(name="entry", shape=size, initializer=he_normal(shape[-1]))
        self.norm.build((*shape[:-1], channels))
        kernels = []
        for op in CONVOLUTIONS:
            side = kernel_size(op)
            shapes = {op: (side, side, channels, channels)}
            if op.startswith("sep"):
                shapes = {op + "_depth": (side, side, channels, 1), op + "_point": (1, 1, channels, channels)}
            kernels.append(
                tuple(self.add_weight(name=name, shape=s, initializer="he_normal") for name, s in shapes.items())
            )
        self.kernels = tuple(kernels)
        size = (len(CONVOLUTIONS), channels)
        self.gamma = self.add_weight(name="gamma", shape=size, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=size, initializer="zeros", autocast=False)
        self.statistics = add_statistics(self, *size)

    def call(self, x, op, training=None):
        entry = tf.convert_to_tensor(self.entry)[op]
        x = tf.nn.relu(self.norm(tf.nn.conv2d(x, entry, 1, "SAME"), op=op, training=training))
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        statistics = tf.convert_to_tensor(self.statistics)

        def convolution(i, kernels):
            def run():
                *depth, kernel = kernels
                y = tf.nn.conv2d(depthwise(x, *depth) if depth else x, kernel, 1, "SAME")
                old, share = tf.unstack(statistics[i]), 1.0 - BN_MOMENTUM
                y, *new = batch_norm(y, gamma[i], beta[i], old, training, share, EPSILON)
                return tf.nn.relu(y), replaced(statistics, i, tf.stack(new)) if training else statistics

            return run

        branches = [
            convolution(i, [tf.convert_to_tensor(kernel) for kernel in kernels])
            for i, kernels in enumerate(self.kernels)
        ]
        branches += [lambda pool=pool: (pool(x), statistics) for pool in (average_pool, max_pool)]
        y, statistics = choose(op, branches)
        if training:
            self.statistics.assign(statistics)
        return y


class MacroSupernet(keras.Model):
    """The network that holds the weights of all architectures and runs the one it is given.

    The authors' search always runs the last operation, by a mistake; this one runs the sampled one. Channels stay the
    same behind the halvings.

    Args:
        classes: int.
        layers: int.
        channels: int, two or more.

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        arc: `(ops, skips)`: numbers of operations, int `(layers,)`, and bools `(layers, layers)`, of which `[l, q]`
            with q < l tells whether layer l takes entry q. Tensors, so that one graph serves all architectures; or
            nested lists, by name, for a graph of this one alone.
        dropout: factors `(batch, features)` behind the global average, 0 or 1 / keep probability; None for none.

    Returns:
        Logits `(batch, classes)`.
    """

    shares_statistics = False  # every BatchNorm has moving statistics of its own, or none

    def __init__(self, classes, layers=12, channels=36, **kwargs):
        super().__init__(**kwargs)
        self.features = channels
        self.stem = ConvBN(channels, 3, name="stem")
        self.operations = tuple(SampledOperation(channels, name=f"operation_{k}") for k in range(layers))
        self.norms = tuple(DebiasedBatchNorm(name=f"norm_{k}") for k in range(1, layers))
        self.reductions = reduction_layers([channels] * layers)
        self.classifier = PooledLinear(classes, name="classifier")

    def build(self, shape):
        layers = len(self.operations)
        arc = keras.KerasTensor((layers,), "int32"), keras.KerasTensor((layers, layers), "bool")
        build_layers(self, shape, arc, training=False)

    def call(self, images, arc, dropout=None, training=None):
        ops, skips = arc
        entries = Entries([self.stem(images, training=training)])
        for k, operation in enumerate(self.operations):
            y = operation(entries.maps[-1], op=ops[k], training=training)
            if k:
                y = self.norms[k - 1](entries.add(skips[k][:k], y), training=training)
            entries.append(y)
            if self.reductions[k]:
                entries = Entries([halve(x, training=training) for halve, x in zip(self.reductions[k], entries.maps)])
        return self.classifier(entries.maps[-1], dropout)

    def genotype(self, arc):
        """The `MacroGenotype` that arrays `(ops, skips)` stand for."""
        return MacroGenotype.from_arc(arc)
