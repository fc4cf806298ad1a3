"""Layers that sit on the edges of a cell: all operations mixed, or a genotype's one."""

import keras
import numpy as np
import tensorflow as tf

from tfdarts.genotype import NONE
from tfdarts.layers.dropout import dropout_factors
from tfdarts.precision import of_container

SKIP = "skip_connect"


class MixedEdges(keras.layers.Layer):
    """Operations on all edges that leave one state, mixed (DARTS, equation 2); what the supernet hands to a cell.

    Operations whose result does not depend on the edge (`narrow`) are computed once and mixed into all edges by one
    small matrix product; what several operations do before their first weight (`prepare`) is done once.

    Args:
        operations: `Operations`.
        candidates: for each edge, the names of the operations that it may carry.
        channels, stride: of the operations.
        targets: nodes that the edges lead to.
        wide: whether each edge has a map of its own already.
        then: wide `MixedEdges` that each edge's mixture goes through, or None.

    Call arguments:
        x: `(batch, height, width, channels)`, or `(batch, height, width, edges * channels)` if `wide`.
        weights: one `(edges,)` tensor per column of the edges' table of mixing weights, then those of `then`. What
            each edge weighs as a whole is in them, and may come once more at the end, for `PartialEdges`.
        skip_dropout: `(draw, probability)`: elements of what `skip_connect` gives at stride 1 are dropped, on each edge
            others (P-DARTS, Chen et al. 2019, arXiv:1904.12760, section 3.3); None for no dropout. The draw is two
            integers, the seed of this layer's random numbers.

    Returns:
        A list of `(targets, wide map)`; the mixture is the sum of the maps.

    Raises:
        ValueError: if edges differ in their candidates where something follows, or where each has a map of its own.
    """

    def __init__(self, operations, candidates, channels, stride, targets, wide=False, then=None, **kwargs):
        super().__init__(dtype=of_container(), **kwargs)
        self.targets, self.channels, self.wide, self.then = tuple(targets), channels, wide, then
        self.drops = SKIP if stride == 1 else None  # the operation that dropout may follow
        self.count = max(map(len, candidates))
        if len(set(candidates)) > 1 and (wide or then):
            raise ValueError("`candidates` may differ from edge to edge only where no attention module follows.")
        self.names = tuple(op for op in dict.fromkeys(sum(candidates, ())) if op != NONE)
        # For each operation, which edges may carry it, and in which column of its row each of them has its weight.
        self.edges = tuple(tuple(e for e, names in enumerate(candidates) if op in names) for op in self.names)
        self.columns = tuple(tuple(candidates[e].index(op) for e in edges) for op, edges in zip(self.names, self.edges))
        self.operations = tuple(
            operations.build(op, channels, stride, len(edges), False, wide) for op, edges in zip(self.names, self.edges)
        )

    def build(self, shape):
        for operation in self.operations:
            if hasattr(operation, "narrow") or hasattr(operation, "prepare"):  # not called, so not built on call
                operation.build(shape)

    def call(self, x, weights, skip_dropout=None, training=None):
        narrow, narrow_weights, results, prepared = [], [], [], {}
        for name, operation, edges, columns in zip(self.names, self.operations, self.edges, self.columns):
            targets = tuple(self.targets[e] for e in edges)
            if skip_dropout is not None and name == self.drops:
                y = operation(x, weights=self._on_its_edges(weights, edges, columns), training=training)
                draw, probability = skip_dropout
                results.append((targets, y * dropout_factors(tf.shape(y), probability, draw, y.dtype)))
                continue
            if hasattr(operation, "narrow") and not self.wide:
                narrow.append(operation.narrow(x, training=training))
                narrow_weights.append(self._on_all_edges(weights, edges, columns))
                continue
            own = self._on_its_edges(weights, edges, columns)
            if hasattr(operation, "prepare"):
                key = operation.prepare_key
                if key not in prepared:
                    prepared[key] = operation.prepare(x)
                results.append((targets, operation.apply(prepared[key], own, training=training)))
            else:
                results.append((targets, operation(x, weights=own, training=training)))
        if narrow:
            results.append((self.targets, self._mix(narrow, tf.stack(narrow_weights))))
        if self.then is None:
            return results
        return self.then(tf.add_n([wide for _, wide in results]), weights[self.count :], training=training)

    def _on_its_edges(self, weights, edges, columns):
        """An operation's mixing weights on the edges that may carry it, `(len(edges),)`."""
        if len(edges) == len(self.targets) and len(set(columns)) == 1:
            return weights[columns[0]]
        return tf.stack([weights[column][e] for e, column in zip(edges, columns)])

    def _on_all_edges(self, weights, edges, columns):
        """An operation's mixing weights on all edges, 0 where an edge cannot carry it, `(edges,)`."""
        if len(edges) == len(self.targets):
            return self._on_its_edges(weights, edges, columns)
        own = dict(zip(edges, columns))
        nothing = tf.zeros((), weights[0].dtype)
        return tf.stack([weights[own[e]][e] if e in own else nothing for e in range(len(self.targets))])

    def _mix(self, narrow, weights):
        """`weights[k, e] * narrow[k]` summed over k, for every edge e, as one matrix product."""
        channels, edges = self.channels, len(self.targets)
        eye = tf.constant(np.eye(channels)[:, None], weights.dtype)
        matrix = tf.reshape(tf.reshape(weights, [-1, 1, edges, 1]) * eye, [-1, edges * channels])
        x = tf.reshape(tf.stack(narrow, -2), [-1, len(narrow) * channels])  # one kernel back, not one for each
        y = tf.matmul(x, tf.cast(matrix, x.dtype))
        return tf.reshape(y, [-1, *narrow[0].shape[1:3], edges * channels])


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
