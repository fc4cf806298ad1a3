"""The search for attention modules (Att-DARTS) against the reference's cells, network and genotypes."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from tests.support import build, reference
from tests.support.build import training as Training
from tfdarts import operations as space
from tfdarts import optimizers
from tfdarts.operations import LOCATIONS
from tfdarts.spaces import genotypes as genotype
from tfdarts.spaces.conv.genotype import ConvGenotype
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.conv.supernet import Supernet

TABLES = {"alphas": "{}", "betas": "{}_after", "gammas": "{}_end"}


def mixing_of(raw, kind):
    """Tables of mixing weights from the reference's raw parameters by their names there."""
    return {
        TABLES[name].format(kind): tf.nn.softmax(value if value.shape.rank == 2 else value[None])
        for name, value in raw.items()
    }


# Parallel edges run as grouped convolutions in float32 and as block-diagonal ones in float64.
CELLS = [(location, kind, "float32") for location in LOCATIONS for kind in ("normal", "reduction")]
CELLS += [("after_every_and_end", kind, "float64") for kind in ("normal", "reduction")]


@pytest.mark.parametrize("location,kind,floatx", CELLS, indirect=["floatx"])
def test_cell_matches_reference(location, kind, floatx):
    stored = reference.group(reference.load(f"attsearch/cell_{location}"), kind + "/")
    tolerance = 1e-5 if floatx == "float32" else 1e-6
    nodes, channels = reference.nodes_of(len(stored["alphas"])), stored["weights/preprocess0/conv"].shape[-1]
    concatenated = stored["cotangent"].shape[-1] // channels
    operations = space.load("regular", location=location)
    if kind == "normal":  # so that the first cell is of the kind, and has these channels
        net = Supernet(operations, 1, channels, 3, nodes=nodes, multiplier=concatenated)
    else:
        net = Supernet(operations, 1, channels // 2, 1, nodes=nodes, multiplier=concatenated)
    s0, s1, cotangent = (tf.constant(stored[name], floatx) for name in ("s0", "s1", "cotangent"))
    raw = {name: tf.constant(stored[name], floatx) for name in TABLES if name in stored}
    cell, ours = net.cells[0], "normal" if kind == "normal" else "reduce"
    cell(s0, s1, weights=net._by_source(mixing_of(raw, ours), ours), training=False)
    names, weights = reference.named_cell(cell), reference.group(stored, "weights/")
    assert {name for name, (variable, _) in names.items() if variable.trainable} == set(weights)
    reference.assign(names, weights)
    with tf.GradientTape() as tape:
        tape.watch([s0, s1, raw])
        output = cell(s0, s1, weights=net._by_source(mixing_of(raw, ours), ours), training=True)
        total = tf.reduce_sum(output * cotangent)
    gradients = tape.gradient(total, {"s0": s0, "s1": s1, **raw})
    reference.close(output, stored["output"], tolerance, "output")
    for name, gradient in gradients.items():
        reference.close(gradient, stored[f"grad_{name}"], tolerance, name)


def test_network_matches_reference():
    stored, about = (reference.load("attsearch/network_after_every" + ending) for ending in ("", ".json"))
    tolerance = 1e-5
    operations = space.load("regular", location=about["location"])
    sizes = about["num_classes"], about["C"], about["layers"]
    net = Supernet(operations, *sizes, nodes=about["steps"], multiplier=about["multiplier"])
    images, labels = tf.constant(stored["input"]), tf.constant(stored["labels"])
    net.build(images.shape)
    names = reference.named(net)
    reference.assign(names, reference.group(stored, "weights/"))
    darts = build.search(net)
    assert list(darts.shapes) == ["normal", "reduce", "normal_after", "reduce_after"]
    tables = [f"{name}_{kind}" for name in ("alphas", "betas") for kind in ("normal", "reduce")]
    alphas = tf.constant(np.concatenate([stored[table].ravel() for table in tables]))
    weights = optimizers.flatten(net.trainable_variables)
    gradient, gradient_alphas, (result, _) = darts.both_gradients(weights, alphas, build.inputs((images, labels)))
    loss, logits = result.loss, result.logits
    reference.close(logits, stored["train_logits"], tolerance)
    reference.close(loss, stored["train_loss"], tolerance)
    by_variable = optimizers.unflatten(gradient, net.trainable_variables)
    gradients = reference.arrays(names, net.trainable_variables, by_variable)
    reference.close(gradients["stem/conv"], stored["grad_stem_conv"], tolerance)
    sizes = [stored[table].size for table in tables]
    for table, part in zip(tables, np.split(np.array(gradient_alphas), np.cumsum(sizes)[:-1])):
        reference.close(part.reshape(stored[table].shape), stored[f"grad_{table}"], tolerance, table)
    derived = darts.mixing_of(alphas)
    assert net.genotype(derived) == ConvGenotype(**about["genotype"])


@pytest.mark.parametrize("case", reference.load("attsearch/genotypes.json")["cases"], ids=lambda case: case["location"])
def test_derived_genotypes(case):
    nodes, concatenated = (len(case["genotype"][field]) for field in ("normal", "normal_concat"))
    net = Supernet(space.load("regular", location=case["location"]), 1, 2, 1, nodes // 2, concatenated)
    mixing = {}
    for kind in ("normal", "reduce"):
        raw = {name: tf.constant(case[f"{name}_{kind}"]) for name in TABLES if f"{name}_{kind}" in case}
        mixing |= mixing_of(raw, kind)
    assert set(mixing) == set(net.choices)
    assert net.genotype(mixing) == ConvGenotype(**case["genotype"])


@pytest.mark.parametrize("location", [name for name in LOCATIONS if name != "no_attention"])
def test_both_orders_reach_every_table_and_the_genotype_trains(location, eagerly):
    few, operations = ("none", "skip_connect", "sep_conv_3x3"), space.load("regular", location=location)
    few = {
        part: tuple(name for name in getattr(operations, part) if name in (*few, *operations.attention))
        for part in ("searched", "after")
    }
    net = Supernet(dataclasses.replace(operations, **few), 3, channels=2, layers=3, nodes=1, multiplier=1)
    net.build((None, 7, 9, 1))
    darts = build.search(net)
    batch = tf.random.stateless_normal((4, 7, 9, 1), [1, 2]), tf.constant([0, 1, 2, 0])
    for order in ("first", "second"):
        darts.order = order
        gradient, _ = darts.hypergradient(
            optimizers.flatten(net.trainable_variables), build.inputs(batch), build.inputs(batch)
        )
        sizes = [np.prod(shape) for shape in darts.shapes.values()]
        for name, part in zip(darts.shapes, tf.split(gradient, sizes)):
            assert np.isfinite(part).all() and np.abs(part).max() > 0, name
    found = darts.genotype()
    assert genotype.from_dict(json.loads(found.to_json())) == found
    network = EvaluationNetwork(found, 3, 2, 2)
    network.build((None, 7, 9, 1))
    training = Training(network, drop_path_prob=0.2, epochs=1)
    assert np.isfinite(float(training.train_step(batch)["loss"]))


@pytest.mark.parametrize("location", ["end", "mixed_with_operation"])
def test_the_command_lines_search_and_train_without_a_further_flag(location, tmp_path, command):
    tiny = ["--recipe", "digits", "--init_channels", "2", "--layers", "1", "--epochs", "1", "--batch_size", "700"]
    tiny += ["--logdir", tmp_path]
    command("search_cell.py", *tiny, "--nodes", "1", "--multiplier", "1", "--nounrolled", "--location", location)
    (made,) = (tmp_path / "search_arch").iterdir()
    found = json.loads((made / "genotype.json").read_text())
    assert ("normal_bottleneck" in found) == (location == "end")
    command("train.py", *tiny, "--arch_path", made / "genotype.json")
    assert len(list(tmp_path.glob("eval_arch/*/model.keras"))) == 1
