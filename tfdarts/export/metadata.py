"""What an exported file says of itself: classes, preprocessing, genotype, version."""

import json
import pathlib
import typing

from tfdarts.version import __version__


class Metadata(typing.NamedTuple):
    """What goes into a file beside the network.

    Attributes:
        labels: names of the classes, or the words of the vocabulary, in the order of the outputs; a tuple of strings.
        about: dictionary, as JSON, of `FIELDS`.
    """

    labels: tuple
    about: dict


FIELDS = ("tfdarts", "task", "genotype", "raw", "quantize", "labels", "units", "preprocessing", "corpus")


def of(network, labels, raw, quantize):
    """The `Metadata` of a network.

    Args:
        network: a `TrainedNetwork` or an `EvaluationLanguageModel`.
        labels: as in `Metadata`.
        raw: whether the file takes normalised images; otherwise mean and deviation are applied in it.
        quantize: how it was quantized, or None.
    """
    genotype = network.genotype
    values = {
        "tfdarts": __version__,
        "task": network.task,
        "genotype": genotype and genotype.to_dict(),
        "raw": raw,
        "quantize": quantize,
        "labels": list(labels),
        "units": network.units if network.task == "text" else None,  # of the state
        "preprocessing": network.options["preprocessing"] if network.task == "images" else None,
        "corpus": network.corpus if network.task == "text" else None,
    }
    return Metadata(tuple(labels), {name: values[name] for name in FIELDS})


def files(metadata):
    """The files that hold it: name to text."""
    return {
        "labels.txt": "".join(f"{label}\n" for label in metadata.labels),
        "metadata.json": json.dumps(metadata.about, indent=1),
    }


def save(metadata, folder):
    """Writes these files into a folder."""
    for name, text in files(metadata).items():
        (pathlib.Path(folder) / name).write_text(text, encoding="utf-8")
