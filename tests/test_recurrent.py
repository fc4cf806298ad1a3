import numpy as np
import pytest
import tensorflow as tf
from tfdarts.ops.recurrent import OPS, SEARCHED

from tests.support import build, reference
from tfdarts.layers import recurrent

NAMES = SEARCHED  # the goldens number the activations in this order
EVALUATION, SEARCH = (reference.names(f"recurrent/{kind}_cell*.npz") for kind in ("eval", "search"))
MASKS = ("x_mask", "h_mask")


def run(arrays, node, concat, training=None, statistics=None, masks=None, dtype="float64"):
    """All time steps of a golden: the hidden states, the moments of each step, and gradients by name."""
    names = ["inputs", "h0", "W0", "Ws"] + ["arch_weights"] * ("arch_weights" in arrays)
    tensors = {name: tf.constant(arrays[name], dtype) for name in names}
    x_mask, h_mask = (None, None) if masks is None else (tf.constant(arrays[name], dtype) for name in masks)
    normalize = None
    if training is not None:
        normalize = lambda index, x: recurrent.normalized(x, statistics, training)  # noqa: E731
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        h, hiddens, moments = tensors["h0"], [], []
        combine = node(tensors)
        for x in tf.unstack(tensors["inputs"]):
            pair = [x, h] if masks is None else [x * x_mask, h * h_mask]
            gates = tf.matmul(tf.concat(pair, -1), tensors["W0"])
            h, moment = recurrent.step(
                h, gates, recurrent.products_with(tensors["Ws"]), combine, concat, normalize, h_mask
            )
            hiddens.append(h)
            moments.append(moment)
        hiddens = tf.stack(hiddens)
        loss = tf.reduce_sum(hiddens * tf.constant(arrays["cotangent"], dtype))
    return hiddens, moments, tape.gradient(loss, tensors)


def mixed(tensors):
    return recurrent.MixedNodes(
        tf.nn.softmax(tensors["arch_weights"]), build.table(NAMES, len(tensors["arch_weights"])), OPS
    )


@pytest.mark.parametrize("dtype,tolerance", [("float32", 1e-4), ("float64", 2e-7)])
@pytest.mark.parametrize("name", SEARCH)
def test_search_cell(name, dtype, tolerance):
    arrays = reference.load(name)
    masks = MASKS if "x_mask" in arrays else None
    units, concat = arrays["h0"].shape[-1], range(1, len(arrays["Ws"]) + 1)
    statistics = tf.stack([tf.zeros(units, dtype), tf.ones(units, dtype)])
    hiddens, moments, gradients = run(arrays, mixed, concat, True, statistics, masks, dtype)
    reference.close(hiddens, arrays["hiddens"], tolerance)
    for key, gradient in gradients.items():
        reference.close(gradient, arrays[f"grad_{key}"], tolerance, key)
    after = recurrent.moving(statistics, tf.reshape(tf.stack(moments), [-1, 2, units]))
    reference.close(after[0], arrays["bn_running_mean_after"], tolerance)
    reference.close(after[1], arrays["bn_running_var_after"], tolerance)
    if masks is None:
        hiddens, moments, _ = run(arrays, mixed, concat, False, after, None, dtype)
        reference.close(hiddens, arrays["hiddens_eval"], tolerance)
        assert moments == [None] * len(arrays["inputs"])


@pytest.mark.parametrize("name", SEARCH)
def test_states_of_the_first_time_step(name, float64):
    arrays = {key: tf.constant(value, "float64") for key, value in reference.load(name).items()}
    before, after = [], []

    def normalize(index, x):
        before.append(x)
        after.append(recurrent.normalized(x, None, True))
        return after[-1]

    x, h, mask = arrays["inputs"][0], arrays["h0"], arrays.get("h_mask")
    pair = [x, h] if mask is None else [x * arrays["x_mask"], h * mask]
    gates = tf.matmul(tf.concat(pair, -1), arrays["W0"])
    recurrent.step(
        h, gates, recurrent.products_with(arrays["Ws"]), mixed(arrays), range(1, len(arrays["Ws"]) + 1), normalize, mask
    )
    reference.close(tf.stack(before), np.asarray(arrays["t0_states_before_bn"]), 2e-7)
    reference.close(tf.stack([state for state, _ in after]), np.asarray(arrays["t0_states"]), 2e-7)


@pytest.mark.parametrize("dtype,tolerance", [("float32", 2e-6), ("float64", 1e-7)])
@pytest.mark.parametrize("masks", [None, MASKS])
@pytest.mark.parametrize("name", EVALUATION)
def test_evaluation_cell(name, masks, dtype, tolerance):
    arrays = reference.load(name)
    entries = [(NAMES[op], int(previous)) for op, previous in zip(arrays["genotype_ops"], arrays["genotype_prev"])]
    concat = [int(i) for i in arrays["genotype_concat"]]
    hiddens, _, gradients = run(arrays, lambda _: recurrent.FixedNodes(entries, OPS), concat, masks=masks, dtype=dtype)
    suffix = "" if masks is None else "_masked"
    reference.close(hiddens, arrays["hiddens" + suffix], tolerance)
    for key, gradient in gradients.items():
        reference.close(gradient, arrays[f"grad_{key}{suffix}"], tolerance, key)


def test_cells_side_by_side(float64):
    """Two cells with kernels of their own, in one step, give what they give one after the other."""
    rng = np.random.default_rng(0)
    h, gates, kernels = (tf.constant(rng.normal(size=s)) for s in ((2, 5, 3), (2, 5, 6), (4, 2, 3, 6)))
    node = recurrent.MixedNodes(tf.nn.softmax(tf.constant(rng.normal(size=(10, 5)))), build.table(NAMES, 10), OPS)

    def normalize(index, x):
        return recurrent.normalized(x, None, True)

    both, moments = recurrent.step(h, gates, recurrent.products_with(kernels), node, range(1, 5), normalize)
    for k in range(2):
        one, moment = recurrent.step(
            h[k], gates[k], recurrent.products_with(kernels[:, k]), node, range(1, 5), normalize
        )
        np.testing.assert_allclose(both[k], one, rtol=1e-12)
        np.testing.assert_allclose(moments[:, :, k], moment, rtol=1e-12)


@pytest.mark.parametrize("ahead,kernels", [((), ()), ((2,), (2,)), ((2,), (1,))])
def test_a_loops_products_have_the_derivatives_of_a_matrix_product(ahead, kernels, float64):
    rng = np.random.default_rng(0)
    shapes = ((5, *ahead, 4, 3), (*ahead, 4, 3), (*kernels, 3, 3))
    arguments = [tf.constant(rng.normal(size=shape)) for shape in shapes]

    def derivatives(make, inputs, h, kernel):
        def cell(x, state):
            h = tf.tanh(x + product(*state))
            return h, (h,)

        with tf.GradientTape() as outer:
            outer.watch([inputs, h, kernel])
            with tf.GradientTape() as inner:
                inner.watch([inputs, h, kernel])
                product = make(kernel)
                outputs, _ = recurrent.unroll(cell, inputs, (h,))
                total = tf.reduce_sum(outputs * tf.sin(outputs))
            first = inner.gradient(total, [inputs, h, kernel])
            cubes = sum(tf.reduce_sum(g**3) for g in first)
        return [*first, *outer.gradient(cubes, [inputs, h, kernel])]

    def plain(kernel):
        return lambda x: tf.matmul(x, kernel)

    both = (tf.function(derivatives, autograph=False)(make, *arguments) for make in (recurrent.product_with, plain))
    for ours, expected in zip(*both):
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12)
