"""Convolutions by table, against brute-force values of TFApprox's arithmetic (`goldens/approximate`)."""

import numpy as np
import pytest
import tensorflow as tf

from ops import quantised
from ops.quantised import Geometry, Multiplier
from tests import reference

TABLES = reference.load("approximate/tables")
CASES = [
    "conv1x1_s1", "conv1x1_s2", "conv3x3_s1", "conv3x3_s2", "conv3x3_s1_relu_input", "conv3x3_s1_dilation2",
    "conv3x3_valid", "depthwise3x3_dilation1", "depthwise3x3_dilation2", "depthwise3x3_s2", "depthwise5x5_relu_input",
]  # fmt: skip
RANGES = [
    "symmetric", "relu", "nudged_up", "nudged_down", "negative_only_to_zero", "positive_only", "negative_only",
    "all_zero",
]  # fmt: skip


@pytest.fixture(scope="module")
def circuits(tmp_path_factory):
    """The four golden tables by name, as files."""
    folder = tmp_path_factory.mktemp("tables")
    for name, table in TABLES.items():
        (folder / f"{name}.bin").write_bytes(table.astype("<u2").tobytes())
    return {name: Multiplier(str(folder / f"{name}.bin")) for name in TABLES}


def geometry(case):
    stride, dilation = int(case["stride"]), int(case["dilation"])
    return Geometry(str(case["padding"]), (stride, stride), (dilation, dilation), depthwise=bool(case["depthwise"]))


@pytest.mark.parametrize("name", RANGES)
def test_fake_quantisation(name):
    stored = reference.group(reference.load("approximate/fake_quant"), name + "_")
    x = tf.constant(stored["x"])[:, None]
    low, high = tf.constant(stored["min"]), tf.constant(stored["max"])
    with tf.GradientTape() as tape:
        tape.watch([x, low, high])
        ends = tf.reshape(low, [1]), tf.reshape(high, [1])
        got = quantised.fake_quantise(x, *ends)
        total = tf.reduce_sum(got[:, 0] * stored["cotangent"])
    gradients = tape.gradient(total, [x, low, high])
    step, zero = quantised.step_and_zero(*ends)
    assert step[0] == stored["scale"] and zero[0] == stored["zero_point"]
    np.testing.assert_array_equal(got[:, 0], stored["y"])
    if "codes" in stored:
        np.testing.assert_array_equal(quantised.codes(got, step, zero)[:, 0], stored["codes"])
    np.testing.assert_array_equal(gradients[0][:, 0], stored["grad_x"])
    np.testing.assert_allclose(gradients[1:], [stored["grad_min"], stored["grad_max"]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by_gather", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_matches_brute_force(name, by_gather, circuits, monkeypatch):
    case = reference.load(f"approximate/{name}")
    if by_gather:
        monkeypatch.setattr(Multiplier, "by_convolution", lambda *_: False)
    x, w = tf.constant(case["x"]), tf.constant(case["w"])
    for table, multiplier in circuits.items():
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            y = quantised.convolution(x, w, *quantised.extremes(x), multiplier, geometry(case))
            total = tf.reduce_sum(y * case["cotangent"])
        reference.close(y, case[f"output_{table}"], 3e-6, table)
        for key, gradient in zip("xw", tape.gradient(total, [x, w])):
            reference.close(gradient, case[f"grad_{key}_range_minmax"], 3e-6, f"{table} {key}")
        if multiplier.rank:
            pads = geometry(case).pads(x, w)
            a = tf.constant(np.pad(case["x_codes"], pads, constant_values=case["x_zero_point"]), tf.int32)
            got = quantised.error_sums(a, tf.cast(case["w_codes"], tf.int32), multiplier, geometry(case), tf.float32)
            np.testing.assert_array_equal(got, case[f"acc_{table}"] - case["acc_mul8u_1JFF"])


@pytest.mark.parametrize("name", CASES)
def test_gradients_with_constant_range(name, circuits):
    case = reference.load(f"approximate/{name}")
    x, w = tf.constant(case["x"]), tf.constant(case["w"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        low, high = tf.constant(case["x_min"][None]), tf.constant(case["x_max"][None])
        y = quantised.convolution(x, w, low, high, circuits["mul8u_7C1"], geometry(case))
        total = tf.reduce_sum(y * case["cotangent"])
    reference.close(tape.gradient(total, x), case["grad_x_range_constant"], 3e-6)
