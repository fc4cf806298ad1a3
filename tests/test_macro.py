import re

import numpy as np
import pytest
import tensorflow as tf

import tfdarts
from tests.support import reference
from tfdarts import cost, spaces
from tfdarts import saving as saved
from tfdarts.spaces import genotypes as genotype
from tfdarts.spaces.macro.genotype import MACRO_OPS, MacroGenotype
from tfdarts.spaces.macro.network import MacroNetwork
from tfdarts.spaces.macro.shared import Entries, MacroSupernet

FIXED, SEARCH = reference.load("enas/macro_fixed"), reference.load("enas/macro_supernet")
TOLERANCE = 2e-5


def with_norm(prefix, layer, kernels):
    """A layer's kernels and its BatchNorm's variables under their reference names."""
    bn = {"scale": "gamma", "offset": "beta", "moving_mean": "moving_mean", "moving_variance": "moving_variance"}
    result = {f"{prefix}/{theirs}": (getattr(layer, ours), ...) for theirs, ours in kernels.items()}
    norm = getattr(layer, "bn", layer)
    return result | {f"{prefix}/bn/{theirs}": (getattr(norm, ours), ...) for theirs, ours in bn.items()}


def common_names(network):
    """What both networks have: stem, reductions, classifier."""
    names = with_norm("child/stem_conv", network.stem, {"w": "kernel"}) | {
        "child/fc/w": (network.classifier.kernel, ...)
    }
    for k, halving in enumerate(network.reductions):
        for q, layer in enumerate(halving):
            prefix = f"child/layer_{k}/pool_at_{k}/from_{q}"
            names |= with_norm(prefix, layer, {"path1_conv/w": "conv_1", "path2_conv/w": "conv_2"})
    return names


def fixed_names(network):
    names = common_names(network)
    for k, layer in enumerate(network.stack):
        size = layer.convolution.size
        names |= with_norm(f"child/layer_{k}/conv_1x1", layer.entry, {"w": "kernel"})
        names |= with_norm(f"child/layer_{k}/conv_{size}x{size}", layer.convolution, {"w": "kernel"})
        if k:
            names |= with_norm(f"child/layer_{k}/skip", layer.join, {"w": "kernel"})
    return names


def search_names(supernet):
    names = common_names(supernet)

    def table(prefix, layer, row):
        statistics = {"moving_mean": 0, "moving_variance": 1}
        found = {prefix + name: (layer.statistics, (row, part)) for name, part in statistics.items()}
        return found | {prefix + "scale": (layer.gamma, row), prefix + "offset": (layer.beta, row)}

    for k, operation in enumerate(supernet.operations):
        for row, op in enumerate(MACRO_OPS):
            prefix = f"child/layer_{k}/branch_{row}/"
            first = prefix + ("conv_1/" if "pool" in op else "inp_conv_1/")
            names |= {first + "w": (operation.entry, row)} | table(first + "bn/", operation.norm, row)
            if "pool" not in op:
                second = f"{prefix}out_conv_{op[-1]}/"
                names |= table(second + "bn/", operation, row)
                kernels = operation.kernels[row]
                known = ("w",) if len(kernels) == 1 else ("w_depth", "w_point")
                names |= {second + name: (kernel, ...) for name, kernel in zip(known, kernels)}
        if k:
            names |= with_norm(f"child/layer_{k}/skip", supernet.norms[k - 1], {})
    return names


def part(arrays, prefix):
    """The arrays below a prefix, 1x1 kernels as ours are."""
    found = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
    return {name: value.T[None, None] if name.endswith("w_point") else value for name, value in found.items()}


def arc_of(numbers):
    """A text of numbers as arrays `(ops, skips)`."""
    cells = MacroGenotype.from_numbers(" ".join(map(str, numbers)))
    skips = np.zeros((len(cells.layers),) * 2, bool)
    for layer, (_, entries) in enumerate(cells.layers):
        skips[layer, list(entries)] = True
    return np.array([MACRO_OPS.index(op) for op, _ in cells.layers], np.int32), skips


ARCS = [arc_of(SEARCH[f"arc{i}_arc"]) for i in range(reference.count(SEARCH, r"arc\d+_arc$"))]


def loss_and_gradients(call, variables, labels):
    with tf.GradientTape() as tape:
        logits = call()
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    return logits, loss, tape.gradient(loss, [v.value for v in variables], unconnected_gradients="zero")


def reset(layers, names, stored):
    for layer in layers:
        for variable in layer.variables:
            if variable.name == "start_share":
                variable.assign(tf.ones_like(variable))
    reference.assign(names, part(stored, "var:"))


@pytest.fixture(scope="module")
def searched():
    """A supernet, its names, and its compiled training and test."""
    supernet = MacroSupernet(
        SEARCH["arc0_logits_eval"].shape[-1], int(SEARCH["num_layers"]), int(SEARCH["out_filters"])
    )
    supernet.build((None, *SEARCH["x"].shape[1:]))
    variables = supernet.trainable_variables

    @tf.function(autograph=False)
    def train(x, labels, arc):
        return loss_and_gradients(lambda: supernet(x, arc, training=True), variables, labels)

    @tf.function(autograph=False)
    def test(x, arc):
        return supernet(x, arc, training=False)

    return supernet, search_names(supernet), train, test


def run(searched, i):
    """Logits and gradients by name of the i-th architecture, from the stored weights."""
    supernet, names, train, _ = searched
    reset([supernet], names, SEARCH)
    logits, loss, gradients = train(SEARCH["x"], SEARCH["labels"], tuple(map(tf.constant, ARCS[i])))
    return logits, loss, reference.arrays(names, supernet.trainable_variables, gradients)


def unselected(names, ops):
    """The names of branches that an architecture does not run."""
    found = {name: re.match(r"child/layer_(\d+)/branch_(\d+)/", name) for name in names}
    return {name for name, at in found.items() if at and ops[int(at[1])] != int(at[2])}


@pytest.mark.parametrize("i", range(len(ARCS)))
def test_the_supernet_is_the_authors_with_the_sampled_branch(searched, i):
    supernet, names, train, test = searched
    reset([supernet], names, SEARCH)
    logits = test(SEARCH["x"], tuple(map(tf.constant, ARCS[i])))
    reference.close(logits, SEARCH[f"arc{i}_logits_eval"], TOLERANCE, "eval")
    logits, loss, gradients = run(searched, i)
    reference.close(logits, SEARCH[f"arc{i}_logits_train"], TOLERANCE, "train")
    reference.close(loss, SEARCH[f"arc{i}_loss"], TOLERANCE, "loss")
    left = unselected(names, ARCS[i][0])
    assert all(not gradients[name].any() for name in left & set(gradients)) and len(left) > len(names) / 2
    if i == 0:
        reference.close(gradients, part(SEARCH, "arc0_grad:"), TOLERANCE, "gradient")
        after = part(SEARCH, "arc0_after:")
        reference.close(reference.read(names), {n: v for n, v in after.items() if n not in left}, TOLERANCE, "after")
        before = part(SEARCH, "var:")
        for name, value in reference.read(names, left & set(after)).items():
            np.testing.assert_array_equal(value, before[name])
    assert train.experimental_get_tracing_count() == test.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("i", range(len(ARCS)))
def test_gradients_are_those_of_the_network_of_this_architecture_alone(searched, i):
    supernet, names, *_ = searched
    _, _, gradients = run(searched, i)
    after = reference.read(names)
    reset([supernet], names, SEARCH)
    arc = tuple(values.tolist() for values in ARCS[i])
    variables = supernet.trainable_variables
    _, _, plain = loss_and_gradients(lambda: supernet(SEARCH["x"], arc=arc, training=True), variables, SEARCH["labels"])
    reference.close(gradients, reference.arrays(names, variables, plain), TOLERANCE, "gradient")
    reference.close(after, reference.read(names), TOLERANCE, "after")


def test_what_is_not_selected_does_not_run(searched):
    supernet, names, train, _ = searched
    logits, _, expected = run(searched, 0)
    left = unselected(names, ARCS[0][0])
    reset([supernet], names, SEARCH)
    reference.assign(names, {name: np.full_like(value, np.nan) for name, value in reference.read(names, left).items()})
    poisoned, _, gradients = train(SEARCH["x"], SEARCH["labels"], tuple(map(tf.constant, ARCS[0])))
    np.testing.assert_array_equal(poisoned, logits)
    for name, value in reference.arrays(names, supernet.trainable_variables, gradients).items():
        np.testing.assert_array_equal(value, expected[name])


def test_the_final_network_is_the_authors():
    cells = MacroGenotype.from_numbers(" ".join(map(str, FIXED["arc"])))
    network = MacroNetwork(cells, FIXED["logits_eval"].shape[-1], int(FIXED["out_filters"]))
    network.build((None, *FIXED["x"].shape[1:]))
    names = fixed_names(network)
    reset([network], names, FIXED)
    reference.close(network(FIXED["x"], training=False), FIXED["logits_eval"], TOLERANCE, "eval")
    variables = network.trainable_variables
    logits, loss, gradients = loss_and_gradients(lambda: network(FIXED["x"], training=True), variables, FIXED["labels"])
    reference.close(logits, FIXED["logits_train"], TOLERANCE, "train")
    reference.close(loss, FIXED["loss"], TOLERANCE, "loss")
    got = reference.arrays(names, variables, gradients)
    assert len(got) == len(part(FIXED, "grad:"))
    reference.close(got, part(FIXED, "grad:"), TOLERANCE, "gradient")
    reference.close(reference.read(names), part(FIXED, "after:"), TOLERANCE, "after")


def test_sizes_of_the_authors_networks(zero_start):
    counts = reference.load("enas/param_counts.json")
    (layers, filters), count = reference.numbers(counts, r"macro_final_(\d+)_layers_(\d+)_filters")
    network = MacroNetwork(genotype.load("ENAS", "macro"), 10, filters)
    assert len(network.genotype.layers) == layers
    network.build((None, 32, 32, 3))
    assert cost.count_parameters([network]) == count
    sizes, count = reference.numbers(counts, r"macro_search_supernet_(\d+)_layers_(\d+)_filters_6_branches")
    supernet = MacroSupernet(10, *sizes)
    supernet.build((None, 32, 32, 3))
    assert cost.count_parameters([supernet]) == count


def test_the_rows_of_dropout_are_factors_before_the_classifier(searched):
    supernet, names, *_ = searched
    reset([supernet], names, SEARCH)
    arc = tuple(values.tolist() for values in ARCS[-1])

    def logits(dropout):
        return np.array(supernet(SEARCH["x"], arc=arc, dropout=dropout, training=False))

    plain, left = logits(None), np.arange(supernet.features) % 2 * np.ones((len(SEARCH["x"]), 1), np.float32)
    odd, even = logits(tf.constant(2 * left)), logits(tf.constant(2 - 2 * left))
    np.testing.assert_allclose((odd + even) / 2, plain, rtol=1e-4, atol=1e-5)
    assert np.abs(odd - plain).max() > 0.1


POOLING = MacroGenotype((("avg_pool_3x3", ()), ("max_pool_3x3", (0,)), ("sep_conv_5x5", (0, 1)), ("conv_3x3", ())))


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 10, 3)])
def test_any_image_size_and_pooling_too(shape, tmp_path):
    network = MacroNetwork(POOLING, 3, 4)
    network.build((None, *shape))
    x, labels = tf.random.normal((4, *shape)), tf.constant([0, 1, 2, 0])
    ones = tf.ones((4, network.features))
    variables = network.trainable_variables
    logits, _, gradients = loss_and_gradients(lambda: network(x, dropout=ones, training=True), variables, labels)
    assert logits.shape == (4, 3) and network.features == 16
    assert all(np.isfinite(gradient).all() and np.any(gradient) for gradient in gradients)
    network.save(tmp_path / "model.keras")
    loaded = saved.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x, training=False), network(x, training=False))
    assert loaded.genotype == POOLING
    with pytest.raises(ValueError, match="--ops regular"):
        saved.load_model(tmp_path / "model.keras", "regular")


def test_importing_tfdarts_is_enough_to_open_any_saved_network():
    known = {spaces.load(name).network_class for name in spaces.NAMES}
    assert known < {getattr(tfdarts, name) for name in tfdarts.__all__}


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 10, 3)])
def test_a_supernet_of_any_depth_and_image_size(shape):
    supernet = MacroSupernet(3, 3, 4)
    supernet.build((None, *shape))
    arc = tf.constant([4, 5, 1]), tf.constant(np.tril(np.ones((3, 3), bool), -1))
    assert supernet(tf.ones((2, *shape)), arc, training=False).shape == (2, 3)
    assert supernet.genotype([part.numpy() for part in arc]) == MacroGenotype(
        ((MACRO_OPS[4], ()), (MACRO_OPS[5], (0,)), (MACRO_OPS[1], (0, 1)))
    )


@pytest.mark.parametrize("selected", [(), (2,), (0, 3), (0, 1, 2, 3)])
def test_a_sum_of_entries_reads_the_selected_alone(selected, floatx):
    generator = np.random.default_rng(0)
    maps = [generator.normal(size=(2, 3, 3, 2)).astype(floatx) for _ in range(5)]
    for q in {0, 1, 2, 3} - set(selected):
        maps[q][:] = np.nan  # times zero it would show
    weights = tf.constant(generator.normal(size=(2, 3, 3, 2)).astype(floatx))
    bits = tf.constant([q in selected for q in range(4)])

    @tf.function(autograph=False)
    def add(maps, bits):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            total = Entries(maps).add(bits, maps[-1])
            result = tf.reduce_sum(weights * total)
        return total, tape.gradient(result, maps)

    total, gradients = add([tf.constant(x) for x in maps], bits)
    np.testing.assert_allclose(total, sum(maps[q] for q in (*selected, 4)), rtol=1e-5, atol=1e-6)
    for q, gradient in enumerate(gradients):
        np.testing.assert_array_equal(gradient, weights if q in (*selected, 4) else tf.zeros_like(weights))
