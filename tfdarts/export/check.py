"""Runs an exported file, knowing nothing of tfdarts: `python -P tfdarts/export/check.py FILE INPUTS.npz`.

Prints one line of JSON: how far its outputs are from those in the archive, and how long it takes. The file decides
which package is loaded: TensorFlow, ai-edge-litert or onnxruntime. It has no import of ours, so that this process shows
that the file needs none.
"""

import json
import pathlib
import statistics
import sys
import time
import zipfile

import numpy as np

CALLS = 60  # whose median is the latency


class SavedModel:
    """A folder."""

    def __init__(self, path):
        import tensorflow as tf

        self.tf, self.loaded = tf, tf.saved_model.load(str(path))  # the function alone would lose the variables
        self.function = self.loaded.signatures["serving_default"]
        self.metadata = json.loads((pathlib.Path(path) / "assets" / "metadata.json").read_text())

    def __call__(self, **inputs):
        outputs = self.function(**{name: self.tf.constant(value) for name, value in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    def prepared(self, **inputs):
        tensors = {name: self.tf.constant(value) for name, value in inputs.items()}
        return lambda: self.function(**tensors)


class LiteRT:
    """A `.tflite` file, on one thread."""

    def __init__(self, path):
        from ai_edge_litert.interpreter import Interpreter

        self.open = lambda: Interpreter(str(path), num_threads=1)
        interpreter = self.open()
        interpreter.allocate_tensors()  # now, so that what is wrong with the file shows
        self.runner = interpreter.get_signature_runner("serving_default")
        with zipfile.ZipFile(path) as archive:
            self.metadata = json.loads(archive.read("metadata.json"))

    def __call__(self, **inputs):  # copies, since the arrays are gone with the next size
        return {name: np.array(value) for name, value in self.runner(**inputs).items()}

    def prepared(self, **inputs):
        interpreter = self.open()  # one without a runner, beside which `invoke` refuses to work
        places = {
            each["name"].removeprefix("serving_default_").split(":")[0]: each["index"]
            for each in interpreter.get_input_details()
        }
        for name, value in inputs.items():
            interpreter.resize_tensor_input(places[name], value.shape)
        interpreter.allocate_tensors()
        for name, value in inputs.items():
            interpreter.set_tensor(places[name], value)
        return interpreter.invoke


class Onnx:
    """An `.onnx` file, on one thread."""

    def __init__(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        known = self.session.get_modelmeta().custom_metadata_map
        self.metadata = {name: json.loads(value) for name, value in known.items()}

    def __call__(self, **inputs):
        return dict(zip(self.names, self.session.run(self.names, inputs)))

    def prepared(self, **inputs):
        return lambda: self.session.run(self.names, inputs)


def load(path):
    """Opens an exported file: a function of named arrays that gives named arrays, with `metadata`, a dictionary."""
    kinds = {".tflite": LiteRT, ".onnx": Onnx}
    return kinds.get(pathlib.Path(path).suffix, SavedModel)(path)


def latency(call):
    """The median time of a call, in milliseconds, after half as many calls."""
    times = []
    for _ in range(CALLS + CALLS // 2):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times[CALLS // 2 :])


def outputs(run, inputs):
    """What a function gives for all inputs.

    Args:
        run: function of named arrays that gives named arrays.
        inputs: `image`, `(images, ...)`: half of them are run one by one and the others together, to have both sizes of
            a batch seen; or `tokens`, `(segments, time)`: one after the other, and the `state` that the text begins
            with, which is carried on.

    Returns:
        A dictionary of `logits` and `probabilities`, `(decisions, classes)`, and `state` of text.
    """
    if "image" in inputs:
        half = len(inputs["image"]) // 2
        pieces = [*(inputs["image"][i : i + 1] for i in range(half)), inputs["image"][half:]]
        parts = [run(image=piece) for piece in pieces]
        return {name: np.concatenate([part[name] for part in parts]) for name in ("logits", "probabilities")}
    parts, state = [], inputs["state"]
    for tokens in inputs["tokens"]:
        parts.append(run(tokens=tokens[:, None], state=state))
        state = parts[-1]["next_state"]
    rows = {name: np.concatenate([part[name][:, 0] for part in parts]) for name in ("logits", "probabilities")}
    return rows | {"state": state}


def first(inputs):
    """The inputs of one call of batch size 1."""
    if "image" in inputs:
        return {"image": inputs["image"][:1]}
    return {"tokens": inputs["tokens"][0][:, None], "state": inputs["state"]}


def differences(got, expected):
    """How two results of `outputs` differ, as a dictionary; a difference is infinite where a number is missing.

    `largest_difference` is that of the logits, `relative_difference` the same over the largest logit, or of the state,
    if that is more; `agreement` the share of decisions that are the same; `softmax_difference` what the probabilities
    are from those that belong to the file's own logits.
    """

    def largest(one, other):
        return float(np.abs(one - other).max()) if np.isfinite(one).all() else np.inf

    difference = largest(got["logits"], expected["logits"])
    relative = difference / float(np.abs(expected["logits"]).max())
    if "state" in got:
        relative = max(relative, largest(got["state"], expected["state"]) / float(np.abs(expected["state"]).max()))
    powers = np.exp(got["logits"] - got["logits"].max(-1, keepdims=True))
    decisions = [result["logits"].argmax(-1) for result in (got, expected)]
    return {
        "largest_difference": difference,
        "relative_difference": relative,
        "agreement": float(np.mean(decisions[0] == decisions[1])),
        "softmax_difference": largest(got["probabilities"], powers / powers.sum(-1, keepdims=True)),
    }


def main(path, archive):
    if pathlib.Path(path).is_dir():
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    stored = dict(np.load(archive))
    inputs = {name.removeprefix("in_"): value for name, value in stored.items() if name.startswith("in_")}
    expected = {name.removeprefix("out_"): value for name, value in stored.items() if name.startswith("out_")}
    model = load(path)
    result = differences(outputs(model, inputs), expected)
    result["latency_ms"] = latency(model.prepared(**first(inputs)))
    print(json.dumps(result | {"tfdarts_loaded": "tfdarts" in sys.modules}))


if __name__ == "__main__":
    main(*sys.argv[1:])
