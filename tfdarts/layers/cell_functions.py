"""Cells as functions of explicit tensors: computed again in the gradient, or compiled by XLA, once for each shape."""

import tensorflow as tf

from tfdarts import precision
from tfdarts.errors import UserError
from tfdarts.gradients import custom_gradient

REMAT = ("none", "cell")
RECOMPUTED = "recomputed"  # name scope of the calls whose maps are not kept (`cost` reads it)


class CellFunctions:
    """What runs the cells of a network; cells of the same shape share one function.

    A function takes the weights and the statistics of a cell, its preprocessed inputs and what else it is called with
    (mixing weights, drop-path factors, the draw of a dropout), and gives its output and the new statistics. Nothing
    else goes in or out, so that its gradient is one in every `Call`, and the statistics are set once,
    however often it runs. A cell's preprocessing stays outside: the cells before it decide its form, and with it no
    two of the eight cells of DARTS's search would have the same shape; without, there are five shapes.

    Args:
        recompute: whether the gradient computes a cell's maps again instead of keeping them (Chen et al. 2016,
            arXiv:1604.06174).
        jit_compile: whether XLA compiles the functions and their gradients.
    """

    def __init__(self, recompute, jit_compile):
        self.recompute, self.jit_compile = recompute, jit_compile
        self.functions = {}

    def __call__(self, cell, maps, options, training):
        """Runs a cell.

        Args:
            cell: built layer. Its `joined(*maps, training, **options)` is run, with its `inner_layers`; those of two
                cells of the same `kind` differ in nothing but shapes.
            maps: list of tensors.
            options: dictionary of structures of tensors.
            training: whether it is in training: only then are statistics set.

        Returns:
            The output of the cell.
        """
        weights, statistics = _variables(cell)
        structure = ([v.value for v in weights], [v.value for v in statistics], maps, options)
        tensors = [tf.convert_to_tensor(x) for x in tf.nest.flatten(structure)]
        shapes = (tuple(x.shape) for x in (*weights, *statistics))
        key = (cell.kind, bool(training), *shapes, *(tuple(x.shape[1:]) for x in maps), *sorted(options))
        if key not in self.functions:
            self.functions[key] = self._function(cell, structure, bool(training))
        output, *new = self.functions[key](*tensors)
        if training:
            for variable, value in zip(statistics, new):
                variable.assign(value)
        return output

    def _function(self, cell, structure, training):
        """The function of cells like this one, whose layers are run on the tensors of any of them."""
        weights, statistics = _variables(cell)

        def pure(*tensors):
            *values, maps, options = tf.nest.pack_sequence_as(structure, tensors)
            with precision.Values([*zip((*weights, *statistics), (*values[0], *values[1]))]) as scope:
                output = cell.joined(*maps, training=training, **options)
                new = [scope.get_current_value(v) for v in statistics] if training else []
            return [output, *map(tf.convert_to_tensor, new)]

        # Not inlined: a function that several cells call is instantiated once, and its maps end with the call.
        made = {"autograph": False, "experimental_attributes": {"_noinline": True}}
        if self.jit_compile:
            made["jit_compile"] = True
        return recomputed(pure, **made) if self.recompute else tf.function(pure, **made)


def recomputed(pure, **made):
    """A function whose gradient runs it again.

    Args:
        pure: function of tensors; of the list that it gives the first has a gradient, the rest are taken for constant.
        made: how it and its gradient become `tf.function`s.
    """

    def again(tensors, upstream):
        floating = [x for x in tensors if x.dtype.is_floating]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(floating)
            output, *_ = pure(*tensors)
        return tape.gradient(output, floating, upstream, unconnected_gradients="zero")

    forward, backward = tf.function(pure, **made), tf.function(again, **made)

    @custom_gradient
    def run(*tensors):
        def gradient(upstream, *_):
            found = iter(backward(tensors, upstream))
            return [next(found) if x.dtype.is_floating else None for x in tensors]

        with tf.name_scope(RECOMPUTED):
            return forward(*tensors), gradient

    run.forward, run.backward = forward, backward
    return run


def use(network, *, remat, jit_compile):
    """Has the cells of a built network run as functions, where that is asked for.

    Args:
        network: Keras model.
        remat: one of `REMAT`.
        jit_compile: whether XLA compiles the cells.

    Raises:
        UserError: if the network has no cells that can be run so.
    """
    if remat == "none" and not jit_compile:
        return
    cells = _cells(network)
    if not cells:
        option = "--jit_compile" if jit_compile else f"--remat {remat}"
        raise UserError(f"{option} is for networks of stacked cells, which this one is not; leave it out")
    functions = CellFunctions(remat == "cell", jit_compile)
    for cell in cells:
        cell.functions = functions


def forget(network):
    """Lets go of what was traced of a network's cells."""
    for cell in _cells(network):
        if cell.functions is not None:
            cell.functions.functions.clear()


def _cells(network):
    return [layer for layer in network._flatten_layers() if hasattr(layer, "joined")]


def _variables(cell):
    """The trainable and the other variables of a cell's `inner_layers`."""
    weights = [v for layer in cell.inner_layers for v in layer.trainable_variables]
    return weights, [v for layer in cell.inner_layers for v in layer.non_trainable_variables]
