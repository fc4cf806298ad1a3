"""The network of a genotype, trained from scratch."""

import keras

from tfdarts.genotype import NONE
from tfdarts.layers.edges import FixedEdges
from tfdarts.layers.network import TrainedNetwork, build_layers
from tfdarts.spaces.nb201.genotype import EDGES, NODES, Nb201Genotype
from tfdarts.spaces.nb201.operations import OPERATIONS
from tfdarts.spaces.nb201.stack import Stack


def fixed_edges(genotype, channels):
    """The layers on a cell's edges, one for each operation that leaves a node; edges with `none` have no layer.

    Args:
        genotype: `Nb201Genotype`.
        channels: int.

    Returns:
        A list, one item for each of the nodes 0, 1, 2, of lists of `FixedEdges`.
    """
    outgoing = []
    for source in range(NODES):
        uses = {}
        for row, ((op, start), (node, _)) in enumerate(zip(genotype.normal, EDGES)):
            if start == source and op != NONE:
                uses.setdefault(op, []).append((node - 1, row))
        layers = []
        for op, places in uses.items():
            targets, rows = zip(*places)
            operation = OPERATIONS.build(op, channels, 1, len(rows), True)
            layers.append(FixedEdges(operation, targets, rows))
        outgoing.append(layers)
    return outgoing


@keras.saving.register_keras_serializable("tfdarts")
class Nb201Network(TrainedNetwork):
    """Stem, three stages of cells of a genotype, classifier (Dong and Yang 2020, arXiv:2001.00326, section 2.1).

    Args:
        genotype: `Nb201Genotype`, or its dictionary form.
        classes: int.
        channels: int, of the first stage; they double from stage to stage.
        layers: int, cells of a stage.
        preprocessing: as in `TrainedNetwork`.

    Call: images `(batch, height, width, channels_in)` to logits `(batch, classes)`.
    """

    def __init__(self, genotype, classes, channels=16, layers=5, preprocessing=None, **kwargs):
        super().__init__(**kwargs)
        self.genotype = Nb201Genotype.from_dict(genotype) if isinstance(genotype, dict) else genotype
        self.options = {"classes": classes, "channels": channels, "layers": layers, "preprocessing": preprocessing}
        self.stack = Stack(classes, channels, layers, lambda width: fixed_edges(self.genotype, width), name="stack")

    def build(self, shape):
        build_layers(self, shape, training=False)

    def call(self, images, training=None):
        return self.stack(images, training=training)

    def get_config(self):
        return {"genotype": self.genotype.to_dict(), **self.options}
