"""Operation modules other than `regular` from the command line: `attention`, and the user's own, wherever it lies."""

import json
import pathlib
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfdarts import operations as space
from tfdarts import saving as saved
from tfdarts import spaces
from tfdarts.errors import UserError
from tfdarts.genotype import GenotypeError
from tfdarts.runs.folder import check_resumed, saved_config
from tfdarts.spaces import genotypes as genotype
from tfdarts.spaces.conv import network as evalnet
from tfdarts.spaces.conv.genotype import ConvGenotype

ROOT = pathlib.Path(__file__).parent.parent
TINY = ["--recipe", "digits", "--init_channels", "2", "--layers", "1", "--epochs", "1", "--batch_size", "300"]
SMALL_CELL = ["--nodes", "1", "--multiplier", "1", "--nounrolled"]


def test_attention_is_searched_and_trained(tmp_path, command):
    command("search_cell.py", *TINY, *SMALL_CELL, "--ops", "attention", "--logdir", tmp_path)
    (found,) = (tmp_path / "search_arch").glob("*/genotype.json")
    assert json.loads(found.read_text())["ops"] == "attention"
    command("train.py", *TINY, "--noauxiliary", "--logdir", tmp_path, "--genotype_file", found)
    (model,) = (tmp_path / "eval_arch").glob("*/model.keras")
    assert saved.load_model(model).genotype == genotype.load(found)


def test_a_network_of_attention_is_the_same_when_loaded(tmp_path):
    cell = (("attention", 0), ("ffn", 1), ("attention", 0), ("attention", 2))  # edges in parallel, both strides
    cells = ConvGenotype(cell, (2, 3), cell, (2, 3), ops="attention")
    network = evalnet.EvaluationNetwork(cells, 3, channels=4, layers=3)
    network.build((None, 9, 7, 1))
    draw = np.random.default_rng(0).normal
    for variable in network.trainable_variables:
        variable.assign(draw(size=variable.shape) * 0.3)
    images = tf.constant(draw(size=(2, 9, 7, 1)), "float32")
    expected = network(images, training=False)
    network.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(saved.load_model(tmp_path / "model.keras")(images, training=False), expected)
    assert np.isfinite(expected).all() and np.ptp(expected) > 0.1


@pytest.fixture(scope="module")
def own(tmp_path_factory, command):
    """A folder with the example as `before/my_ops.py`, a cell searched from there, and its trained model."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "before").mkdir()
    shutil.copy(ROOT / "examples" / "my_ops.py", folder / "before")
    command("search_cell.py", *TINY, *SMALL_CELL, "--ops", "before/my_ops.py", "--logdir", "logs", cwd=folder)
    (found,) = (folder / "logs/search_arch").glob("*/genotype.json")
    (folder / "before").rename(folder / "after")
    trained = ["train.py", *TINY, "--noauxiliary", "--genotype_file", found, "--logdir", "logs"]
    command(*trained, "--ops", "after.my_ops", cwd=folder)
    return folder


def test_a_module_that_has_moved_is_named_by_ops(own, tmp_path, command):
    (found,) = (own / "logs/search_arch").glob("*/genotype.json")
    cells = genotype.load(found)
    assert cells.ops == "before/my_ops.py"
    assert {op for op, _ in cells.normal + cells.reduce} <= {"skip_connect", "conv_3x3", "blur_conv"}
    (made,) = (own / "logs/eval_arch").iterdir()
    assert genotype.load(made / "genotype.json").ops == "after.my_ops"
    results = json.loads((made / "results.json").read_text())
    words = ["--model_path", made / "model.keras", "--ops", ROOT / "examples/my_ops.py"]
    again = json.loads(command("evaluate.py", *words, cwd=tmp_path).stdout.splitlines()[-1])
    assert again["test_error_percent"] == pytest.approx(results["test_error_percent"])


def test_a_module_that_is_not_there_is_said(own, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(space.OperationsError, match="before/my_ops.py.*--ops"):
        space.load("before/my_ops.py")
    (model,) = (own / "logs/eval_arch").glob("*/model.keras")
    with pytest.raises(ValueError, match="after.my_ops"):
        saved.load_model(model)


def test_another_module_than_its_own_is_refused(own, tmp_path):
    (model,) = (own / "logs/eval_arch").glob("*/model.keras")
    with pytest.raises(ValueError, match="--ops regular contradicts the genotype, which names after.my_ops"):
        saved.load_model(model, "regular")
    (tmp_path / "my_ops.py").write_text("from ops.regular import OPS")  # of the same name, without the operations
    cells = genotype.load("DARTS_V2").with_module("regular")
    with pytest.raises(GenotypeError, match="contradicts"):
        cells.with_module(str(tmp_path / "regular.py"))
    with pytest.raises(ValueError, match="conv_3x3|blur_conv"):
        saved.load_model(model, str(tmp_path / "my_ops.py"))


def test_a_search_goes_on_with_a_module_that_has_moved(own):
    (folder,) = (own / "logs/search_arch").iterdir()
    config, options = saved_config(folder, "search"), spaces.load("conv").options("search", "darts")
    check_resumed(folder, config, {"ops": "after/my_ops.py"}, options)
    with pytest.raises(UserError, match="--ops after/other.py"):
        check_resumed(folder, config, {"ops": "after/other.py"}, options)


def test_a_dotted_path_is_looked_up_in_the_working_directory(monkeypatch, tmp_path):
    (tmp_path / "somewhere").mkdir()
    shutil.copy(ROOT / "examples" / "my_ops.py", tmp_path / "somewhere" / "theirs.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert set(space.load("somewhere.theirs").ops) == {"skip_connect", "conv_3x3", "blur_conv"}
    assert space.load("examples.my_ops").searched == ("skip_connect", "conv_3x3", "blur_conv")
