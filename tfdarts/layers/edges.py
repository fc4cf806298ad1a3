"""Layers that sit on the edges of a cell: all operations mixed, or a genotype's one."""

import keras
import numpy as np
import tensorflow as tf

from tfdarts.genotype import NONE
from tfdarts.layers.dropout import dropout_factors
from tfdarts.ops.common import prepare
from tfdarts.precision import of_container

SKIP = "skip_connect"


class MixedEdges(keras.layers.Layer):
    """Operations on all edges that leave one state, mixed (DARTS, equation 2); what the supernet hands to a cell.

    One layer may have the edges of several states whose maps are alike, too, its `inputs`: each of them has as many
    edges, to the same nodes, and what the edges to one node give is added up.

    Operations whose result does not depend on the edge (`narrow`) are computed once and mixed into all edges by one
    small matrix product; what several operations do before their first weight (`preparations`), or what they end with
    (`finish`), is done once.

    Args:
        operations: `Operations`.
        candidates: for each edge, the names of the operations that it may carry; the first input's edges come first.
        channels, stride: of the operations.
        targets: nodes that the edges of an input lead to.
        inputs: int, how many maps lie side by side in `x`, each for its share of the edges. With one map for each edge,
            `targets` lists each edge's node.
        then: `MixedEdges` that each edge's mixture goes through, with an input for each edge; or None.

    Call arguments:
        x: `(batch, height, width, inputs * channels)`.
        weights: mixing weights, `(columns, edges)`: the columns of the edges' table, then those of `then`. What each
            edge weighs as a whole is in them, and may come once more at the end, for `PartialEdges`.
        skip_dropout: `(draw, probability)`: elements of what `skip_connect` gives at stride 1 are dropped, on each edge
            others (P-DARTS, Chen et al. 2019, arXiv:1904.12760, section 3.3); None for no dropout. The draw is two
            integers, the seed of this layer's random numbers.

    Returns:
        A list of `(targets, wide map)`; the mixture is the sum of the maps.

    Raises:
        ValueError: if edges differ in their candidates where something follows, or where there are several inputs.
    """

    takes_inputs = True

    def __init__(self, operations, candidates, channels, stride, targets, inputs=1, then=None, **kwargs):
        super().__init__(dtype=of_container(), **kwargs)
        self.targets, self.channels, self.inputs, self.then = tuple(targets), channels, inputs, then
        self.drops = SKIP if stride == 1 else None  # the operation that dropout may follow
        self.count, self.per_target = max(map(len, candidates)), len(candidates) // len(self.targets)
        self.candidates = frozenset(candidates)
        if len(self.candidates) > 1 and (inputs > 1 or then):
            raise ValueError("`candidates` may differ from edge to edge only for one input that nothing follows.")
        self.names = tuple(op for op in dict.fromkeys(sum(candidates, ())) if op != NONE)
        # For each operation, which edges may carry it, and in which column of its row each of them has its weight.
        self.edges = tuple(tuple(e for e, names in enumerate(candidates) if op in names) for op in self.names)
        self.columns = tuple(tuple(candidates[e].index(op) for e in edges) for op, edges in zip(self.names, self.edges))
        self.operations = tuple(
            operations.build(op, channels, stride, len(edges), False, inputs)
            for op, edges in zip(self.names, self.edges)
        )

    def build(self, shape):
        for operation in self.operations:
            if hasattr(operation, "narrow") or hasattr(operation, "preparations"):  # not called, so not built on call
                operation.build(shape)

    def is_narrow(self, operation):
        """Whether an operation is computed once for all edges of an input: not where each edge has its own."""
        return hasattr(operation, "narrow") and self.per_target == self.inputs

    def call(self, x, weights, skip_dropout=None, training=None):
        weights, dropping = tf.convert_to_tensor(weights), None if skip_dropout is None else self.drops
        narrow = [self.is_narrow(op) and name != dropping for name, op in zip(self.names, self.operations)]
        by_edge, (by_channel, narrow_scales) = tf.unstack(weights), self._by_channel(weights, narrow)
        narrow_maps, results, prepared, unfinished = [], [], {}, {}
        for k, (name, operation) in enumerate(zip(self.names, self.operations)):
            if narrow[k]:
                narrow_maps.append(operation.narrow(x, training=training))
                continue
            own = self._on_its_edges(by_channel if getattr(operation, "takes_scale", False) else by_edge, k)
            into, key = results, tuple(self.targets[e % len(self.targets)] for e in self.edges[k])
            if hasattr(operation, "preparations"):
                y = operation.apply(prepare(operation, x, prepared), own, training=training)
                if getattr(operation, "finish_key", None):
                    finish = key, operation.finish_key
                    _, into = unfinished.setdefault(finish, (operation.finish, []))
            else:
                y = operation(x, weights=own, training=training)
            if name == dropping:
                draw, probability = skip_dropout
                y = y * dropout_factors(tf.shape(y), probability, draw, y.dtype)
            into.append((key, y))
        for (key, _), (finish, parts) in unfinished.items():
            results.append((key, finish(tf.add_n([y for _, y in parts]))))
        if self.per_target > 1 and results:
            y = tf.add_n([y for _, y in results])
            y = tf.reshape(y, [-1, *y.shape[1:3], self.per_target, len(self.targets) * self.channels])
            results = [(self.targets, tf.reduce_sum(y, 3))]
        if narrow_maps:
            results.append((self.targets, self._mix(narrow_maps, narrow_scales)))
        if self.then is None:
            return results
        return self.then(tf.add_n([y for _, y in results]), weights[self.count :], training=training)

    def _by_channel(self, weights, narrow):
        """Mixing weights spread over the channels.

        Args:
            weights: `(columns, edges)`.
            narrow: for each operation, whether its result is the same for all edges of an input.

        Returns:
            For each column `(edges * channels,)`, or where edges differ in their candidates `(edges, channels)`; and
            for the narrow operations, one after the other, what they weigh on each edge, 0 where it cannot carry them.
            The entry of a column that only these need may be None.
        """
        spread = tf.tile(tf.expand_dims(weights, 2), [1, 1, self.channels])
        own = [k for k, is_narrow in enumerate(narrow) if is_narrow]
        first, last, whole = (self.columns[own[0]][0], self.columns[own[-1]][0], len(own)) if own else (0, 0, 0)
        if len(self.candidates) == 1 and whole and last - first + 1 == whole:  # one piece, which costs least
            pieces = tf.split(spread, [1] * first + [whole] + [1] * (weights.shape[0] - 1 - last))
            rows = [tf.reshape(piece, [-1]) for piece in pieces[:first] + pieces[first + 1 :]]
            return rows[:first] + [None] * whole + rows[first:], pieces[first]
        rows, nothing = tf.unstack(spread), tf.zeros_like(spread[0, 0])
        scales = []
        for k in own:
            columns = dict(zip(self.edges[k], self.columns[k]))
            scales += [rows[columns[e]][e] if e in columns else nothing for e in range(weights.shape[1])]
        if len(self.candidates) == 1:
            rows = [tf.reshape(row, [-1]) for row in rows]
        return rows, tf.stack(scales) if scales else None

    def _on_its_edges(self, rows, k):
        """The mixing weights of operation k on the edges that may carry it, edge after edge.

        Args:
            rows: for each column `(edges,)`, or what `_by_channel` gave.
        """
        edges, columns = self.edges[k], self.columns[k]
        if len(self.candidates) == 1:
            return rows[columns[0]]
        return tf.reshape(tf.stack([rows[column][e] for e, column in zip(edges, columns)]), [-1])

    def _mix(self, maps, scales):
        """What operations give that are the same for all edges of an input, as one matrix product.

        Args:
            maps: for each operation `(batch, height, width, inputs * channels)`.
            scales: operation by operation and edge by edge, their mixing weights spread over the channels.

        Returns:
            For each node the sum over operations and inputs, `(batch, height, width, targets * channels)`.
        """
        (height, width), channels, nodes = maps[0].shape[1:3], self.channels, len(self.targets)
        eye = tf.constant(np.tile(np.eye(channels), [1, nodes]), scales.dtype)
        rows = tf.reshape(scales, [-1, 1, nodes * channels])  # operation by operation, input by input
        matrix = tf.reshape(rows * eye, [-1, nodes * channels])
        x = tf.reshape(tf.stack(maps, -2), [-1, matrix.shape[0]])  # one kernel in the gradient, not one a map
        y = tf.matmul(x, tf.cast(matrix, x.dtype))
        return tf.reshape(y, [-1, height, width, nodes * channels])


class FixedEdges(keras.layers.Layer):
    """One operation of a genotype on all the edges that use it from one state; what the evaluation network hands in.

    Args:
        operation: layer for `len(targets)` edges.
        targets: nodes that the edges lead to.
        entries: position of each edge in the genotype's list.
        dropped_by: which of the drop-path factors each edge is multiplied by; empty for none (the identity).
        attention: layer for the operation's wide result, or None.

    Call arguments:
        x: `(batch, height, width, channels)`.
        masks: drop-path factors of the whole cell, `(factors, batch)`, or None.

    Returns:
        A list of one pair `(targets, wide map)`.
    """

    def __init__(self, operation, targets, entries, dropped_by=(), attention=None, **kwargs):
        super().__init__(**kwargs)
        self.attention = attention
        self.operation, self.targets, self.entries = operation, tuple(targets), tuple(entries)
        self.dropped_by = tuple(dropped_by)

    def build(self, shape):
        pass  # as in `Cell`

    def call(self, x, masks=None, training=None):
        y = self.operation(x, training=training)
        if self.attention is not None:
            y = self.attention(y, training=training)
        if masks is not None and self.dropped_by:
            factors = tf.stack([masks[k] for k in self.dropped_by], axis=1)[:, :, None]  # (batch, edges, 1)
            factors = tf.tile(factors, [1, 1, y.shape[-1] // len(self.targets)])
            y = y * tf.reshape(factors, [-1, 1, 1, y.shape[-1]])
        return [(self.targets, y)]
