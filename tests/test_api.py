"""The public API, as a Keras user meets it: the examples of its docstrings, arrays, data sets, text, notebooks."""

import doctest
import inspect
import json
import pathlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdarts
from tfdarts import UserError, api, classifier
from tfdarts.spaces.conv.genotype import ConvGenotype
from tfdarts.spaces.macro.genotype import MacroGenotype
from tfdarts.spaces.micro.genotype import MicroGenotype
from tfdarts.spaces.nb201.genotype import Nb201Genotype
from tfdarts.spaces.renet.genotype import ReNetGenotype

X = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
Y = np.arange(60) % 3
CONV = {"recipe": "digits", "init_channels": 2, "layers": 1, "batch_size": 15, "epochs": 2}
SEARCH = CONV | {"nodes": 1, "multiplier": 1, "unrolled": False}


@pytest.mark.parametrize("module", [api, classifier])
def test_the_examples_run(module):
    result = doctest.testmod(module)
    assert result.attempted > 3 and result.failed == 0


def test_every_public_name_has_a_docstring():
    for name in tfdarts.__all__:
        value = getattr(tfdarts, name)
        assert name == "__version__" or inspect.getdoc(value), name
    for function in (tfdarts.search, tfdarts.train, tfdarts.evaluate, tfdarts.build, tfdarts.load):
        assert "return" in function.__annotations__ and "Raises:" in function.__doc__ and ">>>" in function.__doc__


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A search with a log folder."""
    return tfdarts.search((X, Y), logdir=str(tmp_path_factory.mktemp("logs")), **SEARCH)


def test_a_search_has_its_results_and_its_folder(found):
    assert len(found.history["loss"]) == len(found.history["val_accuracy"]) == 2
    assert found.mixing["normal"].shape == (2, 8) and len(found.choices["normal"]) == 2
    config = json.loads((found.folder / "config.json").read_text())
    assert config["epochs"] == 2 and config["dataset"] is None
    assert tfdarts.load(str(found.folder / "genotype.json")) == found.genotype
    page = found._repr_html_()
    assert page.count("<svg") == 2 and "normal cell" in page


def test_a_command_cannot_go_on_with_a_run_on_arrays(found, command):
    (line,) = command("search_cell.py", "--resume", found.folder, code=2).stderr.splitlines()
    assert line == "error: this run is on arrays, which a command does not have; start a new one from Python"


def test_the_same_seed_gives_the_same_without_a_folder_and_from_a_data_set(found):
    data = tf.data.Dataset.from_tensor_slices((X[..., None], Y))
    for source in ((X, Y), data, data.batch(7)):
        again = tfdarts.search(source, **SEARCH)
        assert again.folder is None and again.genotype == found.genotype
        np.testing.assert_array_equal(again.mixing["normal"], found.mixing["normal"])


@pytest.fixture(scope="module")
def trained(found):
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    model = tfdarts.train(found.genotype, (X, Y), (X[:9], Y[:9]), callbacks=[callback], **CONV)
    assert seen == [0, 1]
    return model


def test_a_trained_model_takes_pixels_gives_probabilities_and_is_saved(trained, tmp_path):
    probabilities = trained.predict(X[:4], verbose=0)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    trained.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(X[:4], verbose=0), probabilities)
    accuracy = np.mean(probabilities.argmax(1) == Y[:4])
    result = tfdarts.evaluate(str(tmp_path / "model.keras"), (X[:4], Y[:4]))
    assert result["test_accuracy_percent"] == pytest.approx(100 * accuracy)
    assert trained.results["parameters"] > 0 and len(trained.training_history["loss"]) == 2
    with pytest.raises(UserError, match="arrays"):
        tfdarts.evaluate(str(tmp_path / "model.keras"))


TINY = (("sep_conv_3x3", 0), ("skip_connect", 1))
SPACES = {
    "conv": ConvGenotype(TINY, (2,), TINY, (2,)),
    "renet": ReNetGenotype((("tanh", 0), ("relu", 1)), (1, 2), cell="vanilla"),
    "macro": MacroGenotype((("conv_3x3", ()), ("max_pool_3x3", (0,)))),
    "micro": MicroGenotype(TINY, TINY),
    "nb201": Nb201Genotype.of(["nor_conv_3x3", "skip_connect", "none", "avg_pool_3x3", "nor_conv_1x1", "skip_connect"]),
}


FORMS = [(space, False) for space in SPACES] + [("conv", True), ("micro", True)]  # those with an auxiliary head


@pytest.mark.parametrize("space,auxiliary", FORMS)
def test_a_users_own_compile_and_fit(space, auxiliary):
    keras.utils.set_random_seed(0)
    layers = {"conv": 3, "micro": 1, "nb201": 1, "renet": 2}
    sizes = {"channels": 4} | ({"layers": layers[space]} if space in layers else {})
    net = tfdarts.build(SPACES[space], (8, 8, 1), 3, auxiliary=auxiliary, **sizes)
    net.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = np.eye(3)[Y][:, :, None, None] * np.ones((60, 3, 8, 8)) @ np.eye(8)
    x = x.sum(1, keepdims=True).transpose(0, 2, 3, 1) * (1 + Y)[:, None, None, None]
    history = net.fit(x, Y, epochs=6, batch_size=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and "accuracy" in history
    assert net.predict(x[:2], verbose=0).shape == (2, 3)


def test_text():
    words = " ".join(np.random.default_rng(0).choice(["a", "b", "c", "d"], 4000))
    data = {"train": words, "valid": words[:800], "test": words[:400]}
    sizes = {"nhid": 8, "batch_size": 8, "epochs": 1}
    result = tfdarts.search(data, recipe="topics", nodes=2, **sizes)
    assert result.genotype.space == "recurrent" and "val_perplexity" in result.history
    model = tfdarts.train(result.genotype, data, recipe="topics", **sizes)
    assert model.results["test_perplexity"] > 1
    assert tfdarts.random_genotypes(2, recipe="topics", nodes=3)[0].space == "recurrent"


BAD = [
    (lambda: tfdarts.search((X, Y[:5]), **SEARCH), "integers, one per image"),
    (lambda: tfdarts.search((X / 127.5 - 1, Y), **SEARCH), "pixels from 0 to 255, or from 0 to 1"),
    (lambda: tfdarts.search("nothing", **SEARCH), "Unknown data set"),
    (lambda: tfdarts.search((X, Y), nonsense=3, **SEARCH), "no such option"),
    (lambda: tfdarts.search({"train": "a"}, recipe="topics"), "a dictionary with train, valid, test"),
    (lambda: tfdarts.train("NOTHING", (X, Y), **CONV), "Cannot read a genotype"),
    (lambda: tfdarts.build("DARTS_V1", (8, 8, 1), 3, space="recurrent"), "is not for images"),
    (lambda: tfdarts.build("ENAS", (8, 8, 1), 3, space="macro", layers=3), "no such option"),
    (lambda: tfdarts.build("DARTS_Vanilla", (8, 8, 1), 3, space="renet", auxiliary=True), "no such option"),
    (lambda: tfdarts.search((X, Y), strategy="random", **SEARCH), "random_genotypes"),
]


@pytest.mark.parametrize("call,sentence", BAD)
def test_what_cannot_be_is_a_sentence(call, sentence):
    with pytest.raises(UserError, match=sentence):
        call()


def test_the_notebook_runs():
    path = pathlib.Path(__file__).parent.parent / "examples" / "quickstart.ipynb"
    cells = json.loads(path.read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(sources) >= 4
    names = {}
    for number, source in enumerate(sources):
        exec(compile(source, f"{path.name}, cell {number}", "exec"), names)
    assert "_repr_html_" in dir(names["search"]) and sys.modules["tfdarts"] is names["tfdarts"]
