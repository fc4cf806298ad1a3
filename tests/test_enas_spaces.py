"""ENAS's three spaces from the command line: search, derive, resume, uniform draws, train, test, draw, dry-run."""

import json

import pytest

from tests.support.runs import folder_of, kill_at, outcome

SHORT = ["--epochs", "2", "--shared_max_step", "3", "--controller_max_step", "2", "--derive_num_sample", "3"]
IMAGES = ["--init_channels", "4", "--batch_size", "64"]
SPACES = {
    "macro": ["--recipe", "macro_digits", *IMAGES, "--layers", "2"],
    "micro": ["--recipe", "micro_digits", *IMAGES, "--layers", "1", "--nodes", "1"],
    "recurrent": ["--recipe", "enas_topics", "--nhid", "8", "--batch_size", "64", "--nodes", "3"],
}
TRAININGS = {
    "macro": ["--recipe", "macro_digits", "--init_channels", "4", "--batch_size", "240", "--epochs", "2"],
    "micro": [
        "--recipe",
        "micro_digits",
        "--layers",
        "1",
        "--init_channels",
        "4",
        "--batch_size",
        "240",
        "--epochs",
        "2",
    ],
    "recurrent": ["--recipe", "enas_topics", "--nhid", "8", "--batch_size", "400", "--epochs", "2"],
}


def search_words(space):
    few = ["--controller_num_aggregate", "2"] if space != "recurrent" else []
    return ["search_cell.py", *SPACES[space], *SHORT, *few, "--checkpoint_minutes", "0"]


@pytest.fixture(scope="module", params=SPACES)
def searched(request, tmp_path_factory, command):
    """The space, and the folder of a tiny search of it."""
    logs = tmp_path_factory.mktemp(request.param)
    command(*search_words(request.param), "--logdir", logs)
    return request.param, folder_of(logs)


def test_a_search_leaves_a_genotype_its_drawings_and_rewards(searched, command, tmp_path):
    space, folder = searched
    assert json.loads((folder / "genotype.json").read_text())["space"] == space
    for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()):
        assert line["best_reward"] >= line["mean_reward"] > 0 and line["uniform_reward"] > 0 and line["reward"] > 0
    command("visualize.py", folder, "--output", tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert any(name.startswith("evolution_") and name.endswith(".gif") for name in names)
    command("-m", "tfdarts.report", folder, "--output", tmp_path / "report.html")
    assert "uniform_reward" in (tmp_path / "report.html").read_text()


def test_a_killed_search_goes_on_to_the_same_bits(searched, forks, command, tmp_path):
    space, folder = searched
    expected = outcome(folder)
    steps = 10 if space == "recurrent" else 14
    assert int(expected[0]) == steps
    kill_at(4, forks.start(*search_words(space), "--logdir", tmp_path), tmp_path)  # amid an update of the controller
    cut = folder_of(tmp_path)
    command("search_cell.py", "--resume", cut)
    assert outcome(cut) == expected


def test_deriving_again_draws_the_same_and_more_draws_are_no_worse(searched, command, tmp_path):
    _, folder = searched
    options = ["search_cell.py", "--resume", folder, "--derive", "--logdir"]
    before = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    same = json.loads(command(*options, tmp_path / "same").stdout.splitlines()[-1])
    assert same["best_reward"] == pytest.approx(before["best_reward"])
    assert (folder_of(tmp_path / "same") / "derived.json").read_text() == (folder / "genotype.json").read_text()
    more = json.loads(command(*options, tmp_path / "more", "--derive_num_sample", "6").stdout.splitlines()[-1])
    assert more["best_reward"] >= same["best_reward"] and more["mean_reward"] != same["mean_reward"]


def test_uniform_draws_share_weights_too(searched, command, tmp_path):
    space, _ = searched
    words = [*SPACES[space], "--epochs", "1", "--shared_max_step", "2", "--derive_num_sample", "2"]
    out = command("search_cell.py", *words, "--strategy", "random_ws", "--logdir", tmp_path).stdout
    assert "uniform draws with shared weights" in out and "train it: " in out
    (line,) = map(json.loads, (folder_of(tmp_path) / "metrics.jsonl").read_text().splitlines())
    assert "mean_reward" in line and not {"uniform_reward", "reward"} & set(line)


def test_a_genotype_trains_and_tests(searched, command, tmp_path):
    space, folder = searched
    genotype = ["--genotype_file", folder / "genotype.json"]
    command("train.py", *TRAININGS[space], *genotype, "--logdir", tmp_path)
    made = folder_of(tmp_path)
    results = json.loads((made / "results.json").read_text())
    again = json.loads(command("evaluate.py", "--model_path", made / "model.keras").stdout.splitlines()[-1])
    name = "test_perplexity" if space == "recurrent" else "test_error_percent"
    assert again[name] == pytest.approx(results[name], rel=1e-5)
    report = json.loads(command("train.py", *TRAININGS[space], *genotype, "--dry_run").stdout.splitlines()[-1])
    assert report["parameters"] == results["parameters"] > 100 and report["peak_memory_estimate_bytes"] > 1e8


def test_a_killed_training_goes_on_to_the_same_bits(forks, command, tmp_path):
    arcs = tmp_path / "arc.txt"
    arcs.write_text("0 1 0 0  0 1 0 4")  # a node a cell, in the authors' numbers
    words = ["train.py", *TRAININGS["micro"], "--genotype_file", arcs, "--checkpoint_minutes", "0", "--logdir"]
    command(*words, tmp_path / "whole")
    kill_at(7, forks.start(*words, tmp_path / "cut"), tmp_path / "cut")
    command("train.py", "--resume", folder_of(tmp_path / "cut"))
    assert outcome(folder_of(tmp_path / "cut")) == outcome(folder_of(tmp_path / "whole"))


@pytest.mark.parametrize(
    "arguments,parameters,auxiliary",
    [
        (["train.py", "--space", "macro", "--arch", "ENAS"], 42_559_392, 0),
        (["train.py", "--space", "micro", "--arch", "ENAS"], 3_894_372, 494_848),
    ],
)
def test_a_dry_run_knows_the_papers_networks(arguments, parameters, auxiliary, command):
    report = json.loads(command(*arguments, "--dry_run").stdout.splitlines()[-1])
    assert (report["parameters"], report["parameters_auxiliary"]) == (parameters, auxiliary)


@pytest.mark.parametrize("space", SPACES)
def test_a_search_dry_runs(space, command):
    report = json.loads(command("search_cell.py", *SPACES[space], "--dry_run").stdout.splitlines()[-1])
    assert report["multiply_adds"] > 1e3 and report["parameters"] > 1e3


@pytest.mark.parametrize("space", SPACES)
def test_random_genotypes(space, command, tmp_path):
    recipe = {"recurrent": "enas_topics"}.get(space, f"enas_{space}")
    command("search_cell.py", "--recipe", recipe, "--strategy", "random", "--samples", "3", "--logdir", tmp_path)
    texts = {path.read_text() for path in tmp_path.glob("*/*/genotype_*.json")}
    assert len(texts) == 3 and {json.loads(text)["space"] for text in texts} == {space}
