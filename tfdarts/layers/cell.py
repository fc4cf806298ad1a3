"""The wiring of a cell, the same for search and evaluation; the caller supplies the layers on the edges."""

import keras
import tensorflow as tf

from tfdarts.precision import of_container


class Cell(keras.layers.Layer):
    """Two preprocessed inputs, nodes that add up their incoming edges, a concatenation (DARTS, section 2.1).

    A node that no edge leads to does not exist: no edge may leave it, and it may not be concatenated.

    Args:
        channels: int, channels of every node.
        outgoing: tuple with a tuple of layers, maybe empty, for every state up to the last one that has outgoing edges
            (0 and 1 the inputs, 2 + i node i). Each layer maps the state to a list of pairs: the nodes that edges lead
            to, a tuple in ascending order, and a map of the results of these edges, edge after edge.
        concat: states whose concatenation is the output.
        num_nodes: int.
        preprocess0, preprocess1: layers that the inputs go through, to maps of one size and `channels`.
        bottleneck: layer like those of `outgoing`, with one edge, which the concatenation goes through; or None.
        kind: cells of one network with the same kind have the same layers, but for channels and preprocessing.
        inputs_together: whether the layers of state 1 are given both inputs, side by side, and have the edges of both.

    Call arguments:
        s0, s1: outputs of the two cells before, `(batch, height, width, channels_in)`.
        weights: what the layers take as their weights, one item per layer, and last what the bottleneck takes, if
            there is one; None for nothing.
        masks: likewise for drop-path; None for nothing.
        skip_dropout: what `MixedEdges` takes, the draw being the cell's; None for nothing.

    Returns:
        `(batch, height', width', len(concat) * channels)`.
    """

    functions = None  # `cell_functions.CellFunctions` that it runs by, if any

    def __init__(
        self,
        channels,
        outgoing,
        concat,
        num_nodes,
        preprocess0,
        preprocess1,
        bottleneck=None,
        kind=None,
        inputs_together=False,
        **kwargs,
    ):
        super().__init__(dtype=of_container(), **kwargs)
        self.preprocess0, self.preprocess1 = preprocess0, preprocess1
        # One flat tuple: Keras saves layers in a tuple, but passes over tuples within tuples without a word.
        self.edges = tuple(layer for layers in outgoing for layer in layers)
        self.sources = tuple(source for source, layers in enumerate(outgoing) for _ in layers)
        self.concat, self.num_nodes, self.channels = tuple(concat), num_nodes, channels
        self.bottleneck, self.kind, self.inputs_together = bottleneck, kind, inputs_together

    def build(self, s0_shape, s1_shape):
        pass  # its layers are built when they are called; without this Keras traces the whole cell once more for it

    def call(self, s0, s1, weights=None, masks=None, skip_dropout=None, training=None):
        maps = [self.preprocess0(s0, training=training), self.preprocess1(s1, training=training)]
        options = {"weights": weights, "masks": masks, "skip_dropout": skip_dropout}
        options = {name: value for name, value in options.items() if value is not None}
        if self.functions is not None:
            return self.functions(self, maps, options, training)
        return self.joined(*maps, training=training, **options)

    @property
    def inner_layers(self):
        """The layers that `joined` runs."""
        return self.edges if self.bottleneck is None else (*self.edges, self.bottleneck)

    def joined(self, *states, weights=None, masks=None, skip_dropout=None, training=None):
        """The cell behind its preprocessing; arguments and result as of the call."""
        states, pending = [*states], {}  # targets: the wide maps whose edges lead to them
        for source in range(2 + self.num_nodes):
            if source >= 2:
                led_to = any(source - 2 in targets for targets in pending)
                states.append(complete(source - 2, pending, self.channels) if led_to else None)
            for place in (place for place, start in enumerate(self.sources) if start == source):
                together = self.inputs_together and source == 1
                state = side_by_side(states) if together else states[source]
                options = {} if weights is None else {"weights": weights[place]}
                if masks is not None:
                    options["masks"] = masks
                if skip_dropout is not None:
                    draw, probability = skip_dropout
                    options["skip_dropout"] = draw + tf.constant([source << 40, 0], tf.int64), probability
                for targets, wide in self.edges[place](state, training=training, **options):
                    pending.setdefault(targets, []).append(wide)
        output = side_by_side([states[i] for i in self.concat])
        if self.bottleneck is None:
            return output
        options = {} if weights is None else {"weights": weights[-1]}
        return tf.add_n([wide for _, wide in self.bottleneck(output, training=training, **options)])


def side_by_side(maps):
    """Concatenates maps of one shape along the channels; stacked: one kernel in the gradient, not one a map."""
    *size, channels = maps[0].shape[1:]
    return tf.reshape(tf.stack(maps, -2), [-1, *size, len(maps) * channels])


def complete(node, pending, channels):
    """Adds up what leads to a node and splits it off the wide maps, whose first edges lead to it.

    Args:
        node: int.
        pending: dictionary from the nodes that edges lead to, a tuple, to the wide maps of these edges; it is changed.
        channels: int, of every node.
    """
    parts = []
    for targets in [targets for targets in pending if node in targets]:
        count, wide = targets.count(node), tf.add_n(pending.pop(targets))
        rest = targets[count:]
        sizes = [channels] * count + ([channels * len(rest)] if rest else [])
        pieces = tf.split(wide, sizes, axis=-1) if len(sizes) > 1 else [wide]
        parts.extend(pieces[:count])
        if rest:
            pending.setdefault(rest, []).append(pieces[-1])
    return tf.add_n(parts)
