"""The network of a genotype of ENAS's micro space, trained from scratch."""

import keras
import tensorflow as tf

from tfdarts.layers.cell import Cell
from tfdarts.layers.edges import FixedEdges
from tfdarts.layers.network import CellNetwork
from tfdarts.layers.tf1 import ConvBN, DebiasedBatchNorm, FactorizedReduce, PooledLinear
from tfdarts.spaces.conv.network import fixed_edges
from tfdarts.spaces.micro.genotype import MicroGenotype
from tfdarts.spaces.micro.operations import OPERATIONS
from tfdarts.spaces.micro.stack import AfterReLU, calibration, cell_plan


def fixed_cell(genotype, channels, reduction, inputs, **kwargs):
    """The `Cell` of a genotype.

    Args:
        genotype: `MicroGenotype`.
        channels: int, of every state.
        reduction: whether it is the reduction cell.
        inputs: the layers that its inputs go through.
    """
    outgoing = list(fixed_edges(OPERATIONS, genotype, channels, reduction, drop_skips=False))
    nodes, concat = len(genotype.inputs(reduction)), []
    for state in genotype.concat(reduction):
        if reduction and state < 2:  # larger than the others: one more node halves it
            outgoing[state] += (FixedEdges(FactorizedReduce(channels), (nodes,), ()),)
            state, nodes = 2 + nodes, nodes + 1
        concat.append(state)
    return Cell(channels, outgoing, concat, nodes, *inputs, kind=reduction, **kwargs)


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
        self.genotype = MicroGenotype.from_dict(genotype) if isinstance(genotype, dict) else genotype
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
