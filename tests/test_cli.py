"""The command lines as a user runs them, on tiny networks."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
TINY = ["--recipe", "digits", "--init_channels", "2", "--layers", "3", "--epochs", "1", "--batch_size", "240"]


def run(*arguments, code=0):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, *map(str, arguments)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == code, result.stderr[-3000:]
    return result


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """The folder of one tiny search."""
    folder = tmp_path_factory.mktemp("logs")
    nodes = ["--nodes", "2", "--multiplier", "2"]
    result = run("search_cell.py", *TINY, *nodes, "--epochs", "2", "--logdir", folder)
    (made,) = (folder / "search_arch").iterdir()
    assert f"--genotype_file {made / 'genotype.json'}" in result.stdout
    return made


def test_a_search_leaves_everything_in_its_folder(searched):
    names = {str(path.relative_to(searched)) for path in searched.rglob("*") if path.is_file()}
    assert {"config.json", "metrics.jsonl", "mixing.jsonl", "genotype.json"} <= names
    assert len([name for name in names if name.startswith("checkpoint_")]) == 2
    assert {"train/genotype_epoch_1", "train/genotype_epoch_2", "genotype_normal.svg", "genotype_reduce.svg"} <= names
    assert any("events" in name for name in names)
    assert (searched / "genotype.json").read_text() == (searched / "train/genotype_epoch_2").read_text()
    config = json.loads((searched / "config.json").read_text())
    assert config["unrolled"] is True and config["nodes"] == 2 and config["seed"] == 0
    assert "tensorflow" in config["versions"]
    lines = [json.loads(line) for line in (searched / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert {"loss", "accuracy", "arch_loss", "val_loss", "val_accuracy", "learning_rate"} <= set(lines[0])
    assert lines[0]["learning_rate"] == pytest.approx(0.025)


def test_training_tests_and_saves_what_evaluate_confirms(searched, tmp_path):
    run("train.py", *TINY, "--genotype_file", searched / "genotype.json", "--logdir", tmp_path)
    (made,) = (tmp_path / "eval_arch").iterdir()
    results = json.loads((made / "results.json").read_text())
    assert {"test_error_percent", "top5_accuracy_percent", "parameters", "multiply_adds", "seconds"} <= set(results)
    again = run("evaluate.py", "--model_path", made / "model.keras", "--batch_size", "100").stdout
    assert json.loads(again.splitlines()[-1])["test_error_percent"] == pytest.approx(results["test_error_percent"])


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["search_cell.py"], {"parameters": 1930618, "multiply_adds": 300255744}),
        (["train.py", "--arch", "DARTS"], {"parameters": 3349342, "input_shape": [32, 32, 3], "classes": 10}),
        (["train.py", "--arch", "DARTS_V1", "--network", "imagenet", "--init_channels", "8", "--layers", "5"], {}),
    ],
)
def test_a_dry_run_ends_with_what_it_costs(arguments, expected):
    report = json.loads(run(*arguments, "--dry_run").stdout.splitlines()[-1])
    keys = {"parameters", "parameters_auxiliary", "multiply_adds", "input_shape", "classes"}
    assert keys | {"peak_memory_estimate_bytes"} == set(report)
    assert {key: report[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["search_cell.py", "train.py", "evaluate.py", "visualize.py"])
def test_help(name):
    text = run(name, "--help").stdout
    assert "python3 " + name in text
    assert ("--arch_learning_rate" in text) == (name == "search_cell.py")


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["search_cell.py", "--bogus"], "bogus"),
        (["search_cell.py", "stray"], "stray"),
        (["search_cell.py", "--recipe", "x"], "darts_cifar10"),
        (["search_cell.py", "--layers", "0"], "--layers"),
        (["search_cell.py", "--nodes", "2"], "--multiplier"),
        (["search_cell.py", "--dataset", "x"], "digits"),
        (["search_cell.py", "--data_dir", "/nonexistent"], "not prepared"),
        (["search_cell.py", "--ops", "x", "--dry_run"], "operation module"),
        (["train.py"], "--arch"),
        (["train.py", "--arch", "x"], "DARTS_V2"),
        (["train.py", "--arch", "DARTS", "--ops", "other"], "contradicts"),
        (["train.py", "--genotype_file", "README.md"], "README.md"),
        (["train.py", "--arch", "DARTS", "--network", "x"], "imagenet"),
        (["evaluate.py"], "--model_path"),
        (["evaluate.py", "--model_path", "README.md", "--dataset", "digits"], "cannot load"),
        (["visualize.py"], "genotype"),
        (["visualize.py", "x"], "DARTS_V2"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(arguments, message):
    stderr = run(*arguments, code=2).stderr
    (line,) = stderr.splitlines()
    assert line.startswith("error: ") and message in line


@pytest.mark.parametrize("file_format", ["svg", "png"])
def test_drawing_without_graphviz(file_format, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("visualize.py", "DARTS_V2", "--format", file_format, "--output", tmp_path)
    ending = "svg" if file_format == "svg" else "dot"
    text = (tmp_path / f"DARTS_V2_normal.{ending}").read_text()
    assert text.count("sep_conv_3x3") == 5 and "dil_conv_3x3" in text
    assert ("apt install graphviz" in result.stdout) == (file_format == "png")
