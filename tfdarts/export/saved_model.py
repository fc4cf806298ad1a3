"""SavedModel: for TensorFlow Serving, TensorFlow.js, Java, and as what the LiteRT converter reads."""

import pathlib

import keras

from tfdarts.export import metadata as about
from tfdarts.export import signature

PACKAGES = {}  # TensorFlow writes and reads it
QUANTIZATIONS = (None,)
ENDING = ""  # a folder


def refusal(operations, quantize):
    """Nothing that TensorFlow runs is refused; as in `litert.refusal`."""
    return None


def write(network, path, raw, quantize, samples, metadata):
    """Writes a folder; arguments as in `litert.write`."""
    archive_of(network, signature.of(network, raw), path)
    about.save(metadata, pathlib.Path(path) / "assets")


def archive_of(network, exported, folder):
    """Writes a function of a network as a SavedModel with the signature `serving_default`.

    Args:
        network: whose weights the function uses.
        exported: `signature.Signature`.
        folder: path.
    """
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint("serve", exported.function, input_signature=list(exported.inputs))
    archive.write_out(str(folder), verbose=False)
