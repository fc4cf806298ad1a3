"""What is seen of a search's collapse, and what stops it; the example part."""

import json

import numpy as np
import pytest

from tests.support.jobs import CONV, job_of
from tfdarts.layers.choices import Choice, alike
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder
from tfdarts.strategies import monitors


def test_entropy():
    table = (Choice("a", ("x", "y")), Choice("b", ("x",)), Choice("c", ("x", "y", "z")))
    weights = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert monitors.entropy(weights, table) == pytest.approx(0.5)
    assert monitors.entropy(3 * weights[:1, :2], table[:1]) == pytest.approx(1)
    assert monitors.entropy(np.array([[1.0]]), alike(("a",), ("x",))) == 0
    p = np.array([0.7, 0.2, 0.1])
    assert monitors.entropy(p[None], table[2:]) == pytest.approx(-(p * np.log(p)).sum() / np.log(3))


def test_a_search_tells_what_it_holds_and_warns_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(monitors, "MANY_SKIPS", -1)
    _, _, job = job_of("digits", CONV)
    fit(RunFolder.start(tmp_path, {"stage": "search"}), job, 2, 60.0)
    (folder,) = tmp_path.glob("*/*")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    genotype = job.model.genotype()
    assert lines[-1]["skips_normal"] == sum(op == "skip_connect" for op, _ in genotype.normal)
    assert 0 <= lines[-1]["without_weights_reduce"] <= 1 and 0.9 < lines[-1]["entropy_normal"] <= 1
    assert capsys.readouterr().err.count("which is how DARTS collapses") == 1


def test_too_many_skip_connections_stop_a_search(tmp_path, capsys):
    _, _, job = job_of("digits", CONV | {"stop": "skips", "epochs": 3})
    search, table = job.model, job.model.choices["normal"]
    skip = table[0].candidates.index("skip_connect")
    alphas = search.alphas.numpy()
    alphas[: len(table) * len(table[0].candidates)].reshape(len(table), -1)[:, skip] = 5
    search.alphas.assign(alphas)
    fit(RunFolder.start(tmp_path, {"stage": "search"}), job, 3, 60.0)
    assert "stopped after epoch 1: 2 edges of the normal cell are skip connections" in capsys.readouterr().out


def test_the_example_part(command):
    out = command("examples/my_part.py").stdout
    assert json.loads(out[out.index("{") :])["space"] == "conv"
