"""What users get wrong: one sentence that says what and what to do, exit code 2, no traceback, nothing executed."""

import hashlib
import json
import pathlib
import pickle
import shutil
import zipfile

import keras
import numpy as np
import PIL.Image
import pytest

from tests.support.folders import noise, save_folder, save_npz, save_tfds
from tfdarts.spaces import genotypes as genotype
from tfdarts.spaces.conv.network import EvaluationNetwork

TRAIN = ["train.py", "--recipe", "digits", "--arch", "digits", "--init_channels", "2", "--layers", "3"]
SEARCH = ["search_cell.py", "--recipe", "digits"]
DATA = ["train.py", "--recipe", "digits", "--arch", "digits", "--init_channels", "2", "--batch_size", "4", "--dataset"]
CELL = ["train.py", "--recipe", "digits", "--genotype_file"]


def cell(**changes):
    """A sound genotype with changes, as JSON text."""
    return json.dumps(genotype.load("DARTS_V2").to_dict() | changes)


EDGES = [["skip_connect", 0], ["skip_connect", 1]] * 4


def _genotypes(folder):
    texts = {
        "unknown_op": cell(normal=[["warp", 0], *EDGES[1:]]),
        "wrong_index": cell(normal=[*EDGES[:2], ["skip_connect", 7], *EDGES[3:]]),
        "negative_index": cell(normal=[["skip_connect", -1], *EDGES[1:]]),
        "too_few": cell(normal=EDGES[:3]),
        "no_edges": cell(reduce=[]),
        "none": cell(normal=[["none", 0], ["none", 1]] * 4),
        "malformed": cell(normal=[["skip_connect", "0"], *EDGES[1:]]),
        "concat": cell(normal_concat=[2, 9]),
        "version": cell(version=99),
        "space": cell(space="spaceship"),
        "field": cell(colour="blue"),
        "lacking": json.dumps({"version": 1, "normal": EDGES}),
        "module": cell(ops="nowhere"),
        "list": "[1, 2, 3]",
        "empty": "",
        "numbers": "0 1 2",
        "deep": "[" * 100_000,
        "unstated": "A = Genotype(normal=[], reduce=[])\nB = Genotype(normal=[], reduce=[])\nC = B\n",
        "code": f"__import__('pathlib').Path('{folder}/executed').touch()",
        "call": f"Genotype(normal=__import__('pathlib').Path('{folder}/executed').touch(), normal_concat=[2])",
        "unclosed": "Genotype(normal=[('skip_connect', 0)",
    }
    for name, text in texts.items():
        (folder / f"{name}.json").write_text(text)
    (folder / "unstated.json").rename(folder / "unstated.py")
    (folder / "garbage.json").write_bytes(noise(10, (1 << 20, 1)).tobytes())
    (folder / "letters.json").write_text("Genotype(" * (10 << 17))


def _images(folder):
    save_folder(folder / "good", {"train": 4, "test": 2}, (8, 8, 1))
    (folder / "nothing").mkdir()
    (folder / "hollow/train/cat").mkdir(parents=True)
    (folder / "flat/train").mkdir(parents=True)
    shutil.copy(folder / "good/train/cat/00000.png", folder / "flat/train")
    for name in ("truncated", "not_an_image", "sizes", "stranger", "broken_later", "alone", "gap", "circle", "float"):
        shutil.copytree(folder / "good", folder / name)
    whole = (folder / "good/train/cat/00001.png").read_bytes()
    (folder / "truncated/train/cat/00001.png").write_bytes(whole[:70])
    (folder / "not_an_image/train/cat/00001.png").write_text("a poem")
    PIL.Image.fromarray(noise(1, (9, 8))[0]).save(folder / "sizes/train/cat/00001.png")
    shutil.rmtree(folder / "alone/train/dog")
    shutil.rmtree(folder / "alone/test/dog")
    (folder / "gap/train/cow").mkdir()
    (folder / "circle/train/cat/again").symlink_to(folder / "circle/train/cat")
    (folder / "untrained/test/cat").mkdir(parents=True)
    PIL.Image.fromarray(np.ones((8, 8), np.float32)).save(folder / "float/train/cat/00001.tiff")
    (folder / "stranger/test/cow").mkdir()
    shutil.copy(folder / "good/train/cat/00000.png", folder / "stranger/test/cow")
    (folder / "broken_later/test/cat/00000.png").write_bytes(whole[:70])

    good = save_npz(folder / "good.npz", {"train": 12, "test": 6}, (8, 8, 1))
    archives = {
        "lacking": {"x_train": good["x_train"]},
        "floats": good | {"x_train": good["x_train"] / 127.5 - 1},
        "channels_first": good | {"x_train": np.zeros((12, 3, 8, 8), np.uint8)},
        "flat": good | {"x_train": np.zeros((12, 64), np.uint8)},
        "lengths": good | {"y_train": good["y_train"][:-1]},
        "negative": good | {"y_train": good["y_train"] - 1},
        "names": good | {"y_train": good["y_train"].astype(str), "y_test": np.array(["cow"] * 6)},
        "soft": good | {"y_train": np.full((12, 3), 1 / 3)},
        "alone": good | {"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)},
        "shapes": good | {"x_test": np.zeros((6, 9, 9, 1), np.uint8)},
        "objects": good | {"x_train": np.array([Bomb(folder)] * 12)},
    }
    for name, arrays in archives.items():
        np.savez(folder / f"{name}.npz", **arrays)
    (folder / "poem.npz").write_text("a poem")
    (folder / "pickle.npz").write_bytes(pickle.dumps(Bomb(folder)))

    save_tfds(folder / "tfds", {"train": 8, "test": 4})
    for name in ("no_json", "no_records", "short_records"):
        shutil.copytree(folder / "tfds", folder / name)
    (folder / "no_json/beasts/1.0.0/dataset_info.json").write_text("{")
    (records,) = (folder / "no_records/beasts/1.0.0").glob("*train*")
    records.unlink()
    (records,) = (folder / "short_records/beasts/1.0.0").glob("*train*")
    records.write_bytes(records.read_bytes()[:-30])


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return pathlib.Path.touch, (self.folder / "executed",)


def _models(folder):
    (folder / "poem.keras").write_text("a poem")
    with zipfile.ZipFile(folder / "empty.keras", "w") as file:
        file.writestr("x", "y")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(folder / "other.keras")
    shutil.copy(folder / "other.keras", folder / "other.zip")
    trap = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    trap.save(folder / "lambda.keras")
    network = EvaluationNetwork(genotype.load("digits"), 10, channels=2, layers=3)
    network.build((None, 8, 8, 1))
    network.save(folder / "no_data.keras")


def _modules(folder):
    layer = "import keras\n\n\nclass L(keras.layers.Layer):\n    def call(self, x):\n        return x\n\n\n"
    (folder / "fails.py").write_text("1 / 0\n")
    (folder / "no_ops.py").write_text("X = 1\n")
    (folder / "no_layer.py").write_text("OPS = {'a': lambda channels, stride: 3}\n")
    (folder / "no_stride.py").write_text(layer + "OPS = {'a': lambda channels: L()}\n")
    (folder / "wrong_shape.py").write_text(layer + "OPS = {'a': lambda channels, stride: L()}\n")
    (folder / "unknown_searched.py").write_text(layer + "OPS = {'a': lambda channels, stride: L()}\nSEARCHED = ['b']\n")


def _runs(folder, command):
    tiny = ["--nodes", "1", "--multiplier", "1", "--init_channels", "2", "--layers", "1", "--epochs", "1"]
    command(*SEARCH, *tiny, "--nounrolled", "--batch_size", "400", "--logdir", folder / "logs")
    (run,) = (folder / "logs/search_arch").iterdir()
    run.rename(folder / "run")
    for name in ("damaged", "foreign", "smaller", "older"):
        shutil.copytree(folder / "run", folder / name)
    for path in (folder / "damaged").glob("checkpoint_*"):
        path.write_bytes(path.read_bytes()[:-9])
    for path in (folder / "foreign").glob("checkpoint_*"):
        path.unlink()
    np.savez(folder / "foreign/x.npz", weights=np.zeros(3))
    data = (folder / "foreign/x.npz").read_bytes()
    (folder / "foreign/x.npz").rename(
        folder / f"foreign/checkpoint_000000001_{hashlib.sha256(data).hexdigest()[:16]}.npz"
    )
    config = json.loads((folder / "smaller/config.json").read_text())
    (folder / "smaller/config.json").write_text(json.dumps(config | {"init_channels": 4}))
    del config["format"]
    (folder / "older/config.json").write_text(json.dumps(config))
    (folder / "torn").mkdir()
    (folder / "torn/config.json").write_text('{"layers": 3')


@pytest.fixture(scope="module")
def bad(tmp_path_factory, command):
    """A folder of bad input."""
    folder = tmp_path_factory.mktemp("bad")
    for part in (_genotypes, _images, _models, _modules):
        (folder / part.__name__[1:]).mkdir()
        part(folder / part.__name__[1:])
    (folder / "runs").mkdir()
    _runs(folder / "runs", command)
    (folder / "file").write_text("")
    return folder


MACRO = ["search_cell.py", "--recipe", "macro_digits"]
# Arguments ({} is the folder of bad input), and a part of the sentence.
CASES = [
    # the command line
    ([*SEARCH, "--bogus"], "bogus"),
    ([*SEARCH, "stray"], "stray"),
    ([*TRAIN, "stray"], "stray"),
    (["train.py", "--recipe", "macro_digits"], "--arch"),
    ([*TRAIN, "--genotype_file", "DARTS_V1"], "either --genotype_file"),
    (["train.py", "--arch", "x"], "DARTS_V2"),
    ([*TRAIN, "--ops", "other"], "contradicts"),
    ([*SEARCH, "--recipe", "x"], "Unknown search recipe 'x'. Available: darts_cifar10"),
    ([*SEARCH, "--location", "x"], "--location must be no_attention or after_every"),
    (["search_cell.py", "--recipe", "darts_imagenet"], "digits"),
    ([*SEARCH, "--layers", "two"], "layers"),
    ([*SEARCH, "--layers", "0"], "--layers must be above 0"),
    ([*SEARCH, "--layers", "-3"], "--layers must be above 0"),
    ([*SEARCH, "--nodes", "0"], "--nodes must be above 0"),
    ([*SEARCH, "--nodes", "2"], "--multiplier must be at most --nodes"),
    ([*SEARCH, "--init_channels", "3"], "--init_channels must be even"),
    ([*SEARCH, "--epochs", "0"], "--epochs must be above 0"),
    ([*SEARCH, "--batch_size", "0"], "--batch_size must be above 0"),
    ([*SEARCH, "--batch_size", "720"], "larger than the 719 images"),
    ([*TRAIN, "--batch_size", "1439"], "larger than the 1438 images"),
    ([*SEARCH, "--learning_rate", "-0.1"], "--learning_rate must be above 0"),
    ([*SEARCH, "--learning_rate", "nan"], "--learning_rate must be above 0"),
    ([*SEARCH, "--arch_learning_rate", "inf"], "--arch_learning_rate must be above 0"),
    ([*SEARCH, "--weight_decay", "-1"], "--weight_decay must be at least 0"),
    ([*SEARCH, "--momentum", "1"], "--momentum must be below 1"),
    ([*SEARCH, "--train_portion", "1"], "--train_portion must be below 1"),
    ([*SEARCH, "--train_portion", "0.0001"], "--train_portion"),
    ([*SEARCH, "--checkpoint_minutes", "-1"], "--checkpoint_minutes must be at least 0"),
    ([*SEARCH, "--seed", "-1"], "--seed must be at least 0"),
    ([*SEARCH, "--strategy", "luck"], "takes --strategy random or darts, not 'luck'"),
    ([*SEARCH, "--strategy", "enas"], "for it there are the recipes enas_macro"),
    ([*MACRO, "--strategy", "darts"], "takes --strategy random or enas or random_ws, not 'darts'"),
    (["search_cell.py", "--space", "renet", "--strategy", "enas"], "not 'enas'"),
    ([*MACRO, "--nodes", "3"], "no such option"),
    ([*MACRO, "--skip_target", "1"], "--skip_target must be below 1"),
    ([*MACRO, "--shared_optim", "x"], "--shared_optim must be sgd or adam"),
    ([*MACRO, "--shared_optim", "adam", "--momentum", "0.5"], "--momentum has no meaning"),
    ([*MACRO, "--controller_lr_max", "0.1"], "--controller_lr_max has no meaning"),
    ([*MACRO, "--controller_lr_cosine", "--controller_lr", "0.1"], "--controller_lr has no meaning"),
    ([*MACRO, "--strategy", "random_ws", "--controller_lr", "0.1", "--tanh_c", "2"], "--controller_lr, --tanh_c"),
    ([*MACRO, "--strategy", "random", "--shared_lr", "0.1"], "leave out --shared_lr"),
    ([*MACRO, "--batch_size", "1007"], "larger than the 1006 images"),
    ([*MACRO, "--derive"], "--derive goes with --resume"),
    ([*SEARCH, "--strategy", "random", "--derive"], "--derive goes with --resume"),
    (["search_cell.py", "--resume", "{}/runs/run", "--derive"], "--derive needs a search by --strategy enas"),
    (["search_cell.py", "--resume", "{}/runs/run", "--derive", "--epochs", "9"], "leave out all else"),
    (["search_cell.py", "--resume", "{}/runs/run", "--derive_num_sample", "7"], "--derive_num_sample 7 (was None)"),
    (["search_cell.py", "--resume", "{}/runs/run", "--checkpoint_minutes", "-1"], "must be at least 0"),
    ([*MACRO, "--layers", "1"], "--layers must be at least 2, since every layer"),
    ([*MACRO, "--jit_compile"], "XLA cannot compile sampled paths; leave it out"),
    ([*SEARCH, "--strategy", "random_ws"], "for it there are the recipes enas_macro"),
    (["search_cell.py", "--recipe", "enas_topics", "--nodes", "1"], "--nodes must be at least 2, since every node"),
    (["search_cell.py", "--space", "recurrent", "--strategy", "enas"], "give --data"),
    (["train.py", "--space", "macro", "--arch", "x"], "there are ENAS"),
    (["train.py", "--space", "macro", "--arch", "ENAS", "--ops", "regular"], "are fixed"),
    (["train.py", "--space", "macro", "--genotype_file", "{}/genotypes/numbers.json"], "needs 1 bits"),
    (["train.py", "--space", "micro", "--genotype_file", "{}/genotypes/numbers.json"], "8 numbers per node"),
    (["train.py", "--space", "recurrent", "--genotype_file", "{}/genotypes/numbers.json"], "pairs"),
    (["train.py", "--genotype_file", "{}/genotypes/numbers.json"], "Found neither"),
    ([*SEARCH, "--samples", "3"], "--samples has no meaning"),
    ([*SEARCH, "--strategy", "random", "--epochs", "3"], "leave out --epochs"),
    ([*SEARCH, "--strategy", "random", "--dry_run"], "--dry_run has no effect with --strategy random"),
    ([*SEARCH, "--use_validation"], "--use_validation needs a validation split"),
    ([*SEARCH, "--cutout_length", "3"], "--cutout_length has no meaning"),
    ([*SEARCH, "--logdir", "{}/file", "--nodes", "1", "--multiplier", "1", "--layers", "1"], "--logdir"),
    ([*TRAIN, "--drop_path_prob", "1"], "--drop_path_prob must be below 1"),
    ([*TRAIN, "--label_smooth", "-0.1"], "--label_smooth must be at least 0"),
    ([*TRAIN, "--network", "x"], "--network must be cifar or imagenet"),
    ([*TRAIN, "--schedule", "x"], "--schedule must be cosine or linear or exponential or restarts"),
    ([*TRAIN, "--gamma", "0.9"], "--gamma has no meaning"),
    ([*TRAIN, "--augmentation", "x"], "--augmentation must be crop or imagenet"),
    ([*TRAIN, "--augmentation", "imagenet"], "needs --image_size"),
    ([*TRAIN, "--network", "imagenet", "--stem_multiplier", "2"], "--stem_multiplier has no meaning"),
    ([*SEARCH, "--use_validation", "--train_portion", "0.3"], "--train_portion has no meaning"),
    (["search_cell.py", "--recipe", "topics", "--data_dir", "x"], "'recurrent' has no such option"),
    (["search_cell.py", "--recipe", "topics", "--mul_table", "exact"], "'recurrent' has no such option"),
    (
        ["train.py", "--recipe", "renet_digits", "--rnn_cell", "gru", "--mul_table", "exact"],
        "'renet' has no such option",
    ),
    (["train.py", "--recipe", "topics", "--arch", "ENAS", "--emsize", "8", "--nhid", "9"], "must be the same"),
    (["train.py", "--recipe", "renet_digits", "--rnn_cell", "lstm", "--arch", "DARTS_Vanilla"], "has no genotype"),
    (["train.py", "--recipe", "digits", "--genotype_file", "genotypes/renet/DARTS_Vanilla.json"], "a genotype (renet)"),
    (["search_cell.py", "--space", "recurrent"], "--data FOLDER"),
    (["search_cell.py", "--space", "recurrent", "--data", "{}"], "train.txt"),
    (["search_cell.py", "--space", "renet", "--rnn_cell", "lstm"], "for training"),
    (["search_cell.py", "--space", "renet", "--recipe", "digits"], "--space renet and --recipe digits contradict each"),
    # genotypes
    ([*CELL, "{}/nowhere.json"], "Cannot read a genotype"),
    ([*CELL, "{}"], "Cannot read a genotype"),
    ([*CELL, "README.md"], "README.md"),
    ([*CELL, "{}/genotypes/unknown_op.json"], "warp"),
    ([*CELL, "{}/genotypes/wrong_index.json"], "`normal[2]` comes from state 7"),
    ([*CELL, "{}/genotypes/negative_index.json"], "`normal[0]` comes from state -1"),
    ([*CELL, "{}/genotypes/too_few.json"], "two entries per node"),
    ([*CELL, "{}/genotypes/no_edges.json"], "`reduce` must be a list"),
    ([*CELL, "{}/genotypes/none.json"], "`normal` has no entry that leads from the cell's inputs"),
    ([*CELL, "{}/genotypes/malformed.json"], "`normal[0]` must be [op, source]"),
    ([*CELL, "{}/genotypes/concat.json"], "`normal_concat`"),
    ([*CELL, "{}/genotypes/version.json"], "version 1. Received: 99"),
    ([*CELL, "{}/genotypes/space.json"], "spaceship"),
    ([*CELL, "{}/genotypes/field.json"], "unknown fields: colour"),
    ([*CELL, "{}/genotypes/lacking.json"], "lacks normal_concat"),
    ([*CELL, "{}/genotypes/module.json"], "nowhere"),
    ([*CELL, "{}/genotypes/list.json"], "one JSON object"),
    ([*CELL, "{}/genotypes/empty.json"], "neither JSON nor"),
    ([*CELL, "{}/genotypes/deep.json"], "neither JSON nor"),
    ([*CELL, "{}/genotypes/garbage.json"], "Cannot read a genotype"),
    ([*CELL, "{}/genotypes/letters.json"], "not closed"),
    ([*CELL, "{}/genotypes/code.json"], "neither JSON nor"),
    ([*CELL, "{}/genotypes/call.json"], "literals"),
    ([*CELL, "{}/genotypes/unclosed.json"], "not closed"),
    ([*CELL, "DARTS_V2", "{}/genotypes/version.json"], "Received: 99"),
    ([*CELL, "{}/genotypes/unstated.py"], "unstated.py:NAME; it has A, B, C"),
    ([*CELL, "{}/genotypes/unstated.py:D"], "No genotype here is called 'D'; it has A, B, C"),
    # images
    ([*DATA, "cifar11"], "Unknown data set"),
    ([*DATA, "cifar10", "--data_dir", "{}/nowhere"], "`--recipe digits` needs no download"),
    ([*DATA, "beasts", "--data_dir", "{}/images/no_json"], "Cannot read beasts"),
    ([*DATA, "beasts", "--data_dir", "{}/images/no_records"], "Cannot read beasts"),
    ([*DATA, "beasts", "--data_dir", "{}/images/short_records"], "Cannot read beasts"),
    ([*DATA, "beasts", "--data_dir", "{}/images/short_records", "--image_size", "8"], "missing or damaged"),
    ([*DATA, "folder:{}/nowhere"], "there is no folder"),
    ([*DATA, "folder:{}/images/nothing"], "no class folders"),
    ([*DATA, "folder:{}/images/untrained"], "has test but no folder `train`"),
    ([*DATA, "folder:{}/images/alone"], "has one class only, cat"),
    ([*DATA, "folder:{}/images/gap"], "has no images of cow; remove the folder"),
    ([*DATA, "folder:{}/images/circle"], "is a link to a folder that it lies in"),
    ([*DATA, "folder:{}/images/float"], "float pixels, of which white is not known"),
    ([*DATA, "{}/images/good"], "is a folder; give --dataset folder:"),
    ([*DATA, "folder:{}/images/flat"], "no class folders"),
    ([*DATA, "folder:{}/images/hollow"], "has no images"),
    ([*DATA, "folder:{}/images/not_an_image"], "00001.png (it is not an image); repair or remove it"),
    ([*DATA, "folder:{}/images/truncated"], "00001.png"),
    ([*DATA, "folder:{}/images/broken_later", "--epochs", "1", "--layers", "1", "--logdir", "{}/logs"], "00000.png"),
    ([*DATA, "folder:{}/images/sizes"], "--image_size"),
    ([*DATA, "folder:{}/images/stranger"], "cow"),
    ([*DATA, "npz:{}/nowhere.npz"], "np.savez"),
    ([*DATA, "npz:{}/images/poem.npz"], "np.savez"),
    ([*DATA, "npz:{}/images/pickle.npz"], "np.savez"),
    ([*DATA, "npz:{}/images/objects.npz"], "np.savez"),
    ([*DATA, "npz:{}/images/lacking.npz"], "lacks y_train"),
    ([*DATA, "npz:{}/images/floats.npz"], "pixels from 0 to 255, or from 0 to 1. It has float64 values from -1.0"),
    ([*DATA, "npz:{}/images/channels_first.npz"], "channels first"),
    ([*DATA, "npz:{}/images/flat.npz"], "must be (n, height, width)"),
    ([*DATA, "npz:{}/images/lengths.npz"], "must be 12 integers"),
    ([*DATA, "npz:{}/images/negative.npz"], "negative label"),
    ([*DATA, "npz:{}/images/names.npz"], "labels that the classes lack: cow"),
    ([*DATA, "npz:{}/images/soft.npz"], "or one-hot rows"),
    ([*DATA, "npz:{}/images/alone.npz"], "one class only"),
    ([*DATA, "npz:{}/images/shapes.npz"], "differ in size"),
    # operation modules
    ([*SEARCH, "--ops", "x", "--dry_run"], "operation module"),
    ([*SEARCH, "--ops", "{}/nowhere.py", "--dry_run"], "does not exist"),
    ([*SEARCH, "--ops", "{}/modules/fails.py", "--dry_run"], "fails on import"),
    ([*SEARCH, "--ops", "{}/modules/no_ops.py", "--dry_run"], "lacks OPS"),
    ([*SEARCH, "--ops", "{}/modules/no_layer.py", "--dry_run"], "must build a keras.layers.Layer"),
    ([*SEARCH, "--ops", "{}/modules/no_stride.py", "--dry_run"], "does not take stride"),
    ([*SEARCH, "--ops", "{}/modules/wrong_shape.py", "--dry_run"], "edge after edge"),
    ([*SEARCH, "--ops", "{}/modules/unknown_searched.py", "--dry_run"], "SEARCHED"),
    # runs and models
    (["search_cell.py", "--resume", "{}/nowhere"], "not the folder of a run"),
    (["search_cell.py", "--resume", "{}/runs/torn"], "not the folder of a run"),
    (["search_cell.py", "--resume", "{}/runs/run", "--layers", "5", "--nodes", "3"], "--layers 5 (was 1), --nodes 3"),
    (["search_cell.py", "--resume", "{}/runs/damaged"], "every checkpoint"),
    (["search_cell.py", "--resume", "{}/runs/foreign"], "not a checkpoint of this program"),
    (["search_cell.py", "--resume", "{}/runs/smaller"], "another network"),
    (["train.py", "--resume", "{}/runs/run"], "is a search, which this command cannot go on with"),
    (["search_cell.py", "--resume", "{}/runs/older"], "written by another version of tfdarts"),
    (["train.py", "--resume", "{}/runs/run", "--arch", "digits"], "leave out"),
    (["evaluate.py"], "--model_path"),
    (["evaluate.py", "--model_path", "{}/nowhere.keras"], "there is no file"),
    (["evaluate.py", "--model_path", "README.md"], "not a Keras model, or damaged; give the model.keras that"),
    (["evaluate.py", "--model_path", "{}/models/poem.keras"], "it is not a Keras model, or damaged"),
    (["evaluate.py", "--model_path", "{}/models/empty.keras"], "it is not a Keras model; give the model.keras"),
    (["evaluate.py", "--model_path", "{}/models/other.zip"], "under names that end in .keras only; rename it"),
    (["evaluate.py", "--model_path", "{}/models"], "/models is a folder; give the model in it"),
    (["evaluate.py", "--model_path", "{}/models/other.keras"], "it is a Keras model, but not one that tfdarts saved"),
    (["evaluate.py", "--model_path", "{}/models/lambda.keras"], "cannot load"),
    (["evaluate.py", "--model_path", "{}/models/no_data.keras"], "does not know what images"),
    (["evaluate.py", "--model_path", "{}/models/no_data.keras", "--data", "x"], "takes images"),
    (["evaluate.py", "--model_path", "{}/models/no_data.keras", "--finetune_epochs", "1"], "needs --mul_table"),
    (["-m", "tfdarts.multipliers"], "TABLE"),
    (["-m", "tfdarts.multipliers", "drum"], "drum"),
    (["visualize.py"], "genotype"),
    (["visualize.py", "x"], "DARTS_V2"),
    (["visualize.py", "DARTS", "--format", "gif"], "format"),
    (["visualize.py", "tests"], "not the folder of a run"),
    (["visualize.py", "{}/runs/run", "--space", "conv"], "leave out --space"),
    (["visualize.py", "DARTS_V2", "--space", "macro"], "one of ENAS"),
    (["-m", "tfdarts.report"], "give the folder"),
    (["-m", "tfdarts.report", "tests"], "not the folder of a run"),
    (["visualize.py", "DARTS", "--output", "{}/file"], "cannot write"),
]


@pytest.mark.parametrize("arguments,message", CASES, ids=[" ".join(case[0])[:60] for case in CASES])
def test_bad_input_is_answered_by_one_sentence(arguments, message, bad, command):
    stderr = command(*(argument.replace("{}", str(bad)) for argument in arguments), code=2).stderr
    *warnings, line = stderr.splitlines()
    assert line.startswith("error: ") and message in line
    assert all(warning.startswith("warning: ") for warning in warnings), stderr
    assert not list(bad.rglob("executed"))


@pytest.mark.parametrize("name", ["search_cell.py", "train.py", "evaluate.py", "visualize.py"])
def test_help_is_no_error(name, command):
    result = command(name, "--help")
    assert "python3 " + name in result.stdout and not result.stderr
    assert ("--arch_learning_rate" in result.stdout) == (name == "search_cell.py")
