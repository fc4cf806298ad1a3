"""The command lines as a user runs them, on tiny networks."""

import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.support.commands import ROOT, environment
from tests.support.folders import save_folder, save_npz
from tfdarts import saving
from tfdarts.version import __version__

TINY = ["--recipe", "digits", "--init_channels", "2", "--layers", "1", "--epochs", "1", "--batch_size", "240"]


@pytest.fixture(scope="module")
def searched(tmp_path_factory, command):
    """The folder of one tiny search."""
    folder = tmp_path_factory.mktemp("logs")
    nodes = ["--nodes", "2", "--multiplier", "2"]
    result = command("search_cell.py", *TINY, *nodes, "--epochs", "2", "--logdir", folder)
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


def test_a_search_is_drawn_and_reported(searched, tmp_path, command):
    drawn = command("visualize.py", searched, "--output", tmp_path).stdout
    kinds = ("normal", "reduce")
    names = [f"epoch_{epoch}_{kind}.svg" for epoch in (1, 2) for kind in kinds]
    names += [*(f"evolution_{kind}.gif" for kind in kinds), *(f"mixing_{kind}.svg" for kind in kinds)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    assert all(str(tmp_path / name) in drawn for name in names) and "c_{k} = concat(0, 1)" in drawn
    assert command("-m", "tfdarts.report", searched).stdout.strip() == str(searched / "report.html")
    text = (searched / "report.html").read_text()
    assert text.count('class="chosen"') == 2 * 2 * 4 and text.count('class="note"') == 0
    assert f"--genotype_file {searched / 'genotype.json'}" in text


def test_training_tests_and_saves_what_evaluate_confirms(searched, tmp_path, command):
    command("train.py", *TINY, "--genotype_file", searched / "genotype.json", "--logdir", tmp_path)
    (made,) = (tmp_path / "eval_arch").iterdir()
    results = json.loads((made / "results.json").read_text())
    assert {"test_error_percent", "top5_accuracy_percent", "parameters", "multiply_adds", "seconds"} <= set(results)
    again = command("evaluate.py", "--model_path", made / "model.keras", "--batch_size", "100").stdout
    assert json.loads(again.splitlines()[-1])["test_error_percent"] == pytest.approx(results["test_error_percent"])
    network = saving.load_model(made / "model.keras")
    assert network.options["preprocessing"]["tfdarts"] == __version__ and "version" in network.genotype.to_dict()


@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["search_cell.py"], {"parameters": 1930618, "multiply_adds": 300255744}),
        (["train.py", "--arch", "DARTS"], {"parameters": 3349342, "input_shape": [32, 32, 3], "classes": 10}),
        (["train.py", "--arch", "DARTS_V1", "--network", "imagenet", "--init_channels", "8", "--layers", "5"], {}),
    ],
)
def test_a_dry_run_ends_with_what_it_costs(arguments, expected, command):
    report = json.loads(command(*arguments, "--dry_run").stdout.splitlines()[-1])
    keys = {"parameters", "parameters_auxiliary", "multiply_adds", "input_shape", "classes"}
    assert keys | {"peak_memory_estimate_bytes"} == set(report)
    assert {key: report[key] for key in expected} == expected


@pytest.mark.skipif(shutil.which("dot") is not None, reason="Graphviz is installed")
@pytest.mark.parametrize("file_format", ["svg", "pdf"])
def test_drawing_without_graphviz(file_format, tmp_path, command):
    result = command("visualize.py", "DARTS_V2", "--format", file_format, "--output", tmp_path)
    ending = "svg" if file_format == "svg" else "dot"
    text = (tmp_path / f"DARTS_V2_normal.{ending}").read_text()
    assert text.count("sep_conv_3x3") == 5 and "dil_conv_3x3" in text
    assert ("apt install graphviz" in result.stdout) == (file_format == "pdf")


def test_random_genotypes_are_trained_in_turn_and_end_in_a_table(tmp_path, command):
    options = ["--nodes", "1", "--multiplier", "1", "--samples", "3", "--recipe", "digits", "--seed", "1"]
    drawn = command("search_cell.py", "--strategy", "random", *options, "--logdir", tmp_path).stdout
    (made,) = (tmp_path / "search_arch").iterdir()
    paths = sorted(made.glob("genotype_*.json"))
    assert len(paths) == 3 and f"--seed 1 --genotype_file {paths[0]} {paths[1]}" in drawn
    tiny = [*TINY, "--layers", "1", "--noauxiliary", "--seed", "1"]
    table = command("train.py", *tiny, "--logdir", tmp_path / "all", "--genotype_file", *paths[:2]).stdout
    *_, head, first, second = table.splitlines()
    assert head.split() == ["test", "error", "parameters", "genotype"]
    assert {first.split()[-1], second.split()[-1]} == {str(path) for path in paths[:2]}
    assert float(first.split()[0][:-1]) <= float(second.split()[0][:-1])
    # The second is what it would have been alone.
    command("train.py", *tiny, "--logdir", tmp_path / "one", "--genotype_file", paths[1])
    results = [sorted(path.glob("eval_arch/*/results.json"))[-1] for path in (tmp_path / "all", tmp_path / "one")]
    in_turn, alone = (json.loads(path.read_text()) | {"seconds": 0} for path in results)
    assert in_turn == alone


def test_imagenet_from_a_folder_of_differing_sizes(tmp_path, command):
    for i, shape in enumerate([(90, 70, 3), (64, 120, 3), (75, 75, 1)]):
        save_folder(tmp_path / "images", {"train": 6 + i, "val": 3 + i}, shape, ending="jpg")
    options = ["--recipe", "darts_imagenet", "--init_channels", "4", "--layers", "3", "--image_size", "64"]
    options += ["--batch_size", "9", "--epochs", "1", "--dataset", f"folder:{tmp_path / 'images'}", "--arch", "digits"]
    command("train.py", *options, "--logdir", tmp_path)
    (made,) = (tmp_path / "eval_arch").iterdir()
    config, results = (json.loads((made / name).read_text()) for name in ("config.json", "results.json"))
    assert config["data_info"]["images"] == 18 and config["data_info"]["classes"] == ["cat", "dog"]
    assert {"test_error_percent", "top5_accuracy_percent"} <= set(results)
    network = keras.saving.load_model(made / "model.keras")
    known = network.options["preprocessing"]
    assert known["mean"] == config["data_info"]["mean"] and known["image_size"] == 64
    pixels = np.full((1, 64, 64, 3), 255.0)
    np.testing.assert_allclose(network.preprocess(pixels)[0, 0, 0], (1 - np.array(known["mean"])) / known["std"], 1e-5)
    again = json.loads(command("evaluate.py", "--model_path", made / "model.keras").stdout.splitlines()[-1])
    assert again["test_error_percent"] == pytest.approx(results["test_error_percent"])
    # The images of a run may not change under it.
    (tmp_path / "images/train/cat/00000.jpg").unlink()
    assert "has changed" in command("train.py", "--resume", made, "--epochs", "2", code=2).stderr


def test_out_of_memory_names_a_smaller_batch(tmp_path, command):
    script = tmp_path / "script.py"
    script.write_text(
        "import tensorflow as tf\nfrom absl import flags\nfrom tfdarts.cli import flags as cli\n\n\n"
        "def command(values, _):\n    cli.settings(values, 'search')\n"
        "    raise tf.errors.ResourceExhaustedError(None, None, 'OOM when allocating')\n\n\n"
        "values = flags.FlagValues()\ncli.define(values, 'search')\ncli.run(command, values)\n"
    )
    for given, half in (([], 16), (["--batch_size", "6"], 3)):
        (line,) = command(script, "--recipe", "digits", *given, code=2).stderr.splitlines()
        assert line.startswith("error: out of memory") and f"--batch_size {half} " in line


def test_a_whole_training_on_arrays_of_four_channels_not_square(tmp_path, command):
    save_npz(tmp_path / "a.npz", {"train": 24, "test": 6}, (12, 9, 4))
    options = ["--init_channels", "2", "--layers", "3", "--batch_size", "8", "--epochs", "1", "--arch", "digits"]
    command("train.py", *options, "--dataset", f"npz:{tmp_path / 'a.npz'}", "--logdir", tmp_path)
    (made,) = (tmp_path / "eval_arch").iterdir()
    results = json.loads((made / "results.json").read_text())
    assert results["parameters_auxiliary"] > 0  # on a map of 3x3
    again = json.loads(command("evaluate.py", "--model_path", made / "model.keras").stdout.splitlines()[-1])
    assert again["test_error_percent"] == pytest.approx(results["test_error_percent"])


@pytest.mark.parametrize("arguments", [["--recipe", "digits", "--arch", "DARTS_V2", "--show"], ["--help"]])
def test_a_reader_that_has_seen_enough_is_no_error(arguments):
    process = subprocess.Popen(
        [sys.executable, "train.py", *arguments],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()  # as `head` does
    _, err = process.communicate()
    assert (process.returncode, err) == (141, b"")
