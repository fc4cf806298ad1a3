import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tfdarts.ops import common, regular
from tfdarts.ops.common import FactorizedReduce, ReLUConvBN, depthwise, grid, grouped_conv

from tests.support import reference

ROOT = pathlib.Path(__file__).parent.parent
CASES = [
    pytest.param(name.removesuffix(".npz"), case, id=f"{name.removesuffix('.npz')}-{case['prefix']}")
    for name, cases in reference.load("ops/manifest.json")["files"].items()
    for case in cases
]


def build(name, case):
    if name == "factorized_reduce":
        return FactorizedReduce(case["C_out"], 1, case["affine"])
    if name == "relu_conv_bn":
        return ReLUConvBN(case["C_out"], case["affine"])
    channels, affine = case["input_shape"][-1], case["affine"]
    if "pool" in name and not name.startswith("search_"):
        affine = True  # the plain pool; with `affine=False` a BatchNorm follows
    return regular.OPS[case["primitive"]](channels, case["stride"], 1, affine)


@pytest.mark.parametrize("name,case", CASES)
def test_matches_reference(name, case, floatx):
    stored = reference.group(reference.load(f"ops/{name}"), case["prefix"] + "/")
    tolerance = 1e-5 if floatx == "float32" else 1e-6
    x, cotangent = (tf.constant(stored[key], floatx) for key in ("input", "cotangent"))
    layer = build(name, case)
    layer(x)
    names = {key: (variable, ...) for key, variable in reference.variables(layer).items()}
    reference.assign(names, reference.group(stored, "weights/") | reference.group(stored, "state/"))
    if "output_eval" in stored:
        reference.close(layer(x, training=False), stored["output_eval"], tolerance, "eval")
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        total = tf.reduce_sum(y * cotangent)
    trainable = layer.trainable_variables
    grad_input, gradients = tape.gradient(total, [x, [v.value for v in trainable]])
    reference.close(y, stored["output"], tolerance, "output")
    grad_input = tf.zeros_like(x) if grad_input is None else grad_input
    reference.close(grad_input, stored["grad_input"], tolerance, "grad_input")
    if trainable:
        got = reference.arrays(names, trainable, gradients)
        reference.close(got, reference.group(stored, "grad_weights/"), tolerance, "grad_weights")
    if after := reference.group(stored, "state_after/"):
        reference.close({key: np.asarray(names[key][0].value) for key in after}, after, tolerance, "state_after")


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", [name for name in regular.OPS if name != "noise"])  # its edges draw their own
def test_parallel_edges_are_the_same_operations_one_per_edge(name, stride, affine, floatx):
    generator = np.random.default_rng(0)
    x = tf.constant(generator.normal(size=(3, 8, 8, 4)), floatx)
    weights = tf.constant([0.2, 0.5, 0.9], floatx)
    wide = regular.OPS[name](4, stride, 3, affine)
    wide(x)
    single = [regular.OPS[name](4, stride, 1, affine) for _ in range(3)]
    for edge, layer in enumerate(single):
        layer(x)
        ours = reference.variables(wide)
        for key, variable in reference.variables(layer).items():
            stacked = np.asarray(ours[key].value)
            same = stacked.shape == tuple(variable.shape)
            variable.assign(stacked if same else stacked[reference.part_of(key, stacked, edge, 3)])
    ours = {key: variable for key, variable in reference.variables(wide).items() if variable.trainable}
    theirs = [reference.variables(layer)[key] for key in ours for layer in single]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, weights])
        got = wide(x, weights=weights, training=True)
        expected = tf.concat([layer(x, training=True) * weights[e] for e, layer in enumerate(single)], -1)
        cotangent = tf.constant(generator.normal(size=got.shape), floatx)
        totals = [tf.reduce_sum(y * cotangent) for y in (got, expected)]
    tolerance = 2e-5 if floatx == "float32" else 1e-11
    reference.close(got, np.array(expected), tolerance, "forward")
    if name == "none":
        return
    gradients = [
        tape.gradient(total, [x, weights, *(variable.value for variable in variables)])
        for total, variables in zip(totals, (ours.values(), theirs))
    ]
    for position in (0, 1):
        reference.close(gradients[0][position], np.array(gradients[1][position]), tolerance, "gradient")
    for position, key in enumerate(ours):
        axis = 2 if key.startswith("depthwise") else -1
        parts = [np.array(gradient) for gradient in gradients[1][2 + 3 * position :][:3]]
        reference.close(gradients[0][2 + position], np.concatenate(parts, axis), 10 * tolerance, key)


@pytest.mark.parametrize("size", [(7, 9), (8, 9), (7, 8)])
def test_factorized_reduce_of_odd_sizes_shifts_zeros_in(size, float64):
    x = np.random.default_rng(1).normal(size=(2, *size, 3))
    layer = FactorizedReduce(4)
    got = layer(tf.constant(x), training=True)
    padded = np.zeros((2, size[0] + 2, size[1] + 2, 3))
    padded[:, : size[0], : size[1]] = np.maximum(x, 0)
    rows, columns = -(-size[0] // 2), -(-size[1] // 2)
    parts = []
    for shift, kernel in ((0, layer.conv_1), (1, layer.conv_2)):
        part = padded[:, shift::2][:, :rows, shift::2][:, :, :columns]
        parts.append(part @ np.asarray(kernel.value)[0, 0])
    y = np.concatenate(parts, -1)
    y = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(got, y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", list(regular.OPS))
def test_odd_sizes_halve_upwards(name, stride):
    y = regular.OPS[name](4, stride, 2, False)(tf.ones((2, 7, 9, 4)), training=True)
    assert tuple(y.shape) == ((2, 7, 9, 8) if stride == 1 else (2, 4, 5, 8))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel_size", [3, 5])
def test_dilated_convolution_on_odd_sizes(kernel_size, stride, float64):
    x = tf.constant(np.random.default_rng(2).normal(size=(2, 7, 9, 4)))
    layer = regular.OPS[f"dil_conv_{kernel_size}x{kernel_size}"](4, stride, 1, True)
    got = layer(x, training=False)
    y = tf.nn.depthwise_conv2d(tf.nn.relu(x), layer.depthwise.value, [1, 1, 1, 1], "SAME", dilations=(2, 2))
    y = tf.nn.conv2d(y, layer.pointwise.value, 1, "VALID")[:, ::stride, ::stride] / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(got, y, rtol=1e-10, atol=1e-12)


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="odd"):
        regular.SepConv(4, 4, 1, 1, True)


def check_grouped_conv():
    draw = np.random.default_rng(0).normal
    x, kernel = tf.constant(draw(size=(2, 3, 3, 8)), "float32"), tf.constant(draw(size=(1, 1, 4, 6)), "float32")

    def separate(x, kernel, edges):
        parts = zip(tf.split(x, edges, -1), tf.split(kernel, edges, -1))
        return tf.concat([tf.nn.conv2d(y, k, 1, "VALID") for y, k in parts], -1)

    def gradients(function):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = function(x, kernel, 2)
            loss = tf.reduce_sum(y**2)
        return [y, *tape.gradient(loss, [x, kernel])]

    ours = tf.function(gradients)(lambda x, kernel, _: grouped_conv(x, kernel))
    for got, expected in zip(ours, gradients(separate)):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_grouped_conv_has_its_gradient_with_and_without_onednn():
    """TensorFlow reads the variable when it is loaded, hence an interpreter of its own for the other value."""
    check_grouped_conv()
    other = {"0": "1", "1": "0"}[os.environ["TF_ENABLE_ONEDNN_OPTS"]]
    program = "import tests.test_ops as t; t.check_grouped_conv()"
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": other}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)


@pytest.mark.parametrize("dtype,tolerance", [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolutions_are_sums_over_their_taps(size, stride, dtype, tolerance):
    """Values, gradients and second derivatives: which library has which of them is chosen by size and type."""
    draw = np.random.default_rng(size).normal
    x, kernel = tf.constant(draw(size=(2, 6, 5, 3)), dtype), tf.constant(draw(size=(size, size, 3, 1)), dtype)
    cotangent, half = tf.constant(draw(size=(2, -(-6 // stride), -(-5 // stride), 3)), dtype), size // 2

    def by_taps(x, kernel, stride):
        padded, result = tf.pad(x, [[0, 0], [half, half], [half, half], [0, 0]]), 0.0
        for i in range(size):
            for j in range(size):
                result += padded[:, i : i + 6 : stride, j : j + 5 : stride] * kernel[i, j, :, 0]
        return result

    def derivatives(convolution):
        with tf.GradientTape() as outer:
            outer.watch([x, kernel])
            with tf.GradientTape() as inner:
                inner.watch([x, kernel])
                y = convolution(x, kernel, stride)
                total = tf.reduce_sum(y * y * cotangent)
            first = inner.gradient(total, [x, kernel])
            squares = sum(tf.reduce_sum(g * g) for g in first)
        return [y, *first, *outer.gradient(squares, [x, kernel])]

    expected = derivatives(by_taps)
    for ours in (derivatives(depthwise), tf.function(derivatives, autograph=False)(depthwise)):
        for got, wanted in zip(ours, expected):
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * np.max(np.abs(wanted)))


@pytest.mark.parametrize("height,width", [(4, 6), (5, 4), (4, 5), (5, 7)])
def test_grids_are_every_second_row_and_column(height, width):
    x = tf.random.stateless_normal((2, height, width, 3), [0, 0])
    padded = tf.pad(x, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, : height + height % 2, : width + width % 2]
    np.testing.assert_array_equal(grid(x), x[:, ::2, ::2])
    np.testing.assert_array_equal(grid(x, 1), padded[:, 1::2, 1::2])


@pytest.mark.parametrize("dtype,tolerance", [("float64", 1e-10), ("float32", 2e-5), ("bfloat16", 3e-2)])
@pytest.mark.parametrize("here", ["cpu", "gpu"])
def test_vectors_are_normalised_as_maps_of_one_pixel(here, dtype, tolerance, monkeypatch):
    """By plain moments where they are small and this is a CPU, else by the fused kernel."""
    monkeypatch.setattr(common, "on_cpu", lambda: here == "cpu")
    rng, exact = np.random.default_rng(0), "float32" if dtype == "bfloat16" else dtype
    x, cotangent = (tf.cast(rng.normal(1.0, 2.0, (12, 5)), dtype) for _ in range(2))
    gain, offset = (tf.cast(rng.normal(1.0, 0.5, 5), exact) for _ in range(2))

    def results(rounded, *parts):
        with tf.GradientTape() as tape:
            tape.watch(parts)
            if rounded:
                y, *moments = common.batch_norm(*parts)
            else:
                x, gain, offset = parts
                mean, variance = tf.reduce_mean(x, 0), tf.math.reduce_variance(x, 0)
                y, moments = (x - mean) / tf.sqrt(variance + 1e-5) * gain + offset, [mean, variance * 12 / 11]
            loss = tf.reduce_sum(y * tf.cast(cotangent, y.dtype))
        assert y.shape == (12, 5)
        return [y, *moments, *tape.gradient(loss, parts)]

    ours = tf.function(results, autograph=False)(True, x, gain, offset)
    assert ours[0].dtype == dtype and ours[1].dtype == exact
    expected = results(False, *(tf.cast(part, "float64") for part in (x, gain, offset)))
    for got, wanted in zip(ours, expected):
        np.testing.assert_allclose(tf.cast(got, "float64"), wanted, atol=tolerance * max(1, np.abs(wanted).max()))
