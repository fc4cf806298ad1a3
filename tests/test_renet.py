import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfdarts.ops.recurrent import OPS, SEARCHED

from tests.support import build, reference
from tests.support.build import training as Training
from tfdarts import cost, optimizers
from tfdarts import operations as space
from tfdarts import saving as saved
from tfdarts.genotype import GenotypeError
from tfdarts.layers import recurrent
from tfdarts.pytorch.renet import rows
from tfdarts.spaces import genotypes as genotype
from tfdarts.spaces.renet import body, cells
from tfdarts.spaces.renet.genotype import ReNetGenotype
from tfdarts.spaces.renet.network import ReNetNetwork
from tfdarts.spaces.renet.published import ForwardGateCell
from tfdarts.spaces.renet.supernet import ReNetSupernet
from tfdarts.strategies.darts import Darts

ACTIVATIONS = space.load("recurrent", recurrent=True)
VARIANTS = tuple(cells.VARIANTS)
PUBLISHED = {variant: genotype.load(f"DARTS_{variant.capitalize()}", "renet") for variant in VARIANTS}


def golden(name):
    return reference.load(f"renet/{name}")


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
    """Compares values ordered like `variables` with the arrays stored under the reference names; how many there were.

    A gradient that would be zero if a normalisation that follows had no epsilon is compared absolutely.
    """
    values = {id(variable): np.asarray(value) for variable, value in zip(variables, values)}
    found = 0
    for name, (variable, index) in known.items():
        key = name if name.endswith("_after") else f"grad_{name}{suffix}"
        if key in stored and id(variable) in values:
            got = values[id(variable)][index].reshape(stored[key].shape)
            if np.abs(stored[key]).max() < (1e-9 if got.dtype == np.float64 else 1e-3):
                assert np.abs(got - stored[key]).max() < 3e-6  # sums of terms near 1; 1.03e-6 was seen in float32
            else:
                reference.close(got, stored[key], tolerance, key)
            found += 1
    return found


def stored_cell(arrays, variant):
    """The genotype of a golden."""
    entries = [(SEARCHED[op], int(previous)) for op, previous in zip(arrays["genotype_ops"], arrays["genotype_prev"])]
    return ReNetGenotype(tuple(entries), tuple(arrays["genotype_concat"].tolist()), cell=variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_published_cells(variant):
    arrays = reference.load(f"renet/network_eval_{variant}_layers1", reference.OURS)
    assert PUBLISHED[variant] == stored_cell(arrays, variant)


def layers_of(kind, variant, arrays):
    """The layer of a cell golden, and its nodes as a function of the architecture."""
    nodes, units, _ = arrays["Ws"].shape
    if kind == "search":
        node = lambda table: recurrent.MixedNodes(table, build.table(SEARCHED, len(table)), OPS)  # noqa: E731
        options = {"nodes": nodes, "concat": range(1, nodes + 1), "affine": False}
    else:
        entries = stored_cell(arrays, variant).recurrent
        node = lambda _: recurrent.FixedNodes(entries, OPS)  # noqa: E731
        options = {"nodes": nodes, "concat": arrays["genotype_concat"].tolist(), "affine": True}
    makers = {"": cells.VARIANTS[variant]}
    if variant == "sigmoid":
        makers = {"": ForwardGateCell, "_gate_fixed": makers[""]}
    return node, {suffix: make(units, **options) for suffix, make in makers.items()}


@pytest.mark.parametrize("patch,floatx", [(1, "float64"), (2, "float64"), (2, "float32")], indirect=["floatx"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["search", "eval"])
def test_cell(kind, variant, patch, floatx):
    arrays = golden(f"{kind}_{variant}_patch_{patch}x{patch}")
    tolerance = 1e-4 if floatx == "float32" else 3e-7
    node, layers = layers_of(kind, variant, arrays)
    x, table = (tf.constant(arrays.get(name, np.zeros((1, 1))), floatx) for name in ("x", "arch_weights"))
    for suffix, layer in layers.items():
        sweep = body.Sweep(layer, patch, vertical=False)
        sweep.build(x.shape)
        known = names(layer, patch)
        assign(known, arrays)
        variables = layer.trainable_variables
        with tf.GradientTape() as tape:
            tape.watch([x, table])
            y = sweep(x, node=node(tf.nn.softmax(table)), training=True)
            loss = tf.reduce_sum(y * tf.constant(arrays["cotangent"], floatx))
        *gradients, grad_x, grad_table = tape.gradient(loss, [*(v.value for v in variables), x, table])
        reference.close(y, arrays["output" + suffix], tolerance)
        reference.close(grad_x, arrays["grad_x" + suffix], tolerance)
        if kind == "search":
            reference.close(grad_table, arrays["grad_arch_weights" + suffix], tolerance)
        weights = [name for name in known if not name.endswith("_after")]
        assert check(known, variables, gradients, arrays, tolerance, suffix) == len(weights)
        if not suffix:  # the statistics are stored for the published gate only
            state = layer.non_trainable_variables
            assert check(known, state, [v.value for v in state], arrays, tolerance) == 6
            y = sweep(x, node=node(tf.nn.softmax(table)), training=False)
            reference.close(y, arrays["output_eval"], tolerance)


def network_names(network):
    """As `names`, of a whole network."""
    known = {}
    for i, convolution in enumerate(network.body.stem):
        for name in ("kernel", "bias"):
            known[f"stem_conv{i}_{name}"] = (getattr(convolution, name), ...)
        for name in ("gamma", "beta"):
            known[f"stem_bn{i}_{name}"] = (getattr(convolution.bn, name), ...)
    for i, sweep in enumerate(network.body.sweeps):
        known |= names(sweep.cell, sweep.patch, f"cell{i}_")
    for name in ("kernel", "bias"):
        known[f"classifier_{name}"] = (getattr(network.classifier, name), ...)
    if hasattr(network, "bn"):
        known |= {f"classifier_bn_{name}": (getattr(network.bn, name), ...) for name in ("gamma", "beta")}
    return known


NETWORKS = [(name, "float64") for name in reference.names("renet/network_search_*.npz")]
NETWORKS += [(name, "float32") for name, _ in NETWORKS if name.endswith("vanilla_layers1")]


def sizes(arrays):
    """Classes, channels and layers of a golden's network."""
    sweeps = reference.count(arrays, r"cell\d+_W0$")
    return arrays["logits"].shape[-1], arrays["stem_conv0_bias"].size, sweeps // 2


@pytest.mark.parametrize("name,floatx", NETWORKS, indirect=["floatx"])
def test_search_network(name, floatx, monkeypatch):
    monkeypatch.setitem(cells.VARIANTS, "sigmoid", ForwardGateCell)
    arrays = reference.load(name)
    net = ReNetSupernet(ACTIVATIONS, *sizes(arrays), name.split("_")[2], len(arrays["cell0_Ws"]))
    net.build((None, *arrays["x"].shape[1:]))
    known = network_names(net)
    assign(known, arrays)
    eta, clip, decay = (float(arrays.get(key, 1.0)) for key in ("eta", "clip", "weight_decay"))
    rates = (float(arrays.get(f"arch_{key}", 1.0)) for key in ("lr", "weight_decay"))
    arch_rate, arch_decay = rates
    darts = build.search(
        net, "first", learning_rate=eta, momentum=0.7, weight_decay=decay, grad_clip=clip, unrolled_clip=clip,
        arch_learning_rate=arch_rate, arch_weight_decay=arch_decay,
    )  # fmt: skip
    darts.alphas.assign(arrays["arch_weights"].ravel())
    tolerance = 1e-6 if floatx == "float64" else 2e-4
    weights, alphas = optimizers.flatten(net.trainable_variables), darts.alphas.value
    x, labels = tf.constant(arrays["x"], floatx), tf.constant(arrays["targets"])
    gradient, architecture, (result, state) = darts.both_gradients(weights, alphas, build.inputs((x, labels)))
    loss, logits = result.loss, result.logits
    reference.close(logits, arrays["logits"], tolerance)
    reference.close(loss, arrays["loss"], tolerance)
    reference.close(architecture, arrays["grad_arch_weights"].ravel(), tolerance)
    gradients = optimizers.unflatten(gradient, net.trainable_variables)
    count = check(known, net.trainable_variables, gradients, arrays, tolerance)
    assert count == sum(name.startswith("grad_") for name in arrays) - 1
    if "x_valid" in arrays:
        valid = tf.constant(arrays["x_valid"], floatx), tf.constant(arrays["targets_valid"])
        monkeypatch.setattr(darts, "_both", darts.both_gradients)
        monkeypatch.setattr(darts, "_architecture", darts.architecture_gradient)
        assert arrays["clip_coef"] < 1  # the authors do not clamp it at 1, ours does
        orders = [("first", "first_order", tolerance), ("second", "unrolled", 1e-5)]
        for darts.order, key, allowed in orders if floatx == "float64" else orders[:1]:
            gradient, _ = darts.hypergradient(weights, build.inputs((x, labels)), build.inputs(valid))
            reference.close(gradient, arrays[f"dalpha_{key}"].ravel(), allowed, key)
            after, _, _ = optimizers.adam(
                alphas,
                gradient,
                darts.arch_optimizer.m.value,
                darts.arch_optimizer.v.value,
                1,
                3e-3,
                (0.5, 0.999),
                1e-3,
            )
            reference.close(after, arrays[f"arch_weights_after_{key}_step"].ravel(), tolerance, key)
    darts.set_statistics(state)
    logits = net(x, darts.mixing(), training=False)
    reference.close(logits, arrays["logits_eval_after_one_batch"], tolerance)


@pytest.mark.parametrize("variant", VARIANTS)
def test_evaluation_network(variant, floatx, monkeypatch):
    monkeypatch.setitem(cells.VARIANTS, "sigmoid", ForwardGateCell)
    arrays = golden(f"network_eval_{variant}_layers1")
    net = ReNetNetwork(stored_cell(arrays, variant), *sizes(arrays))
    net.build((None, *arrays["x"].shape[1:]))
    known = network_names(net)
    assign(known, arrays)
    tolerance = 1e-6 if floatx == "float64" else 1e-3
    x, labels = tf.constant(arrays["x"], floatx), tf.constant(arrays["targets"])
    with tf.GradientTape() as tape:
        logits = net(x, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    gradients = tape.gradient(loss, [v.value for v in net.trainable_variables])
    reference.close(logits, arrays["logits"], tolerance)
    reference.close(loss, arrays["loss"], tolerance)
    count = check(known, net.trainable_variables, gradients, arrays, tolerance)
    assert count == sum(name.startswith("grad_") for name in arrays)
    reference.close(net(x, training=False), arrays["logits_eval_after_one_batch"], tolerance)
    for convolution in net.body.stem:
        x = convolution(x, training=True)
    reference.close(x, arrays["stem_output"], tolerance, "stem")
    for i, sweep in enumerate(net.body.sweeps):
        x = sweep(x, training=True, **net.arguments)
        reference.close(x, arrays[f"cell{i}_output"], tolerance, f"sweep {i}")


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameter_counts(variant, zero_start):
    stored = golden("param_counts.json")[variant]
    networks = {}
    for key in stored:
        if found := re.fullmatch(r"(eval|search)_nhid(\d+)_layers(\d+)", key):
            sizes = [int(number) for number in found.groups()[1:]]
            if found[1] == "eval":
                networks[key] = ReNetNetwork(PUBLISHED[variant], 10, *sizes)
            else:
                networks[key] = ReNetSupernet(ACTIVATIONS, 10, *sizes, variant)
    assert networks
    for key, net in networks.items():
        net.build((None, 32, 32, 3))
        assert cost.count_parameters([net]) == stored[key]
        parts = stored[key.split("_")[0] + "_by_part"]
        assert sum(cost.count_parameters([layer]) for layer in net.body.stem) == parts["stem"]
        assert [cost.count_parameters([sweep]) for sweep in net.body.sweeps] == parts["cells"]


def make(name, units, affine=True):
    """A cell, two nodes if it has any, and what it is called with."""
    if name in cells.BASELINES:
        return cells.BASELINES[name](units), {}
    parts = {"node": recurrent.FixedNodes((("tanh", 0), ("relu", 1)), OPS)}
    return cells.VARIANTS[name](units, 2, (1, 2), affine), parts


def randomize(layer, rng):
    for variable in layer.variables:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def swapped(variable, units):
    """A cell's variable with the two directions exchanged."""
    value = np.asarray(variable.value)
    axis = {"kernels": 1, "statistics_in": 1, "statistics": -2, "gamma": -3, "beta": -3, "gate": None}
    axis = axis.get(variable.name, 0)
    return value if axis is None else np.flip(value, axis)


@pytest.mark.parametrize("name", [*cells.VARIANTS, *cells.BASELINES])
def test_the_reverse_sweep_is_the_forward_sweep_of_the_flipped_image(name, float64):
    """Each half of a sweep is what the other half makes of the flipped image with the other's weights, to the bits."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(2, 6, 4, 3)))
    for vertical in (False, True):
        pair = []
        for _ in range(2):
            cell, parts = make(name, 3)
            pair.append(body.Sweep(cell, 2, vertical))
            pair[-1].build(x.shape)
        one, other = pair
        randomize(one, rng)
        for mine, yours in zip(one.variables, other.variables):
            yours.assign(swapped(mine, 3))
        flipped = x[:, ::-1] if vertical else x[:, :, ::-1]
        # Patches are not flipped, but their rows or columns are.
        image = tf.reshape(flipped, [2, 3, 2, 4, 3]) if vertical else tf.reshape(flipped, [2, 6, 2, 2, 3])
        image = tf.reverse(image, [2 if vertical else 3])
        image = tf.reshape(image, x.shape)
        for training in (False, True):
            y = one(x, training=training, **parts)
            z = other(image, training=training, **parts)
            np.testing.assert_allclose(np.roll(z, 3, -1), y, rtol=1e-12)
            assert np.abs(y[..., :3] - y[..., 3:]).max() > 1e-3
        for mine, yours in zip(one.variables, other.variables):
            np.testing.assert_allclose(yours, swapped(mine, 3), rtol=1e-12, err_msg=mine.name)


@pytest.mark.parametrize("name", ["vanilla", "lstm"])
def test_either_half_depends_on_its_own_weights_alone(name, float64):
    rng = np.random.default_rng(0)
    cell, parts = make(name, 3)
    sweep, x = body.Sweep(cell, 1, False), tf.constant(rng.normal(size=(2, 2, 4, 3)))
    before = sweep(x, training=True, **parts)
    for variable in cell.trainable_variables:
        value = np.asarray(variable.value)
        index = (slice(None),) * {"kernels": 1, "gamma": 1, "beta": 1}.get(variable.name, 0)
        value[(*index, 1)] += rng.normal(size=value[(*index, 1)].shape)
        variable.assign(value)
    after = sweep(x, training=True, **parts)
    np.testing.assert_array_equal(after[..., :3], before[..., :3])
    assert np.abs(after[..., 3:] - before[..., 3:]).max() > 1e-3


@pytest.mark.parametrize("name", ["vanilla", "sigmoid", "gru"])
def test_lines_are_sequences_whatever_the_shape_of_the_map(name, float64):
    rng = np.random.default_rng(0)
    cell, parts = make(name, 3)
    rows, columns = body.Sweep(cell, 1, False), body.Sweep(cell, 1, True)
    columns.built = True  # its cell is
    x = tf.constant(rng.normal(size=(2, 3, 5, 4)))
    y = rows(x, training=True, **parts)
    assert y.shape == (2, 3, 5, 6)
    each = rows(tf.reshape(x, [6, 1, 5, 4]), training=True, **parts)
    np.testing.assert_allclose(tf.reshape(each, y.shape), y, rtol=1e-12)
    upright = columns(tf.transpose(x, [0, 2, 1, 3]), training=True, **parts)
    np.testing.assert_allclose(tf.transpose(upright, [0, 2, 1, 3]), y, rtol=1e-12)


def test_odd_maps_are_filled_up_with_zeros(float64):
    rng = np.random.default_rng(0)
    cell, _ = make("lstm", 3)
    sweep = body.Sweep(cell, 2, False)
    x = tf.constant(rng.normal(size=(2, 5, 3, 2)))
    y = sweep(x)
    assert y.shape == (2, 3, 2, 6)
    np.testing.assert_array_equal(sweep(tf.pad(x, [[0, 0], [0, 1], [0, 1], [0, 0]])), y)


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_baselines_are_what_keras_computes(name, float64):
    rng = np.random.default_rng(0)
    cell, _ = make(name, 3)
    x = tf.constant(rng.normal(size=(4, 5, 2)))  # steps, lines, features
    y = cell(x)
    for i, backward in enumerate((False, True)):
        options = {"return_sequences": True, "go_backwards": backward}
        theirs = (
            keras.layers.LSTM(3, **options) if name == "lstm" else keras.layers.GRU(3, reset_after=False, **options)
        )
        lines = tf.transpose(x, [1, 0, 2])
        theirs(lines)
        kernel, transition, bias = (np.asarray(v.value)[i] for v in (cell.kernel, cell.recurrent, cell.bias))
        theirs.set_weights([kernel, transition, bias[0]])
        np.testing.assert_allclose(tf.transpose(y[:, i], [1, 0, 2]), theirs(lines), rtol=1e-10)


class Counted(Darts):
    """Counts how often the step is traced."""

    traces = 0

    def train_step(self, data):
        type(self).traces += 1
        return super().train_step(data)


def test_search_on_images_that_are_not_square():
    few = space.Operations("recurrent", OPS, ("none", "tanh", "relu"))
    net = ReNetSupernet(few, 3, 4, 1, "sigmoid", nodes=2)
    net.build((None, 9, 7, 1))
    darts = build.search(net, "second", grad_clip=1.0, unrolled_clip=1.0, kind=Counted)
    darts.compile(jit_compile=False)
    before = [np.asarray(v.value) for v in darts.variables]
    half = tf.data.Dataset.from_tensor_slices((tf.random.normal((10, 9, 7, 1)), tf.zeros(10, tf.int32))).batch(4)
    darts.fit(tf.data.Dataset.zip(half, half), epochs=2, verbose=0, shuffle=False)
    assert Counted.traces == 1
    for function in (darts._both, darts._architecture):
        assert function.experimental_get_tracing_count() == 1
    same = [v.path for v, value in zip(darts.variables, before) if np.array_equal(v, value)]
    by_callbacks = ("seed", "learning_rate", "epoch")
    assert not [path for path in same if not any(name in path for name in by_callbacks)], same
    found = darts.genotype()
    assert (found.cell, found.space, len(found.recurrent), found.concat) == ("sigmoid", "renet", 2, (1, 2))
    assert genotype.from_dict(found.to_dict()) == found

    images, before_validation = tf.random.normal((4, 9, 7, 1)), [v.numpy() for v in net.non_trainable_variables]
    data = tf.data.Dataset.from_tensors((images, tf.constant([0, 1, 2, 0])))
    loss = darts.evaluate(data, verbose=0, return_dict=True)["loss"]
    for variable, value in zip(net.non_trainable_variables, before_validation):
        np.testing.assert_array_equal(variable, value)
    logits = net(images, darts.mixing(), training=True)  # by the batch's statistics
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits([0, 1, 2, 0], logits)
    assert loss == pytest.approx(float(tf.reduce_mean(expected)), rel=1e-6)


@pytest.mark.parametrize("cell", ["directional", "gru"])
def test_training_saving_and_loading(cell, tmp_path):
    cell = cell if cell in cells.BASELINES else ReNetGenotype((("tanh", 0), ("relu", 0)), (1, 2), cell=cell)
    known = {"mean": [0.5], "std": [0.25]}
    net = ReNetNetwork(cell, 3, 4, 1, preprocessing=known)
    net.build((None, 8, 8, 1))
    training = Training(net, drop_path_prob=0.0, epochs=2)
    training.compile(jit_compile=False)
    images = tf.random.stateless_normal((10, 8, 8, 1), (0, 0))
    data = tf.data.Dataset.from_tensor_slices((images, tf.range(10) % 3)).batch(5)
    training.fit(data, epochs=2, verbose=0, shuffle=False)
    assert np.isfinite(training.evaluate(data, verbose=0, return_dict=True)["loss"])
    net.save(tmp_path / "model.keras")
    loaded = saved.load_model(tmp_path / "model.keras")
    assert loaded.cell == cell
    assert loaded.options == net.options
    np.testing.assert_array_equal(loaded(images, training=False), net(images, training=False))
    np.testing.assert_array_equal(loaded.preprocess(np.full((1, 8, 8, 1), 255, np.uint8)), np.full((1, 8, 8, 1), 2))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="`cell`"):
        ReNetSupernet(ACTIVATIONS, 10, cell="lstm")
    with pytest.raises(ValueError, match="`cell`"):
        ReNetNetwork("vanilla", 10)
    with pytest.raises(ValueError, match="even"):
        ReNetNetwork("lstm", 10, units=7)
    data = PUBLISHED["vanilla"].to_dict()
    for key, value in (("cell", "lstm"), ("space", "recurrent")):
        with pytest.raises(GenotypeError, match="cell"):
            genotype.from_dict(data | {key: value})
    with pytest.raises(GenotypeError, match="space"):
        ReNetGenotype((("tanh", 0),), (1,), space="recurrent", cell="vanilla")
    with pytest.raises(GenotypeError, match="lacks cell"):
        genotype.from_dict({key: value for key, value in data.items() if key != "cell"})
