"""Recurrent cells on text and on images from the command line: search, train, test, draw, dry-run, resume."""

import json

import pytest

from tests.support.runs import folder_of, kill_at, outcome

NODES = ["--nodes", "2", "--nhid", "8", "--checkpoint_minutes", "0"]
TEXT = ["--recipe", "topics", "--batch_size", "400", "--nhid", "8", "--epochs", "2"]
RENET = ["--space", "renet", "--dataset", "digits", "--layers", "1", "--batch_size", "240", "--epochs", "2"]
SEARCHES = {
    "text": ["search_cell.py", *TEXT, *NODES],
    "renet": ["search_cell.py", *RENET, *NODES, "--rnn_cell", "sigmoid"],
}
TRAININGS = {
    "text": ["train.py", *TEXT, "--checkpoint_minutes", "0"],
    "renet": ["train.py", *RENET[2:], "--nhid", "8", "--checkpoint_minutes", "0"],
}


@pytest.fixture(scope="module", params=SEARCHES)
def searched(request, tmp_path_factory, command):
    """The kind of cell, and the folder of a tiny search for it."""
    logs = tmp_path_factory.mktemp(request.param)
    command(*SEARCHES[request.param], "--logdir", logs)
    return request.param, folder_of(logs)


@pytest.fixture(scope="module")
def trained(searched, command):
    """The kind of cell, and the folder of a tiny training of what the search found."""
    kind, folder = searched
    logs = folder.parent.parent
    command(*TRAININGS[kind], "--genotype_file", folder / "genotype.json", "--logdir", logs)
    (made,) = (logs / "eval_arch").iterdir()
    return kind, made


def test_a_search_leaves_a_cell_and_its_drawings(searched, command, tmp_path):
    kind, folder = searched
    cell = json.loads((folder / "genotype.json").read_text())
    assert cell["space"] == {"text": "recurrent"}.get(kind, kind) and len(cell["recurrent"]) == 2
    assert cell.get("cell") == {"renet": "sigmoid"}.get(kind)
    assert (folder / "genotype_recurrent.svg").exists()
    command("visualize.py", folder, "--output", tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= {"evolution_recurrent.gif", "mixing_recurrent.svg"}
    command("-m", "tfdarts.report", folder, "--output", tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert ("validation perplexity" in text) == (kind == "text")


def test_training_ends_with_what_evaluate_confirms(trained, command):
    kind, folder = trained
    results = json.loads((folder / "results.json").read_text())
    again = json.loads(command("evaluate.py", "--model_path", folder / "model.keras").stdout.splitlines()[-1])
    name = "test_perplexity" if kind == "text" else "test_error_percent"
    assert again[name] == pytest.approx(results[name], rel=1e-5)
    if kind == "text":
        assert results["unigram_perplexity"] > 100


@pytest.mark.parametrize("stage", ["search", "train"])
def test_a_killed_run_goes_on_to_the_same_bits(stage, searched, trained, tmp_path, forks):
    kind, found = searched
    whole = found if stage == "search" else trained[1]
    words = SEARCHES[kind] if stage == "search" else [*TRAININGS[kind], "--genotype_file", found / "genotype.json"]
    expected = outcome(whole)
    steps = int(expected[0])
    kill_at(steps // 2 + 1, forks.start(*words, "--logdir", tmp_path), tmp_path)
    cut = folder_of(tmp_path)
    forks.run(words[0], "--resume", cut)
    assert outcome(cut) == expected


@pytest.mark.parametrize(
    "arguments,parameters",
    [
        (["search_cell.py", "--space", "recurrent"], 4_810_000),
        (["train.py", "--space", "recurrent", "--arch", "DARTS_V2"], 22_960_000),
        (["search_cell.py", "--space", "renet"], 1_705_482),
        (["train.py", "--space", "renet", "--arch", "DARTS_Directional"], 4_030_474),
    ],
)
def test_a_dry_run_knows_the_papers_networks(arguments, parameters, command):
    report = json.loads(command(*arguments, "--dry_run").stdout.splitlines()[-1])
    assert report["parameters"] == parameters
    assert report["multiply_adds"] > 1e6 and report["peak_memory_estimate_bytes"] > 5e8


def test_the_baseline_cells_need_no_genotype(tmp_path, command):
    command("train.py", *RENET, "--rnn_cell", "gru", "--nhid", "8", "--epochs", "1", "--logdir", tmp_path)
    folder = folder_of(tmp_path)
    assert not (folder / "genotype.json").exists()
    command("evaluate.py", "--model_path", folder / "model.keras")
    command("train.py", "--resume", folder, "--epochs", "2")


def test_random_recurrent_genotypes(tmp_path, command):
    for space in ("recurrent", "renet"):
        command("search_cell.py", "--space", space, "--strategy", "random", "--samples", "2", "--logdir", tmp_path)
    found = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*/*/genotype_*.json"))]
    assert [cell["space"] for cell in found] == ["recurrent"] * 2 + ["renet"] * 2
    assert len({json.dumps(cell["recurrent"]) for cell in found}) == 2  # the same draws in either space
