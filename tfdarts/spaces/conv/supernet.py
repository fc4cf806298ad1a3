"""The network that is searched: every edge carries every operation."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tfdarts.genotype import NONE
from tfdarts.layers import choices
from tfdarts.layers.cell import Cell
from tfdarts.layers.choices import heaviest
from tfdarts.layers.edges import MixedEdges
from tfdarts.layers.heads import Linear
from tfdarts.layers.network import apart, build_layers, plan
from tfdarts.layers.partial import PartialEdges
from tfdarts.layers.stems import CifarStem, ImageNetStem
from tfdarts.precision import of_container
from tfdarts.spaces.conv.genotype import ConvGenotype

STEMS = {"cifar": CifarStem, "imagenet": ImageNetStem}


def edge_row(node, source):
    """Row of an edge in a table of mixing weights; they are ordered by node, then by source, as in DARTS."""
    return node * (node + 3) // 2 + source


def edge_rows(num_nodes):
    """For each state with outgoing edges, the nodes they lead to and their rows in the table of mixing weights.

    Returns:
        A list, one item per state, of `(targets, rows)`.
    """
    result = []
    for source in range(1 + num_nodes):
        targets = tuple(range(max(0, source - 1), num_nodes))
        result.append((targets, tuple(edge_row(node, source) for node in targets)))
    return result


def state_names(num_nodes):
    """Names of a cell's states, for people: its two inputs, then its nodes."""
    return ("c_{k-2}", "c_{k-1}", *map(str, range(num_nodes)))


def edge_names(num_nodes):
    """Names of the rows of a table of mixing weights, for people: 14 of them for 4 nodes."""
    states = state_names(num_nodes)
    return tuple(f"{states[source]} to {node}" for node in range(num_nodes) for source in range(2 + node))


def edge_weights(table):
    """What each edge weighs as a whole, in the order of `edge_rows`, by a table of a choice for each node's inputs.

    Args:
        table: `(nodes, nodes + 1)`; row i has 2 + i entries, from the left.

    Returns:
        A tensor `(edges,)`.
    """
    nodes, columns = table.shape
    places = [node * columns + source for node in range(nodes) for source in range(2 + node)]
    return tf.gather(tf.reshape(table, [-1]), places)


def strongest(mixing, table, nodes, edges=None):
    """The discrete cell that mixing weights stand for (DARTS, section 2.4).

    Each node keeps the two incoming edges whose best operation other than `none` weighs most, the heavier first (ties:
    the lower source), and of each edge that operation. `none` has no say but for the weight that it takes from others.

    Args:
        mixing: `(edges, operations)`, rows as in `edge_rows`.
        table: tuple of `Choice`, one an edge.
        nodes: int.
        edges: what each edge's weights are multiplied by to rank the edges (PC-DARTS, section 3.3); None for nothing.

    Returns:
        A list of `(op, node, source)`, node after node.
    """
    best, weights = heaviest(mixing, table)
    weights = weights if edges is None else weights * np.asarray(edges)
    cell = []
    for node in range(nodes):
        first = edge_row(node, 0)
        kept = np.argsort(-weights[first : first + node + 2], kind="stable")[:2]
        cell.extend((best[first + source], node, int(source)) for source in kept)
    return cell


class Supernet(keras.Model):
    """Cells whose edges mix all candidate operations (DARTS, Liu et al. 2019, arXiv:1806.09055, section 2.2).

    Where attention modules are searched, each edge's mixture of operations goes through a mixture of modules, or
    the output of each cell does, or both (Att-DARTS, Nakai et al. 2020, section 3).

    It owns no architecture parameters: whoever runs it hands in the mixing weights.

    Args:
        operations: `Operations`.
        classes: int.
        channels: int, channels of the first cells; they double at either reduction.
        layers: int, number of cells.
        nodes: int, nodes per cell.
        multiplier: int, how many of the last nodes a cell concatenates.
        stem_multiplier: int, the stem has this many times `channels`.
        candidates: dictionary from kind of cell (`"normal"`, `"reduce"`) to the candidates of each edge, rows as in
            `edge_rows`; None for all searched operations on every edge.
        edges: class of the layers on the edges, called as `MixedEdges`; with `inputs` only if it has `takes_inputs`.
        partial_channels: int K; operations see 1 / K of the channels (PC-DARTS, Xu et al. 2020, arXiv:1907.05737).
        edge_normalization: whether each node weighs its incoming edges, too (PC-DARTS, section 3.3).
        stem: one of `STEMS`; `"imagenet"` are three convolutions of stride 2.

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        mixing: dictionary of tables of mixing weights, named as in `choices` and of the
            `choices.shape` of each; rows as in `edge_rows`.
        skip_dropout: `(draw, probability)` of the dropout behind `skip_connect`, as `MixedEdges` takes it; None for no
            dropout.

    Returns:
        Logits `(batch, classes)`.
    """

    kept_inputs = 2  # of a node, in the cell that is found

    def __init__(
        self,
        operations,
        classes,
        channels=16,
        layers=8,
        nodes=4,
        multiplier=4,
        stem_multiplier=3,
        candidates=None,
        edges=MixedEdges,
        partial_channels=1,
        edge_normalization=False,
        stem="cifar",
        **kwargs,
    ):
        super().__init__(dtype=of_container(), **kwargs)
        self.shares_statistics = getattr(edges, "shares_statistics", False)  # else every BatchNorm has its own
        self.edge_normalization = edge_normalization
        if partial_channels > 1:
            edges = functools.partial(PartialEdges, share=partial_channels, inner=edges)
        if not 1 <= multiplier <= nodes:
            raise ValueError(f"`multiplier` must be from 1 to nodes ({nodes}). Received: {multiplier}.")
        self.operations, self.nodes, self.multiplier = operations, nodes, multiplier
        self.choices = self._choices(candidates or {})
        self.together = {kind: self._inputs_together(self.choices[kind], edges) for kind in ("normal", "reduce")}
        self.stem = STEMS[stem](stem_multiplier * channels, name="stem")
        cells = []
        for index, (width, reduction, before) in enumerate(plan(layers, channels)):
            table = self.choices["reduce" if reduction else "normal"]
            together, outgoing = self.together["reduce" if reduction else "normal"], []
            for source, (targets, rows) in enumerate(edge_rows(nodes)):
                options, stride = {}, 2 if reduction and source < 2 else 1
                own = [table[row].candidates for row in rows]
                if operations.after:
                    behind = [operations.after] * len(targets)
                    options["then"] = MixedEdges(operations, behind, width, 1, targets, inputs=len(targets))
                if together and source == 0:
                    outgoing.append(())
                    continue
                if together and source == 1:
                    own, options["inputs"] = 2 * own, 2
                outgoing.append((edges(operations, own, width, stride, targets, **options),))
            concat, end = range(2 + nodes - multiplier, 2 + nodes), None
            if operations.end:
                end = MixedEdges(operations, [operations.end], multiplier * width, 1, (0,))
            larger = before or (index == 0 and self.stem.reduces)  # the first input, than the second
            inputs = (operations.preprocess(width, halve, False) for halve in (larger, False))
            cell = Cell(width, outgoing, concat, nodes, *inputs, end, reduction, together, name=f"cell_{index}")
            cells.append(cell)
        self.cells = tuple(cells)
        self.cell_is_reduction = tuple(reduction for _, reduction, _ in plan(layers, channels))
        self.classifier = Linear(classes, name="classifier")

    def _inputs_together(self, table, edges):
        """Whether one layer has the edges of both inputs of a cell, which makes fewer and larger kernels."""
        rows = [row for _, rows in edge_rows(self.nodes)[:2] for row in rows]
        names = {table[row].candidates for row in rows}
        alike = len(names) == 1 and all(op == NONE or self.operations.takes_inputs(op) for op in names.pop())
        return alike and getattr(edges, "takes_inputs", False) and not self.operations.after

    def _choices(self, candidates):
        """The choices that make its architecture: table of mixing weights to a tuple of `Choice`."""
        names, kinds, result = edge_names(self.nodes), ("normal", "reduce"), {}
        for kind in kinds:
            own = candidates.get(kind, [self.operations.searched] * len(names))
            result[kind] = tuple(choices.Choice(name, tuple(ops)) for name, ops in zip(names, own, strict=True))
        if self.operations.after:
            result |= {kind + "_after": choices.alike(names, self.operations.after) for kind in kinds}
        if self.operations.end:
            result |= {kind + "_end": choices.alike(("c_{k}",), self.operations.end) for kind in kinds}
        if self.edge_normalization:
            states = state_names(self.nodes)
            inputs = tuple(choices.Choice(f"to {n}", states[: 2 + n], of_inputs=True) for n in range(self.nodes))
            result |= {kind + "_inputs": inputs for kind in kinds}
        return result

    def build(self, shape):
        mixing = {name: keras.KerasTensor(choices.shape(table)) for name, table in self.choices.items()}
        build_layers(self, shape, mixing, training=True)

    def call(self, images, mixing, skip_dropout=None, training=None):
        weights = [self._by_source(mixing, kind) for kind in ("normal", "reduce")]
        s0, s1 = apart(*self.stem(images, training=training))
        options = {}
        for index, (cell, reduction) in enumerate(zip(self.cells, self.cell_is_reduction)):
            if skip_dropout is not None:
                draw, probability = skip_dropout
                options["skip_dropout"] = draw + tf.constant([index << 48, 0], tf.int64), probability
            s0, s1 = s1, cell(s0, s1, weights=weights[reduction], training=training, **options)
        return self.classifier(tf.reduce_mean(s1, [1, 2]))

    def _by_source(self, mixing, kind):
        """Splits the tables of a kind of cell by layer, `(columns, edges)`; done once for all its cells."""
        columns = [mixing[kind]] + ([mixing[kind + "_after"]] if self.operations.after else [])
        if self.edge_normalization:
            edges = edge_weights(mixing[kind + "_inputs"])[:, None]
            columns[-1] = columns[-1] * edges  # what an edge gives is a sum by the last of its tables
            columns += [] if self.operations.after else [edges]
        table = tf.concat(columns, 1) if len(columns) > 1 else columns[0]
        rows = [rows for _, rows in edge_rows(self.nodes)]
        if self.together[kind]:
            rows = [rows[0] + rows[1], *rows[2:]]
        ordered, columns = np.array([row for group in rows for row in group]), np.arange(table.shape[1])
        by_column = tf.gather(tf.reshape(table, [-1]), ordered * len(columns) + columns[:, None])
        weights = tf.split(by_column, [len(group) for group in rows], axis=1)
        width = mixing[kind].shape[1]
        for place, group in enumerate(rows):  # a layer all of whose edges have fewer candidates than others
            own = max(len(self.choices[kind][row].candidates) for row in group)
            if own < width:
                weights[place] = tf.concat([weights[place][:own], weights[place][width:]], 0)
        return weights + [tf.transpose(mixing[kind + "_end"])] if self.operations.end else weights

    def genotype(self, mixing, choose=strongest):
        """The `ConvGenotype` that mixing weights stand for, attention being each edge's and each cell's heaviest.

        Args:
            mixing: dictionary from table to mixing weights.
            choose: how a cell is chosen, called as `strongest`. A node that it leaves without entries does not exist;
                if it leaves none of those that are concatenated, the last one that exists is.
        """
        fields = {}
        for kind in ("normal", "reduce"):
            edges = edge_weights(mixing[kind + "_inputs"]) if self.edge_normalization else None
            cell = choose(mixing[kind], self.choices[kind], self.nodes, edges)
            inputs = [[node for _, node, _ in cell].count(node) for node in range(1 + cell[-1][1])]
            there = [2 + node for node, count in enumerate(inputs) if count]
            concat = [state for state in there if state >= 2 + self.nodes - self.multiplier] or there[-1:]
            entries = [(op, source) for op, _, source in cell]
            if self.operations.after:
                best, _ = heaviest(mixing[kind + "_after"], self.choices[kind + "_after"])
                entries = [(op, source, best[edge_row(node, source)]) for op, node, source in cell]
            fields |= {kind: entries, kind + "_inputs": inputs, kind + "_concat": concat}
            if self.operations.end:
                fields[kind + "_bottleneck"] = heaviest(mixing[kind + "_end"], self.choices[kind + "_end"])[0][0]
        return ConvGenotype(**fields, ops=self.operations.name)
