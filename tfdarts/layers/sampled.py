"""Edges that compute one operation each, the one whose mixing weight is largest (GDAS, arXiv:1910.04465)."""

import functools
import math

import keras
import tensorflow as tf

from tfdarts.layers.choose import choose
from tfdarts.ops.common import BatchNorm
from tfdarts.precision import Values, of_container


class Traced:
    """What edges of each form share. No dictionary, for Keras gives each layer a copy of one.

    Attributes:
        operations: dictionary from channels, stride and candidates to layers whose variables are stand-ins.
        functions: dictionary from those, shape and mode to what runs on an edge, a `tf.function`.
    """

    def __init__(self):
        self.operations, self.functions = {}, {}


def sampled_edges():
    """A maker of `SampledEdges` for one network, whose edges share what is traced."""
    edges = functools.partial(SampledEdges, traced=Traced())
    edges.shares_statistics = True  # so that a search's validation is normalised by the batch
    return edges


class SampledEdges(keras.layers.Layer):
    """Edges that leave one state; each runs the operation that weighs most, times its weight, and no other.

    One trace serves every sample. What runs on an edge is a function of the map, the choice, its weight and the
    weights of all the edge's operations, one vector; it is traced once for all edges of the same form. A variable of
    each edge holds that vector (`weights_of` cuts it up).

    Args:
        operations, candidates, channels, stride, targets, then: as `MixedEdges` takes them.
        traced: `Traced`, which the edges of a network share.

    Call arguments and result: as of `MixedEdges`. BatchNorm has no moving statistics, for most steps would not see
    them: it normalises by the batch, in training or without.
    """

    def __init__(self, operations, candidates, channels, stride, targets, traced, then=None, **kwargs):
        super().__init__(dtype=of_container(), **kwargs)
        self.targets, self.then, self.candidates, self.traced = tuple(targets), then, tuple(candidates), traced
        self.count, self.form = max(map(len, candidates)), (channels, stride)
        self.make = lambda op: operations.build(op, channels, stride, 1, False)
        self.vectors, self.shapes = (), ()

    def build(self, shape):
        vectors, shapes = [], []
        for row, names in enumerate(self.candidates):
            operations = [self._operation(op, shape) for op in names]
            self.traced.operations.setdefault((*self.form, names), operations)
            variables = [operation.trainable_variables for operation in operations]
            vectors.append(self._vector(f"edge_{row}", sum(variables, [])))
            shapes.append(tuple(tuple(tuple(v.shape) for v in own) for own in variables))
        self.vectors, self.shapes = tuple(vectors), tuple(shapes)

    def _operation(self, op, shape):
        """An operation with its variables."""
        operation = self.make(op)
        for layer in operation._flatten_layers():
            if isinstance(layer, BatchNorm):
                layer.momentum = None
        with tf.__internal__.FuncGraph("shapes").as_default():
            operation(tf.compat.v1.placeholder(self.compute_dtype, shape), training=True)
        return operation

    def _vector(self, name, variables):
        """A variable that holds the values of some."""
        with tf.init_scope():
            values = [tf.reshape(v._value, [-1]) for v in variables]  # `v.value` may be rounded to 16 bits here
            start = tf.concat([tf.zeros(0, self.variable_dtype)] + values, 0)
        return self.add_weight(name=name, shape=start.shape, initializer=lambda shape, dtype: tf.cast(start, dtype))

    def weights_of(self, row):
        """The weights of an edge's operations, as they are now: for each candidate a list of tensors."""
        pieces = iter(_cut(self.vectors[row].value, sum(self.shapes[row], ())))
        return [[next(pieces) for _ in own] for own in self.shapes[row]]

    def call(self, x, weights, training=None):
        weights = tf.convert_to_tensor(weights)
        table = tf.transpose(weights[: self.count])
        indices = tf.argmax(table, -1, output_type=tf.int32)
        drawn = tf.reduce_sum(table * tf.one_hot(indices, self.count, dtype=table.dtype), -1, keepdims=True)
        edges = zip(self.candidates, self.vectors, self.shapes, tf.unstack(indices), tf.unstack(drawn))
        results = [
            self._function(names, shapes, x, training)(x, index, weight, tf.convert_to_tensor(vector))
            for names, vector, shapes, index, weight in edges
        ]
        if self.then is None:
            return [((target,), y) for target, y in zip(self.targets, results)]
        return self.then(tf.concat(results, -1), weights[self.count :], training=training)

    def _function(self, names, shapes, x, training):
        """What runs on an edge of that form: `(map, index of the operation, its weight, all weights) -> map`."""
        form, functions = (*self.form, names), self.traced.functions
        operations, form = self.traced.operations[form], (*form, tuple(x.shape), x.dtype, training)
        if form not in functions:

            def run(x, index, weight, vector):
                def branch(place):
                    before, own, after = (sum(part, ()) for part in _around(shapes, place))
                    sizes = [(_total(before),), *own, (_total(after),)]

                    def compute():
                        pieces = _cut(vector, sizes)[1:-1] if own else []
                        state = [*zip(operations[place].trainable_variables, pieces)]
                        with Values(state):
                            return operations[place](x, weights=weight, training=training)

                    return compute

                return choose(index, [branch(place) for place in range(len(names))])

            functions[form] = tf.function(run, autograph=False, experimental_attributes={"_noinline": True})
        return functions[form]


def _around(items, place):
    return items[:place], items[place : place + 1], items[place + 1 :]


def _total(shapes):
    return sum(map(math.prod, shapes))


def _cut(vector, shapes):
    """Cuts a vector into tensors of some shapes."""
    return [tf.reshape(y, shape) for y, shape in zip(tf.split(vector, [*map(math.prod, shapes)]), shapes)]
