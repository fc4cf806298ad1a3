"""What the commands share that take weight files of PyTorch programs: flags, and the network of a file."""

import sys

from absl import flags

from tfdarts.errors import UserError
from tfdarts.pytorch import containers, networks, preprocessing
from tfdarts.spaces import genotypes

FLAGS = ("arch", "auxiliary")


def define(values):
    """Defines the flags that only mean something with a weight file."""
    own = {"flag_values": values}
    text = "genotype of a PyTorch weight file, by name or as a file; default: the shipped one that fits"
    flags.DEFINE_string("arch", None, text, **own)
    flags.DEFINE_bool("auxiliary", False, "keep the auxiliary head of a PyTorch weight file", **own)


def given(values):
    """Whether `--model_path` is a weight file.

    Raises:
        UserError: if it is not, but flags for one are given.
    """
    if containers.is_weight_file(values.model_path):
        return True
    for name in FLAGS:
        if not values[name].using_default_value:
            raise UserError(f"--{name} is for weight files of PyTorch programs; leave it out for {values.model_path}")
    return False


def network(path, arch, auxiliary, dataset=None, data=None):
    """The network of a weight file; what is to be known of it is printed on stderr.

    Args:
        path: of the file.
        arch: name or file of the genotype; None to find it.
        auxiliary: whether to keep the auxiliary head.
        dataset, data: what it is tested on.

    Raises:
        UserError: if the file cannot be used.
    """
    source = networks.read(path)
    genotype, where = networks.chosen(source, arch and genotypes.load(arch, source.layout.space))
    known = preprocessing.known(source, genotype, dataset, data)
    result, notes = networks.build(source, genotype, auxiliary, known)
    tell([where, *notes, preprocessing.sentence(known)])
    return result


def tell(notes):
    """Prints sentences on stderr, so that what a command prints stays JSON."""
    for note in filter(None, notes):
        print(f"note: {note}", file=sys.stderr)
