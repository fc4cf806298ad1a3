"""Exports a saved model: converts it, compares the file with the network, and keeps it if the two agree."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import numpy as np

from tfdarts import api
from tfdarts.classifier import network_of
from tfdarts.errors import UserError
from tfdarts.export import formats, metadata, samples

PACKAGE = pathlib.Path(__file__).parent.parent
RESULTS = "exports.json"  # beside the model


def export(
    model_path,
    format,
    output,
    quantize=None,
    raw=False,
    data=None,
    data_dir=None,
    random_inputs=False,
    ops=None,
    space=None,
):
    """Exports a model that was saved by training.

    Args:
        model_path: of a `model.keras`.
        format, quantize: names of a format, and of one of its quantizations or None.
        output: path of the file, or of a folder for `saved_model`; it must not exist yet.
        raw: whether the file is to take images that are normalised already.
        data, data_dir: the data to compare on, see `samples.read`.
        random_inputs: whether to compare on noise instead.
        ops, space: as in `api.load_trained`.

    Returns:
        How the file compares with the network, a dictionary; `exports.json` beside the model has it too.

    Raises:
        UserError: if it cannot be exported, or the file's results are not the network's; then there is no file.
    """
    module, output = formats.load(format, quantize), pathlib.Path(output)
    _check_output(output, format, module)
    model = api.load_trained(model_path, ops, space)
    network = network_of(model)
    if random_inputs and (quantize == "int8" or data or data_dir):
        raise UserError("--random_inputs takes the place of data; int8 needs data, of which it takes the ranges")
    source = None if random_inputs else samples.read(network, data, data_dir)
    labels = _labels(network, source)
    beside = metadata.files(metadata.Metadata(labels, {}))["labels.txt"]
    _check_labels(output.parent / "labels.txt", beside)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export") as folder:
        folder = pathlib.Path(folder)
        compared = samples.inputs(network, source, raw)
        np.savez(folder / "compared.npz", **compared)
        if quantize == "int8":
            np.savez(folder / "ranges.npz", **samples.ranges(network, source, raw))
        job = {"model_path": str(model_path), "ops": ops, "space": space, "format": format, "quantize": quantize}
        job |= {"raw": raw, "labels": labels, "file": output.name}
        (folder / "job.json").write_text(json.dumps(job))
        found = convert_and_check(folder, output.name, format, quantize)
        os.replace(folder / output.name, output)
    (output.parent / "labels.txt").write_text(beside, encoding="utf-8")
    found = {
        "file": str(output),
        "format": format,
        "quantize": quantize,
        "raw": raw,
        "compared_on": len(compared["image"]) if network.task == "images" else compared["tokens"].size,
        **found,
        "size_bytes": size(output),
    }
    _remember(pathlib.Path(model_path).parent / RESULTS, found)
    return found


def convert_and_check(folder, name, format, quantize):
    """Runs the two processes on a prepared folder; the results, a dictionary, or a UserError."""
    what = formats.label(format, quantize)
    converted = run(["-m", "tfdarts.export.convert", folder], f"the conversion to {what}")
    path = folder / name
    checked = run(["-P", PACKAGE / "export" / "check.py", path, folder / "expected.npz"], f"running the {what} file")
    reason = formats.verdict(checked, format, quantize)
    if reason:
        raise UserError(f"{reason}; no file was written")
    names = ("largest_difference", "relative_difference", "agreement", "latency_ms")
    return {name: checked[name] for name in names} | converted


def run(arguments, what):
    """Runs Python in a process of its own.

    Args:
        arguments: behind the interpreter's name.
        what: what the process does, for the sentence about its failure.

    Returns:
        The object that the last line of its output is, as JSON.

    Raises:
        UserError: if it fails: with its own sentence, the last line of its trace, or the signal that ended it.
    """
    paths = [str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [sys.executable, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    lines = done.stderr.strip().splitlines() or ["no message"]
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise UserError(f"{what} crashed ({name}), which is a fault of the converter or runtime; no file was written")
    if done.returncode == 2 and lines[-1].startswith("error: "):
        raise UserError(lines[-1].removeprefix("error: "))
    raise UserError(f"{what} failed, so that no file was written: {(raised or lines)[-1][:300]}")


def size(path):
    """Bytes of a file, or of all files in a folder."""
    return sum(each.stat().st_size for each in ([path] if path.is_file() else path.rglob("*")) if each.is_file())


def _check_output(output, format, module):
    if output.exists():
        raise UserError(f"there is {output} already; give another --output, or remove it")
    if module.ENDING and output.suffix != module.ENDING:
        raise UserError(f"--output of {format} must end in {module.ENDING}, by which it is known")
    if not module.ENDING and output.suffix in (*formats.READERS, ".keras"):
        raise UserError(f"--output of {format} is a folder; give a name that does not end in {output.suffix}")


def _check_labels(path, text):
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UserError(f"{path} has other classes; give an --output in another folder")


def _labels(network, source):
    if network.task == "text":
        return source.corpus.words if source else tuple(map(str, range(network.words)))
    known = network.options["preprocessing"]
    if known and known["classes"]:  # a model that comes from a PyTorch file knows none
        return tuple(known["classes"])
    return tuple(source.test.names if source else map(str, range(network.options["classes"])))


def _remember(path, found):
    """Adds a result to those beside the model, in place of an earlier one of the same file."""
    try:
        known = json.loads(path.read_text()) if path.exists() else []
        kept = [each for each in known if each["file"] != found["file"]]
        path.write_text(json.dumps([*kept, found], indent=2) + "\n")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{found['file']} is written, but {path} cannot be read or written: {error}") from None
