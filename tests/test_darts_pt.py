"""DARTS-PT: whole selections as the authors' program makes them, on a stub; and in a search."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support import build, reference
from tests.support.jobs import CONV, StopAt, assign_state, job_of
from tests.support.strategies import SHARED, Shared
from tfdarts.layers.choices import alike
from tfdarts.options import OptionError
from tfdarts.recipes import resolve
from tfdarts.runs.callbacks import Stopped
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder
from tfdarts.spaces.conv.supernet import strongest
from tfdarts.strategies.parts import darts_pt
from tfdarts.training.learner import Call

KINDS = darts_pt.KINDS
SELECTIONS = reference.load("strategies/dartspt/selections.json")
ON_SUPERNET, ABOUT = (reference.load(f"strategies/dartspt/{name}") for name in ("supernet", "supernet.json"))


@pytest.fixture(scope="module")
def shared():
    return Shared()


def softmax(table):
    return np.exp(table) / np.exp(table).sum(1, keepdims=True)


class Stub:
    """Whole selections on the stored formulas instead of a supernet."""

    def __init__(self, case):
        self.case, self.values = case, {}
        self.alphas = {kind: np.array(case[f"alphas_{kind}"]) for kind in KINDS}
        self.mask = {kind: np.ones_like(table, bool) for kind, table in self.alphas.items()}
        self.kept = {kind: np.ones(len(table), bool) for kind, table in self.alphas.items()}

    def mixing(self, kind):
        table = softmax(np.where(self.mask[kind], self.alphas[kind], -np.inf))
        return table * self.kept[kind][:, None]

    def harm(self, kind):
        case, loss = self.case, self.case[f"criterion_{kind}"] == "loss"

        def measure(table):
            total = 3.0 if loss else 50.0
            for name in KINDS:
                w = table if name == kind else self.mixing(name)
                s = w.sum(1)
                pairs = (np.array(case[f"pairs_{name}"]) * s * np.roll(s, -1)).sum()
                if loss:
                    total -= (np.array(case[f"loss_{name}"]) * w).sum()
                else:
                    total += 10 * ((np.array(case[f"accuracy_{name}"]) * w).sum() + pairs)
            if case["round"]:
                total = np.round(2 * total) / 2 if loss else np.round(total)
            self.measured.append(total)
            return total if loss else -total

        self.measured = []
        return measure

    def decide(self, event):
        kind, wanted = event["cell"], event.get("edge", event.get("node"))
        harm = self.harm(kind)

        def pick(open_):
            assert wanted in open_
            return wanted

        darts_pt.decide(self.mask[kind], self.kept[kind], self.mixing(kind), harm, pick)
        stored = event["measured"] if event["kind"] == "op" else event["measured"][0]
        np.testing.assert_allclose(self.measured, stored, rtol=1e-9)
        if event["kind"] == "op":
            assert np.flatnonzero(self.mask[kind][wanted]) == event["op"]
        else:
            rows = darts_pt.rows_of(wanted)
            assert rows[self.kept[kind][rows]].tolist() == event["kept_edges"]


@pytest.mark.parametrize("case", SELECTIONS["cases"], ids=lambda case: case["kind"])
def test_selections(case):
    stub, epoch = Stub(case), 0
    for event in case["events"]:
        while epoch < event["epoch"]:  # the architecture parameters move after each epoch
            for kind in KINDS:
                stub.alphas[kind] = stub.alphas[kind] + np.array(case[f"drift_{kind}"])
            epoch += 1
        stub.decide(event)
    table = alike(SELECTIONS["edge_order"], SELECTIONS["primitives_order"])
    for kind in KINDS:
        assert darts_pt.undecided(stub.mask[kind], stub.kept[kind]) == ([], [])
        np.testing.assert_allclose(stub.mixing(kind), case[f"projected_{kind}"], rtol=1e-9)
        found = strongest(stub.mixing(kind), table, darts_pt.count_nodes(len(table)))
        assert [[op, source] for op, _, source in found] == case["genotype"][kind]
    choices = {kind: table for kind in KINDS}
    assert case["proj_intv"] * (darts_pt.decisions(choices) - 1) + 1 == case["fine_tuning_epochs"]


@pytest.mark.parametrize("name", [name for name in ABOUT if "/" in name])
def test_decisions_on_a_supernet(name, shared, float64, eagerly):
    stored, about = reference.group(ON_SUPERNET, name + "/"), ABOUT[name]
    kind = name.split("/")[1].split("_")[0]
    mixing = {kind: ON_SUPERNET[f"projected/{kind}"] for kind in KINDS}
    images, labels = tf.constant(SHARED["valid/images"], tf.float64), tf.constant(ON_SUPERNET["labels"])
    seen = []

    def harm(table):
        changed = {other: tf.constant(table if other == kind else mixing[other]) for other in KINDS}
        got = Call(shared.net, shared.weights, changed)(images, training=True)
        reference.close(table, stored["mixing"][len(seen)], 1e-12)
        reference.close(got, stored["logits"][len(seen)], 1e-10)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, got))
        hits = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(got, -1, tf.int32), labels), tf.float64))
        reference.close(loss, stored["loss"][len(seen)], 1e-10)
        assert abs(100 * hits - stored["accuracy"][len(seen)]) < 1e-9
        seen.append(table)
        return float(loss if about["criterion"] == "loss" else -hits)

    edges, candidates = mixing[kind].shape
    mask, kept = np.ones((edges, candidates), bool), np.ones(edges, bool)
    if "op" in about:
        wanted = int(name.split("edge")[1])
        darts_pt.decide(mask, kept, mixing[kind], harm, lambda edges: wanted)
        assert np.flatnonzero(mask[wanted]) == about["op"]
    else:
        mask[:, 1:] = False
        darts_pt.decide(mask, kept, mixing[kind], harm, lambda nodes: int(name.split("node")[1]))
        assert np.flatnonzero(kept)[2:].tolist() == about["kept_edges"]
    assert len(seen) == len(stored["loss"])


def test_tuning_between_the_decisions(shared, float64, eagerly):
    stored, projected = reference.group(ON_SUPERNET, "tuning/"), {}
    search = build.search(shared.net, "first", decides=True)
    search.alphas.assign(np.concatenate([SHARED[f"alphas_{kind}"].ravel() for kind in KINDS]))
    mask, kept = search.decided()
    for decided in ABOUT["projected_before"]:
        mask[decided["cell"]][decided["edge"]] = np.arange(mask["normal"].shape[1]) == decided["op"]
    search.set_decided(mask, kept)
    for kind, table in search.mixing().items():
        projected[kind] = table.numpy()
        reference.close(table, ON_SUPERNET[f"projected/{kind}"], 1e-10)
    kept["normal"][2:] = np.isin(np.arange(2, 5), ABOUT["tuning"]["kept_edges_of_node_1_normal"])
    search.set_decided(mask, kept)
    for kind, table in search.mixing().items():
        reference.close(table, stored[f"mixing_{kind}"], 1e-10)
    images, labels = tf.constant(SHARED["valid/images"], tf.float64), tf.constant(ON_SUPERNET["labels"])
    gradient, _ = search.architecture_gradient(shared.weights, search.alphas.value, build.inputs((images, labels)))
    reference.close(gradient, np.concatenate([stored[f"dalphas_{kind}"].ravel() for kind in KINDS]), 1e-8)
    gradient, _, (loss, logits, _) = build.both(search, shared.weights, search.alphas.value, shared.batch("train"))
    reference.close(logits, stored["train_logits"], 1e-10)
    reference.close(loss, stored["train_loss"], 1e-10)
    reference.close(tf.norm(gradient), stored["grad_norm"], 1e-8)


def test_edges_may_be_decided_before_operations():
    generator, measured = np.random.default_rng(0), []
    mask, kept, worth = np.ones((9, 3), bool), np.ones(9, bool), generator.random((9, 3))  # three nodes

    def harm(mixing):
        measured.append(mixing)
        return -(mixing * worth).sum()

    table = alike(map(str, range(9)), "abc")
    count = darts_pt.decisions({kind: table for kind in KINDS}, edges_first=True)
    assert count == 2 + 6  # two nodes have more than two inputs; six edges are kept
    for number in range(count):
        mixing = np.where(kept[:, None], mask / mask.sum(1, keepdims=True), 0.0)
        darts_pt.decide(mask, kept, mixing, harm, generator.choice, edges_first=True)
        assert (kept.sum() == 6) == (number >= 1) and (number >= 2 or mask.all())
    assert darts_pt.undecided(mask, kept) == ([], [])
    sums = worth.sum(1)
    for node, rows in enumerate(map(darts_pt.rows_of, range(3))):
        assert set(rows[kept[rows]]) == set(rows[np.argsort(-sums[rows])[:2]]), node
    np.testing.assert_array_equal(mask[kept].argmax(1), worth[kept].argmax(1))
    assert len(measured) == 3 + 4 + 6 * 3


SEARCH = CONV | {"select": "perturbation", "projection_every": 1, "epochs": 1}


def test_a_search_decides_and_goes_on_to_the_same_bits(tmp_path):
    settings, data, job = job_of("digits", SEARCH)
    start = [v.numpy() for v in job.model.state()]
    assert job.further_epochs == 2  # two edges, each of several operations, in either cell
    fit(RunFolder.start(tmp_path / "whole", settings.to_config()), job, 1, 60.0)
    whole, found = [v.numpy() for v in job.model.state()], job.model.genotype()
    for kind in KINDS:
        mask, kept = (part[kind] for part in job.model.decided())
        assert darts_pt.undecided(mask, kept) == ([], [])
        chosen = [job.model.choices[kind][row].candidates[column] for row, column in np.argwhere(mask)]
        assert [op for op, _ in sorted(getattr(found, kind), key=lambda entry: entry[1])] == chosen

    assign_state(job.model, start)
    log = RunFolder.start(tmp_path / "cut", settings.to_config() | {"data_info": data.remembered})
    steps = job.steps
    with pytest.raises(Stopped):
        fit(log, job, 1, 60.0, [StopAt(steps + 1)])
    _, _, again = job_of("digits", SEARCH)
    fit(RunFolder.resume(log.folder), again, 1, 60.0)
    for variable, expected in zip(again.model.state(), whole):
        np.testing.assert_array_equal(variable, expected, err_msg=variable.path)
    assert again.model.genotype() == found
    assert float(again.schedule(0)) != again.schedule(1) == again.schedule(2)


def test_refused():
    for values in ({"edge_normalization": True}, {"mixing": "sigmoid"}):
        with pytest.raises(OptionError, match="--select perturbation needs"):
            resolve("digits", "search", values | {"select": "perturbation"})
    for values in ({"projection_every": 2}, {"projection_first": "edges"}):
        with pytest.raises(OptionError, match="no meaning with --select magnitude"):
            resolve("digits", "search", values)


def test_a_search_decides_on_edges_first():
    _, _, job = job_of("digits", SEARCH | {"nodes": 2, "projection_first": "edges"})
    assert job.further_epochs == 5  # one node's inputs, then the operations of four edges, one epoch each
    assert job.callbacks[-1].edges_first
