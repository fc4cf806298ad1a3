"""Tests a saved network: `tfdarts evaluate --model_path logs/eval_arch/<time>/model.keras`.

With `--mul_table exact,drum:4,FILE.bin` it is tested under each of these approximate multipliers, before and after
`--finetune_epochs` of training with it; a table of results is printed and written beside the model.
"""

import json
import pathlib

from absl import flags

from tfdarts import approximation as under_multipliers
from tfdarts import on_images, on_text
from tfdarts import saving as saved
from tfdarts.cli import flags as cli
from tfdarts.runs import run
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel


def main():
    """The command `tfdarts evaluate`, and `evaluate.py`."""
    cli.run(evaluate, define())


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    own = {"flag_values": values}
    flags.DEFINE_string("model_path", None, "a model.keras that train.py saved", **own)
    flags.DEFINE_string("dataset", None, "data set with the same classes; default: the one it was trained on", **own)
    flags.DEFINE_string("data", None, "folder of the text that it was trained on; default: where it was", **own)
    flags.DEFINE_string("data_dir", None, "folder of data prepared by TensorFlow Datasets; default: its own", **own)
    flags.DEFINE_string("ops", None, "where the operation module lies now, if it has moved", **own)
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
    """Tests the network, under the multipliers of `--mul_table` if there are any, and prints the results."""
    if values.model_path is None:
        raise cli.UserError("give --model_path logs/eval_arch/<time>/model.keras")
    path = pathlib.Path(values.model_path)
    if not path.is_file():
        raise cli.UserError(f"there is no file {path}")
    try:
        network = saved.load(path, values.ops)
    except ValueError as error:
        raise cli.UserError(f"cannot load {path}: {error}") from error
    run.configure_tensorflow()
    task, source, other = on_images, values.dataset, values.data
    if isinstance(network, EvaluationLanguageModel):
        task, source, other = on_text, values.data, values.dataset
    if other is not None:
        raise cli.UserError(f"the model takes {'text' if task is on_text else 'images'}; leave out {other}")
    for name, needed in (
        ("approx_range", "mul_table"),
        ("finetune_epochs", "mul_table"),
        ("finetune_learning_rate", "finetune_epochs"),
    ):
        if not values[name].using_default_value and values[needed].using_default_value:
            raise cli.UserError(f"--{name} needs --{needed}")
    if values.mul_table is not None:
        if not isinstance(network, EvaluationNetwork):
            raise cli.UserError("--mul_table is for networks of convolutional cells")
        data = on_images.load_for(network, source, values.data_dir)
        tuning = (values.finetune_epochs, values.finetune_learning_rate)
        parts = (values.mul_table, values.approx_range, values.batch_size or 96, *tuning)
        return under_multipliers.report(network, data, *parts, path.parent / "multipliers.json")
    print(json.dumps(task.evaluate(network, source, values.data_dir, values.batch_size)))
