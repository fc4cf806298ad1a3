import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from ops.recurrent import OPS, SEARCHED
from tests import reference
from tfdarts import cost, evalnet, genotype, optimizers, recurrent, renet, space
from tfdarts.strategies import hypergradient
from tfdarts.strategies.darts import Darts
from tfdarts.training import Training

ACTIVATIONS = space.load("recurrent", recurrent=True)
VARIANTS = tuple(renet.VARIANTS)
PUBLISHED = {variant: genotype.load(f"DARTS_{variant.capitalize()}", "renet") for variant in VARIANTS}


def golden(name):
    return reference.load(f"renet/{name}")


class PublishedGate(renet.SigmoidCell):
    """The authors' sigmoid cell, whose reverse gate looks at the normalised forward vector."""

    def prepare(self, x, kernel, offset, statistics, training):
        weight, gamma, beta = (tf.convert_to_tensor(v) for v in (self.gate, self.gamma_in, self.beta_in))

        def normalize(z, weighed, i):
            old = statistics[:, i : i + 1]
            z, moments = recurrent.batch_norm(z * tf.sigmoid(tf.matmul(weighed, weight)), old, training)
            return z, moments

        def gates(x, h):
            forward, backward = tf.split(tf.concat([x, h], -1), 2)
            forward, first = normalize(forward, forward, 0)
            backward, second = normalize(backward, forward * gamma[0] + beta[0], 1)
            moments = tf.concat([first, second], 1) if training else None
            return tf.matmul(tf.concat([forward, backward], 0), kernel) + offset, moments

        return renet.both_ways(x, x), statistics[..., :0], gates


def rows(features, units, patch):
    """Where the rows of the authors' input kernels lie in ours: they put the channel before the pixel of the patch."""
    channels = (features - units) // patch**2
    order = np.arange(patch**2 * channels).reshape(patch**2, channels).T.ravel()
    return np.concatenate([order, np.arange(features - units, features)])


def names(cell, patch, prefix=""):
    """A cell's variables under their reference names: `{name: (variable, index, axes of the reference)}`."""
    units = cell.units
    index = rows(cell.start.shape[1], units, patch)
    result = {}
    for d, suffix in enumerate(("", "_rev")):
        if d < cell.start.shape[0]:
            result["W0" + suffix] = (cell.start, (d, index))
            result["Ws" + suffix] = (cell.kernels, (slice(None), d))
        result[f"bn_in{suffix}_gamma"] = (cell.gamma_in, (d, index))
        result[f"bn_in{suffix}_beta"] = (cell.beta_in, (d, index))
        result[f"bn_in{suffix}_running_mean_after"] = (cell.statistics_in, (0, d, index))
        result[f"bn_in{suffix}_running_var_after"] = (cell.statistics_in, (1, d, index))
    if hasattr(cell, "gate"):
        result["sigmoid_w"] = (cell.gate, (index,))
    if cell.affine:
        result["bn_gamma"], result["bn_beta"] = (cell.gamma, ...), (cell.beta, ...)
    result["bn_running_mean_after"] = (cell.statistics, (Ellipsis, 0, slice(None), slice(None)))
    result["bn_running_var_after"] = (cell.statistics, (Ellipsis, 1, slice(None), slice(None)))
    return {prefix + name: value for name, value in result.items()}


def assign(known, arrays):
    for name, (variable, index) in known.items():
        if name in arrays and not name.endswith("_after"):
            value = np.asarray(variable.value)
            value[index] = arrays[name].reshape(value[index].shape)
            variable.assign(value)


def check(known, variables, values, stored, tolerance, suffix=""):
    """Compares values ordered like `variables` with the arrays stored under the reference names."""
    values = {id(variable): np.asarray(value) for variable, value in zip(variables, values)}
    found = 0
    for name, (variable, index) in known.items():
        key = f"grad_{name}{suffix}" if not name.endswith("_after") else name
        if key in stored and id(variable) in values:
            got = values[id(variable)][index].reshape(stored[key].shape)
            reference.close(got, stored[key], tolerance, key)
            found += 1
    return found


def zero(variables):
    for variable in variables:
        start = np.zeros(variable.shape)
        if variable.name == "statistics_in":
            start[1] = 1
        elif variable.name == "statistics":
            start[..., 1, :, :] = 1
        elif variable.name == "moving_variance":
            start[:] = 1
        variable.assign(start)


def cells(kind, variant, arrays):
    """The layer of a cell golden, and its nodes as a function of the architecture."""
    units = arrays["Ws"].shape[1]
    if kind == "search":
        node = lambda table: recurrent.MixedNodes(table, SEARCHED, OPS)  # noqa: E731
        options = {"nodes": 8, "concat": range(1, 9), "affine": False}
    else:
        entries = PUBLISHED[variant].recurrent
        node = lambda _: recurrent.FixedNodes(entries, OPS)  # noqa: E731
        options = {"nodes": 8, "concat": arrays["genotype_concat"].tolist(), "affine": True}
    makers = {"": renet.VARIANTS[variant]}
    if variant == "sigmoid":
        makers = {"": PublishedGate, "_gate_fixed": makers[""]}
    return node, {suffix: make(units, **options) for suffix, make in makers.items()}


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["search", "eval"])
def test_cell(kind, variant, patch, floatx):
    arrays = golden(f"{kind}_{variant}_patch_{patch}x{patch}")
    tolerance = 1e-4 if floatx == "float32" else 3e-7
    node, layers = cells(kind, variant, arrays)
    x, table = (tf.constant(arrays.get(name, np.zeros((36, 5))), floatx) for name in ("x", "arch_weights"))
    for suffix, layer in layers.items():
        sweep = renet.Sweep(layer, patch, vertical=False)
        layer.build((None, None, patch**2 * x.shape[-1]))
        known = names(layer, patch)
        assign(known, arrays)
        variables = layer.trainable_variables

        @tf.function(autograph=False)
        def run():
            with tf.GradientTape() as tape:
                tape.watch([x, table])
                y = sweep(x, node=node(tf.nn.softmax(table)), training=True)
                loss = tf.reduce_sum(y * tf.constant(arrays["cotangent"], floatx))
            return y, tape.gradient(loss, [*(v.value for v in variables), x, table], unconnected_gradients="zero")

        y, (*gradients, grad_x, grad_table) = run()
        reference.close(y, arrays["output" + suffix], tolerance)
        reference.close(grad_x, arrays["grad_x" + suffix], tolerance)
        if kind == "search":
            reference.close(grad_table, arrays["grad_arch_weights" + suffix], tolerance)
        weights = [name for name in known if not name.endswith("_after")]
        assert check(known, variables, gradients, arrays, tolerance, suffix) == len(weights)
        if not suffix:  # the statistics are stored for the published gate only
            state = layer.non_trainable_variables
            assert check(known, state, [v.value for v in state], arrays, tolerance) == 6
            y = tf.function(lambda: sweep(x, node=node(tf.nn.softmax(table)), training=False), autograph=False)()
            reference.close(y, arrays["output_eval"], tolerance)
