"""LiteRT (TensorFlow Lite): for phones, microcontrollers, accelerators, and the fastest on a CPU."""

import io
import pathlib
import tempfile
import zipfile

import tensorflow as tf

from tfdarts.export import metadata as about
from tfdarts.export import saved_model, signature
from tfdarts.export.plain import plain_operations

PACKAGES = {"ai_edge_litert": "export"}  # to run a file; TensorFlow writes it
QUANTIZATIONS = (None, "float16", "dynamic", "int8")
ENDING = ".tflite"
ROUNDING = "FakeQuantWithMinMaxVars"


def refusal(operations, quantize):
    """Why a network cannot be written, a sentence; None if nothing is known against it.

    Args:
        operations: set of the TensorFlow operations in its graph.
        quantize: `None`, `"float16"`, `"dynamic"` or `"int8"`.
    """
    if ROUNDING + "PerChannel" in operations or (quantize and ROUNDING in operations):
        return (
            f"LiteRT lacks {ROUNDING}PerChannel, by which approximate operations round edge by edge, and does not "
            "quantize what is rounded already; give --format saved_model, or train the cell with --ops regular"
        )
    return None


def write(network, path, raw, quantize, samples, metadata):
    """Writes a file; the same network gives the same bytes.

    The batch size is open, of a language model 1. Labels and metadata are appended as a zip archive, which whoever
    runs the file passes over.

    Args:
        network: a `TrainedNetwork` or an `EvaluationLanguageModel`.
        path: of the file.
        raw: whether to leave the preprocessing of images out.
        quantize: one of `QUANTIZATIONS`.
        samples: list of dictionaries of inputs, from which int8 takes the ranges of all maps.
        metadata: `metadata.Metadata`.
    """
    with tempfile.TemporaryDirectory() as folder:
        trace(network, raw, folder)
        content = convert(folder, quantize, samples)
    pathlib.Path(path).write_bytes(content + archive(metadata))


def trace(network, raw, folder):
    """Writes the SavedModel that is converted."""
    with plain_operations():
        exported = signature.of(network, raw, batch=1 if network.task == "text" else None)
        saved_model.archive_of(network, exported, folder)


def convert(folder, quantize, samples):
    """The bytes of a SavedModel's LiteRT file; the other arguments as in `write`."""
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["serving_default"])
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        converter.representative_dataset = lambda: iter(samples)
    return converter.convert()


def archive(metadata):
    """A zip archive of the metadata's files, without dates, which would make each file another."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in about.files(metadata).items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()
