"""Convolutions by table, against brute-force values of TFApprox's arithmetic (`goldens/approximate`)."""

import numpy as np
import pytest
import tensorflow as tf
from tfdarts.ops import multipliers, quantised
from tfdarts.ops.quantised import Geometry, Multiplier

from tests.support import reference

TABLES = reference.load("approximate/tables")
EXACT = next(name for name, table in TABLES.items() if np.array_equal(table, multipliers.exact()))
ROUGH = [name for name in TABLES if name != EXACT]
HARDEST = max(ROUGH, key=lambda name: np.linalg.matrix_rank(TABLES[name].astype(float) - multipliers.exact()))
CASES = [name for kind in ("conv", "depthwise") for name in reference.names(f"approximate/{kind}*.npz")]
RANGES = [name.removesuffix("_x") for name in reference.load("approximate/fake_quant") if name.endswith("_x")]
RANGES = [name for name in RANGES if not name.endswith("_grad")]


@pytest.fixture(scope="module")
def circuits(tmp_path_factory):
    """The golden tables by name, as files."""
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
        got = quantised.fake_quantise(x, low, high)
        total = tf.reduce_sum(got[:, 0] * stored["cotangent"])
    gradients = tape.gradient(total, [x, low, high])
    step, zero = quantised.step_and_zero(low, high)
    assert step == stored["scale"] and zero == stored["zero_point"]
    np.testing.assert_array_equal(got[:, 0], stored["y"])
    if "codes" in stored:
        np.testing.assert_array_equal(quantised.codes(got, step, zero)[:, 0], stored["codes"])
    np.testing.assert_array_equal(gradients[0][:, 0], stored["grad_x"])
    np.testing.assert_allclose(gradients[1:], [stored["grad_min"], stored["grad_max"]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("by_gather", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_matches_brute_force(name, by_gather, circuits, monkeypatch):
    case = reference.load(name)
    if by_gather:
        monkeypatch.setattr(Multiplier, "by_convolution", lambda *_: False)
    x, w = tf.constant(case["x"]), tf.constant(case["w"])
    for table, multiplier in circuits.items():
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            y = quantised.convolution(x, w, quantised.extremes(x), multiplier, geometry(case))
            total = tf.reduce_sum(y * case["cotangent"])
        reference.close(y, case[f"output_{table}"], 3e-6, table)
        for key, gradient in zip("xw", tape.gradient(total, [x, w])):
            reference.close(gradient, case[f"grad_{key}_range_minmax"], 3e-6, f"{table} {key}")
        if multiplier.rank:
            pads = geometry(case).pads(x, w)
            a = tf.constant(np.pad(case["x_codes"], pads, constant_values=case["x_zero_point"]), tf.int32)
            got = quantised.error_sums(a, tf.cast(case["w_codes"], tf.int32), multiplier, geometry(case), tf.float32)
            np.testing.assert_array_equal(got, case[f"acc_{table}"] - case[f"acc_{EXACT}"])


@pytest.mark.parametrize("name", CASES)
def test_gradients_with_constant_range(name, circuits):
    case = reference.load(name)
    x, w = tf.constant(case["x"]), tf.constant(case["w"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        ranges = tf.constant(np.reshape([case["x_min"], case["x_max"]], [2, 1, 1]))
        y = quantised.convolution(x, w, ranges, circuits[ROUGH[0]], geometry(case))
        total = tf.reduce_sum(y * case["cotangent"])
    reference.close(tape.gradient(total, x), case["grad_x_range_constant"], 3e-6)


def lookup(a, b, table):
    """Sums of table entries over the taps by plain indexing: codes `(n, taps)` and `(taps, filters)`."""
    return table[a[:, :, None], b[None]].sum(1)


@pytest.mark.parametrize("name", [*ROUGH, "truncated:8", "mitchell"])
def test_long_sums_are_exact(name, circuits):
    """576 taps of large products, far beyond what one float32 sum holds."""
    multiplier = circuits.get(name) or Multiplier(name)
    table = TABLES[name] if name in TABLES else multipliers.load(name)
    draw = np.random.default_rng(0)
    a, b = draw.integers(100, 256, size=(1, 4, 4, 64)), draw.integers(100, 256, size=(3, 3, 64, 5))
    windows = np.stack([a[0, i : i + 3, j : j + 3].ravel() for i in range(2) for j in range(2)])
    error = table.astype(np.int64) - multipliers.exact()
    expected = lookup(windows, b.reshape(576, 5), error)
    got = quantised.error_sums(
        tf.constant(a, tf.int32), tf.constant(b, tf.int32), multiplier, Geometry("VALID"), tf.float32
    )
    np.testing.assert_array_equal(np.reshape(got, [4, 5]), expected)
    if name == "truncated:8":
        assert np.abs(expected).max() > 2**24 and got.dtype == tf.int32


@pytest.mark.parametrize("name", ROUGH)
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (7, 1)])
def test_parallel_edges_equal_separate_ones(shape, depthwise, name, circuits):
    edges, channels = 3, 4
    draw = np.random.default_rng(1)
    x = draw.normal(size=(2, 8, 6, edges * channels)).astype(np.float32) * np.repeat([1, 3, 9], channels)
    filters = 1 if depthwise else 5
    kernels = [draw.normal(size=(*shape, channels, filters)).astype(np.float32) * size for size in (1, 2, 5)]
    padding = [[0, 0], [shape[0] // 2] * 2, [shape[1] // 2] * 2, [0, 0]]
    wide = Geometry("VALID" if shape == (1, 1) else padding, edges=edges, depthwise=depthwise)
    kernel = tf.constant(np.concatenate(kernels, 2 if depthwise else 3))
    x = tf.constant(x, tf.float32)
    y = quantised.convolution(x, kernel, quantised.extremes(x, edges), circuits[name], wide)
    parts = [
        quantised.convolution(part, k, quantised.extremes(part), circuits[name], wide._replace(edges=1))
        for part, k in zip(tf.split(x, edges, -1), kernels)
    ]
    reference.close(y, tf.concat(parts, -1).numpy(), 1e-6)


def test_blocks_of_channels_are_added_up(circuits, monkeypatch):
    draw = np.random.default_rng(2)
    a, b = (tf.constant(draw.integers(0, 256, size=s), tf.int32) for s in ((2, 5, 5, 14), (3, 3, 7, 6)))
    arguments = a, b, circuits[HARDEST], Geometry("VALID", edges=2), tf.float32
    whole = quantised.error_sums(*arguments)
    monkeypatch.setattr(quantised, "_ROWS", 3 * 256 * 6)  # blocks of 3, 3 and 1
    np.testing.assert_array_equal(quantised.error_sums(*arguments), whole)
