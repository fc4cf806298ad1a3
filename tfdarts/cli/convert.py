"""Converts weight files: `tfdarts convert cifar10_model.pt --arch DARTS_V2 model.keras`, and back.

The first makes a model.keras of the weights of a PyTorch program (docs/pytorch.md says of which);
`tfdarts convert model.keras --to_pytorch model.pt` writes a model's weights for these programs.
"""

import pathlib

from absl import flags

from tfdarts import api
from tfdarts.classifier import network_of
from tfdarts.cli import flags as cli
from tfdarts.cli import weights
from tfdarts.errors import UserError
from tfdarts.pytorch import export


def main():
    """The command `tfdarts convert`."""
    cli.run(convert, define(), positional=True)


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    own = {"flag_values": values}
    weights.define(values)
    text = "data set that the model remembers as the one to test it on; default: the one with so many classes"
    flags.DEFINE_string("dataset", None, text, **own)
    flags.DEFINE_string("data", None, "folder of the text that a language model remembers as its own", **own)
    flags.DEFINE_string("to_pytorch", None, "PyTorch weight file to write a model.keras into", **own)
    flags.DEFINE_string("ops", None, "where the operation module lies now, if it has moved", **own)
    return values


def convert(values, files):
    """Reads the first file and writes the other one."""
    if values.to_pytorch is not None:
        if len(files) != 1:
            raise UserError("give one model.keras to be written by --to_pytorch FILE")
        model = api.load_trained(files[0], values.ops)
        network = network_of(model)
        weights.check_told(network, values.arch, values.auxiliary)
        export.save(network, pathlib.Path(values.to_pytorch))
        return print(values.to_pytorch)
    if len(files) != 2:
        raise UserError("give a PyTorch weight file and the model.keras to write; or a model.keras and --to_pytorch")
    source, target = map(pathlib.Path, files)
    if target.suffix != ".keras":
        raise UserError(f"the model's name must end with .keras. Received: {target}.")
    if source.suffix == ".keras":
        raise UserError(f"{source} is a model.keras already; --to_pytorch FILE writes its weights for PyTorch")
    network = weights.network(source, values.arch, values.auxiliary, values.dataset, values.data)
    try:
        network.save(target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from None
    print(target)
