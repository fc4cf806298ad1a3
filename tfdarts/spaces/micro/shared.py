"""The network whose weights all cells of ENAS's micro space share.

Pham et al. 2018, arXiv:1802.03268, section 2.4, as its authors programmed it. Networks of `layers` have `layers + 2`
cells; what is called a block there is a node here. Maps are `(batch, height, width, channels)`.
"""

import keras
import numpy as np
import tensorflow as tf

from tfdarts.layers.choose import choose
from tfdarts.layers.network import build_layers
from tfdarts.layers.tf1 import (
    BatchStatistics,
    ConvBN,
    FactorizedReduce,
    PooledLinear,
    average_pool,
    he_normal,
    max_pool,
)
from tfdarts.ops.common import batch_norm
from tfdarts.spaces.micro.genotype import MicroGenotype
from tfdarts.spaces.micro.stack import AfterReLU, calibration, cell_plan, separable

SIZES = (3, 5)  # of separable convolutions, which come first among the operations


def shared_separable(x, depthwise_kernels, pointwise_kernels, gammas, betas):
    """A separable operation with given weights, by batch statistics; arguments hold those of either half."""
    halves = (tf.unstack(part) for part in (depthwise_kernels, pointwise_kernels, gammas, betas))
    for depthwise_kernel, pointwise_kernel, gamma, beta in zip(*halves):
        x = batch_norm(separable(x, depthwise_kernel, pointwise_kernel), gamma, beta)[0]
    return x


def array_of(tensor):
    """A `tf.TensorArray` of the parts along the first axis, whose gradient in a loop costs no more than the parts."""
    array = tf.TensorArray(tensor.dtype, tensor.shape[0], clear_after_read=False, element_shape=tensor.shape[1:])
    return array.unstack(tensor)


class SharedCell(keras.layers.Layer):
    """A cell that can be any cell of the space: for each node, side and input its separable operations have weights.

    All of them lie in tables, one row for each node, side and input, of which only the chosen rows are read. The cell
    computes what was chosen, no more, and normalises by the batch's statistics always.

    Args:
        channels: int, of every state.
        nodes: int.
        channels_in: of both inputs, of the second after it was halved.
        reduction: whether both inputs are halved before an ordinary cell follows.

    Call arguments:
        s0, s1: `(batch, height, width, channels_in)`.
        choices: `(nodes, 4)`, for each node index_1, op_1, index_2, op_2: an int32 tensor, or nested sequences of ints.

    Returns:
        The inputs of the next cell: the second input, halved in a reduction, and the result, which is
        `(batch, height', width', channels)`.
    """

    def __init__(self, channels, nodes, channels_in, reduction, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.nodes = channels, nodes
        first, second = channels_in
        self.halve = FactorizedReduce(channels, BatchStatistics) if reduction else None
        self.preprocess0 = AfterReLU(*calibration(channels, first, reduction, BatchStatistics))
        self.preprocess1 = AfterReLU(*calibration(channels, second, False, BatchStatistics))
        self.bn = BatchStatistics(name="bn")

    def build(self, s0_shape, s1_shape):
        channels, tables = self.channels, []
        inputs = np.repeat(np.arange(self.nodes) + 2, 2)  # that each side of each node can have
        self.starts = (np.cumsum(inputs) - inputs).tolist()  # of their rows

        def table(name, shape, start, **options):
            return self.add_weight(name=name, shape=(inputs.sum(), 2, *shape), initializer=start, **options)

        for size in SIZES:
            tables += [
                table(f"depthwise_{size}", (size, size, channels, 1), he_normal(size * size * channels)),
                table(f"pointwise_{size}", (1, 1, channels, channels), he_normal(channels)),
                table(f"gamma_{size}", (channels,), "ones", autocast=False),
                table(f"beta_{size}", (channels,), "zeros", autocast=False),
            ]
        self.tables = tuple(tables)
        states = 2 + self.nodes
        self.output_kernel = self.add_weight(
            name="output_kernel", shape=(states, channels, channels), initializer=he_normal(channels)
        )
        self.bn.build((None, None, None, channels))

    def call(self, s0, s1, choices):
        if self.halve:
            s0, s1 = s1, self.halve(s1)
        first, second = self.preprocess0(s0), self.preprocess1(s1)
        states = tf.TensorArray(second.dtype, 2 + self.nodes, clear_after_read=False, element_shape=second.shape)
        states = states.write(0, first).write(1, second)
        indices = tf.convert_to_tensor(choices)[:, ::2]
        # Rows are read before the loop, so that the loop's gradient is one of those rows, not of whole tables.
        rows = tf.reshape(self.starts, indices.shape) + indices
        weights = [array_of(tf.gather(tf.convert_to_tensor(table), rows)) for table in self.tables]

        def add_node(number, states):
            index_1, op_1, index_2, op_2 = tf.unstack(choices[number]) if tf.is_tensor(choices) else choices[number]
            first, second = zip(*(tf.unstack(array.read(number)) for array in weights))
            y = self._operation(op_1, states.read(index_1), first) + self._operation(op_2, states.read(index_2), second)
            return number + 1, states.write(2 + number, y)

        if tf.is_tensor(choices):  # a loop, as its body is traced once: all nodes would make three times the graph
            _, states = tf.while_loop(lambda number, _: number < self.nodes, add_node, (0, states))
            unread = tf.reduce_all(tf.range(2 + self.nodes)[:, None] != tf.reshape(indices, [-1]), 1)
            loose = tf.cast(tf.where(unread)[:, 0], tf.int32)
        else:
            for number in range(self.nodes):
                _, states = add_node(number, states)
            loose = sorted(set(range(2 + self.nodes)) - {index for node in choices for index in node[::2]})
        return s1, self._join(states, loose)

    @staticmethod
    def _operation(op, x, weights):
        small, large = weights[:4], weights[4:]
        branches = (
            lambda: shared_separable(x, *small),
            lambda: shared_separable(x, *large),
            lambda: average_pool(x),
            lambda: max_pool(x),
            lambda: x,
        )
        return choose(op, branches)

    def _join(self, states, loose):
        """Concatenates the loose ends, the states that no index names; ReLU, 1x1 convolution, BatchNorm.

        The convolution of a concatenation is the sum of those of its parts, each with its rows of the kernel.
        """
        x = tf.nn.relu(states.gather(loose))  # (loose ends, batch, height, width, channels)
        kernels = tf.gather(tf.convert_to_tensor(self.output_kernel), loose)
        y = tf.matmul(tf.reshape(x, [tf.shape(x)[0], -1, self.channels]), kernels)
        return self.bn(tf.reshape(tf.reduce_sum(y, 0), [-1, *x.shape[2:]]))


class MicroSupernet(keras.Model):
    """The network that is searched: whatever cells it is given, it computes these alone, with their share of weights.

    All BatchNorm uses the statistics of the batch, so that there is no other form for testing.

    Args:
        classes: int.
        layers: int; there are two cells more.
        channels: int, of the first cells; they double at either reduction.
        blocks: int, nodes per cell.

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        arc: `(2, blocks, 4)`, int32 tensor: for the normal, then the reduction cell, for each node index_1, op_1,
            index_2, op_2, operations being numbered as in `MICRO_OPS`. Nested lists of ints, by name, give a
            graph of what they select alone.
        dropout: factors of the features `(batch, features)`, 0 or 1 / keep probability; None for none.

    Returns:
        Logits `(batch, classes)`.
    """

    shares_statistics = False  # every BatchNorm has moving statistics of its own, or none

    def __init__(self, classes, layers=6, channels=20, blocks=5, **kwargs):
        super().__init__(**kwargs)
        self.blocks = blocks
        self.stem = ConvBN(3 * channels, 3, BatchStatistics, name="stem")
        cells, inputs = [], (3 * channels, 3 * channels)
        for index, (width, reduction, _) in enumerate(cell_plan(layers, channels)):
            inputs = (inputs[1], width) if reduction else inputs
            cells.append(SharedCell(width, blocks, inputs, reduction, name=f"cell_{index}"))
            inputs = inputs[1], width
        self.cells = tuple(cells)
        self.cell_is_reduction = tuple(reduction for _, reduction, _ in cell_plan(layers, channels))
        self.features = width
        self.classifier = PooledLinear(classes, name="classifier")

    def build(self, shape):
        build_layers(self, shape, (((0, 0, 0, 0),) * self.blocks,) * 2)

    def call(self, images, arc, dropout=None):
        s0 = s1 = self.stem(images)
        for cell, reduction in zip(self.cells, self.cell_is_reduction):
            s0, s1 = cell(s0, s1, choices=arc[int(reduction)])
        return self.classifier(tf.nn.relu(s1), dropout)

    def genotype(self, arc):
        """The `MicroGenotype` of an arc that is an array."""
        return MicroGenotype.from_arc(arc)
