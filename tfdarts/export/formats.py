"""The formats by name; each is a module, to be run in a process that has loaded TensorFlow."""

import importlib.util

from tfdarts.errors import UserError
from tfdarts.export import litert, onnx, saved_model

FORMATS = {"saved_model": saved_model, "litert": litert, "onnx": onnx}
READERS = {".tflite": "litert", ".onnx": "onnx"}
# Largest difference of a logit or a state from Keras's, over the largest; and for int8 the share of same decisions.
LIMITS = {None: 1e-4, "float16": 2e-3, "dynamic": 3e-2, "int8": 1e-1}
AGREEMENT = {"int8": 0.97}
SOFTMAX_LIMIT = 0.01


def columns():
    """Every way to write a file: pairs of a format's name and a quantization, or None."""
    return [(name, quantize) for name, module in FORMATS.items() for quantize in module.QUANTIZATIONS]


def label(name, quantize):
    """A column for people: `"litert int8"`."""
    return f"{name} {quantize}" if quantize else name


def load(name, quantize=None):
    """The module of a format.

    Raises:
        UserError: if there is no such format, it cannot be quantized so, or packages are missing.
    """
    if name not in FORMATS:
        raise UserError(f"give --format, one of {', '.join(FORMATS)}")
    module = FORMATS[name]
    if quantize not in module.QUANTIZATIONS:
        able = ", ".join(other for other, module in FORMATS.items() if quantize in module.QUANTIZATIONS)
        raise UserError(f"--quantize {quantize} is for {able or 'no format'}; leave it out with {name}")
    require(name)
    return module


def require(name):
    """Raises UserError where packages are missing that a format's files need to be written, checked or run."""
    packages = FORMATS[name].PACKAGES
    missing = [package.replace("_", "-") for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        (extra,) = set(packages.values())
        needed = " and ".join(missing)
        raise UserError(f"{name} needs {needed}: pip install 'tfdarts[{extra}]', or pip install {' '.join(missing)}")


def verdict(found, name, quantize):
    """Why a file is not as good as the network, a sentence; None if it is.

    Args:
        found: what `check.differences` gave.
        name, quantize: of the column.
    """
    what, limit = label(name, quantize), LIMITS[quantize]
    if not found["relative_difference"] <= limit:
        return (
            f"the {what} file's numbers differ from the network's by {found['relative_difference']:.1e} of the "
            f"largest, more than the {limit:g} that is allowed"
        )
    if found["agreement"] < AGREEMENT.get(quantize, 0):
        return (
            f"the {what} file decides as the network in {100 * found['agreement']:.1f} % of the inputs only, less than "
            f"{100 * AGREEMENT[quantize]:g} %"
        )
    if not found["softmax_difference"] <= SOFTMAX_LIMIT:
        return f"the {what} file's probabilities are not those of its logits"
    return None
