import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.support import reference
from tests.support.build import training as Training
from tfdarts import cost
from tfdarts import operations as space
from tfdarts.layers import choices
from tfdarts.layers.cell import Cell
from tfdarts.layers.dropout import dropout_factors
from tfdarts.spaces import genotypes as genotype
from tfdarts.spaces.conv.genotype import ConvGenotype
from tfdarts.spaces.conv.network import EvaluationNetwork, fixed_edges
from tfdarts.spaces.conv.supernet import Supernet

FORMS = {"NetworkCIFAR": "cifar", "NetworkImageNet": "imagenet"}
COUNTS = [
    entry
    for entry in reference.load("param_counts.json")["networks"]
    if entry.get("genotype_name") != "Att_DARTS" or entry["classes"] != 100
]


@pytest.fixture(scope="module", params=reference.names("evalnet/*.npz"))
def case(request):
    """A network with the reference's weights, and the reference's values."""
    stored, about = reference.load(request.param), reference.load(request.param + ".json")
    cells, sizes = ConvGenotype(**about["genotype"]), (about["num_classes"], about["C"], about["layers"])
    network = EvaluationNetwork(cells, *sizes, auxiliary=True, network=FORMS[about["network"]])
    network.build((None, *stored["input"].shape[1:]))
    names = reference.named(network)
    return network, names, stored, about


def reset(network, names, stored):
    reference.assign(names, reference.group(stored, "weights/") | reference.group(stored, "state/"))


def loss_of(labels, logits):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def test_logits_losses_gradients_statistics(case):
    network, names, stored, about = case
    reset(network, names, stored)
    x, labels = tf.constant(stored["input"]), tf.constant(stored["labels"])
    reference.close(network(x, training=False), stored["eval_logits"], 1e-4)
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits, auxiliary = network(x, training=True)
        losses = loss_of(labels, logits), loss_of(labels, auxiliary)
        total = losses[0] + about["auxiliary_weight"] * losses[1]
    variables = network.trainable_variables
    grad_input, gradients = tape.gradient(total, [x, [v.value for v in variables]])
    for got, name in ((logits, "logits"), (auxiliary, "logits_aux"), (losses[0], "loss"), (losses[1], "loss_aux")):
        reference.close(got, stored["train_" + name], 1e-4, name)
    reference.close(total, stored["train_loss_total"], 1e-4, "total")
    got = reference.arrays(names, variables, gradients)
    if stored_gradients := reference.group(stored, "grad_weights/"):
        reference.close(got, stored_gradients, 1e-3)
    norms = {name: np.linalg.norm(gradient) for name, gradient in got.items()}
    reference.close(norms, reference.group(about["grad_l2"], ""), 1e-3)
    if "grad_input" in stored:
        reference.close(grad_input, stored["grad_input"], 1e-3)
    if after := reference.group(stored, "state_after/"):
        reference.close(reference.read(names, after), after, 1e-4)


def test_drop_path_with_the_given_masks(case):
    network, names, stored, _ = case
    reset(network, names, stored)
    masks = np.ones((*network.drop_path_shape, len(stored["labels"])), np.float32)
    for name, mask in reference.group(stored, "drop_path/masks/cells/").items():
        cell, _, entry = name.split("/")
        masks[int(cell), int(entry)] = mask
    factors = tf.constant(masks / (1 - stored["drop_path/prob"]))
    logits, auxiliary = network(tf.constant(stored["input"]), drop_path=factors, training=True)
    reference.close(logits, stored["drop_path/train_logits"], 1e-4)
    reference.close(auxiliary, stored["drop_path/train_logits_aux"], 1e-4)


@pytest.mark.parametrize("reduction,source,kept", [(False, 0, True), (True, 0, False), (True, 2, True)])
def test_drop_path_spares_the_identity_alone(reduction, source, kept):
    # DARTS_V2 has no skip connection of stride 2, so that the reference's masks do not tell.
    ops = ("skip_connect", "max_pool_3x3", "sep_conv_3x3", "dil_conv_3x3")
    entries = tuple((op, state) for state in (0, 1, 2) for op in ops[:2]) + ((ops[2], 0), (ops[3], 2))
    layers = fixed_edges(space.load("regular"), ConvGenotype(entries, (5,), entries, (5,)), 4, reduction)[source]
    x, masks = tf.random.normal((2, 8, 8, 4)), np.ones((len(entries), 2), np.float32)
    masks[:, 1] = 0  # every edge of the second image
    assert len(layers) >= 2
    for layer in layers:
        ((_, plain),), ((_, y),) = layer(x), layer(x, masks=tf.constant(masks))
        identity = kept and entries[layer.entries[0]][0] == "skip_connect"
        np.testing.assert_array_equal(y[0], plain[0])
        np.testing.assert_array_equal(y[1], plain[1] if identity else tf.zeros_like(plain[1]))


def test_dropout_factors():
    factors = np.array(dropout_factors((3, 8, 500), 0.25, [1, 2]))
    np.testing.assert_allclose(np.unique(factors), [0.0, 1 / 0.75])
    assert abs(factors.mean() - 1) < 0.03
    np.testing.assert_array_equal(dropout_factors((3, 8, 5), 0.0, [1, 2]), np.ones((3, 8, 5)))


@pytest.mark.parametrize("entry", COUNTS, ids=lambda n: f"{n['network']}-{n.get('genotype_name')}-{n['channels']}")
def test_parameters_and_multiply_adds(entry, zero_start):
    shape = (224, 224, 3) if entry["network"] == "imagenet" else (32, 32, 3)
    sizes = entry["classes"], entry["channels"], entry["layers"]
    if entry["network"] == "search":
        operations = space.load("regular", location=entry.get("attention_location", "no_attention"))
        network = Supernet(operations, *sizes, nodes=entry["nodes"], multiplier=entry["concatenated_nodes"])
        mixing = {name: tf.ones(choices.shape(table)) for name, table in network.choices.items()}

        def forward(x):
            return network(x, mixing, training=False)
    else:
        cells = ConvGenotype(**entry["genotype"])
        if entry["genotype_name"] in genotype.names():
            assert genotype.load(entry["genotype_name"]) == cells
        network = EvaluationNetwork(cells, *sizes, True, entry["network"])

        def forward(x):
            return network(x, training=False)

    network.build((None, *shape))
    total = cost.count_parameters([network])
    if entry["network"] != "search":
        assert total == entry["parameters_including_auxiliary"]
        total -= cost.count_parameters([network.auxiliary_head])
    assert total == entry["parameters"]
    products = 0
    if entry.get("genotype_name") == "Att_DARTS" or "attention_location" in entry:
        if entry["channels"] > 16 or entry["network"] == "search":
            return  # tracing takes long, and the small network has every module
        # One DoubleAttention per cell; the reference leaves its products of two maps out. As large in every cell.
        products = 2 * math.prod(shape[:2]) * (entry["channels"] // 4) ** 2 * entry["layers"]
    assert cost.multiply_adds(forward, shape) == entry["multiply_adds"] + products


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (48, 64, 4), (33, 31, 3)])
def test_any_image_size_trains_with_the_auxiliary_head(shape):
    network = EvaluationNetwork(genotype.load("DARTS_V2"), 3, 4, 3, auxiliary=True)
    network.build((None, *shape))
    training = Training(network, drop_path_prob=0.1, epochs=2)
    training.epoch.assign(1)
    result = training.train_step((tf.random.normal((4, *shape)), tf.constant([0, 1, 2, 0])))
    assert np.isfinite(float(result["loss"]))


def test_saved_networks_open_after_importing_tfdarts_alone(tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 64, 64, 1)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    networks = {}
    for name, form in (("NASNet", "cifar"), ("AmoebaNet", "cifar"), ("DARTS_V2", "imagenet")):
        networks[name] = network = EvaluationNetwork(genotype.load(name), 3, 4, 3, auxiliary=True, network=form)
        network.build((None, 64, 64, 1))
        for variable in network.variables:  # values that a freshly initialised network does not have
            variable.assign(variable + tf.random.stateless_uniform(variable.shape, [1, 2], 0.1, 0.2))
        network.save(tmp_path / f"{name}.keras")
    code = (
        f"import tfdarts, keras, os, numpy as np; os.chdir(r'{tmp_path}'); x = np.load('x.npy')\n"
        f"for name in {list(networks)}:\n"
        "    np.save(name, keras.saving.load_model(name + '.keras')(x, training=False))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    for name, network in networks.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}.npy"), network(x, training=False), name)


FAIR, FAIR_CELLS = (reference.load(f"strategies/fairdarts/{name}") for name in ("cell", "cell.json"))


@pytest.mark.parametrize("about", FAIR_CELLS["cases"], ids=lambda about: about["name"])
def test_cells_with_any_number_of_inputs(about, float64):
    stored, reduction, channels = reference.group(FAIR, about["name"] + "/"), about["reduction"], about["channels"]
    fields = {"normal": about["entries"], "normal_concat": [2, 3, 4, 5]}
    genotypes = genotype.from_dict(fields | {"reduce": about["entries"], "reduce_concat": [2, 3, 4, 5]})
    assert list(genotypes.concat(reduction)) == about["concatenated_nodes"]
    operations = space.load("regular")
    inputs = [operations.preprocess(channels, halve, True) for halve in (about["previous_reduction"], False)]
    edges = fixed_edges(operations, genotypes, channels, reduction)
    cell = Cell(channels, edges, genotypes.concat(reduction), len(genotypes.inputs(reduction)), *inputs)
    s0, s1 = (tf.constant(stored[name], tf.float64) for name in ("s0", "s1"))
    cell(s0, s1, training=True)
    values = reference.group(stored, "weights/")
    for k, ((op, source, _), node) in enumerate(zip(genotypes.edges(reduction), genotypes.nodes(reduction))):
        theirs = f"edges/({node},{source})/{op}/"
        values |= {f"ops/{k}/{name}": value for name, value in reference.group(values, theirs).items()}
    reference.assign(
        reference.named_cell(cell), {name: value for name, value in values.items() if not name.startswith("edges/")}
    )
    reference.close(cell(s0, s1, training=True), stored["output"], 1e-10)


def test_drop_path_drops_all_that_leads_to_a_node():
    entries = [["sep_conv_3x3", 2, 0], ["skip_connect", 2, 0], ["skip_connect", 4, 1]]
    fields = {"normal": entries, "normal_concat": [2, 4], "reduce": entries, "reduce_concat": [2, 4]}
    layers = fixed_edges(space.load("regular"), genotype.from_dict(fields), 4, False)
    assert [layer.dropped_by for state in layers for layer in state] == [(0,), (0,), (2,)]
    x, masks = tf.random.normal((2, 8, 8, 4)), tf.constant([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    ((_, y),) = layers[0][1](x, masks=masks)
    np.testing.assert_array_equal(y, [x[0], tf.zeros_like(x[1])])


PUBLISHED = reference.load("strategies/published.json")["trainable_parameters_without_auxiliary_head_and_architecture"]
SHIPPED = {"SDARTS_c10_s5_random": "SDARTS_RS", "SDARTS_c10_s5_pgd": "SDARTS_ADV"}  # by other names
OTHERS = {  # not in that file: what we count; FairDARTS's authors note 3.36 and 2.66 million for the first two
    "GDAS_V1, cifar, C 36, 20 cells, 10 classes": 3368782,
    "SNAS, cifar, C 36, 20 cells, 10 classes": 2661382,
    "DrNAS_cifar10, cifar, C 36, 20 cells, 10 classes": 4099294,
    "DrNAS_imagenet, imagenet, C 48, 14 cells, 1000 classes": 5726368,
}
QUICK = ("PDARTS, cifar", "FairDARTS_a", "FairDARTS_c", "SDARTS_c10_s5_pgd")


@pytest.mark.parametrize(
    "about",
    [
        pytest.param(about, marks=[] if about.startswith(QUICK) else pytest.mark.slow)
        for about in [*PUBLISHED, *OTHERS]
        if "search" not in about
    ],
)
def test_published_cells(about, zero_start):
    name, form, *sizes = about.split(", ")
    channels, layers, classes = (next(int(word) for word in size.split() if word.isdigit()) for size in sizes)
    cells = genotype.load(SHIPPED.get(name, name))
    network = EvaluationNetwork(cells, classes, channels, layers, network=form)
    network.build((None, 32, 32, 3) if form == "cifar" else (None, 224, 224, 3))
    count = sum(math.prod(variable.shape) for variable in network.trainable_variables)
    assert count == (PUBLISHED | OTHERS)[about]
