"""Converts a model in a process of its own, which may crash: `python -m tfdarts.export.convert FOLDER`.

The folder has `job.json` and the inputs; what the network gives for them, and the file, are written beside them. One
thread, so that Keras's latency is that of one.
"""

import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

from tfdarts import api
from tfdarts.classifier import network_of
from tfdarts.errors import UserError
from tfdarts.export import check, formats, metadata, samples, signature


def operations(exported):
    """Names of all TensorFlow operations in the graph of a `Signature`, a set."""
    function = tf.function(exported.function, input_signature=exported.inputs, autograph=False)
    graph = function.get_concrete_function().graph.as_graph_def()
    return {node.op for node in [*graph.node, *(node for each in graph.library.function for node in each.node_def)]}


def keras_function(exported):
    """The network itself as `check.outputs` takes a function, and as a `tf.function`."""
    function = tf.function(exported.function, autograph=False, reduce_retracing=True)

    def run(**inputs):
        return {name: value.numpy() for name, value in function(**_tensors(inputs)).items()}

    return run, function


def _tensors(inputs):
    return {name: tf.constant(value) for name, value in inputs.items()}


def write(network, path, name, quantize, raw, labels, compared, ranges=None):
    """Writes a network as a file.

    Args:
        network: a `TrainedNetwork` or an `EvaluationLanguageModel`.
        path: of the file.
        name, quantize: of the column, see `formats.columns`.
        raw: whether to leave the preprocessing of images out.
        labels: as in `metadata.Metadata`.
        compared: inputs that the file is to be compared on, see `samples.inputs`.
        ranges: inputs that int8 takes its ranges from, see `samples.ranges`.

    Returns:
        What the network gives for `compared`, see `check.outputs`; Keras's latency in milliseconds.

    Raises:
        UserError: if the format is known not to have what the network needs.
    """
    exported, module = signature.of(network, raw), formats.FORMATS[name]
    reason = module.refusal(operations(exported), quantize)
    if reason:
        raise UserError(reason)
    run, function = keras_function(exported)
    expected, one = check.outputs(run, compared), _tensors(check.first(compared))
    latency = check.latency(lambda: function(**one))
    taken = samples.calls(run, ranges) if ranges else []
    module.write(network, path, raw, quantize, taken, metadata.of(network, labels, raw, quantize))
    return expected, latency


def main(folder):
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    folder = pathlib.Path(folder)
    job = json.loads((folder / "job.json").read_text())
    model = api.load_trained(job["model_path"], job["ops"], job["space"])
    network = network_of(model)
    compared = dict(np.load(folder / "compared.npz"))
    ranges = dict(np.load(folder / "ranges.npz")) if job["quantize"] == "int8" else None
    column = job["format"], job["quantize"], job["raw"]
    expected, latency = write(network, folder / job["file"], *column, job["labels"], compared, ranges)
    named = {f"in_{name}": value for name, value in compared.items()}
    np.savez(folder / "expected.npz", **named, **{f"out_{name}": value for name, value in expected.items()})
    print(json.dumps({"keras_latency_ms": latency}))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
