"""The network that is searched: every edge carries every operation."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfdarts.layers import choices
from tfdarts.layers.edges import MixedEdges
from tfdarts.layers.network import build_layers
from tfdarts.layers.partial import PartialEdges
from tfdarts.precision import of_container
from tfdarts.spaces.nb201.genotype import EDGES, NODES, Nb201Genotype
from tfdarts.spaces.nb201.operations import OPERATIONS
from tfdarts.spaces.nb201.stack import Stack

EDGE_NAMES = tuple(f"{source} to {node}" for node, source in EDGES)


def outgoing_rows():
    """For each of the nodes 0, 1, 2, where its edges lead to, counted from node 1, and their rows in `EDGES`."""
    result = []
    for source in range(NODES):
        rows = tuple(row for row, (_, start) in enumerate(EDGES) if start == source)
        result.append((tuple(EDGES[row][0] - 1 for row in rows), rows))
    return result


def by_source(table):
    """Splits a table of mixing weights by the nodes 0, 1, 2 that edges leave: `(columns, edges)` each."""
    return [tf.transpose(tf.gather(table, rows)) for _, rows in outgoing_rows()]


class Nb201Supernet(keras.Model):
    """Cells whose edges mix all candidate operations; it owns no architecture parameters.

    Dong and Yang 2020, arXiv:2001.00326, section 5 and the authors' program.

    Args:
        classes: int.
        channels: int, of the first stage.
        layers: int, cells of a stage.
        candidates: a tuple of names for each edge, in the order of `EDGES`; None for all operations on every edge.
        edges: class of the layers on the edges, called as `MixedEdges`.
        partial_channels: int K; operations see 1 / K of the channels (PC-DARTS, arXiv:1907.05737).

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        mixing: `{"normal": weights}`, of the `choices.shape` of that table.

    Returns:
        Logits `(batch, classes)`.
    """

    kept_inputs = None  # a node keeps all its inputs

    def __init__(self, classes, channels=16, layers=5, candidates=None, edges=MixedEdges, partial_channels=1, **kwargs):
        super().__init__(dtype=of_container(), **kwargs)
        self.shares_statistics = getattr(edges, "shares_statistics", False)
        if partial_channels > 1:
            edges = functools.partial(PartialEdges, share=partial_channels, inner=edges)
        candidates = candidates or (OPERATIONS.searched,) * len(EDGES)
        table = tuple(choices.Choice(name, tuple(ops)) for name, ops in zip(EDGE_NAMES, candidates, strict=True))
        self.choices = {"normal": table}

        def outgoing(width):
            own = ([table[row].candidates for row in rows] for _, rows in outgoing_rows())
            targets = (targets for targets, _ in outgoing_rows())
            return [(edges(OPERATIONS, ops, width, 1, nodes),) for ops, nodes in zip(own, targets)]

        self.stack = Stack(classes, channels, layers, outgoing, name="stack")

    def build(self, shape):
        mixing = {name: keras.KerasTensor(choices.shape(table)) for name, table in self.choices.items()}
        build_layers(self, shape, mixing, training=True)

    def call(self, images, mixing, training=None):
        return self.stack(images, weights=by_source(mixing["normal"]), training=training)

    def genotype(self, mixing):
        """The `Nb201Genotype` that mixing weights stand for: the heaviest of each edge, `none` among them."""
        weights = np.where(choices.mask(self.choices["normal"]), mixing["normal"], -np.inf)
        best = weights.argmax(-1)
        return Nb201Genotype.of(choice.candidates[column] for choice, column in zip(self.choices["normal"], best))
