import re

import numpy as np
import pytest
import tensorflow as tf

from tests.support import reference
from tfdarts import cost
from tfdarts import saving as saved
from tfdarts.spaces import genotypes as genotype
from tfdarts.spaces.micro import network as final
from tfdarts.spaces.micro import operations, shared, stack
from tfdarts.spaces.micro.genotype import MicroGenotype

COUNTS = reference.load("enas/param_counts.json")
OTHER_NAMES = {"gamma": "scale", "beta": "offset"}


def named(prefix, layer):
    """A BatchNorm's, a convolution's or a factorised reduction's variables under the authors' names."""
    result = {}
    for name, variable in reference.variables(layer).items():
        *level, last = name.split("/")
        if level == ["bn"] or layer.name == "bn":
            name = f"bn/{OTHER_NAMES.get(last, last)}"
        else:
            name = {"conv_1": "path1_conv/w", "conv_2": "path2_conv/w"}.get(last, "w")
        result[f"{prefix}/{name}"] = (variable, ...)
    return result


def inputs_named(prefix, cell, base):
    layers = {"pool_x": cell.preprocess0.layers, "pool_y": cell.preprocess1.layers[: -1 if base else None]}
    result = {}
    for name, calibration in layers.items():
        for layer in calibration:
            result |= named(f"{prefix}/calibrate/{name}", layer)
    return result | (named(f"{prefix}/layer_base", cell.preprocess1.layers[-1]) if base else {})


def ends_named(network):
    return named("child/stem_conv", network.stem) | {"child/fc/w": (network.classifier.kernel, ...)}


def network_named(network):
    """Every variable of a `MicroNetwork` under the authors' names: `{name: (variable, index)}`."""
    result = ends_named(network)
    for c, cell in enumerate(network.cells):
        result |= inputs_named(f"child/layer_{c}", cell, base=True)
        for edges in cell.edges:
            for position, entry in enumerate(edges.entries):
                prefix = f"child/layer_{c}/cell_{entry // 2}/{'xy'[entry % 2]}_conv"
                part = slice(position * cell.channels, (position + 1) * cell.channels)
                if isinstance(edges.operation, operations.SepConv):
                    for name, variable in reference.variables(edges.operation).items():
                        first, *rest = name.split("/")
                        kind, number = first.split("_")
                        kind = {"depthwise": "w_depth", "pointwise": "w_point"}.get(kind, kind)
                        rest = [OTHER_NAMES.get(name, name) for name in rest]
                        index = (slice(None), slice(None), part) if kind == "w_depth" else (..., part)
                        index = ... if variable.shape == () else index
                        result["/".join([prefix, f"sep_conv_{int(number) - 1}", kind, *rest])] = (variable, index)
                elif hasattr(edges.operation, "layers") and edges.operation.layers[position].variables:
                    result |= named(prefix, edges.operation.layers[position])
    return result


def supernet_named(supernet):
    """Every variable of a `MicroSupernet` under the authors' names."""
    result = ends_named(supernet)
    for c, cell in enumerate(supernet.cells):
        prefix = f"child/layer_{c}"
        result |= inputs_named(prefix, cell, base=False)
        if cell.halve:
            result |= named(prefix, cell.halve)
        result |= named(prefix + "/final_conv", cell.bn)
        result[prefix + "/final_conv/w"] = (cell.output_kernel, ...)
        for k, start in enumerate(cell.starts):
            rows = slice(start, start + k // 2 + 2)
            kinds = [(size, kind) for size in (3, 5) for kind in ("w_depth", "w_point", "bn/scale", "bn/offset")]
            for (size, kind), table in zip(kinds, cell.tables):
                for half in (0, 1):
                    name = f"{prefix}/cell_{k // 2}/{'xy'[k % 2]}/conv_{size}x{size}/stack_{half}/{kind}"
                    result[name] = (table, (rows, half))
    return result


def stored_group(stored, prefix, names):
    """The authors' values in our shapes."""
    values = {name: value for name, value in reference.group(stored, prefix).items() if name in names}
    return {name: values[name].reshape(own.shape) for name, own in reference.read(names, values).items()}


def cross_entropy(labels, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def arcs_of(stored, name):
    return stored[name].reshape(2, -1, 4)


def sizes(stored):
    """Classes, layers and channels of a golden's network."""
    (logits,) = {value.shape for name, value in stored.items() if name.endswith("logits_train")}
    return logits[-1], int(stored["num_layers"]), int(stored["out_filters"])


def test_the_published_cells():
    stored = reference.load("enas/micro_fixed_published", reference.OURS)
    assert MicroGenotype.from_arc(arcs_of(stored, "arc")) == genotype.load("ENAS", "micro")


@pytest.mark.parametrize("file", reference.names("enas/micro_fixed*.npz"))
def test_the_network_of_a_genotype(file):
    stored = reference.load(file)
    cells = MicroGenotype.from_arc(arcs_of(stored, "arc"))
    classes, layers, channels = sizes(stored)
    network = final.MicroNetwork(cells, classes, channels, layers, auxiliary=False)
    network.build(stored["x"].shape)
    names = network_named(network)
    weights = stored_group(stored, "var:", names)
    assert set(weights) == set(reference.group(stored, "var:"))
    assert len(names) - len(weights) == sum("start_share" in name for name in names)
    reference.assign(names, weights)
    x, labels = tf.constant(stored["x"]), tf.constant(stored["labels"])
    reference.close(network(x, training=False), stored["logits_eval"], 1e-5)
    variables = network.trainable_variables
    with tf.GradientTape() as tape:
        logits = network(x, training=True)
        loss = cross_entropy(labels, logits)
    reference.close(logits, stored["logits_train"], 1e-5)
    reference.close(loss, stored["loss"], 1e-5)
    if reference.group(stored, "grad:"):
        got = reference.arrays(names, variables, tape.gradient(loss, [v.value for v in variables]))
        gradients = stored_group(stored, "grad:", names)
        assert len(gradients) == len(reference.group(stored, "grad:"))
        reference.close(got, gradients, 2e-5)
        after = stored_group(stored, "after:", names)
        reference.close(reference.read(names, after), after, 1e-5)


@pytest.fixture(scope="module")
def supernet():
    """A supernet with the authors' weights, their values, and a function of an arc that was traced once."""
    stored = reference.load("enas/micro_supernet")
    network = shared.MicroSupernet(*sizes(stored), int(stored["num_cells"]))
    network.build(stored["x"].shape)
    names = supernet_named(network)
    variables = network.trainable_variables
    x, labels = tf.constant(stored["x"]), tf.constant(stored["labels"])

    @tf.function(input_signature=[tf.TensorSpec((2, network.blocks, 4), tf.int32)], autograph=False)
    def step(arc):
        with tf.GradientTape() as tape:
            logits = network(x, arc)
            loss = cross_entropy(labels, logits)
        gradients = tape.gradient(loss, [v.value for v in variables], unconnected_gradients="zero")
        return logits, loss, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def run(arc):
        logits, loss, gradients = step(arc)
        return logits, loss, reference.arrays(names, variables, gradients)

    reset(names, stored)
    return network, names, stored, run, step


def reset(names, stored):
    reference.assign(names, stored_group(stored, "var:", names))


def test_one_trace_serves_all_arcs(supernet):
    network, names, stored, run, step = supernet
    reset(names, stored)
    trained = {name for name in reference.group(stored, "var:") if "moving" not in name}
    assert trained == set(names)
    for number in range(reference.count(stored, r"arc\d+_arc$")):
        logits, loss, gradients = run(arcs_of(stored, f"arc{number}_arc"))
        reference.close(logits, stored[f"arc{number}_logits_train"], 1e-5)
        reference.close(loss, stored[f"arc{number}_loss"], 1e-5)
        if number == 0:
            reference.close(gradients, stored_group(stored, "arc0_grad:", names), 2e-5)
    assert step.experimental_get_tracing_count() == 1


def unselected(network, names, arc):
    """For each table of a `MicroSupernet`, by the authors' name, which of its rows an arc leaves unused."""
    result = {}
    for name, (variable, index) in names.items():
        layer = int(re.search(r"layer_(\d+)|$", name).group(1) or 0)
        cell = arc[int(network.cells[layer].halve is not None)]
        unused = np.zeros(np.asarray(variable.value)[index].shape[0], bool)
        if match := re.search(r"cell_(\d+)/([xy])/conv_(\d)", name):
            position = 2 * "xy".index(match[2])
            state, op = cell[int(match[1])][position : position + 2]
            unused[:] = True
            unused[state] = op != "35".index(match[3])
        elif name.endswith("final_conv/w"):
            unused[np.unique(cell[:, ::2])] = True
        result[name] = unused
    return result


@pytest.mark.parametrize("number", [1, 3])
def test_what_is_not_selected_is_neither_read_nor_trained(supernet, number):
    network, names, stored, run, _ = supernet
    reset(names, stored)
    arc = arcs_of(stored, f"arc{number}_arc")
    unused = unselected(network, names, arc)
    logits, loss, gradients = run(arc)
    for name, rows in unused.items():
        assert not gradients[name][rows].any(), name
        assert rows.all() or np.abs(gradients[name][~rows]).max() > 1e-9, name
    for name, rows in unused.items():
        values = reference.read(names, [name])
        values[name] = np.where(rows.reshape(-1, *[1] * (values[name].ndim - 1)), np.nan, values[name])
        reference.assign(names, values)
    assert sum(np.isnan(v).sum() for v in network.get_weights()) > 0
    again, loss_again, gradients_again = run(arc)
    np.testing.assert_array_equal(again, logits)
    for name in names:
        np.testing.assert_array_equal(gradients_again[name], gradients[name], name)


def test_an_arc_of_python_ints_is_built_without_choices(supernet):
    network, names, stored, run, _ = supernet
    reset(names, stored)
    arc = arcs_of(stored, "arc2_arc")
    x = tf.constant(stored["x"])
    child = tf.function(lambda x: network(x, arc=arc.tolist()), autograph=False).get_concrete_function(x)
    assert not any(op.type in ("Case", "StatelessCase") for op in child.graph.get_operations())
    np.testing.assert_allclose(child(x), run(arc)[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        network(x, tf.constant(arc), training=True), run(arc)[0], rtol=1e-5, atol=1e-6
    )  # eagerly
    assert network.genotype(arc) == MicroGenotype.from_arc(arc)


def test_dropout_factors_multiply_the_features(supernet):
    network, names, stored, _, _ = supernet
    x, arc = tf.constant(stored["x"]), arcs_of(stored, "arc0_arc").tolist()
    kept = np.random.default_rng(0).integers(0, 2, (len(x), network.features)).astype("float32")
    parts = [network(x, arc=arc, dropout=tf.constant(factors)) for factors in (kept, 1 - kept)]
    assert np.abs(parts[0] - parts[1]).max() > 1e-3
    np.testing.assert_allclose(parts[0] + parts[1], network(x, arc=arc), rtol=1e-4, atol=1e-5)


def test_start_of_the_tables_and_of_parallel_edges():
    cell = shared.SharedCell(20, 4, (20, 20), False)
    cell.build((None, 8, 8, 20), (None, 8, 8, 20))
    for table, fan_in in ((cell.tables[0], 180), (cell.tables[1], 20), (cell.tables[4], 500)):
        assert abs(np.asarray(table.value).std() / np.sqrt(2 / fan_in) - 1) < 0.08
    operation = operations.SepConv(5, 20, 1, 3)
    operation.build((None, 8, 8, 20))
    for kernel, fan_in in ((operation.depthwise_2, 500), (operation.pointwise_1, 20)):
        assert abs(np.asarray(kernel.value).std() / np.sqrt(2 / fan_in) - 1) < 0.08


LOOSE = [("sep_conv_3x3", 1), ("skip_connect", 1), ("max_pool_3x3", 2), ("avg_pool_3x3", 1)]


def test_an_unused_larger_input_is_halved():
    cells = MicroGenotype(LOOSE, LOOSE)
    assert cells.concat(True) == (0, 3)
    inputs = stack.AfterReLU(), stack.AfterReLU()
    reduction = final.fixed_cell(cells, 4, True, inputs)
    s0, s1 = np.random.default_rng(0).normal(size=(2, 3, 7, 8, 4)).astype("float32")
    y = reduction(tf.constant(s0), tf.constant(s1), training=True)
    assert y.shape == (3, 4, 4, 8)
    (edges,) = (edges for edges in reduction.edges if not edges.entries)
    kernels = np.asarray(edges.operation.conv_1.value)[0, 0], np.asarray(edges.operation.conv_2.value)[0, 0]
    shifted = np.pad(s0, [(0, 0), (0, 1), (0, 1), (0, 0)])[:, 1:, 1:]
    expected = np.concatenate([x[:, ::2, ::2] @ kernel for x, kernel in zip((s0, shifted), kernels)], -1)
    expected -= expected.mean((0, 1, 2))
    expected /= np.sqrt(expected.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(y[..., :4], expected, rtol=1e-4, atol=1e-5)
    normal = final.fixed_cell(cells, 4, False, inputs)  # where all maps have one size, it stays as it is
    np.testing.assert_array_equal(normal(tf.constant(s0), tf.constant(s1))[..., :4], s0)


@pytest.mark.parametrize("reduction", [False, True])
def test_drop_path_spares_skip_connections(reduction):
    cell = final.fixed_cell(MicroGenotype(LOOSE, LOOSE), 4, reduction, (stack.AfterReLU(), stack.AfterReLU()))
    s0, s1 = tf.random.stateless_normal((2, 3, 8, 8, 4), [1, 2])
    cell(s0, s1)
    (skip,) = (e.operation for e in cell.edges if 1 in e.entries)
    plain, dropped = skip(s1), cell(s0, s1, masks=tf.zeros((4, 3)))[..., 4:]
    assert not np.any(dropped)  # the second node has pools alone
    doubled = cell(s0, s1, masks=tf.constant([[0.0] * 3, [0.0] * 3, [2.0, 0.0, 1.0], [0.0] * 3]))[..., 4:]
    pooled = tf.nn.max_pool2d(plain, 3, 1, "SAME")  # the first node is the skip connection alone
    np.testing.assert_allclose(doubled, pooled * tf.reshape([2.0, 0.0, 1.0], (3, 1, 1, 1)), rtol=1e-5)


@pytest.fixture(scope="module")
def trained():
    """A small network with an auxiliary head for small, not square images, and values that none starts with."""
    cells = MicroGenotype(LOOSE, genotype.load("ENAS", "micro").reduce)
    network = final.MicroNetwork(cells, 3, 4, 1)
    network.build((None, 8, 12, 1))
    for variable in network.variables:
        variable.assign(variable + tf.random.stateless_uniform(variable.shape, [1, 2], 0.1, 0.2))
    return network, tf.random.stateless_normal((2, 8, 12, 1), [3, 4])


def test_training_form(trained):
    network, x = trained
    assert network.drop_path_shape == (3, 10)
    np.testing.assert_allclose(network.drop_path_share, [1 / 3, 2 / 3, 1])
    assert network(x, training=False).shape == (2, 3)
    factors = tf.ones((*network.drop_path_shape, 2))
    logits, auxiliary = network(x, training=True)
    assert logits.shape == auxiliary.shape == (2, 3)
    np.testing.assert_array_equal(network(x, drop_path=factors, training=True)[0], logits)
    assert np.abs(network(x, drop_path=2 * factors, training=True)[0] - logits).max() > 1e-3
    twice = network(x, dropout=tf.fill((2, network.features), 2.0), training=True)
    np.testing.assert_allclose(twice[0], 2 * logits, rtol=1e-5)
    np.testing.assert_array_equal(twice[1], auxiliary)


def test_a_saved_network_is_the_same(trained, tmp_path):
    network, x = trained
    network.save(tmp_path / "model.keras")
    loaded = saved.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, final.MicroNetwork) and loaded.genotype == network.genotype
    np.testing.assert_array_equal(loaded(x, training=False), network(x, training=False))
    with pytest.raises(ValueError, match="are fixed"):
        saved.load_model(tmp_path / "model.keras", "regular")


def test_parameters(zero_start):
    (layers, channels), count = reference.numbers(COUNTS, r"micro_final_(\d+)_layers_(\d+)_filters")
    network = final.MicroNetwork(genotype.load("ENAS", "micro"), 10, channels, layers)
    network.build((None, 32, 32, 3))
    auxiliary = cost.count_parameters([network.auxiliary_head])
    assert auxiliary == COUNTS["micro_final_auxiliary_head_extra"]
    assert cost.count_parameters([network]) - auxiliary == count
    found, count = reference.numbers(COUNTS, r"micro_search_supernet_(\d+)_layers_(\d+)_filters_(\d+)_cells")
    supernet = shared.MicroSupernet(10, *found)
    supernet.build((None, 32, 32, 3))
    assert cost.count_parameters([supernet]) == count
