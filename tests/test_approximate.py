"""`--ops approximate`: layers, ranges, options, networks."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfdarts.ops import approximate, common, multipliers, quantised

from tests.support import reference
from tfdarts import approximation as under_multipliers
from tfdarts import operations as space
from tfdarts import saving as saved
from tfdarts.layers.edges import MixedEdges
from tfdarts.operations import OperationsError
from tfdarts.spaces.conv import network as evalnet
from tfdarts.spaces.conv.genotype import ConvGenotype
from tfdarts.spaces.conv.supernet import Supernet

TABLE = "broken_array:1,5"
OPS = approximate.make(TABLE, "moving", False).OPS


def layers_like(wide, make, x, edges):
    """One layer per edge, with the values that the wide layer has for it."""
    single = []
    for edge in range(edges):
        layer = make()
        layer(x)
        ours = reference.variables(wide)
        for key, variable in reference.variables(layer).items():
            stacked = np.asarray(ours[key].value)
            same = stacked.shape == tuple(variable.shape)
            if key.endswith("_range"):
                variable.assign(stacked[:, edge : edge + 1])
            else:
                variable.assign(stacked if same else stacked[reference.part_of(key, stacked, edge, edges)])
        single.append(layer)
    return single


@pytest.mark.parametrize(
    "name,stride",
    [("skip_connect", 2)] + [(name, s) for name in ("sep_conv_3x3", "dil_conv_3x3", "conv_7x1_1x7") for s in (1, 2)],
)
def test_parallel_edges_are_the_same_operations_one_per_edge(name, stride):
    """In training and in testing, edges with ranges far apart; the same outputs, gradients and moving ranges.

    A sum taken in another order may round to the next code, hence the tolerances; the range of a neighbour, 4 or 20
    times as wide, would be far beyond them.
    """
    keras.utils.set_random_seed(0)
    edges, draw = 3, np.random.default_rng(0)
    x = tf.constant(draw.normal(size=(2, 7, 8, 4)), tf.float32)
    wide = OPS[name](4, stride, edges, True)
    wide(x)
    for variable in wide.trainable_variables:  # edges of different size
        if "conv" in variable.name or "wise" in variable.name:
            axis = 2 if "depthwise" in variable.name else 3
            size = np.repeat([1.0, 4.0, 0.2], variable.shape[axis] // edges)
            variable.assign(variable * np.reshape(size, [-1, 1] if axis == 2 else [-1]))
    single = layers_like(wide, lambda: OPS[name](4, stride, 1, True), x, edges)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        got = wide(x, training=True)
        expected = tf.concat([layer(x, training=True) for layer in single], -1)
        cotangent = draw.normal(size=got.shape).astype(np.float32)
        totals = [tf.reduce_sum(y * cotangent) for y in (got, expected)]
    reference.close(got, expected.numpy(), 0.02, "training")
    reference.close(*(tape.gradient(total, x).numpy() for total in totals), 0.1, "gradient")
    for key, variable in reference.variables(wide).items():
        if key.endswith("_range"):
            parts = [np.asarray(reference.variables(layer)[key].value) for layer in single]
            np.testing.assert_allclose(
                np.asarray(variable.value), np.concatenate(parts, 1), rtol=0.02, atol=1e-6, err_msg=key
            )
    y = wide(x * 0.5, training=False)
    reference.close(y, tf.concat([layer(x * 0.5, training=False) for layer in single], -1).numpy(), 0.02, "testing")


def test_a_layer_against_its_formula_by_plain_lookup(float64):
    keras.utils.set_random_seed(1)
    draw = np.random.default_rng(1)
    x = tf.constant(draw.normal(size=(2, 6, 6, 4)), tf.float64)
    layer = OPS["dil_conv_3x3"](5, 2, 1, True)
    y = layer(x, training=True)
    table = multipliers.load(TABLE).astype(np.float64)

    def quantise(v, low, high):
        v, low, high = np.asarray(v, np.float32), np.float32(low), np.float32(high)
        scale = (high - low) / np.float32(255)
        zero = np.clip(np.floor(np.float32(0.5) - low / scale), 0, 255)
        codes = np.floor((np.clip(v, -zero * scale, (255 - zero) * scale) + zero * scale) / scale + np.float32(0.5))
        return codes.astype(int), float(scale), int(zero)

    def products(a, b):  # table products of two quantised arrays that broadcast, and their real values
        (a, s, z), (b, t, u) = a, b
        return s * t * (table[a, b] - u * a - z * b + z * u)

    relu = np.maximum(x, 0)
    w = np.asarray(layer.depthwise.value)
    codes, scale, zero = quantise(relu, relu.min(), relu.max())  # the range of all of x, not of the even grid alone
    padded = np.pad(codes[:, ::2, ::2], [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=zero)
    kernel, *of_kernel = quantise(w[..., 0], w.min(), w.max())
    first = sum(
        products((padded[:, i : i + 3, j : j + 3], scale, zero), (kernel[i, j], *of_kernel))
        for i in range(3)
        for j in range(3)
    )
    p = np.asarray(layer.pointwise.value)[0, 0]
    codes, scale, zero = quantise(first, first.min(), first.max())
    kernel, *of_kernel = quantise(p, p.min(), p.max())
    second = products((codes[..., None], scale, zero), (kernel, *of_kernel)).sum(-2)
    second = (second - second.mean((0, 1, 2))) / np.sqrt(second.var((0, 1, 2)) + 1e-5)
    reference.close(y, second, 1e-5)


def test_testing_uses_the_average_of_the_ranges_in_training():
    draw = np.random.default_rng(2)
    x = tf.constant(np.abs(draw.normal(size=(4, 6, 6, 4))), tf.float32)
    layer, batch = (
        approximate.make(TABLE, how, False).OPS["skip_connect"](4, 2, 1, True) for how in approximate.RANGES
    )
    layer(x)
    for size in (1.0, 3.0):
        layer(size * x, training=True)
    share = np.array([0.9 * 0.1, 0.1])
    expected = (share * [1.0, 3.0]).sum() / share.sum() * float(tf.reduce_max(x))
    low, high, shares = np.asarray(layer.conv_1_range.value)[:, 0, 0]
    np.testing.assert_allclose(high / shares, expected, rtol=1e-5)
    several = layer(x, training=False)
    np.testing.assert_allclose(several[:1], layer(x[:1], training=False), rtol=1e-5, atol=1e-6)
    clipped = layer(10 * x, training=False)  # saturates at what was seen
    assert np.abs(clipped).max() < 5 * np.abs(several).max()
    batch(x)
    for ours, theirs in zip(batch.variables, layer.variables):
        ours.assign(theirs.value)
    several = batch(x, training=False)
    assert np.abs(several[:1] - batch(x[:1], training=False)).max() > 1e-4


def test_gradients_under_stateless_call():
    """The same as by plain variables, none missing; moving ranges are returned, not assigned."""
    case = reference.load("approximate/conv1x1_s1")
    layer = approximate.ReLUConvBN(case["w"].shape[-1], multiplier=quantised.Multiplier("mitchell"), batch_range=False)
    layer.bn = keras.layers.Identity()
    layer.build(case["x"].shape)
    layer.conv.assign(case["w"])
    x = tf.constant(case["x"])

    def stateless(x, weights, state):
        with tf.GradientTape() as tape:
            tape.watch([x, weights])
            y, state = layer.stateless_call(weights, state, x, training=True)
            total = tf.reduce_sum(y * case["cotangent"])
        return tape.gradient(total, [x, *weights]), state

    layer.convolve(x, "conv", False)
    original = tf.nn.relu
    try:
        tf.nn.relu = tf.identity  # the golden case has negative inputs
        gradients, state = tf.function(stateless)(
            x, [v.value for v in layer.trainable_variables], [v.value for v in layer.non_trainable_variables]
        )
    finally:
        tf.nn.relu = original
    reference.close(gradients[0], case["grad_x_range_minmax"], 3e-6)
    reference.close(gradients[1], case["grad_w_range_minmax"], 3e-6)
    np.testing.assert_array_equal(layer.conv_range.value, np.zeros((3, 1, 1)))
    np.testing.assert_allclose(state[0][:, 0, 0] / state[0][2, 0, 0], [case["x_min"], case["x_max"], 1.0], rtol=1e-6)


@pytest.mark.parametrize(
    "name,options,reason",
    [
        ("regular", {"mul_table": "drum:4"}, "'regular' takes no --mul_table"),
        ("approximate", {"wrong": 1}, "takes no --wrong .its options: --mul_table, --approx_range"),
        ("approximate", {"mul_table": "drum:44"}, "K must be from 2 to 8"),
        ("approximate", {"approx_range": "none"}, "moving, batch"),
    ],
)
def test_options_that_cannot_be(name, options, reason):
    with pytest.raises(OperationsError, match=reason):
        space.load(name, options)


@pytest.fixture(scope="module")
def regular():
    """A tiny network of regular operations that has seen two batches."""
    keras.utils.set_random_seed(3)
    edge = [["sep_conv_3x3", 0], ["skip_connect", 1]]
    cells = ConvGenotype(normal=edge, normal_concat=[2], reduce=edge, reduce_concat=[2])
    network = evalnet.EvaluationNetwork(cells, 10, 4, 2)
    network.build((None, 8, 8, 1))
    for seed in range(2):
        network(tf.random.stateless_normal((16, 8, 8, 1), [seed, 0]), training=True)
    return network


def test_a_regular_network_opens_with_approximate_operations(regular, tmp_path):
    """Variables are carried over, ranges observed; near the regular one with exact products, not with rough ones."""
    path = tmp_path / "mine.bin"
    path.write_bytes(multipliers.load("truncated:4").tobytes())
    batches = [(tf.random.stateless_normal((16, 8, 8, 1), [seed, 0]), None) for seed in range(2)]
    x = batches[0][0]
    under_multipliers.observe(regular, regular.non_trainable_variables, 40 * batches)
    plain = regular(x, training=False)
    distances = {}
    for table in ("exact", str(path)):
        network, new = under_multipliers.with_operations(regular, (8, 8, 1), "approximate", {"mul_table": table})
        assert new and all(variable.name.endswith("_range") for variable in new)
        before = [v.numpy() for v in network.variables if v.name.startswith("moving")]
        under_multipliers.observe(network, new, batches)
        for old, v in zip(before, (v for v in network.variables if v.name.startswith("moving"))):
            np.testing.assert_array_equal(old, v.numpy())
        distances[table] = float(tf.norm(network(x, training=False) - plain) / tf.norm(plain))
    assert distances["exact"] < 0.1 < distances[str(path)]
    # The errors' mean shifts the maps; with statistics of the shifted ones the network is nearer to the exact one.
    under_multipliers.observe(network, network.non_trainable_variables, 40 * batches)
    assert float(tf.norm(network(x, training=False) - plain) / tf.norm(plain)) < 0.5 * distances[str(path)]
    path.unlink()  # the saved model has the table in it
    network.save(tmp_path / "model.keras")
    opened = saved.load_model(tmp_path / "model.keras")
    assert opened.options["ops_options"]["mul_table"].startswith("inline:mine.bin:")
    np.testing.assert_array_equal(opened(x, training=False), network(x, training=False))
    again, new = under_multipliers.with_operations(opened, (8, 8, 1), "approximate", {"mul_table": "exact"})
    assert not new
    with pytest.raises(ValueError, match="other variables"):
        under_multipliers.with_operations(opened, (8, 8, 1), "regular", {})


def test_every_part_of_a_supernets_variables_has_a_name():
    net = Supernet(space.load("approximate"), 3, channels=4, layers=1, nodes=2, multiplier=1)
    net.build((None, 8, 8, 3))
    named, elements = {}, {}
    for name, (variable, index) in reference.named(net).items():
        part = np.asarray(variable.value)[index]
        assert part.size or not variable.shape, name
        named.setdefault(id(variable), {})[str(index)] = part.size
        elements[id(variable)] = np.size(variable.value)
    assert {one: sum(parts.values()) for one, parts in named.items()} == elements
    assert named.keys() == {id(variable) for variable in net.variables}


def test_preprocessing_is_approximate_on_demand(regular):
    for asked, kind in ((False, common.__name__), (True, approximate.__name__)):
        options = {"approx_preprocess": asked}
        network, _ = under_multipliers.with_operations(regular, (8, 8, 1), "approximate", options)
        kinds = {type(p).__module__ for cell in network.cells for p in (cell.preprocess0, cell.preprocess1)}
        assert kinds == {kind}


def test_command_lines(tmp_path, command):
    """Search, training, test under several multipliers; refused options."""
    tiny = ["--recipe", "digits", "--init_channels", "2", "--layers", "1", "--epochs", "1", "--batch_size", "600"]
    nodes = ["--nodes", "1", "--multiplier", "1", "--nounrolled", "--logdir", tmp_path]
    (tmp_path / "table.bin").write_bytes(multipliers.load("drum:4").tobytes())
    table = ["--mul_table", tmp_path / "table.bin"]
    command("search_cell.py", *tiny, *nodes, "--ops", "approximate", *table, "--approx_preprocess")
    (searched,) = (tmp_path / "search_arch").iterdir()
    config = json.loads((searched / "config.json").read_text())
    assert config["mul_table"] == str(table[1]) and config["approx_preprocess"] is True
    cells = json.loads((searched / "genotype.json").read_text())
    assert cells["ops"] == "approximate" and "mul_table" not in cells
    edge = [["sep_conv_3x3", 0], ["skip_connect", 1]]
    cells |= {"normal": edge, "reduce": edge}  # whatever it found, something that convolves
    (tmp_path / "cells.json").write_text(json.dumps(cells))
    command("train.py", *tiny, "--logdir", tmp_path, "--genotype_file", tmp_path / "cells.json", *table)
    (trained,) = (tmp_path / "eval_arch").iterdir()
    table[1].unlink()
    model = ["--model_path", trained / "model.keras"]
    same = json.loads(command("evaluate.py", *model).stdout)["test_accuracy_percent"]
    assert same == json.loads((trained / "results.json").read_text())["test_accuracy_percent"]
    result = command("evaluate.py", *model, "--mul_table", "drum:4,broken_array:2,6", "--finetune_epochs", "1")
    assert "fine-tuned" in result.stdout and "broken_array:2,6" in result.stdout
    lines = json.loads((trained / "multipliers.json").read_text())["results"]
    assert lines[0]["test_accuracy_percent"] == same
    assert lines[1].keys() >= {"new_statistics_accuracy_percent", "finetuned_accuracy_percent"}
    refused = command("search_cell.py", *tiny, *nodes, "--mul_table", "drum:4", code=2)
    assert refused.stderr.strip() == "error: Operation module 'regular' takes no --mul_table (its options: none)."


@pytest.mark.parametrize("first", ["regular", "approximate"])
def test_exact_and_approximate_operations_on_one_edge(first):
    """What they do before their first weight is alike, but only one of them notes the range of the map."""
    modules = {name: space.load(name) for name in ("regular", "approximate")}
    ops = {name: modules[name].ops["sep_conv_3x3"] for name in sorted(modules, key=lambda name: name != first)}
    both = dataclasses.replace(modules["regular"], ops=ops, searched=tuple(ops))
    edges = MixedEdges(both, [tuple(ops)] * 2, 4, 1, (0, 1))
    x, weights = tf.random.stateless_normal((2, 8, 8, 4), [0, 0]), tf.constant([[0.2, 0.3], [0.8, 0.7]])
    got = sum(y for _, y in edges(x, weights, training=True))
    alone = [layer(x, weights=weights[place], training=True) for place, layer in enumerate(edges.operations)]
    np.testing.assert_allclose(got, sum(alone), rtol=1e-5, atol=1e-5)
