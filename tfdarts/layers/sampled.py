"""Edges that compute one operation each, the one whose mixing weight is largest (GDAS, arXiv:1910.04465)."""

import functools

import keras
import tensorflow as tf

from tfdarts.layers.choose import choose
from tfdarts.ops.common import BatchNorm


class Traced:
    """What was traced for edges of each form. No dictionary, for Keras gives each layer a copy of one.

    Attributes:
        functions: dictionary from form to `tf.function`.
    """

    def __init__(self):
        self.functions = {}


def sampled_edges():
    """A maker of `SampledEdges` for one network, whose edges share what is traced."""
    edges = functools.partial(SampledEdges, traced=Traced())
    edges.shares_statistics = True  # so that a search's validation is normalised by the batch
    return edges


class SampledEdges(keras.layers.Layer):
    """Edges that leave one state; each runs the operation that weighs most, times its weight, and no other.

    One trace serves every sample. What runs on an edge is a function of the map, the choice and the weights of all its
    operations; it is traced once for all edges of the same form.

    Args:
        operations, candidates, channels, stride, targets, then: as `MixedEdges` takes them.
        traced: `Traced`, which the edges of a network share.

    Call arguments and result: as of `MixedEdges`. BatchNorm has no moving statistics, for most steps would not see
    them: it normalises by the batch, in training or without.
    """

    def __init__(self, operations, candidates, channels, stride, targets, traced, then=None, **kwargs):
        super().__init__(**kwargs)
        self.targets, self.then, self.candidates, self.traced = tuple(targets), then, tuple(candidates), traced
        self.count, self.form = max(map(len, candidates)), (channels, stride)
        self.operations = tuple(
            operations.build(op, channels, stride, 1, False) for names in candidates for op in names
        )
        for layer in (layer for operation in self.operations for layer in operation._flatten_layers()):
            if isinstance(layer, BatchNorm):
                layer.momentum = None

    def build(self, shape):
        pass  # its layers are built when they are called, as in `Cell`

    def call(self, x, weights, training=None):
        table, results, first = tf.stack(weights[: self.count], 1), [], 0
        for row, names in enumerate(self.candidates):
            operations = self.operations[first : first + len(names)]
            for operation in operations:
                if not operation.built:
                    operation(x, training=training)
            index = tf.argmax(table[row, : len(names)], output_type=tf.int32)
            function = self._function((self.form, names, x.shape[1:], training), operations, training)
            values = [tf.convert_to_tensor(v) for operation in operations for v in operation.variables]
            results.append(table[row, index] * function(x, index, *values))
            first += len(names)
        y = tf.concat(results, -1)
        if self.then is None:
            return [(self.targets, y)]
        return self.then(y, weights[self.count :], training=training)

    def _function(self, key, operations, training):
        """What runs on an edge of that form, `(map, index of the operation, values of variables) -> map`."""

        def run(x, index, *values):
            values = iter(values)

            def branch(operation):
                own = [(variable, next(values)) for variable in operation.variables]

                def compute():
                    with keras.StatelessScope(state_mapping=own):
                        return operation(x, training=training)

                return compute

            return choose(index, [branch(operation) for operation in operations])

        functions = self.traced.functions
        if key not in functions:
            functions[key] = tf.function(run, autograph=False, experimental_attributes={"_noinline": True})
        return functions[key]
