"""Loads TensorFlow and Keras as the program needs them, whatever the user's settings say."""

import contextlib
import os
import pathlib
import sys

from tfdarts.quiet import SILENT, quiet

_SCRIPTS = ("search_cell.py", "train.py", "evaluate.py", "study.py", "export.py", "visualize.py")
_WHY = "tfdarts needs Keras on TensorFlow"


def _is_command():
    """Whether this process is one of the program's commands, so that its messages are ours to drop."""
    path = pathlib.Path(getattr(sys.modules["__main__"], "__file__", None) or "").resolve()
    here = pathlib.Path(__file__).resolve().parent.parent
    module = sys.orig_argv[2] if sys.orig_argv[1:2] == ["-m"] and len(sys.orig_argv) > 2 else ""
    return path.name == "tfdarts" or (path.parent == here and path.name in _SCRIPTS) or module.startswith("tfdarts.")


def _refuse(sentence):
    if _is_command():
        print(f"error: {sentence}", file=sys.stderr)
        sys.exit(2)
    raise ImportError(sentence)


def on_cpu():
    """Whether there is no GPU: some operations have one form that is faster on a CPU, and another for a GPU.

    It starts TensorFlow's devices, after which they cannot be configured any more.
    """
    import tensorflow as tf

    return not tf.config.list_logical_devices("GPU")


def prepare():
    """Sets what TensorFlow and Keras must know before they are imported, and imports them.

    `KERAS_BACKEND` and `~/.keras/keras.json` may ask for another backend, for half precision or channels first.
    TensorFlow leaves its oneDNN kernels off on processors without AVX-512 VNNI, where they are faster too: a search
    step took 5.3 s instead of 7.6 s on an AMD Zen 3. A user's own `TF_ENABLE_ONEDNN_OPTS` stays.

    Raises:
        ImportError: if Keras is loaded already, with such settings; a command ends with that sentence instead.
    """
    loaded = "keras" in sys.modules
    if not loaded:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        if _is_command():
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", SILENT)  # it would say nothing that an exception would not
        with quiet() if _is_command() else contextlib.nullcontext():  # a notebook keeps its messages
            import tensorflow  # noqa: F401
    import keras

    if keras.backend.backend() != "tensorflow":
        _refuse(
            f"{_WHY}, but Keras is loaded with the backend {keras.backend.backend()!r}; import tfdarts before Keras, "
            "or set KERAS_BACKEND=tensorflow"
        )
    if not loaded:
        keras.config.set_floatx("float32")
        keras.config.set_image_data_format("channels_last")
    for name, value, wrong in (
        ("floatx", keras.config.floatx(), ("float16", "bfloat16")),
        ("image_data_format", keras.config.image_data_format(), ("channels_first",)),
    ):
        if value in wrong:
            _refuse(
                f"{_WHY}, in float32 or float64 with channels last, but its {name} is {value!r}; import tfdarts before "
                f"Keras, or set it by keras.config.set_{name}"
            )
