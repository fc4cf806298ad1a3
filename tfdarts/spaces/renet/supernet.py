"""The sweeping network that DARTS searches."""

import keras
import tensorflow as tf

from tfdarts.layers import recurrent
from tfdarts.layers.choices import alike
from tfdarts.layers.heads import Linear
from tfdarts.spaces.renet.body import Body
from tfdarts.spaces.renet.cells import VARIANTS
from tfdarts.spaces.renet.genotype import ReNetGenotype


class ReNetSupernet(keras.Model):
    """The network whose cells mix all activations on all earlier states, with the same mixture in all sweeps.

    It owns no architecture parameters: whoever runs it hands in the mixing weights.

    Args:
        operations: `Operations` of recurrent cells.
        classes: int.
        units: int, even: channels of all maps.
        layers: int; each halves the map.
        cell: `"vanilla"`, `"sigmoid"` or `"directional"`.
        nodes: int.
        classifier_range: the classifier's kernel starts uniformly within plus and minus this.

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        mixing: dictionary with the table `recurrent`, `(nodes * (nodes + 1) / 2, operations)`.

    Returns:
        Logits `(batch, classes)`.

    Raises:
        ValueError: for an unknown `cell`, or odd `units`.
    """

    shares_statistics = True  # all states of a cell, at all steps

    def __init__(
        self, operations, classes, units=128, layers=3, cell="vanilla", nodes=8, classifier_range=0.5, **kwargs
    ):
        super().__init__(**kwargs)
        if cell not in VARIANTS:
            raise ValueError(f"`cell` must be one of {', '.join(VARIANTS)}. Received: {cell!r}.")
        self.operations, self.cell, self.nodes = operations, cell, nodes
        self.choices = {"recurrent": alike(recurrent.edge_names(nodes), operations.searched)}
        self.concat = tuple(range(1, nodes + 1))
        self.body = Body(lambda half: VARIANTS[cell](half, nodes, self.concat, affine=False), units, layers)
        self.classifier = Linear(classes, classifier_range, name="classifier")

    def build(self, shape):
        self.body.build(shape)
        self.classifier.build((None, self.body.features))

    def call(self, images, mixing, training=None):
        weights = tf.cast(mixing["recurrent"], self.compute_dtype)
        node = recurrent.MixedNodes(weights, self.choices["recurrent"], self.operations.ops)
        return self.classifier(self.body(images, training=training, node=node))

    def genotype(self, mixing):
        """The `ReNetGenotype` that mixing weights stand for."""
        entries = recurrent.strongest(mixing["recurrent"], self.choices["recurrent"], self.nodes)
        return ReNetGenotype(entries, self.concat, ops=self.operations.name, cell=self.cell)
