"""ENAS's micro space: the network that is searched, which holds the weights of all cells, and the one built of two.

Pham et al. 2018, arXiv:1802.03268, section 2.4, as its authors programmed it. Networks of `layers` have `layers + 2`
cells; what is called a block there is a node here. Maps are `(batch, height, width, channels)`.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfdarts import genotype as genotypes
from tfdarts.layers.cell import Cell, FixedEdges
from tfdarts.layers.choose import choose
from tfdarts.layers.network import CellNetwork, plan
from tfdarts.layers.tf1 import (
    BatchStatistics,
    ConvBN,
    DebiasedBatchNorm,
    FactorizedReduce,
    PooledLinear,
    average_pool,
    depthwise,
    he_normal,
    max_pool,
    max_pool_in_branch,
)
from tfdarts.operations import Space
from tfdarts.ops.common import batch_norm, grouped_conv, tile_edges
from tfdarts.spaces.conv.network import fixed_edges

SIZES = (3, 5)  # of separable convolutions, which come first among the operations


def cell_plan(layers, channels):
    """`network.plan` with the cells of this space: reductions are cells `layers // 3` and `2 * (layers // 3) + 1`."""
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

        def table(name, shape, start):
            return self.add_weight(name=name, shape=(inputs.sum(), 2, *shape), initializer=start)

        for size in SIZES:
            tables += [
                table(f"depthwise_{size}", (size, size, channels, 1), he_normal(size * size * channels)),
                table(f"pointwise_{size}", (1, 1, channels, channels), he_normal(channels)),
                table(f"gamma_{size}", (channels,), "ones"),
                table(f"beta_{size}", (channels,), "zeros"),
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
            lambda: max_pool_in_branch(x),
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
            index_2, op_2, operations being numbered as in `genotype.MICRO_OPS`. Nested lists of ints, by name, give a
            graph of what they select alone.
        dropout: factors of the features `(batch, features)`, 0 or 1 / keep probability; None for none.

    Returns:
        Logits `(batch, classes)`.
    """

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
        # Runs the network once on symbolic maps, so that every layer knows its shapes.
        arc = (((0, 0, 0, 0),) * self.blocks,) * 2
        self.compute_output_spec(keras.KerasTensor(shape), arc=arc)
        self.built = True

    def call(self, images, arc, dropout=None):
        s0 = s1 = self.stem(images)
        for cell, reduction in zip(self.cells, self.cell_is_reduction):
            s0, s1 = cell(s0, s1, choices=arc[int(reduction)])
        return self.classifier(tf.nn.relu(s1), dropout)

    def genotype(self, arc):
        """The `MicroGenotype` of an arc that is an array."""
        return genotypes.MicroGenotype.from_arc(arc)


class SepConv(keras.layers.Layer):
    """Twice ReLU, depthwise and pointwise convolution, BatchNorm, on parallel edges; the stride is in the first half.

    Args:
        size: int, side of the depthwise kernels.
        channels: int, of the map and of each edge's result.
        stride: 1 or 2.
        edges: int.

    Call: `(batch, height, width, channels)` to `(batch, height', width', edges * channels)`, edge after edge.
    """

    def __init__(self, size, channels, stride, edges, **kwargs):
        super().__init__(**kwargs)
        self.size, self.channels, self.stride, self.edges = size, channels, stride, edges
        self.bn_1, self.bn_2 = DebiasedBatchNorm(name="bn_1"), DebiasedBatchNorm(name="bn_2")

    def build(self, shape):
        size, channels, wide = self.size, self.channels, self.edges * self.channels

        def kernel(name, shape, fan_in):
            return self.add_weight(name=name, shape=shape, initializer=he_normal(fan_in))

        self.depthwise_1 = kernel("depthwise_1", (size, size, wide, 1), size * size * channels)
        self.pointwise_1 = kernel("pointwise_1", (1, 1, channels, wide), channels)
        self.depthwise_2 = kernel("depthwise_2", (size, size, wide, 1), size * size * channels)
        self.pointwise_2 = kernel("pointwise_2", (1, 1, channels, wide), channels)
        self.bn_1.build((None, None, None, wide))
        self.bn_2.build((None, None, None, wide))

    def call(self, x, training=None):
        x = tile_edges(x, self.edges)
        kernels = tf.convert_to_tensor(self.depthwise_1), tf.convert_to_tensor(self.pointwise_1)
        x = self.bn_1(separable(x, *kernels, self.stride), training=training)
        kernels = tf.convert_to_tensor(self.depthwise_2), tf.convert_to_tensor(self.pointwise_2)
        return self.bn_2(separable(x, *kernels), training=training)


class Weightless(keras.layers.Layer):
    """A function without weights on parallel edges, whose results are all the same."""

    def __init__(self, function, edges, **kwargs):
        super().__init__(**kwargs)
        self.function, self.edges = function, edges

    def call(self, x, training=None):
        return tile_edges(self.function(x), self.edges)


def _skip(channels, stride):
    return FactorizedReduce(channels) if stride == 2 else Weightless(tf.identity, 1)


SPACE = Space(
    "micro",
    {
        "sep_conv_3x3": lambda channels, stride, edges: SepConv(3, channels, stride, edges),
        "sep_conv_5x5": lambda channels, stride, edges: SepConv(5, channels, stride, edges),
        "avg_pool_3x3": lambda stride, edges: Weightless(functools.partial(average_pool, stride=stride), edges),
        "max_pool_3x3": lambda stride, edges: Weightless(functools.partial(max_pool, stride=stride), edges),
        "skip_connect": _skip,
    },
    genotypes.MICRO_OPS,
)


def fixed_cell(genotype, channels, reduction, inputs, **kwargs):
    """The `Cell` of a genotype.

    Args:
        genotype: `MicroGenotype`.
        channels: int, of every state.
        reduction: whether it is the reduction cell.
        inputs: the layers that its inputs go through.
    """
    outgoing = list(fixed_edges(SPACE, genotype, channels, reduction, drop_skips=False))
    nodes, concat = len(genotype.edges(reduction)) // 2, []
    for state in genotype.concat(reduction):
        if reduction and state < 2:  # larger than the others: one more node halves it
            outgoing[state] += (FixedEdges(FactorizedReduce(channels), (nodes,), (), drop=False),)
            state, nodes = 2 + nodes, nodes + 1
        concat.append(state)
    return Cell(channels, outgoing, concat, nodes, *inputs, **kwargs)


class AuxiliaryHead(keras.layers.Layer):
    """A second classifier on the map of the cell after the last reduction, used in training only.

    ReLU, average pool 5 of stride 3, convolution to 128, BatchNorm, ReLU, convolution to 768, BatchNorm, ReLU, average,
    product. The second convolution is as large as what the pool leaves of a 32x32 image, 2x2. On a smaller map the
    windows shrink to fit. The authors' optimiser leaves this head out, so that theirs stays random; ours is trained.

    Call: `(batch, height, width, channels)` to logits `(batch, classes)`.
    """

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.conv_1 = ConvBN(128, name="conv_1")
        self.classifier = PooledLinear(classes, name="classifier")

    def build(self, shape):
        self.window = tuple(min(5, size) for size in shape[1:3])
        pooled = [(size - window) // 3 + 1 for size, window in zip(shape[1:3], self.window)]
        self.conv_2 = ConvBN(768, min(2, *pooled), name="conv_2")

    def call(self, x, training=None):
        x = tf.nn.avg_pool2d(tf.nn.relu(x), self.window, 3, "VALID")
        x = tf.nn.relu(self.conv_1(x, training=training))
        x = tf.nn.relu(self.conv_2(x, training=training))
        return self.classifier(x)


@keras.saving.register_keras_serializable("tfdarts")
class MicroNetwork(CellNetwork):
    """The network of a genotype, to be trained.

    Args:
        genotype: `MicroGenotype`, or its dictionary form.
        classes: int.
        channels: int, of the first cells; they double at either reduction.
        layers: int; there are two cells more.
        auxiliary: whether there is an auxiliary head.
        preprocessing: as in `TrainedNetwork`.

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        dropout: factors of the features `(batch, features)`, 0 or 1 / keep probability; None for none.
        drop_path: as in `EvaluationNetwork`; it spares all skip connections.

    Returns:
        Logits `(batch, classes)`; in training, with an auxiliary head, a pair of logits.
    """

    def __init__(self, genotype, classes, channels=36, layers=15, auxiliary=True, preprocessing=None, **kwargs):
        super().__init__(**kwargs)
        self.genotype = genotypes.from_dict(genotype) if isinstance(genotype, dict) else genotype
        self.options = {
            "classes": classes,
            "channels": channels,
            "layers": layers,
            "auxiliary": auxiliary,
            "preprocessing": preprocessing,
        }
        self.stem = ConvBN(3 * channels, 3, name="stem")
        cells, first, second = [], 3 * channels, 3 * channels
        for index, (width, reduction, before) in enumerate(cell_plan(layers, channels)):
            layers_0 = calibration(width, first, before, DebiasedBatchNorm)
            layers_1 = (*calibration(width, second, False, DebiasedBatchNorm), ConvBN(width))
            inputs = AfterReLU(*layers_0), AfterReLU(*layers_1)
            cells.append(fixed_cell(self.genotype, width, reduction, inputs, name=f"cell_{index}"))
            first, second = second, width * len(self.genotype.concat(reduction))
        self.cells = tuple(cells)
        self.features = second
        self.auxiliary_after = 2 * (layers // 3) + 2
        self.auxiliary_head = AuxiliaryHead(classes, name="auxiliary_head") if auxiliary else None
        self.classifier = PooledLinear(classes, name="classifier")

    @property
    def drop_path_share(self):
        """For each cell the share of the probability with which its edges are dropped: the last has all of it."""
        return tuple((index + 1) / len(self.cells) for index in range(len(self.cells)))

    def call(self, images, dropout=None, drop_path=None, training=None):
        x = self.stem(images, training=training)
        x, auxiliary = self.run_cells(x, x, drop_path, training)
        logits = self.classifier(tf.nn.relu(x), dropout)
        return logits if auxiliary is None else (logits, auxiliary)
