"""Writes a saved network for other programs: `tfdarts export --model_path model.keras --format litert --output FILE`.

Formats are `saved_model` (a folder), `litert` (with `--quantize float16`, `dynamic` or `int8` too) and `onnx`. The file
is compared with the network in a process of its own, and kept only if the two agree; `--list` shows what goes where.
"""

import json

from absl import flags

from tfdarts.cli import flags as cli
from tfdarts.errors import UserError
from tfdarts.export import formats, job, table


def main():
    """The command `tfdarts export`, and `export.py`."""
    cli.run(export, define())


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    own = {"flag_values": values}
    quantizations = [each for each in formats.FORMATS["litert"].QUANTIZATIONS if each]
    flags.DEFINE_string("model_path", None, "a model.keras that train.py saved", **own)
    flags.DEFINE_enum("format", None, list(formats.FORMATS), "what to write", **own)
    flags.DEFINE_enum("quantize", None, quantizations, "of litert: smaller numbers; default: float32", **own)
    flags.DEFINE_bool("raw", False, "leave normalisation out: the file takes normalised float32 images", **own)
    flags.DEFINE_string("output", None, "file to write, or folder for saved_model", **own)
    flags.DEFINE_bool("list", False, "print which networks go into which format, and stop", **own)
    flags.DEFINE_string("dataset", None, "images to compare on; default: those it was trained on", **own)
    flags.DEFINE_string("data", None, "folder of the text that it was trained on; default: where it was", **own)
    flags.DEFINE_string("data_dir", None, "folder of data prepared by TensorFlow Datasets; default: its own", **own)
    flags.DEFINE_bool("random_inputs", False, "compare on noise, where the data is not here", **own)
    flags.DEFINE_string("ops", None, "where the operation module lies now, if it has moved", **own)
    flags.DEFINE_string("space", None, "module of a space of your own, if the model is of one", **own)
    return values


def export(values, _):
    """Writes the file and prints how it compares with the network as a line of JSON; or prints the table."""
    if values.list:
        return print(table.text())
    for name in ("model_path", "format", "output"):
        if values[name].value is None:
            raise UserError(f"give --{name}; --help shows an example, --list what goes where")
    if values.dataset is not None and values.data is not None:
        raise UserError("--dataset is for images, --data for text; give one of them")
    found = job.export(
        values.model_path,
        values.format,
        values.output,
        values.quantize,
        values.raw,
        values.dataset or values.data,
        values.data_dir,
        values.random_inputs,
        values.ops,
        values.space,
    )
    print(json.dumps(found))
