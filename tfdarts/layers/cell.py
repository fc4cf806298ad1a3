"""The wiring of a cell, the same for search and evaluation; what sits on the edges is handed in."""

import keras
import tensorflow as tf

from tfdarts.genotype import NONE


class Cell(keras.layers.Layer):
    """Two preprocessed inputs, nodes that add up their incoming edges, a concatenation (DARTS, section 2.1).

    Args:
        channels: int, channels of every node.
        outgoing: tuple with one tuple of layers for every state that has outgoing edges, in the order of the states
            (0 and 1 the inputs, 2 + i node i). Each layer has `targets`, the nodes that its edges lead to in
            ascending order, and maps the state to their results, edge after edge.
        concat: states whose concatenation is the output.
        num_nodes: int.
        preprocess0, preprocess1: layers that the inputs go through, to maps of one size and `channels`.
        bottleneck: layer like those of `outgoing`, with one edge, which the concatenation goes through; or None.

    Call arguments:
        s0, s1: outputs of the two cells before, `(batch, height, width, channels_in)`.
        weights: what the layers of each state take as their weights, one item per state, and last what the bottleneck
            takes, if there is one; None for nothing.
        masks: likewise for drop-path; None for nothing.

    Returns:
        `(batch, height', width', len(concat) * channels)`.
    """

    def __init__(self, channels, outgoing, concat, num_nodes, preprocess0, preprocess1, bottleneck=None, **kwargs):
        super().__init__(**kwargs)
        self.preprocess0, self.preprocess1 = preprocess0, preprocess1
        # One flat tuple: Keras saves layers in a tuple, but passes over tuples within tuples without a word.
        self.edges = tuple(layer for layers in outgoing for layer in layers)
        self.sources = tuple(source for source, layers in enumerate(outgoing) for _ in layers)
        self.concat, self.num_nodes, self.channels = tuple(concat), num_nodes, channels
        self.bottleneck = bottleneck

    def build(self, s0_shape, s1_shape):
        pass  # its layers are built when they are called; without this Keras traces the whole cell once more for it

    def call(self, s0, s1, weights=None, masks=None, training=None):
        states = [self.preprocess0(s0, training=training), self.preprocess1(s1, training=training)]
        pending = {}  # targets: the wide maps whose edges lead to them
        for source in range(2 + self.num_nodes):
            if source >= 2:
                states.append(self._complete(source - 2, pending))
            for edges in (layer for layer, start in zip(self.edges, self.sources) if start == source):
                options = {} if weights is None else {"weights": weights[source]}
                if masks is not None:
                    options["masks"] = masks
                results = edges(states[source], training=training, **options)
                pending.setdefault(edges.targets, []).extend(results)
        output = tf.concat([states[i] for i in self.concat], axis=-1)
        if self.bottleneck is None:
            return output
        options = {} if weights is None else {"weights": weights[-1]}
        return tf.add_n(self.bottleneck(output, training=training, **options))

    def _complete(self, node, pending):
        """Adds up what leads to a node and splits it off the wide maps, whose first edges lead to it."""
        parts = []
        for targets in [targets for targets in pending if node in targets]:
            count, wide = targets.count(node), tf.add_n(pending.pop(targets))
            rest = targets[count:]
            sizes = [self.channels] * count + ([self.channels * len(rest)] if rest else [])
            pieces = tf.split(wide, sizes, axis=-1) if len(sizes) > 1 else [wide]
            parts.extend(pieces[:count])
            if rest:
                pending.setdefault(rest, []).append(pieces[-1])
        return tf.add_n(parts)


class MixedEdges(keras.layers.Layer):
    """Operations on all edges that leave one state, mixed (DARTS, equation 2); what the supernet hands to a cell.

    Operations whose result does not depend on the edge (`narrow`) are computed once and mixed into all edges by one
    small matrix product; what several operations do before their first weight (`prepare`) is done once.

    Args:
        space: `Space`.
        candidates: names of the operations.
        channels, stride: of the operations.
        targets: nodes that the edges lead to.
        wide: whether each edge has a map of its own already.
        then: wide `MixedEdges` that each edge's mixture goes through, or None.

    Call arguments:
        x: `(batch, height, width, channels)`, or `(batch, height, width, edges * channels)` if `wide`.
        weights: one `(edges,)` tensor per candidate, then those of `then`.

    Returns:
        A list of wide maps, whose sum is the mixture.
    """

    def __init__(self, space, candidates, channels, stride, targets, wide=False, then=None, **kwargs):
        super().__init__(**kwargs)
        self.targets, self.channels, self.wide, self.then = tuple(targets), channels, wide, then
        self.count = len(candidates)
        self.names = tuple(op for op in candidates if op != NONE)
        self.columns = tuple(candidates.index(op) for op in self.names)
        self.operations = tuple(space.build(op, channels, stride, len(targets), False, wide) for op in self.names)

    def build(self, shape):
        for operation in self.operations:
            if hasattr(operation, "narrow") or hasattr(operation, "prepare"):  # not called, so not built on call
                operation.build(shape)

    def call(self, x, weights, training=None):
        narrow, narrow_weights, wide, prepared = [], [], [], {}
        for column, operation in zip(self.columns, self.operations):
            if hasattr(operation, "narrow") and not self.wide:
                narrow.append(operation.narrow(x, training=training))
                narrow_weights.append(weights[column])
            elif hasattr(operation, "prepare"):
                key = operation.prepare_key
                if key not in prepared:
                    prepared[key] = operation.prepare(x)
                wide.append(operation.apply(prepared[key], weights[column], training=training))
            else:
                wide.append(operation(x, weights=weights[column], training=training))
        if narrow:
            wide.append(self._mix(narrow, tf.stack(narrow_weights)))
        if self.then is None:
            return wide
        return self.then(tf.add_n(wide), weights[self.count :], training=training)

    def _mix(self, narrow, weights):
        """`weights[k, e] * narrow[k]` summed over k, for every edge e, as one matrix product."""
        channels, edges = self.channels, len(self.targets)
        eye = tf.eye(channels, dtype=weights.dtype)
        weights = tf.reshape(weights, [-1, 1, edges, 1])
        matrix = tf.reshape(weights * tf.reshape(eye, [channels, 1, channels]), [-1, edges * channels])
        x = tf.concat(narrow, -1)
        y = tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), matrix)
        return tf.reshape(y, [-1, *x.shape[1:3], edges * channels])


class FixedEdges(keras.layers.Layer):
    """One operation of a genotype on all the edges that use it from one state; what the evaluation network hands in.

    Args:
        operation: layer for `len(targets)` edges.
        targets: nodes that the edges lead to.
        entries: position of each edge in the genotype's list.
        drop: whether drop-path applies (not to the identity).
        attention: layer for the operation's wide result, or None.

    Call arguments:
        x: `(batch, height, width, channels)`.
        masks: drop-path factors of the whole cell, `(entries, batch)`, or None.

    Returns:
        A list of one wide map.
    """

    def __init__(self, operation, targets, entries, drop, attention=None, **kwargs):
        super().__init__(**kwargs)
        self.attention = attention
        self.operation, self.targets, self.entries, self.drop = operation, tuple(targets), tuple(entries), drop

    def build(self, shape):
        pass  # as in `Cell`

    def call(self, x, masks=None, training=None):
        y = self.operation(x, training=training)
        if self.attention is not None:
            y = self.attention(y, training=training)
        if masks is not None and self.drop:
            factors = tf.stack([masks[k] for k in self.entries], axis=1)[:, :, None]  # (batch, edges, 1)
            factors = tf.tile(factors, [1, 1, y.shape[-1] // len(self.entries)])
            y = y * tf.reshape(factors, [-1, 1, 1, y.shape[-1]])
        return [y]
