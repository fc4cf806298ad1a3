"""Checkpoints of a run: all variables of a model, by name, in one file that carries its hash."""

import hashlib
import io
import sys
import zipfile

import keras
import numpy as np

from tfdarts.errors import UserError

FORMAT = 1  # of the content; checkpoints by position, without a number, came before
TRACKED = ("_layers", "_metrics", "_trainable_variables", "_non_trainable_variables", "_seed_generators")
KEPT = 2  # checkpoints; the older one is for the case that the newer one is damaged


def names(model):
    """Names a model's variables by where they are: the attributes that lead to them, `network/cells/0/edges/1/...`.

    Keras's own paths count the layers of a process, so they differ between a first and a second model of a kind. A
    variable that several ways lead to has the way with the fewest private attributes, and of these the first.

    Args:
        model: has `state()`, the list of its variables.

    Returns:
        A dictionary from name to variable, in the order of `state()`.
    """
    found, visited, reached = {}, set(), [(model, "")]
    while reached:  # each round adds what one more private attribute leads to
        private = []
        for value, name in reached:
            _walk(value, name, found, visited, private)
        reached = private
    return {found[id(variable)]: variable for variable in model.state()}


def _walk(value, name, found, visited, private):
    """Names the variables that public attributes of `value` lead to; lists the private ones on the way."""
    if isinstance(value, keras.Variable):
        found.setdefault(id(value), name)
    elif isinstance(value, (keras.layers.Layer, keras.metrics.Metric, keras.random.SeedGenerator)):
        if id(value) in visited:
            return
        visited.add(id(value))
        for key, item in vars(value).items():
            if not key.startswith("_"):
                _walk(item, _join(name, key), found, visited, private)
        hidden = [key for key in vars(value) if key.startswith("_")]
        # The lists by which Keras and TensorFlow track everything come last: for what is in no other attribute.
        hidden.sort(key=lambda key: key in TRACKED or key.startswith("_self_"))
        private.extend((vars(value)[key], _join(name, key)) for key in hidden)
    elif isinstance(value, (list, tuple)):
        for key, item in enumerate(value):
            _walk(item, _join(name, key), found, visited, private)
    elif isinstance(value, dict):
        for key, item in value.items():
            _walk(item, _join(name, key), found, visited, private)


def _join(name, key):
    return f"{name}/{key}" if name else str(key)


def save(folder, model, seconds):
    """Writes all of a model's state to `checkpoint_<step>_<sha256>.npz`, and keeps the one before it.

    Args:
        folder: `RunFolder`.
        model: has `state()` and `step`.
        seconds: that the run took so far.
    """
    arrays = {name: variable.numpy() for name, variable in names(model).items()}
    buffer = io.BytesIO()
    np.savez(buffer, **{"format": np.int64(FORMAT), "seconds": np.float64(seconds)}, **_quoted(arrays))
    data = buffer.getvalue()
    name = f"checkpoint_{int(model.step.numpy()):09d}_{hashlib.sha256(data).hexdigest()[:16]}.npz"
    folder.replace(name, data)
    for path in [path for path in _paths(folder) if path.name != name][KEPT - 1 :]:
        path.unlink(missing_ok=True)


def _quoted(arrays):
    """Names that `np.savez` takes as keyword arguments beside its own, and that no `format` can be mistaken for."""
    return {f"state/{name}": array for name, array in arrays.items()}


def _paths(folder):
    """The checkpoints in a folder, newest step first; of one step the one that was written last."""
    paths = folder.folder.glob("checkpoint_*_*.npz")
    return sorted(paths, key=lambda p: (p.name.split("_")[1], p.stat().st_mtime_ns), reverse=True)


def newest_step(folder):
    """The step of a folder's newest intact checkpoint; 0 without one."""
    intact = (path for path in _paths(folder) if _intact(path, path.read_bytes()))
    return next((int(path.name.split("_")[1]) for path in intact), 0)


def _intact(path, data):
    return hashlib.sha256(data).hexdigest()[:16] == path.stem.split("_")[2]


def restore(folder, model):
    """Sets a model to the newest intact checkpoint.

    Args:
        folder: `RunFolder`.
        model: has `state()`.

    Returns:
        `(values, seconds)`: a dictionary from name to array, None without a checkpoint; and the time spent so far.

    Raises:
        UserError: if every checkpoint is damaged, or they belong to another model.
    """
    paths = _paths(folder)
    for path in paths:
        data = path.read_bytes()
        if not _intact(path, data):
            print(f"warning: {path} is damaged; using the checkpoint before it", file=sys.stderr)
            continue
        values, seconds = _read(path, data)
        _check(path, values, names(model))
        assign(model, values)
        return values, seconds
    if paths:
        raise UserError(f"every checkpoint in {folder.folder} is damaged; start a new run")
    return None, 0.0


def _read(path, data):
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        seconds = float(stored["seconds"])
    except (ValueError, KeyError, OSError, zipfile.BadZipFile):
        raise UserError(f"{path} is not a checkpoint of this program") from None
    if int(stored.get("format", 0)) != FORMAT:
        raise UserError(f"{path} is of another version of this program, which this one cannot go on with; start anew")
    return {name.removeprefix("state/"): value for name, value in stored.items() if name.startswith("state/")}, seconds


def _check(path, values, known):
    """Raises UserError unless a checkpoint's arrays and a model's variables have the same names and shapes."""
    other = f"{path} belongs to another network than config.json describes, or to another version of this program"
    for name in sorted(values.keys() ^ known.keys()):
        which = "it has no" if name in known else "it has an unknown"
        raise UserError(f"{other}: {which} {name}; start a new run")
    for name, variable in known.items():
        if values[name].shape != tuple(variable.shape):
            raise UserError(f"{other}: {name} is {values[name].shape}, not {tuple(variable.shape)}; start a new run")


def assign(model, values):
    """Sets the variables of a model from a dictionary of arrays by name."""
    for name, variable in names(model).items():
        variable.assign(values[name])
