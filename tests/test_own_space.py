"""A search space of the user's own, `examples/my_space.py`, through every command; nothing of the program knows it."""

import json
import pathlib

import numpy as np
import pytest

from tests.support.runs import folder_of, kill_at, outcome
from tfdarts import spaces
from tfdarts.errors import UserError

SPACE = ["--space", "examples.my_space"]
TINY = [*SPACE, "--init_channels", "2", "--batch_size", "240", "--epochs", "2"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory, forks):
    """The folder of a search that was never interrupted."""
    logs = tmp_path_factory.mktemp("logs")
    forks.run("search_cell.py", *TINY, "--logdir", logs)
    return folder_of(logs)


def test_it_is_a_short_module():
    assert len(pathlib.Path("examples/my_space.py").read_text().splitlines()) <= 150


def test_a_killed_search_goes_on_to_the_same_bits(searched, forks, tmp_path):
    kill_at(3, forks.start("search_cell.py", *TINY, "--checkpoint_minutes", "0", "--logdir", tmp_path), tmp_path)
    forks.run("search_cell.py", "--resume", folder_of(tmp_path))
    assert outcome(folder_of(tmp_path)) == outcome(searched)


def test_what_it_found_trains_and_is_tested(searched, forks, tmp_path):
    file = searched / "genotype.json"
    out = forks.run("train.py", *TINY, "--genotype_file", file, "--logdir", tmp_path).stdout
    made = folder_of(tmp_path)
    results = json.loads((made / "results.json").read_text())
    again = forks.run("evaluate.py", *SPACE, "--model_path", made / "model.keras").stdout
    assert json.loads(again.splitlines()[-1])["test_error_percent"] == pytest.approx(results["test_error_percent"])
    assert "test it again" in out
    # Without its module the file is no network of the program, and nothing of it is run.
    refused = forks.run("evaluate.py", "--model_path", made / "model.keras", code=2).stderr
    assert refused.startswith("error: cannot load") and len(refused.splitlines()) == 1


def test_it_is_drawn_and_reported(searched, forks, tmp_path):
    drawn = forks.run("visualize.py", searched / "genotype.json", *SPACE, "--output", tmp_path).stdout
    assert "layer 1 = conv" in drawn and (tmp_path / "genotype_chain.svg").exists()
    forks.run("visualize.py", searched, *SPACE, "--output", tmp_path / "all")
    assert (tmp_path / "all" / "evolution_chain.gif").exists()
    forks.run("-m", "tfdarts.report", searched, *SPACE, "--output", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "layer 0" in page and "conv_1x1" in page
    # A file alone does not make the program import a module.
    refused = forks.run("visualize.py", searched / "genotype.json", "--output", tmp_path, code=2).stderr
    assert "`space` must be one of" in refused


def test_it_is_dry_run_and_drawn_at_random(forks, tmp_path):
    costs = json.loads(forks.run("search_cell.py", *SPACE, "--dry_run").stdout.splitlines()[-1])
    assert costs["parameters"] > 0 and costs["input_shape"] == [8, 8, 1]
    forks.run("search_cell.py", *SPACE, "--strategy", "random", "--samples", "3", "--logdir", tmp_path)
    drawn = sorted(folder_of(tmp_path).glob("genotype_*.json"))
    assert len(drawn) == 3
    costs = forks.run("train.py", *SPACE, "--dry_run", "--genotype_file", *drawn[:2]).stdout.splitlines()
    assert all(json.loads(line)["parameters"] > 0 for line in costs[-2:])
    refused = forks.run("search_cell.py", *SPACE, "--nodes", "3", code=2).stderr
    assert "has no such option" in refused


def test_a_space_that_cannot_be_loaded_is_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="There is no space 'nothing'"):
        spaces.load("nothing")
    with pytest.raises(UserError, match="Cannot load the space"):
        spaces.load("nothing.here")
    with pytest.raises(UserError, match="has no SPACE"):
        spaces.load("tfdarts.errors")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "space.py").write_text("1 / 0")
    with pytest.raises(UserError, match="fails on import: ZeroDivisionError"):
        spaces.load("broken.space")


def test_mixing_weights_are_those_of_its_own_choices(searched):
    line = json.loads((searched / "mixing.jsonl").read_text().splitlines()[-1])["tables"]["chain"]
    assert line["edges"] == ["layer 0", "layer 1", "layer 2"] and line["operations"] == ["conv_3x3", "conv_1x1"]
    np.testing.assert_allclose(np.sum(line["weights"], 1), 1, atol=1e-5)
