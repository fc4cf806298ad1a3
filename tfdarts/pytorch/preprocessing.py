"""What a network from a weight file must know of its images or its text, as the program that wrote the file has it."""

from tfdarts.data.images import KNOWN
from tfdarts.pytorch import conv, recurrent
from tfdarts.spaces import genotypes
from tfdarts.version import __version__

# P-DARTS's and Att-DARTS's of CIFAR-100; PC-DARTS takes CIFAR-10's for both.
_CIFAR_100 = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
_BY_CLASSES = {10: "cifar10", 100: "cifar100", 1000: "imagenet2012"}
_BPTT = 35


def of_images(source, genotype, dataset=None):
    """What the network remembers of its images, as a dictionary.

    Args:
        source: `networks.Source` of images.
        genotype: of the network.
        dataset: name of the data set to test on; None for the one that has so many classes.
    """
    imagenet = getattr(source.sizes, "network", None) == "imagenet"
    dataset = dataset or _BY_CLASSES.get(source.sizes.classes)
    mean, std = _statistics(source, genotype, dataset, imagenet)
    shape, _, _ = source.layout.inputs(source.sizes, None)
    as_it_is = dataset in KNOWN and KNOWN[dataset].shape == shape
    return {
        "mean": list(mean),
        "std": list(std),
        "classes": [],
        "dataset": dataset,
        "seed": 0,
        "image_size": 0 if as_it_is else shape[0],
        "augmentation": "imagenet" if imagenet else "crop",
        "tfdarts": __version__,
    }


def _statistics(source, genotype, dataset, imagenet):
    if imagenet:
        return KNOWN["imagenet2012"][2:4]
    if dataset == "svhn_cropped":
        return KNOWN[dataset][2:4]
    if dataset == "cifar100" and source.layout is conv:
        attended = any(attention for reduction in (False, True) for *_, attention in genotype.edges(reduction))
        if attended or genotype == genotypes.load("PDARTS"):
            return _CIFAR_100
    return KNOWN["cifar10"][2:4]


def of_text(source, folder=None):
    """What the model remembers of its text, as a dictionary; `folder` is where it is, None if that is unknown."""
    known = {"data": folder, "sha256": None, "words": source.sizes.words, "bptt": _BPTT, "tfdarts": __version__}
    return known | {"vocabulary": "all"}


def known(source, genotype, dataset=None, data=None):
    """What a network remembers, of images or text."""
    if source.layout.space == recurrent.space:
        return of_text(source, data)
    return of_images(source, genotype, dataset)


def sentence(known):
    """How images are brought to what the network takes, in words; None for text."""
    if "mean" not in known:
        return None
    numbers = (", ".join(f"{value:g}" for value in known[name]) for name in ("mean", "std"))
    return "images are normalised by means {} and deviations {}".format(*numbers)
