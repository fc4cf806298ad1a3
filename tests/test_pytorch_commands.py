"""Weight files of the PyTorch programs in the commands: tested, converted, written back, trained on."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from tests.support import reference
from tests.support.folders import save_folder
from tfdarts import api, naming, tasks
from tfdarts.cli import convert, evaluate, train
from tfdarts.data import text
from tfdarts.errors import UserError
from tfdarts.pytorch import content, conv, export, networks
from tfdarts.runs.folder import FORMAT
from tfdarts.spaces import genotypes
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.renet.network import ReNetNetwork

FOLDER = reference.OURS / "pt"
SMALL = FOLDER / "python2_state_dict.pt"  # DARTS_V1, 4 channels, 3 cells, 10 classes
CLASSES = tuple("abcdefghij")


def run(module, *arguments):
    """Runs a command in this process."""
    values = module.define()
    rest = values([f"{module.__name__}.py", *map(str, arguments)])[1:]
    return getattr(module, module.__name__.rpartition(".")[2])(values, rest)


def same(first, second):
    """Asserts that two weight files hold the same tensors under the same keys, in the same order."""
    ours, theirs = (content.read(path).tensors for path in (first, second))
    assert list(ours) == list(theirs)
    for key, tensor in ours.items():
        np.testing.assert_array_equal(tensor.array(), theirs[key].array(), key)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    pixels = save_folder(folder, {"train": 1, "test": 3}, (32, 32, 3), CLASSES)
    return f"folder:{folder}", pixels["test"]


def test_images_are_tested_as_the_authors_do_and_the_converted_model_is_the_same(photos, tmp_path, capsys):
    dataset, pixels = photos
    run(evaluate, "--model_path", SMALL, "--arch", "DARTS_V1", "--dataset", dataset)
    printed = capsys.readouterr()
    source = networks.read(SMALL)
    network, _ = networks.build(source, genotypes.load("DARTS_V1"))
    mean, std = (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)
    logits = network(tf.constant((pixels / 255 - mean) / std, tf.float32), training=False)
    expected = 100 * np.mean(np.argmax(logits, -1) == np.arange(len(pixels)) // 3)
    results = json.loads(printed.out)
    assert results["test_accuracy_percent"] == pytest.approx(expected) and 0 < expected < 50
    assert "normalised by means 0.4914, 0.482158, 0.446531" in printed.err
    run(convert, SMALL, "--dataset", dataset, tmp_path / "model.keras")
    assert "note: the genotype that fits is DARTS_V1" in capsys.readouterr().err
    run(evaluate, "--model_path", tmp_path / "model.keras")
    assert json.loads(capsys.readouterr().out) == results
    run(convert, tmp_path / "model.keras", "--to_pytorch", tmp_path / "model.pt")
    same(tmp_path / "model.pt", SMALL)


@pytest.mark.parametrize(
    "name", ["att_modules", "pdarts_imagenet", "amoebanet", "recurrent_module", "renet_sigmoid", "renet_directional"]
)
def test_what_is_written_back_is_what_was_read(name, tmp_path):
    about = reference.load("pt/about.json", reference.OURS)[name]
    source = networks.read(FOLDER / about["file"])
    genotype = None if name == "recurrent_module" else genotypes.from_text(about["genotype"])
    genotype, _ = networks.chosen(source, genotype)
    network, _ = networks.build(source, genotype, about.get("auxiliary", False))
    export.save(network, tmp_path / "x.pt")
    ours, theirs = content.read(tmp_path / "x.pt").tensors, source.weights.tensors
    assert set(ours) == set(theirs)
    for key, tensor in ours.items():
        np.testing.assert_array_equal(tensor.array(), theirs[key].array(), key)
    if name != "recurrent_module":  # whose order is that of Python's attributes
        assert list(ours) == list(theirs)


def test_every_variable_of_a_network_is_written(tmp_path):
    network = EvaluationNetwork(genotypes.load("Att_DARTS"), 3, 16, 3, auxiliary=True)
    network.build((None, 32, 32, 3))
    export.save(network, tmp_path / "x.pt")
    written = sum(tensor.array().size for tensor in content.read(tmp_path / "x.pt").tensors.values())
    assert written == sum(np.prod(variable.shape) for variable in network.variables)


def network_of(genotype, **options):
    network = EvaluationNetwork(genotype, 3, 4, 1, **options)
    network.build((None, 32, 32, 3))
    return network


def test_networks_that_the_authors_programs_lack_are_not_written(tmp_path):
    renet = ReNetNetwork("gru", 3, 4, 1)
    renet.build((None, 8, 8, 3))
    sigmoid = ReNetNetwork(genotypes.load("DARTS_Sigmoid", "renet"), 3, 4, 1)
    sigmoid.build((None, 8, 8, 3))
    source = networks.read(FOLDER / "enas_shared.pth")
    enas = genotypes.from_dict({"space": "recurrent", "recurrent": [["relu", k] for k in range(5)], "concat": [5],
                                "start": "relu", "carry": "last"})  # fmt: skip
    shared, _ = networks.build(source, networks.chosen(source, enas)[0])
    for network, sentence in (
        (renet, "no PyTorch program that we know has such a network"),
        (shared, "no PyTorch program"),
        (sigmoid, "train with --gate forward"),
        (network_of(genotypes.load("DARTS_V2"), stem_multiplier=2), "--stem_multiplier 3"),
        (network_of(genotypes.load("FairDARTS_a")), "two inputs each"),
    ):
        with pytest.raises(UserError, match=sentence):
            export.save(network, tmp_path / "x.pt")
    with pytest.raises(UserError, match="cannot write .*: No such file or directory"):
        export.save(network_of(genotypes.load("DARTS_V2")), tmp_path / "nowhere/x.pt")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A text of 18 words and `<eos>`, of which some are in the last part only."""
    folder, words = tmp_path_factory.mktemp("text"), [f"w{k}" for k in range(18)]
    (folder / "train.txt").write_text("w0 w1 w2\nw3\u2028 w4 w5 w6 w7 w8 w9\n" * 3)
    (folder / "valid.txt").write_text("w10 w11 w12\nw1 w0\n\nw13 w14")
    (folder / "test.txt").write_text("w15 w0 w1 w16 w17\nw2 w15\n" * 4)
    return folder, ["w0", "w1", "w2", "<eos>", *words[3:]]


def test_words_are_numbered_as_in_the_authors_program(corpus):
    folder, words = corpus
    found = text.load(folder, "all")
    assert list(found.words) == words
    assert [words[k] for k in found.valid] == "w10 w11 w12 <eos> w1 w0 <eos> <eos> w13 w14 <eos>".split()
    assert "w15" not in text.load(folder).words and "<unk>" in text.load(folder).words


def test_text_is_tested_with_the_whole_vocabulary(corpus, tmp_path, capsys):
    folder, words = corpus
    path = FOLDER / "recurrent_module.pt"
    run(evaluate, "--model_path", path, "--data", folder)
    printed = capsys.readouterr()
    assert "the file names its dropout rates: --dropout 0.75, --dropouti 0.2" in printed.err
    source = networks.read(path)
    model, _ = networks.build(source, networks.chosen(source)[0])
    tokens = np.array([[words.index(w)] for line in "w15 w0 w1 w16 w17\nw2 w15\n".splitlines() * 4
                       for w in (*line.split(), "<eos>")])  # fmt: skip
    logits, *_ = model(tf.constant(tokens[:-1]), tf.zeros((1, model.units)))
    loss = -np.mean(tf.gather(tf.nn.log_softmax(logits), tokens[1:], batch_dims=2))
    perplexity = json.loads(printed.out)["test_perplexity"]
    assert perplexity == pytest.approx(np.exp(loss), rel=1e-5)
    run(convert, path, "--data", folder, tmp_path / "model.keras")
    capsys.readouterr()
    run(evaluate, "--model_path", tmp_path / "model.keras")
    assert json.loads(capsys.readouterr().out)["test_perplexity"] == pytest.approx(perplexity, rel=1e-6)
    run(convert, path, tmp_path / "other.keras")
    with pytest.raises(UserError, match="does not know where its text is; give --data FOLDER"):
        run(evaluate, "--model_path", tmp_path / "other.keras")


def test_a_text_with_other_words_is_refused(corpus):
    folder, _ = corpus
    with pytest.raises(UserError, match="it has 19 words, the model knows 23"):
        run(evaluate, "--model_path", FOLDER / "recurrent_module_zip.pt", "--data", folder)


def started(classes, auxiliary):
    """A network for some classes that starts from the small file, what was said, and its values beforehand."""
    network = EvaluationNetwork(genotypes.load("DARTS_V1"), classes, 4, 3, auxiliary=auxiliary)
    network.build((None, 32, 32, 3))
    before, source = naming.read(naming.named(network)), networks.read(SMALL)
    notes = networks.start(source, network, genotypes.load("DARTS_V1"), auxiliary)
    return network, notes, before


def test_training_starts_from_a_file_and_says_what_starts_anew():
    whole, _ = networks.build(networks.read(SMALL), genotypes.load("DARTS_V1"))
    theirs = naming.read(naming.named(whole))
    for classes, auxiliary, anew, sentences in (
        (10, False, (), []),
        (3, False, ("classifier/",), ["the data has 3 classes, the file 10: the classifier starts anew"]),
        (10, True, ("auxiliary_head/",), ["the file has no auxiliary head: it starts anew"]),
    ):
        network, notes, before = started(classes, auxiliary)
        assert notes == sentences
        for name, value in naming.read(naming.named(network)).items():
            kept = before[name] if name.startswith(anew) else theirs[name]
            np.testing.assert_array_equal(value, kept, name)


def test_a_whole_training_from_a_file(photos, tmp_path, command):
    dataset, _ = photos
    words = ["train.py", "--init_from", SMALL, "--dataset", dataset, "--epochs", "1", "--batch_size", "10"]
    rates = ["--learning_rate", "1e-9", "--noauxiliary", "--nocutout", "--drop_path_prob", "0"]
    result = command(*words, *rates, "--logdir", tmp_path)
    assert "note: the genotype that fits is DARTS_V1" in result.stderr
    (made,) = (tmp_path / "eval_arch").iterdir()
    config = json.loads((made / "config.json").read_text())
    assert (config["init_channels"], config["layers"], config["network"]) == (4, 3, "cifar")
    trained = naming.read(conv.named(api.load_trained(made / "model.keras")))
    whole, _ = networks.build(networks.read(SMALL), genotypes.load("DARTS_V1"))
    for name, value in naming.read(conv.named(whole)).items():
        if "moving" not in name:
            np.testing.assert_allclose(trained[name], value, atol=1e-6)


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_from_the_file_again(tmp_path):
    values = train.define()
    values(["train.py", "--resume", str(tmp_path)])
    config = train.cli.recipes.resolve(None, "train", {}, "conv").to_config() | {"format": FORMAT}
    (tmp_path / "config.json").write_text(json.dumps(config | {"init_from": str(SMALL)}))
    assert train._source(values).sizes.channels == 4
    (tmp_path / "checkpoint_00000001_x.npz").write_bytes(b"")
    assert train._source(values) is None


def test_a_head_with_a_second_batch_norm_is_an_option_of_the_run():
    values = train.define()
    values(
        ["train.py", "--init_from", str(FOLDER / "pdarts_imagenet.pth.tar"), "--arch", "PDARTS", "--image_size", "64"]
    )
    source = train._source(values)
    (genotype,) = train.load_genotypes(values, [], source)
    settings, _ = train.cli.settings(values, "train", [genotype])
    assert train._of_source(values, settings, source).values["second_bn"] is True


SIZES = ["--init_from", SMALL, "--arch", "DARTS_V1"]


@pytest.mark.parametrize(
    "module,arguments,sentence",
    [
        (evaluate, ["--model_path", SMALL, "--ops", "attention"], "--ops is for a model.keras"),
        (evaluate, ["--model_path", SMALL, "--space", "conv"], "--space is for a model.keras"),
        (evaluate, ["--model_path", SMALL, "--arch", "nothing"], "Cannot read a genotype from 'nothing'"),
        (evaluate, ["--model_path", "nowhere.pt"], "there is no file nowhere.pt"),
        (evaluate, ["--model_path", SMALL, "--data", "x"], "the model takes images"),
        (evaluate, ["--model_path", FOLDER / "imagenet_parallel.pt"], "which data set"),
        (convert, [], "give a PyTorch weight file and the model.keras to write"),
        (convert, [SMALL, "model.h5"], "must end with .keras"),
        (convert, ["a.keras", "b.keras"], "a.keras is a model.keras already"),
        (convert, ["a.keras", "b.keras", "--to_pytorch", "x.pt"], "give one model.keras"),
        (convert, ["nowhere.keras", "--to_pytorch", "x.pt"], "there is no file nowhere.keras"),
        (convert, [SMALL, "nowhere/model.keras"], "cannot write nowhere/model.keras"),
        (train, [*SIZES, "--init_channels", "8"], "--init_channels 8 contradicts .*, whose is 4; leave it out"),
        (train, [*SIZES, "--resume", "x"], "leave out --init_from"),
        (
            train,
            ["--init_from", SMALL, "--arch", "DARTS_V2"],
            "does not fit: cells.0._ops.2: nothing there",
        ),
        (
            train,
            [*SIZES, "--space", "recurrent"],
            "--space recurrent is for .*, but a genotype .conv.",
        ),
    ],
)
def test_what_cannot_be_is_a_sentence(module, arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        run(module, *arguments)
    assert os.listdir() == []


@pytest.mark.parametrize("name", ["refuse_code_stream.pt", "refuse_deep_key.pt", "refuse_nan.pt"])
def test_a_refused_file_ends_a_command_with_one_line(name, tmp_path, command):
    result = command("evaluate.py", "--model_path", FOLDER / name, code=2, cwd=tmp_path)
    assert result.stderr.splitlines()[-1].startswith("error: cannot ") and name in result.stderr
    assert len([line for line in result.stderr.splitlines() if not line.startswith("note: ")]) == 1
    assert result.stdout == "" and os.listdir(tmp_path) == []


def test_a_training_on_text_starts_from_a_whole_module(corpus, tmp_path):
    folder, _ = corpus
    values = train.define()
    values(["train.py", "--init_from", str(FOLDER / "recurrent_module.pt"), "--data", str(folder)])
    source = train._source(values)
    (genotype,) = train.load_genotypes(values, [], source)
    settings = train._of_source(values, train.cli.settings(values, "train", [genotype])[0], source)
    assert (settings.values["nhid"], settings.values["dropoute"]) == (10, 0.1)
    where = source.space
    data = tasks.load(where.task).load(**settings.pick(tasks.load(where.task).load))
    network = where.network(genotype, data.inputs, **settings.pick(where.network))
    with pytest.raises(UserError, match="of a text of 19 words, the training's has 12"):
        networks.start(source, network, genotype, False)
