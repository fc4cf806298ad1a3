"""The commands of the source programs run as their users know them, or are answered by one sentence with ours."""

import json
import shlex
import shutil

import pytest

from tests.support.source_commands import ROWS
from tfdarts.cli import flags, search, train
from tfdarts.paths import GENOTYPES
from tfdarts.spaces import genotypes
from tfdarts.strategies import enas

TRAINING = {"--recipe": "digits", "--init_channels": "2", "--layers": "3", "--epochs": "1", "--batch_size": "480"}


@pytest.fixture(scope="module")
def place(tmp_path_factory, command):
    """A folder with what the commands name: texts, a genotype, a model."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("data/ptb", "data/wikitext"):
        (folder / name).mkdir(parents=True)
        for part in ("train", "valid", "test"):
            (folder / name / f"{part}.txt").write_text("a b c d e f g h\n" * 40)
    shutil.copy(GENOTYPES / "conv/DARTS_V2.json", folder / "genotype.json")
    (folder / "arc.txt").write_text("0 3 0")
    options = [word for pair in TRAINING.items() for word in pair]
    command("train.py", *options, "--arch", "DARTS_V2", "--cutout_length", "2", "--logdir", "logs", cwd=folder)
    (model,) = folder.glob("logs/eval_arch/*/model.keras")
    shutil.copy(model, folder / "model.keras")
    return folder


def words(text):
    """The words of a command behind its program's name, with what the names in capitals stand for."""
    names = {"FILE": "genotype.json", "MODEL": "model.keras", "TEXT": "data/ptb", "ARC": "arc.txt"}
    return [names.get(word, word) for word in shlex.split(text)]


OURS = list({(row.here, row.tiny): row for row in ROWS if row.tiny is not None}.values())


@pytest.mark.parametrize("row", OURS, ids=[row.here[:90] for row in OURS])
def test_our_command_runs(row, place, command):
    interpreter, script, *arguments = words(row.here)
    assert interpreter == "python3"
    out = command(script, *arguments, *words(row.tiny), cwd=place).stdout
    if "--dry_run" in row.tiny:
        assert json.loads(out.splitlines()[-1])["parameters"] > 0


def settings(script, arguments):
    """The settings that a command line resolves to, and the genotypes that it trains, without a network."""
    stage, module = ("search", search) if script == "search_cell.py" else ("train", train)
    values = module.define()
    (_,) = values([script, *arguments])
    found = train.load_genotypes(values, []) if stage == "train" else []
    return flags.settings(values, stage, found)[0], found


SAME = [row for row in ROWS if "python " in row.there and "rnn &&" not in row.there]


@pytest.mark.parametrize("row", SAME, ids=[f"{row.program}: {row.there}"[:90] for row in SAME])
def test_the_source_s_words_are_understood_behind_our_program_s_name(row, place, command, monkeypatch):
    _, script, *ours = words(row.here)
    arguments = words(row.there.rpartition("python ")[2])[1:]
    if row.same is not True:
        (line,) = command("search_cell.py", *arguments, code=2, cwd=place).stderr.splitlines()
        assert line.startswith("error: there is no --") and row.same in line
    elif script in ("evaluate.py", "visualize.py"):
        command(script, *arguments, cwd=place)
    else:
        monkeypatch.chdir(place)
        (own, genotypes), (mine, found) = (settings(script, given) for given in (arguments, ours))
        assert (own.space, own.values, genotypes) == (mine.space, mine.values, found)


# Arguments, a part of the sentence that answers them.
ANSWERED = [
    (["train.py", "--nodes", "5"], "--nodes 5 contradicts the genotype, which has 4; leave it out"),
    (
        ["train.py", "--arch", "NASNet", "--multiplier", "4"],
        "--multiplier 4 contradicts the genotype, which has 3 and 5",
    ),
    (["train.py", "--arch", "ENAS", "--space", "macro", "--nodes", "4"], "which knows no such size"),
    (["train.py", "--arch", "ENAS"], "the genotype ENAS can be of the spaces recurrent, macro, micro; say which by"),
    (
        ["train.py", "--arch", "DARTS_Vanilla", "--cutout", "--auxiliary"],
        "--auxiliary: the space 'renet' has no such option",
    ),
    (["train.py", "--recipe", "macro_digits"], "give either --genotype_file FILE or --arch NAME"),
    (["search_cell.py", "--controller_lr", "0.1"], "--controller_lr can be of the spaces recurrent, macro, micro"),
    (["search_cell.py", "--network_type", "cnn", "--space", "micro"], "--space micro, but --network_type cnn"),
    (["search_cell.py", "--network_type", "spaceship"], "There is no space 'spaceship'"),
    (["search_cell.py", "--network_type", "rnn", "--dataset", "mine"], "Cannot read data/mine/train.txt"),
    (["search_cell.py", "--dataset", "ptb", "--init_channels", "4"], "Unknown data set 'ptb'"),
    (["evaluate.py", "--model_path", "model.keras", "--noauxiliary"], "the model has an auxiliary head"),
    (["evaluate.py", "--model_path", "model.keras", "--arch", "DARTS_V1"], "is not of the genotype DARTS_V1"),
    (["visualize.py", "ENAS"], "can be of the spaces recurrent, macro, micro"),
    (["train.py", "--gpu", "0"], "CUDA_VISIBLE_DEVICES=0"),
]


@pytest.mark.parametrize("arguments,message", ANSWERED, ids=[" ".join(case[0]) for case in ANSWERED])
def test_what_cannot_be_is_answered_by_one_sentence(arguments, message, place, command):
    line = command(*arguments, code=2, cwd=place).stderr.splitlines()[-1]
    assert line.startswith("error: ") and message in line


@pytest.mark.parametrize(
    "arguments,expected",
    [
        ("", ("conv", "darts_cifar10", "darts")),
        ("--rnn_cell=sigmoid", ("renet", "dartsrenet_cifar10", "darts")),
        ("--network_type rnn --dataset ptb", ("recurrent", "enas_ptb", "enas")),
        ("--network_type rnn --dataset mine --strategy darts", ("recurrent", "darts_ptb", "darts")),
        ("--network_type cnn --dataset cifar", ("macro", "enas_macro", "enas")),
        ("--network_type micro", ("micro", "enas_micro", "enas")),
        ("--data data/ptb", ("recurrent", "darts_ptb", "darts")),
        ("--data data/ptb --unrolled", ("recurrent", "darts_ptb", "darts")),
        ("--data data/ptb --controller_lr 0.1", ("recurrent", "enas_ptb", "enas")),
        ("--space recurrent --shared_lr 0.1", ("recurrent", "enas_ptb", "enas")),
        ("--skip_target 0.3", ("macro", "enas_macro", "enas")),
    ],
)
def test_what_a_search_leaves_unsaid_is_told_from_the_rest(arguments, expected):
    found, _ = settings("search_cell.py", arguments.split())
    assert (found.space, found.recipe, found.strategy) == expected


def test_a_data_set_of_text_is_a_folder():
    rnn = ["--network_type", "rnn", "--dataset", "ptb"]
    found = [settings("search_cell.py", [*rnn, *more])[0].values["data"] for more in ([], ["--data", "x"])]
    assert found == ["data/ptb", "x"]
    assert settings("search_cell.py", ["--dataset", "cifar"])[0].values["dataset"] == "cifar10"


@pytest.mark.parametrize(
    "arguments,expected",
    [
        ("--auxiliary --cutout", ("conv", "DARTS_V2")),
        ("--recipe digits", ("conv", "digits")),
        ("--recipe pc_darts_cifar10", ("conv", "PC_DARTS_cifar")),
        ("--recipe darts_wt2 --data x", ("recurrent", "DARTS_V2")),
        ("--recipe enas_ptb --data x", ("recurrent", "ENAS")),
        ("--arch ENAS --data x", ("recurrent", "ENAS")),
        ("--space micro", ("micro", "ENAS")),
        ("--rnn_cell directional", ("renet", "DARTS_Directional")),
        ("--arch DARTS_Sigmoid", ("renet", "DARTS_Sigmoid")),
        ("--arch ResNet", ("nb201", "ResNet")),
        ("--arch DARTS_V1", ("conv", "DARTS_V1")),
        ("--arch DARTS_V1 --data x", ("recurrent", "DARTS_V1")),
    ],
)
def test_what_a_training_leaves_unsaid_is_told_from_the_rest(arguments, expected):
    found, (genotype,) = settings("train.py", arguments.split())
    assert (found.space, genotype) == (expected[0], genotypes.load(expected[1], expected[0]))


def test_momentum_of_the_controller_is_nesterov_s():
    optimizer = enas.controller_optimizer({}, controller_optim="momentum", controller_lr=0.1)
    assert (optimizer.momentum, optimizer.nesterov, optimizer.learning_rate) == (0.9, True, 0.1)


def test_arch_is_checked_and_the_model_is_tested(place, command):
    known = command("evaluate.py", "--auxiliary", "--model_path", "model.keras", "--arch", "DARTS", cwd=place).stdout
    assert "test_error_percent" in json.loads(known.splitlines()[-1])
