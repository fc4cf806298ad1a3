"""ONNX: for ONNX Runtime, OpenVINO and other programs."""

import json

import tensorflow as tf

from tfdarts.export import signature
from tfdarts.export.litert import ROUNDING

PACKAGES = {"onnx": "onnx", "tf2onnx": "onnx", "onnxruntime": "onnx"}
QUANTIZATIONS = (None,)
ENDING = ".onnx"
OPSET = 18  # every current program reads it


def refusal(operations, quantize):
    """Why a network cannot be written; as in `litert.refusal`."""
    if any(name.startswith(ROUNDING) for name in operations):
        return (
            f"ONNX lacks {ROUNDING}, by which approximate operations round; give --format saved_model, or train the "
            "cell with --ops regular"
        )
    return None


def write(network, path, raw, quantize, samples, metadata):
    """Writes a file with open batch size; arguments as in `litert.write`. Its tensors' names differ each time."""
    import onnx
    import tf2onnx

    exported = signature.of(network, raw)
    function = tf.function(exported.function, input_signature=exported.inputs)
    model, _ = tf2onnx.convert.from_function(function, input_signature=exported.inputs, opset=OPSET)
    for value in (*model.graph.input, *model.graph.output):
        axes = ("time", "batch") if network.task == "text" and value.name not in signature.STATES else ("batch",)
        for axis, dimension in zip(axes, value.type.tensor_type.shape.dim):
            dimension.dim_param = axis
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in metadata.about.items()})
    onnx.checker.check_model(model)
    onnx.save(model, path)
