"""CoAtNet's blocks against formulas written down independently, in loops over heads and positions."""

import math
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfdarts.ops import attention

from tests.support import build, reference
from tfdarts import cost
from tfdarts import operations as space
from tfdarts.spaces.conv.supernet import Supernet

SIZES = [(4, 4), (1, 1), (2, 3), (9, 7)]


def built(name, stride, edges, affine, size, channels=4):
    """A layer with random weights, also where they start at zero or one."""
    layer = attention.OPS[name](channels, stride, edges, affine)
    layer.build((None, *size, channels))
    generator = np.random.default_rng(5)
    for variable in layer.variables:
        variable.assign(generator.normal(size=variable.shape) * 0.7)
    return layer


def values(layer):
    return {variable.path.split("/")[-1]: np.asarray(variable.value) for variable in layer.variables}


def normalised(x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def pooled(x, stride):
    if stride == 1:
        return x
    rows, columns = (range(0, n, 2) for n in x.shape[1:3])
    return np.stack([np.stack([x[:, i : i + 2, j : j + 2].max((1, 2)) for j in columns], 1) for i in rows], 1)


def by_formula(name, layer, x):
    """One edge: `x + f(Norm(x))`, at stride 2 `Proj(Pool(x)) + f(Pool(Norm(x)))`."""
    weights = values(layer)
    norm = normalised(x)
    if layer.affine:
        norm = norm * weights["gamma"] + weights["beta"]
    norm, residual = pooled(norm, layer.stride), pooled(x, layer.stride)
    if layer.stride == 2:
        residual = residual @ weights["residual"][0, 0]
    if name == "ffn":
        hidden = norm @ weights["kernel_1"][0, 0] + weights["bias_1"]
        hidden = hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2
        return residual + hidden @ weights["kernel_2"][0, 0] + weights["bias_2"]
    batch, height, width, _ = norm.shape
    result = np.zeros((batch, height, width, 64))
    for image in range(batch):
        for head in range(2):
            parts = [norm[image] @ weights["qkv"][0, 0, :, 64 * k + 32 * head :][:, :32] for k in range(3)]
            for i in range(height):
                for j in range(width):
                    scores = np.empty((height, width))
                    for a in range(height):
                        for b in range(width):
                            bias = weights["table"][head, i - a + height - 1, j - b + width - 1]
                            scores[a, b] = parts[0][i, j] @ parts[1][a, b] / math.sqrt(32) + bias
                    p = np.exp(scores - scores.max())
                    p = (p / p.sum())[:, :, None]
                    result[image, i, j, 32 * head : 32 * head + 32] = (p * parts[2]).sum((0, 1))
    return residual + result @ weights["out"][0, 0]


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["attention", "ffn"])
def test_matches_the_formula(name, size, stride, affine, float64):
    x = np.random.default_rng(0).normal(size=(2, *size, 4))
    layer = built(name, stride, 1, affine, size)
    got = layer(tf.constant(x), training=True)
    np.testing.assert_allclose(got, by_formula(name, layer, x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("stride,affine", [(1, False), (2, True)])
@pytest.mark.parametrize("name", ["attention", "ffn"])
def test_parallel_edges_are_the_same_operations_one_per_edge(name, stride, affine, floatx):
    generator = np.random.default_rng(0)
    x = tf.constant(generator.normal(size=(3, 5, 4, 4)), floatx)
    weights = tf.constant([0.2, 0.5, 0.9], floatx)
    wide = built(name, stride, 3, affine, (5, 4))
    single = [built(name, stride, 1, affine, (5, 4)) for _ in range(3)]
    axis = {key: 0 if key == "table" else -1 for key in values(wide)}  # where the edges lie side by side
    for edge, layer in enumerate(single):
        for variable, (key, stacked) in zip(layer.variables, values(wide).items()):
            variable.assign(np.split(stacked, 3, axis[key])[edge])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, weights])
        got = wide(x, weights=weights, training=True)
        expected = tf.concat([layer(x, training=True) * weights[e] for e, layer in enumerate(single)], -1)
        cotangent = tf.constant(generator.normal(size=got.shape), floatx)
        totals = [tf.reduce_sum(y * cotangent) for y in (got, expected)]
    tolerance = 2e-5 if floatx == "float32" else 1e-11
    reference.close(got, np.array(expected), tolerance, "forward")
    variables = wide.variables, [v for parts in zip(*(layer.variables for layer in single)) for v in parts]
    ours, theirs = (
        tape.gradient(total, [x, weights, *(v.value for v in part)]) for total, part in zip(totals, variables)
    )
    for position in (0, 1):
        reference.close(ours[position], np.array(theirs[position]), tolerance, "gradient")
    for position, key in enumerate(values(wide)):
        parts = [np.array(gradient) for gradient in theirs[2 + 3 * position :][:3]]
        reference.close(np.array(ours[2 + position]), np.concatenate(parts, axis[key]), 10 * tolerance, key)


def plainly(q, k, v, bias, height, width):
    """What `attend` computes, with all scores at once and nothing custom."""
    rows = np.arange(height)
    bias = tf.transpose(tf.gather(bias, rows[:, None] - rows + height - 1), [2, 0, 3, 1, 4])
    bias = tf.reshape(bias, [-1, height * width, height * width])
    return tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) + bias), v)


@pytest.mark.parametrize("rows", [1, 2, 6])
def test_gradients_under_stateless_call_are_those_of_the_plain_form(rows, monkeypatch, float64):
    layer = built("attention", 1, 2, True, (6, 5))
    monkeypatch.setattr(attention, "BLOCK", rows * 5 * 30 * 4)
    assert attention.rows_per_block(4, 6, 5) == rows
    generator = np.random.default_rng(1)
    x, weights = tf.constant(generator.normal(size=(3, 6, 5, 4))), tf.constant([0.4, -1.3])
    cotangent = tf.constant(generator.normal(size=(3, 6, 5, 8)))

    @tf.function(autograph=False)
    def result_and_gradients(x, weights, *variables):
        with tf.GradientTape() as tape:
            tape.watch([x, weights, *variables])
            y, _ = layer.stateless_call(variables, [], x, weights=weights, training=True)
            loss = tf.reduce_sum(y * cotangent)
        return y, *tape.gradient(loss, [x, weights, *variables])

    arguments = x, weights, *(v.value for v in layer.trainable_variables)
    blockwise = result_and_gradients(*arguments)
    monkeypatch.setattr(attention, "attend", plainly)
    plain = tf.function(result_and_gradients.python_function, autograph=False)(*arguments)
    names = ["y", "x", "weights", *values(layer)]
    reference.close(dict(zip(names, map(np.array, blockwise))), dict(zip(names, map(np.array, plain))), 1e-13)
    for name, ours, theirs in zip(names, blockwise, plain):  # each on its own scale, too
        assert np.abs(theirs).max() > 1e-3, name
        reference.close(ours, np.array(theirs), 1e-12, name)


def largest_tensors(concrete):
    """Most elements of a tensor outside of loops, lists included, and within them."""
    outside = [math.prod(t.shape) for op in concrete.graph.get_operations() for t in op.outputs if t.shape.rank]
    for op in concrete.graph.get_operations():
        assert op.type != "EmptyTensorList", "a list that grows, as the plain gradient of a loop makes it"
        if op.type == "TensorListReserve":
            outside.append(math.prod(tf.get_static_value(op.inputs[0])) * tf.get_static_value(op.inputs[1]))
    inside = [math.prod(s) for _, _, _, shapes in cost._loops(concrete.graph) for s in shapes.values()]
    return max(outside), max(inside, default=0)


def test_nothing_as_large_as_queries_times_keys_outlives_its_block(monkeypatch):
    batch, edges, positions = 2, 2, 32 * 32

    def trace():
        layer = attention.OPS["attention"](16, 1, edges, False)
        layer.build((None, 32, 32, 16))

        def gradients(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(layer(x, training=True))
            return tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

        return tf.function(gradients, autograph=False).get_concrete_function(tf.TensorSpec((batch, 32, 32, 16)))

    scores = batch * edges * 2 * positions**2
    outside, inside = largest_tensors(trace())
    assert outside <= batch * positions * edges * 3 * 64  # queries, keys and values
    assert inside == batch * attention.BLOCK < scores / 8
    monkeypatch.setattr(attention, "attend", plainly)
    assert largest_tensors(trace())[0] == scores


def test_without_the_bias_positions_have_no_order(float64):
    layer = built("attention", 1, 2, True, (4, 5))
    generator = np.random.default_rng(2)
    x, order = generator.normal(size=(2, 20, 4)), generator.permutation(20)

    def run(x):
        return np.reshape(layer(tf.constant(x.reshape(2, 4, 5, 4))), (2, 20, 8))

    assert np.abs(run(x[:, order]) - run(x)[:, order]).max() > 0.1
    layer.table.assign(tf.zeros_like(layer.table))
    np.testing.assert_allclose(run(x[:, order]), run(x)[:, order], rtol=1e-11, atol=1e-11)


def test_a_shift_of_the_input_shifts_the_output_but_for_the_borders(float64):
    layer = built("attention", 1, 1, False, (8, 9))
    table = np.full(layer.table.shape, -1e9)  # only the 3x3 neighbours are seen, so that borders reach one pixel
    table[:, 6:9, 7:10] = np.random.default_rng(3).normal(size=(2, 3, 3))
    layer.table.assign(table)
    x = np.random.default_rng(4).normal(size=(1, 8, 9, 4))
    y, shifted = (np.array(layer(tf.constant(v))) for v in (x, np.roll(x, (2, 1), (1, 2))))
    np.testing.assert_allclose(shifted[:, 3:7, 2:8], y[:, 1:5, 1:7], rtol=1e-11, atol=1e-11)
    assert np.abs(shifted[:, 2, 2:8] - y[:, 0, 1:7]).max() > 1e-3
    layer.table.assign(np.roll(table, 1, 1))  # another bias by relative position, another output
    assert np.abs(np.array(layer(tf.constant(x)))[:, 1:7, 1:8] - y[:, 1:7, 1:8]).max() > 1e-3


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", list(attention.OPS))
def test_odd_sizes_halve_upwards(name, stride):
    y = attention.OPS[name](4, stride, 2, False)(tf.ones((2, 7, 9, 4)), training=True)
    assert tuple(y.shape) == ((2, 7, 9, 8) if stride == 1 else (2, 4, 5, 8))


def test_search_steps_of_both_orders_move_everything_and_stay_finite():
    net = Supernet(space.load("attention"), 3, channels=4, layers=3, nodes=1, multiplier=1)
    net.build((None, 8, 8, 1))
    generator = np.random.default_rng(0)
    batches = tuple(
        (tf.constant(generator.normal(size=(4, 8, 8, 1)), "float32"), tf.constant([0, 1, 2, 0])) for _ in range(2)
    )
    darts = build.search(net)
    moved = [darts.alphas, *net.trainable_variables]
    for darts.order in ("second", "first"):
        before = [variable.numpy() for variable in moved]
        result = darts.train_step(batches)
        assert np.isfinite([float(result["loss"]), float(result["arch_loss"])]).all()
        for variable, old in zip(moved, before):
            assert np.isfinite(variable.numpy()).all() and (variable.numpy() != old).any(), (darts.order, variable.path)
    assert darts.genotype().ops == "attention"


def test_work_and_memory_count_the_blocks(monkeypatch):
    layer = attention.OPS["attention"](16, 1, 2, False)
    layer.build((None, 32, 32, 16))
    positions, edges = 32 * 32, 2
    projections = positions * edges * (16 * 3 * 64 + 64 * 16)
    products = 2 * edges * 64 * positions**2
    assert cost.multiply_adds(lambda x: layer(x), (32, 32, 16)) == projections + products

    monkeypatch.setattr(cost.resource, "getrusage", lambda _: types.SimpleNamespace(ru_maxrss=0))
    block = 4 * 3 * attention.BLOCK  # scores, with their bias, their softmax
    estimates = [cost.peak_memory(lambda x: layer(x), batch, (32, 32, 16), 0, 1.0, 0) for batch in (1, 5)]
    kept = 4 * positions * edges * (3 * 64 + 64)  # queries, keys, values, results
    per_image = (estimates[1] - estimates[0]) / 4
    assert kept + block < per_image < 3 * kept + 1.5 * block


def test_a_layer_belongs_to_the_map_size_it_was_built_for():
    layer = attention.OPS["attention"](4, 1, 1, True)
    layer(tf.zeros((1, 4, 6, 4)))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        layer(tf.zeros((1, 6, 4, 4)))
    assert keras.ops.shape(layer.table) == (2, 7, 11)
