"""What the commands share that take weight files of PyTorch programs: flags, and the network of a file."""

import sys

from absl import flags

from tfdarts.errors import UserError
from tfdarts.pytorch import networks, preprocessing
from tfdarts.spaces import genotypes


def define(values):
    """Defines the flags that tell what a weight file lacks; of a `model.keras`, which knows it, they are checked."""
    own = {"flag_values": values}
    text = "genotype of a PyTorch weight file, by name or as a file; default: the shipped one that fits"
    flags.DEFINE_string("arch", None, f"{text}. Of a model.keras it is checked", **own)
    text = "keep the auxiliary head of a PyTorch weight file; of a model.keras it is checked"
    flags.DEFINE_bool("auxiliary", None, text, **own)


def check_told(network, arch, auxiliary):
    """Raises UserError where a network is not what the user says of it.

    Args:
        network: of a `model.keras`.
        arch: name or file of its genotype; None for nothing said.
        auxiliary: whether it has an auxiliary head; None for nothing said.
    """
    head = getattr(network, "auxiliary_head", None) is not None
    if auxiliary is not None and auxiliary != head:
        raise UserError(
            f"the model has {'an' if head else 'no'} auxiliary head; leave out --{'' if auxiliary else 'no'}auxiliary"
        )
    genotype = getattr(network, "genotype", None)  # LSTM and GRU cells have none
    if arch is not None and (genotype is None or genotypes.load(arch, genotype.space) != genotype):
        raise UserError(f"the model is not of the genotype {arch}; leave out --arch")


def network(path, arch, auxiliary, dataset=None, data=None):
    """The network of a weight file; what is to be known of it is printed on stderr.

    Args:
        path: of the file.
        arch: name or file of the genotype; None to find it.
        auxiliary: whether to keep the auxiliary head; None for no.
        dataset, data: what it is tested on.

    Raises:
        UserError: if the file cannot be used.
    """
    source = networks.read(path)
    genotype, where = networks.chosen(source, arch and genotypes.load(arch, source.layout.space))
    known = preprocessing.known(source, genotype, dataset, data)
    result, notes = networks.build(source, genotype, bool(auxiliary), known)
    tell([where, *notes, preprocessing.sentence(known)])
    return result


def tell(notes):
    """Prints sentences on stderr, so that what a command prints stays JSON."""
    for note in filter(None, notes):
        print(f"note: {note}", file=sys.stderr)
