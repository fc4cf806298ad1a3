"""Tests a saved network: `tfdarts evaluate --model_path logs/eval_arch/<time>/model.keras`.

The weights of PyTorch programs are tested too, `--model_path cifar10_model.pt --arch DARTS_V2`, as these programs test
them (docs/pytorch.md).

With `--mul_table exact,drum:4,FILE.bin` it is tested under each of these approximate multipliers, before and after
`--finetune_epochs` of training with it; a table of results is printed and written beside the model.

A file or folder that `tfdarts export` wrote can be tested too: `--model_path FILE.tflite`, `FILE.onnx` or `FOLDER`.
"""

import json
import pathlib

from absl import flags

from tfdarts import api, approximation
from tfdarts.classifier import network_of
from tfdarts.cli import flags as cli
from tfdarts.cli import weights
from tfdarts.errors import UserError
from tfdarts.export import testing
from tfdarts.pytorch import containers
from tfdarts.runs import environment
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.tasks.image_data import load_for


def main():
    """The command `tfdarts evaluate`, and `evaluate.py`."""
    cli.run(evaluate, define())


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    own = {"flag_values": values}
    text = "a model.keras that train.py saved, what export.py wrote, or a PyTorch weight file"
    flags.DEFINE_string("model_path", None, text, **own)
    weights.define(values)
    flags.DEFINE_string("dataset", None, "data set with the same classes; default: the one it was trained on", **own)
    flags.DEFINE_string("data", None, "folder of the text that it was trained on; default: where it was", **own)
    flags.DEFINE_string("data_dir", None, "folder of data prepared by TensorFlow Datasets; default: its own", **own)
    flags.DEFINE_string("ops", None, "where the operation module lies now, if it has moved", **own)
    flags.DEFINE_string("space", None, "module of a space of your own, if the model is of one", **own)
    flags.DEFINE_integer("batch_size", None, "images per step; default: 96", lower_bound=1, **own)
    flags.DEFINE_string(
        "mul_table", None, "multipliers to test under, separated by commas; default: the network's own", **own
    )
    flags.DEFINE_string("approx_range", None, "as in training; default: the network's own", **own)
    flags.DEFINE_integer("finetune_epochs", 0, "epochs of training under each multiplier", lower_bound=0, **own)
    flags.DEFINE_float(
        "finetune_learning_rate", 0.005, "of the first of them; the cosine ends at 0", lower_bound=0, **own
    )
    return values


def evaluate(values, _):
    """Tests the model, under the multipliers of `--mul_table` if there are any, and prints the results."""
    if values.model_path is None:
        raise UserError("give --model_path logs/eval_arch/<time>/model.keras")
    if testing.is_exported(values.model_path):
        return print(json.dumps(_evaluate_exported(values)))
    if containers.is_weight_file(values.model_path):
        _refuse(values, ("ops", "space"), "the weights are read into a network as they are")
        model = weights.network(values.model_path, values.arch, values.auxiliary, values.dataset, values.data)
    else:
        model = api.load_trained(values.model_path, values.ops, values.space)
        weights.check_told(network_of(model), values.arch, values.auxiliary)
    network = network_of(model)
    environment.configure()
    source, other = values.dataset, values.data
    if network.task == "text":
        source, other = other, source
    if other is not None:
        raise UserError(f"the model takes {network.task}; leave out {other}")
    for name, needed in (
        ("approx_range", "mul_table"),
        ("finetune_epochs", "mul_table"),
        ("finetune_learning_rate", "finetune_epochs"),
    ):
        if not values[name].using_default_value and values[needed].using_default_value:
            raise UserError(f"--{name} needs --{needed}")
    if values.mul_table is None:
        options = {"data_dir": values.data_dir, "batch_size": values.batch_size}
        return print(json.dumps(api.evaluate(model, source, **options)))
    if not isinstance(network, EvaluationNetwork):
        raise UserError("--mul_table is for networks of convolutional cells")
    approximation.report(
        network,
        load_for(network, source, values.data_dir),
        values.mul_table,
        values.approx_range,
        values.batch_size or 96,
        values.finetune_epochs,
        values.finetune_learning_rate,
        pathlib.Path(values.model_path).parent / "multipliers.json",
    )


def _refuse(values, names, why):
    """Raises UserError if one of some flags is given that are for a `model.keras` only."""
    for name in names:
        if not values[name].using_default_value:
            raise UserError(f"--{name} is for a model.keras; {why}")


def _evaluate_exported(values):
    """Tests an exported file, which has no options of its own."""
    tables = ("mul_table", "approx_range", "finetune_epochs", "finetune_learning_rate")
    _refuse(values, ("ops", "space", "arch", "auxiliary", *tables), "an exported file is tested as it is")
    if values.dataset is not None and values.data is not None:
        raise UserError("--dataset is for images, --data for text; give one of them")
    environment.configure()
    return testing.evaluate(values.model_path, values.dataset or values.data, values.data_dir, values.batch_size)
