"""The network of a genotype of the macro space, trained from scratch."""

import keras
import tensorflow as tf

from tfdarts.layers.network import TrainedNetwork, build_layers
from tfdarts.layers.tf1 import ConvBN, PooledLinear
from tfdarts.spaces.macro.genotype import MacroGenotype
from tfdarts.spaces.macro.stack import POOLS, halvings, kernel_size, reduction_layers


class MacroLayer(keras.layers.Layer):
    """A layer of a final network.

    ReLU, 1x1 convolution, BatchNorm, ReLU, then a convolution and BatchNorm, or pooling; this behind the entries that
    it takes beside, ReLU, 1x1 convolution, BatchNorm. The authors have plain convolutions for the separable ones too,
    which explains their parameter count; they have no pooling, which is done here as in the search.

    Args:
        op: one of `MACRO_OPS`.
        channels: int.
        first: whether it is the first layer, which ends with the operation.

    Call arguments:
        x: `(batch, height, width, channels_in)`.
        skips: list of the entries that it takes beside.

    Returns:
        `(batch, height, width, channels)`.
    """

    def __init__(self, op, channels, first, **kwargs):
        super().__init__(**kwargs)
        self.entry = ConvBN(channels, name="entry")
        self.pool = POOLS.get(op)
        self.convolution = None if self.pool else ConvBN(channels, kernel_size(op), name="convolution")
        self.join = None if first else ConvBN(channels, name="join")

    def call(self, x, skips, training=None):
        y = tf.nn.relu(self.entry(tf.nn.relu(x), training=training))
        y = self.pool(y) if self.pool else self.convolution(y, training=training)
        return y if self.join is None else self.join(tf.nn.relu(tf.concat([*skips, y], -1)), training=training)


@keras.saving.register_keras_serializable("tfdarts")
class MacroNetwork(TrainedNetwork):
    """The network of a genotype, trained from scratch (ENAS, arXiv:1802.03268, section 3.2).

    Args:
        genotype: `MacroGenotype`, or its dictionary form.
        classes: int.
        channels: int, of the stem; they double at either halving.
        preprocessing: as in `TrainedNetwork`.

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        dropout: factors `(batch, features)` behind the global average, 0 or 1 / keep probability; None for none.

    Returns:
        Logits `(batch, classes)`.
    """

    def __init__(self, genotype, classes, channels=96, preprocessing=None, **kwargs):
        super().__init__(**kwargs)
        self.genotype = MacroGenotype.from_dict(genotype) if isinstance(genotype, dict) else genotype
        self.options = {"classes": classes, "channels": channels, "preprocessing": preprocessing}
        layers = self.genotype.layers
        halved = sorted(halvings(len(layers)))
        widths = [channels * 2 ** sum(k > place for place in halved) for k in range(len(layers) + 1)]
        self.stem = ConvBN(channels, 3, name="stem")
        self.stack = tuple(MacroLayer(op, widths[k], k == 0, name=f"layer_{k}") for k, (op, _) in enumerate(layers))
        self.reductions = reduction_layers(widths[1:])
        self.features = widths[-1]
        self.classifier = PooledLinear(classes, name="classifier")

    def build(self, shape):
        build_layers(self, shape, training=False)

    def call(self, images, dropout=None, training=None):
        entries = [self.stem(images, training=training)]
        for layer, (_, skips), halving in zip(self.stack, self.genotype.layers, self.reductions):
            entries.append(layer(entries[-1], [entries[q] for q in skips], training=training))
            if halving:
                entries = [halve(x, training=training) for halve, x in zip(halving, entries)]
        return self.classifier(entries[-1], dropout)

    def get_config(self):
        return {"genotype": self.genotype.to_dict(), **self.options}
