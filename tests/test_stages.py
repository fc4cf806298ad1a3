"""Searches in stages (P-DARTS, DrNAS): what each keeps, the cell in the end, dropout, going on to the same bits."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.support import build, reference
from tests.support.jobs import CONV, StopAt, assign_state, job_of
from tfdarts import operations, optimizers, recipes
from tfdarts.errors import UserError
from tfdarts.layers import edges as edge_layers
from tfdarts.layers.choices import Choice
from tfdarts.options import OptionError
from tfdarts.runs.callbacks import Stopped
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.strategies import stages
from tfdarts.strategies.parts import p_darts

REGULAR = operations.load("regular")
KINDS = ("normal", "reduce")
SEARCHES = reference.load("strategies/pdarts/searches.json")["cases"]
ABOUT, STORED = reference.load("strategies/pdarts/config.json"), reference.load("strategies/pdarts/supernet")


def probabilities(stage, kind):
    return [np.exp(row) / np.exp(row).sum() for row in map(np.array, stage[f"alphas_{kind}"])]


def table(stage, kind):
    return tuple(Choice(str(row), tuple(names)) for row, names in enumerate(stage[f"candidates_{kind}"]))


@pytest.mark.parametrize("case", SEARCHES, ids=lambda case: case["kind"])
def test_what_every_stage_keeps_and_the_cell_in_the_end(case):
    last = case["stages"][-1]
    for kind in KINDS:
        for stage, after in zip(case["stages"], case["stages"][1:]):
            found = after[f"candidates_{kind}"]
            for row, names, kept in zip(probabilities(stage, kind), stage[f"candidates_{kind}"], found, strict=True):
                assert stages.strongest(row, names, len(kept)) == kept
        found = p_darts.cell(probabilities(last, kind), table(last, kind), 4)
        assert [[op, source] for op, _, source in found] == case["genotype"][kind]
        assert [node for _, node, _ in found] == [0, 0, 1, 1, 2, 2, 3, 3]
    for restricted in case["restricted_normal"]:
        found = p_darts.cell(probabilities(last, "normal"), table(last, "normal"), 4, restricted["skips"])
        assert [[op, source] for op, _, source in found] == restricted["normal"]


def test_an_edge_of_nothing_but_a_skip_connection_keeps_it():
    choices = (Choice("0", ("none", "skip_connect")),) * 2
    assert [op for op, _, _ in p_darts.cell([[0.9, 0.1], [0.5, 0.5]], choices, 1, 0)] == ["skip_connect"] * 2
    assert stages.strongest([0.6, 0.3, 0.1], ("none", "a", "b"), 1) == ["a"]


def test_the_course_of_the_dropout():
    for rate, stage in ((0.0, 0), (0.4, 1), (0.7, 2)):
        probability = p_darts.skip_dropout(rate, 25, 10)
        for entry in ABOUT["schedule_of_rates_0_0.4_0.7"]:
            if entry["stage"] == stage:
                value = float(probability(tf.constant(entry["epoch"] / 25))) if probability else 0.0
                assert value == pytest.approx(entry["dropout"], rel=1e-5)


@pytest.mark.parametrize("form", ["dropout", "no_dropout"])
def test_a_supernet_whose_edges_differ_with_dropout_behind_skip_connections(form, float64, monkeypatch):
    about, values = ABOUT["supernet"], reference.group(STORED, form + "/")
    candidates = {kind: tuple(map(tuple, about[f"candidates_{kind}"])) for kind in KINDS}
    sizes = (about[name] for name in ("num_classes", "C", "layers", "steps", "multiplier"))
    net = Supernet(REGULAR, *sizes, candidates=candidates)
    images, labels = tf.constant(STORED["train/images"], tf.float64), tf.constant(STORED["train/labels"])
    net.build((None, *images.shape[1:]))
    names = reference.named(net)
    reference.assign(names, reference.group(STORED, "weights/"))
    masks, places, seen = reference.group(STORED, "masks/"), {}, []
    for c, cell in enumerate(net.cells):
        for source, layer in zip(cell.sources, cell.edges):
            if layer.drops in layer.names:
                edges = layer.edges[layer.names.index(layer.drops)]
                seed = (c << 48) + (source << 40)
                states = (0, 1) if cell.inputs_together and source == 1 else (source,)
                every = [f"cells/{c}/edges/({target},{state})" for state in states for target in layer.targets]
                places[seed] = [every[edge] for edge in edges]

    def stored(shape, probability, seed, dtype):
        wanted = places[int(seed[0])]
        seen.extend(wanted)
        return tf.concat([tf.constant(masks[name], dtype) for name in wanted], -1) / (1 - probability)

    monkeypatch.setattr(edge_layers, "dropout_factors", stored)
    search = build.search(net, "first")
    search.alphas.assign(np.concatenate([STORED[f"alphas_{kind}"].ravel() for kind in KINDS]))
    dropout = tf.constant([0, 0], tf.int64), tf.constant(about["dropout_rate"], tf.float64)
    dropped = {"skip_dropout": dropout} if form == "dropout" else {}
    batch, variables = ((images, labels, dropped), None), net.trainable_variables
    weights = optimizers.flatten(variables)
    of_weights, of_alphas, (result, _) = search.both_gradients(weights, search.alphas.value, batch)
    reference.close(result.logits, values["logits"], 1e-10)
    reference.close(result.loss, values["loss"], 1e-10)
    reference.close(of_alphas, np.concatenate([values[f"dalphas_{kind}"].ravel() for kind in KINDS]), 1e-8)
    reference.close(tf.norm(of_weights), values["grad_weights_norm"], 1e-8)
    gradients = reference.arrays(names, variables, optimizers.unflatten(of_weights, variables))
    reference.close(gradients, reference.group(values, "grad_weights/"), 1e-8)
    assert sorted(seen) == (sorted(masks) if form == "dropout" else [])


FRESH = CONV | {
    "stages": "fresh",
    "stage_candidates": "3",
    "stage_layers": "1,2",
    "skip_dropout": "0.3,0.5",
    "select": "few_skips",
    "max_skips": 0,
    "ops": "regular",
}
IN_PLACE = CONV | {
    "stages": "in_place",
    "stage_candidates": "3",
    "stage_partial_channels": "2,1",
    "partial_channels": 2,
    "mixing": "dirichlet",
    "restrict": "without_none",
    "ops": "regular",
}


@pytest.mark.parametrize("options,places", [(FRESH, (1, 3)), (IN_PLACE, (2, 3))], ids=["fresh", "in place"])
def test_a_search_in_stages_goes_on_to_the_same_bits(options, places, tmp_path):
    settings, data, job = job_of("digits", options)
    start = [v.numpy() for v in job.model.state()]
    whole = RunFolder.start(tmp_path / "whole", settings.to_config())
    found = fit(whole, job, 2, 60.0)
    wanted, genotype = [v.numpy() for v in found.model.state()], found.model.genotype()
    assert found.model is not job.model and len(found.history["loss"]) == 2
    handed = whole.load_json("stage_2.json")
    assert handed["first_epoch"] == 1 and all(len(names) == 3 for names in handed["candidates"]["normal"])
    assert [list(choice.candidates) for choice in found.model.choices["reduce"]] == handed["candidates"]["reduce"]
    assert int(found.model.step.numpy()) == 2 * job.steps
    for place in places:  # within a stage, and where the first one ends
        assign_state(job.model, start)
        log = RunFolder.start(tmp_path / f"cut{place}", settings.to_config() | {"data_info": data.remembered})
        with pytest.raises(Stopped):
            fit(log, job, 2, 60.0, [StopAt(place)])
        _, _, again = job_of("digits", options)
        log = RunFolder.resume(log.folder)
        gone_on = fit(log, again, 2, 60.0)
        for variable, expected in zip(gone_on.model.state(), wanted, strict=True):
            np.testing.assert_array_equal(variable, expected, err_msg=f"{place} {variable.path}")
        assert gone_on.model.genotype() == genotype
        lines = [json.loads(line) for line in (log.folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == [1, 2]


def followed(options):
    """A search with numbers that no other has, and the one that goes on from it."""
    _, _, job = job_of("digits", IN_PLACE | options)
    before, generator = job.model, np.random.default_rng(0)
    before.alphas.assign(generator.normal(size=before.alphas.shape))
    before.weight_optimizer.buffer.assign(generator.normal(size=before.weight_optimizer.buffer.shape))
    for variable in (before.arch_optimizer.m, before.arch_optimizer.v):
        variable.assign(generator.normal(size=variable.shape))
    before.step.assign(7)
    return before, job.following.build(job.following.hand_on(), before).model


def test_a_stage_in_place_takes_over_what_its_candidates_have():
    before, after = followed({"init_channels": 8, "stage_partial_channels": "4,2", "partial_channels": 4})
    names, ours = reference.named(before.network), reference.named(after.network)
    assert set(ours) < set(names)
    old, new = reference.read(names), reference.read(ours)
    wider = [name for name in ours if old[name].shape != new[name].shape]
    assert wider and all(name.startswith("cells/") and "/edges/" in name for name in wider)
    for name in ours:
        first = tuple(map(slice, old[name].shape))
        np.testing.assert_array_equal(new[name][first], old[name], err_msg=name)
    name = next(name for name in wider if name.endswith("pointwise_1"))
    known = old[name][0, 0].T  # by channel that comes out
    for column in new[name][0, 0, : known.shape[1]].T:
        assert any(np.array_equal(column, other) for other in known)
    variables, theirs = after.network.trainable_variables, before.network.trainable_variables
    momenta = reference.arrays(names, theirs, optimizers.unflatten(before.weight_optimizer.buffer, theirs))
    handed = reference.arrays(ours, variables, optimizers.unflatten(after.weight_optimizer.buffer, variables))
    for name, value in handed.items():
        first = tuple(map(slice, momenta[name].shape))
        np.testing.assert_array_equal(value[first], momenta[name], err_msg=name)
    pairs = [(before.alphas, after.alphas), (before.arch_optimizer.v, after.arch_optimizer.v)]
    for variable, other in [*pairs, (before.arch_optimizer.m, after.arch_optimizer.m)]:
        tables, own = before.tables(variable.value), after.tables(other.value)
        for kind in KINDS:
            for row, (choice, was) in enumerate(zip(after.choices[kind], before.choices[kind])):
                columns = [was.candidates.index(name) for name in choice.candidates]
                np.testing.assert_array_equal(own[kind][row], tables[kind].numpy()[row, columns])
    assert int(after.arch_step.numpy()) == 7


def test_fewer_candidates_compute_what_the_others_did_without_weight():
    before, after = followed({"stage_partial_channels": "2,2"})
    images = tf.random.stateless_normal((4, 8, 8, 1), (0, 1))
    chosen = {name: np.array(weights) for name, weights in after.mixing().items()}
    mixing = {name: np.zeros(np.shape(weights), np.float32) for name, weights in before.mixing().items()}
    for kind in KINDS:
        for row, (choice, was) in enumerate(zip(after.choices[kind], before.choices[kind])):
            mixing[kind][row, [was.candidates.index(name) for name in choice.candidates]] = chosen[kind][row]
    one, other = before.network(images, mixing, training=True), after.network(images, chosen, training=True)
    reference.close(other, one.numpy(), 1e-5)
    assert float(tf.norm(one)) > 0


def test_more_epochs_once_the_second_stage_has_begun_are_refused():
    _, _, job = job_of("digits", FRESH | {"epochs": 4})
    with pytest.raises(UserError, match="--epochs can no longer grow"):
        job.following.build({"first_epoch": 1, "candidates": {}}, None)


@pytest.mark.parametrize(
    "values,sentence",
    [
        ({"stages": "fresh"}, "needs --stage_candidates"),
        ({"stage_candidates": "5"}, "--stage_candidates has no meaning with --stages none"),
        ({"stages": "fresh", "stage_candidates": "5,a"}, "--stage_candidates must be numbers from 1 on"),
        ({"stages": "fresh", "stage_candidates": "0"}, "--stage_candidates must be numbers from 1 on"),
        ({"stages": "fresh", "stage_candidates": "5,4", "stage_layers": "3,4"}, "--stage_layers must be 3 numbers"),
        ({"stages": "fresh", "stage_candidates": "5,4", "skip_dropout": "0,0,1"}, "from 0 to below 1"),
        ({"stages": "in_place", "stage_candidates": "5", "stage_layers": "3,4"}, "--stage_layers has no meaning"),
        ({"stages": "fresh", "stage_candidates": "5"}, "--epochs must be a multiple of the 2 stages"),
        ({"stages": "fresh", "stage_candidates": "5,3", "arch_begin": 5}, "--arch_begin must be below the 5 epochs"),
        ({"stages": "fresh", "stage_candidates": "5,3", "select": "perturbation"}, "not go with --select perturbation"),
        ({"stages": "in_place", "stage_candidates": "5,3", "stage_partial_channels": "2,3,1"}, "3 too"),
        ({"stages": "fresh", "stage_candidates": "5,3", "stop": "eigenvalue", "epochs": 60}, "with --stop eigenvalue"),
        ({"stages": "in_place", "stage_candidates": "5,3", "mixing": "gumbel"}, "in_place does not go with --mixing"),
        (
            {"stages": "fresh", "stage_candidates": "5,3", "location": "double_mixed"},
            "not go with --location double_mixed",
        ),
        ({"max_skips": 1}, "--max_skips has no meaning with --select magnitude"),
        (
            {"stages": "fresh", "stage_candidates": "5,3", "skip_dropout": "0,0,0.5", "mixing": "gumbel"},
            "does not go with --mixing gumbel",
        ),
    ],
)
def test_refused(values, sentence):
    with pytest.raises(OptionError, match=sentence):
        recipes.resolve("digits", "search", values)


def test_the_dry_run_knows_the_largest_stage(forks):
    small = ["--init_channels", 4, "--batch_size", 8, "--nodes", 2, "--multiplier", 2, "--recipe", "p_darts_digits"]
    plain, deeper = (
        json.loads(forks.run("search_cell.py", *small, "--dry_run", "--stage_layers", layers).stdout)
        for layers in ("1,1,1", "1,1,6")
    )
    assert deeper["peak_memory_estimate_bytes"] > plain["peak_memory_estimate_bytes"]
    assert deeper["parameters"] > plain["parameters"]
