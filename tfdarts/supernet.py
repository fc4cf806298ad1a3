"""The network that is searched: every edge carries every operation."""

import keras
import tensorflow as tf

from tfdarts.cell import Cell, MixedEdges
from tfdarts.network import CifarStem, Linear, plan


def edge_rows(num_nodes):
    """For each state with outgoing edges, the nodes they lead to and their rows in the table of mixing weights.

    Rows are ordered by node, then by source, as in DARTS: node i has the rows i * (i + 3) / 2 + source.

    Returns:
        A list, one item per state, of `(targets, rows)`.
    """
    result = []
    for source in range(1 + num_nodes):
        targets = tuple(range(max(0, source - 1), num_nodes))
        result.append((targets, tuple(i * (i + 3) // 2 + source for i in targets)))
    return result


def num_edges(num_nodes):
    """Edges of a cell, that is rows of its table of mixing weights: 14 for 4 nodes."""
    return num_nodes * (num_nodes + 3) // 2


class Supernet(keras.Model):
    """Cells whose edges mix all operations of a space (DARTS, Liu et al. 2019, arXiv:1806.09055, section 2.2).

    It owns no architecture parameters: whoever runs it hands in the mixing weights.

    Args:
        space: `Space`.
        classes: int.
        channels: int, channels of the first cells; they double at either reduction.
        layers: int, number of cells.
        nodes: int, nodes per cell.
        multiplier: int, how many of the last nodes a cell concatenates.
        stem_multiplier: int, the stem has this many times `channels`.

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        mixing: pair of `(edges, operations)`, for normal and reduction cells, rows as in `edge_rows`.

    Returns:
        Logits `(batch, classes)`.
    """

    def __init__(self, space, classes, channels=16, layers=8, nodes=4, multiplier=4, stem_multiplier=3, **kwargs):
        super().__init__(**kwargs)
        if not 1 <= multiplier <= nodes:
            raise ValueError(f"`multiplier` must be from 1 to nodes ({nodes}). Received: {multiplier}.")
        self.space, self.nodes, self.multiplier = space, nodes, multiplier
        self.stem = CifarStem(stem_multiplier * channels, name="stem")
        cells = []
        for index, (width, reduction, before) in enumerate(plan(layers, channels)):
            outgoing = tuple(
                (MixedEdges(space, width, 2 if reduction and source < 2 else 1, targets),)
                for source, (targets, _) in enumerate(edge_rows(nodes))
            )
            concat = range(2 + nodes - multiplier, 2 + nodes)
            cells.append(Cell(width, outgoing, concat, nodes, before, affine=False, name=f"cell_{index}"))
        self.cells = tuple(cells)
        self.cell_is_reduction = tuple(reduction for _, reduction, _ in plan(layers, channels))
        self.classifier = Linear(classes, name="classifier")

    @property
    def mixing_shape(self):
        """Shape of each of the two tables of mixing weights."""
        return num_edges(self.nodes), len(self.space.searched)

    def build(self, shape):
        # Runs the network once on symbolic maps, so that every layer knows its shapes.
        table = keras.KerasTensor(self.mixing_shape)
        self.compute_output_spec(keras.KerasTensor(shape), (table, table), training=True)
        self.built = True

    def call(self, images, mixing, training=None):
        weights = [self._by_source(table) for table in mixing]
        s0, s1 = self.stem(images, training=training)
        for cell, reduction in zip(self.cells, self.cell_is_reduction):
            s0, s1 = s1, cell(s0, s1, weights=weights[reduction], training=training)
        return self.classifier(tf.reduce_mean(s1, [1, 2]))

    def _by_source(self, table):
        """Splits a table of mixing weights by state, then by operation; done once for all cells of a kind."""
        rows = [rows for _, rows in edge_rows(self.nodes)]
        ordered = tf.gather(table, [row for group in rows for row in group])
        return [tf.unstack(part, axis=1) for part in tf.split(ordered, [len(group) for group in rows])]
