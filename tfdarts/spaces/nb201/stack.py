"""What supernet and final network share: the wiring of a cell, three stages of cells, residual blocks between them.

Dong and Yang 2020, arXiv:2001.00326, section 2.1 and figure 1.
"""

import keras
import tensorflow as tf

from tfdarts.layers.cell import complete
from tfdarts.layers.heads import Linear
from tfdarts.layers.stems import Conv3x3
from tfdarts.ops.common import BatchNorm, fan_in_uniform
from tfdarts.precision import of_container
from tfdarts.spaces.nb201.genotype import NODES

STAGES = 3


class Cell(keras.layers.Layer):
    """Nodes that add up their edges from all earlier ones; the last is the output.

    Args:
        channels: int, of every node.
        outgoing: tuple with one tuple of layers for each of the nodes 0, 1, 2. A layer maps the node to a list of
            pairs, as in `layers.cell.Cell`, whose targets are counted from node 1: 0, 1, 2.

    Call arguments:
        x: `(batch, height, width, channels)`.
        weights: what the layers of each node take as their weights, one item per node; None for nothing.

    Returns:
        A map shaped like `x`.
    """

    functions, kind = None, None  # as in `layers.cell.Cell`; all cells are of one kind

    def __init__(self, channels, outgoing, **kwargs):
        super().__init__(dtype=of_container(), **kwargs)
        self.edges = tuple(layer for layers in outgoing for layer in layers)  # flat, as in `layers.cell.Cell`
        self.sources = tuple(source for source, layers in enumerate(outgoing) for _ in layers)
        self.channels = channels

    def build(self, shape):
        pass  # its layers are built when they are called, as in `layers.cell.Cell`

    @property
    def inner_layers(self):
        """The layers that `joined` runs."""
        return self.edges

    def call(self, x, weights=None, training=None):
        options = {} if weights is None else {"weights": weights}
        if self.functions is not None:
            return self.functions(self, [x], options, training)
        return self.joined(x, training=training, **options)

    def joined(self, x, weights=None, training=None):
        """The cell itself; arguments and result as of the call."""
        states, pending = [x], {}
        for source in range(NODES):
            options = {} if weights is None else {"weights": weights[source]}
            for edges in (layer for layer, start in zip(self.edges, self.sources) if start == source):
                for targets, wide in edges(states[source], training=training, **options):
                    pending.setdefault(targets, []).append(wide)
            reached = any(source in targets for targets in pending)
            states.append(complete(source, pending, self.channels) if reached else tf.zeros_like(x))
        return states[-1]


class Reduction(keras.layers.Layer):
    """The residual block between two stages: half the map, twice the channels.

    Two rounds of ReLU, 3x3 convolution and BatchNorm, the first of stride 2, are added to a 2x2 average pooling and a
    1x1 convolution. Maps of odd size, on which the authors' program fails, work: the last window is smaller.

    Args:
        channels: int, of the result.

    Call: `(batch, height, width, channels_in)` to `(batch, ceil(height / 2), ceil(width / 2), channels)`.
    """

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.conv_a = Conv3x3(channels, 2, relu=True, name="conv_a")
        self.conv_b = Conv3x3(channels, 1, relu=True, name="conv_b")

    def build(self, shape):
        self.shortcut = self.add_weight(
            name="shortcut", shape=(1, 1, shape[-1], self.channels), initializer=fan_in_uniform(shape[-1])
        )

    def call(self, x, training=None):
        y = self.conv_b(self.conv_a(x, training=training), training=training)
        pooled = tf.nn.avg_pool2d(x, 2, 2, "SAME")
        return y + tf.nn.conv2d(pooled, tf.convert_to_tensor(self.shortcut), 1, "VALID")


class Stack(keras.layers.Layer):
    """Stem, three stages of cells, BatchNorm, ReLU, global average, classifier.

    Args:
        classes: int.
        channels: int, of the first stage; they double from stage to stage.
        layers: int, cells of a stage.
        outgoing: function of the channels, the layers on a cell's edges, as `Cell` takes them.

    Call: images `(batch, height, width, channels_in)`, `weights` as in `Cell`, to logits `(batch, classes)`.
    """

    def __init__(self, classes, channels, layers, outgoing, **kwargs):
        super().__init__(dtype=of_container(), **kwargs)
        self.stem = Conv3x3(channels, 1, name="stem")
        blocks = []
        for stage in range(STAGES):
            width = channels * 2**stage
            blocks += [Reduction(width, name=f"reduction_{stage}")] if stage else []
            blocks += [Cell(width, outgoing(width), name=f"cell_{stage}_{i}") for i in range(layers)]
        self.blocks = tuple(blocks)
        self.bn = BatchNorm(name="bn")
        self.classifier = Linear(classes, name="classifier")

    def build(self, shape):
        pass  # its layers are built when they are called

    def call(self, images, weights=None, training=None):
        x = self.stem(images, training=training)
        for block in self.blocks:
            options = {"weights": weights} if isinstance(block, Cell) else {}
            x = block(x, training=training, **options)
        return self.classifier(tf.reduce_mean(tf.nn.relu(self.bn(x, training=training)), [1, 2]))
