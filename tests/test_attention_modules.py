import keras
import numpy as np
import pytest
import tensorflow as tf
from tfdarts.ops import attention_modules, regular
from tfdarts.ops.attention_modules import OPS

from tests.support import reference
from tfdarts import cost
from tfdarts import operations as space

CASES = [
    pytest.param(name.removesuffix(".npz"), case, id=f"{case['module']}-{case['prefix']}")
    for name, cases in reference.load("attention/manifest.json")["files"].items()
    for case in cases
]


@pytest.mark.parametrize("name,case", CASES)
def test_matches_reference(name, case, floatx):
    stored = reference.group(reference.load(f"attention/{name}"), case["prefix"] + "/")
    # The gradients' own noise at batch 2 is 1e-4: BAM and GE normalise over two values.
    tolerance, loose = (1e-5, 1e-3) if floatx == "float32" else (1e-6, 2e-5)
    x, cotangent = (tf.constant(stored[key], floatx) for key in ("input", "cotangent"))
    layer = OPS[case["module"]](x.shape[-1], 1, 1)
    layer(x)
    names = {key: (v, reference.part_of(key, v, 0, 1)) for key, v in reference.variables(layer).items()}
    weights, state = reference.group(stored, "weights/"), reference.group(stored, "state/")
    assert set(weights) | set(state) == set(names)
    reference.assign(names, weights | state)
    reference.close(layer(x, training=False), stored["output_eval"], tolerance, "eval")
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        total = tf.reduce_sum(y * cotangent)
    trainable = layer.trainable_variables
    grad_input, gradients = tape.gradient(total, [x, [v.value for v in trainable]])
    reference.close(y, stored["output"], tolerance, "output")
    reference.close(grad_input, stored["grad_input"], tolerance if floatx == "float32" else loose, "grad_input")
    reference.close(reference.arrays(names, trainable, gradients), reference.group(stored, "grad_weights/"), loose)
    if after := reference.group(stored, "state_after/"):
        reference.close(reference.read(names, after), after, tolerance, "state_after")


def test_multiply_adds_of_a_kernel_of_the_map_s_size():
    layer = OPS["GE_theta-plus"](32, 1, 1)
    assert cost.multiply_adds(layer, (8, 6, 32)) == 8 * 6 * 32 + 2 * 32 * 2


def test_few_channels_are_squeezed_to_one():
    with pytest.warns(UserWarning, match="one channel"):
        assert attention_modules.squeezed(15) == 1
    assert attention_modules.squeezed(16) == 1 and attention_modules.squeezed(36) == 2


@pytest.mark.parametrize("stride,wide", [(1, False), (2, False), (1, True)])
@pytest.mark.parametrize("name", list(OPS))
def test_parallel_edges_are_the_same_modules_one_per_edge(name, stride, wide, float64):
    ours = space.load("regular").build(name, 8, stride, 3, False, inputs=3 if wide else 1)
    single = [space.load("regular").build(name, 8, stride, 1, False) for _ in range(3)]
    compare_with_one_per_edge(ours, single, (4, 7, 9, 8), wide)


@pytest.mark.parametrize("name", regular.SEARCHED)
def test_wide_operations_are_the_same_operations_one_per_edge(name, float64):
    ours, single = regular.OPS[name](4, 1, 3, False, inputs=3), [regular.OPS[name](4, 1, 1, False) for _ in range(3)]
    compare_with_one_per_edge(ours, single, (3, 8, 6, 4), wide=True)


def test_an_operation_that_knows_no_wide_maps_is_built_per_edge(float64):
    plain = space.Operations(
        "mine", {"conv": lambda channels, stride, edges: keras.layers.Conv2D(edges * channels, 3)}, ()
    )
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 8))
    layer = plain.build("conv", 4, 1, 2, False, inputs=2)
    parts = [single(part) for single, part in zip(layer.layers, np.split(x, 2, -1))]
    np.testing.assert_allclose(layer(x), np.concatenate(parts, -1))


def compare_with_one_per_edge(ours, single, shape, wide):
    draw = np.random.default_rng(0).normal
    count = len(single)
    x = tf.constant(draw(size=(*shape[:3], count * shape[3]) if wide else shape))
    weights = tf.constant([0.2, 0.5, 0.9], "float64")
    maps = tf.split(x, count, -1) if wide else [x] * count
    ours(x)
    names = reference.variables(ours)
    for variable in ours.trainable_variables:
        variable.assign_add(0.1 * draw(size=variable.shape))
    for edge, layer in enumerate(single):
        layer(maps[edge])
        for key, variable in reference.variables(layer).items():
            stacked = np.asarray(names[key].value)
            variable.assign(stacked[reference.part_of(key, stacked, edge, count)].reshape(variable.shape))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, weights])
        got = ours(x, weights=weights, training=True)
        parts = tf.split(x, count, -1) if wide else [x] * count
        expected = tf.concat(
            [layer(y, training=True) * weights[e] for e, (layer, y) in enumerate(zip(single, parts))], -1
        )
        cotangent = draw(size=got.shape)
        totals = [tf.reduce_sum(y * cotangent) for y in (got, expected)]
    reference.close(got, np.array(expected), 1e-11, "forward")
    keys = [key for key, variable in names.items() if variable.trainable]
    variables = [names[key] for key in keys], [reference.variables(layer)[key] for key in keys for layer in single]
    ours, theirs = (
        tape.gradient(total, [x, weights, *(v.value for v in part)], unconnected_gradients="zero")
        for total, part in zip(totals, variables)
    )
    for position in (0, 1):
        reference.close(ours[position], np.array(theirs[position]), 1e-10, "gradient")
    got, expected = {}, {}  # compared as one group, for a bias before a BatchNorm has gradient zero
    for position, key in enumerate(keys):
        stacked = np.array(ours[2 + position])
        for edge in range(count):
            got[f"{edge}/{key}"] = stacked[reference.part_of(key, stacked, edge, count)].ravel()
            expected[f"{edge}/{key}"] = np.array(theirs[2 + count * position + edge]).ravel()
    if expected:
        reference.close(got, expected, 1e-10)
