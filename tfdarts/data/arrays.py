"""Images from arrays: of a NumPy archive, in memory, embedded. Values are converted where they have one meaning."""

import pathlib
import sys
import typing
import zipfile

import numpy as np
import tensorflow as tf

from tfdarts.data.decoding import MODES, eight_bits
from tfdarts.data.sources import Arrays, DataError, Parts

_DARK = 1 << 13  # values of 16 bits, of which so few leave at most 32 of 256 shades


class _Pair(typing.NamedTuple):
    """Pixels and labels as the user has them, with what to call them in an error."""

    x_name: str
    y_name: str
    x: np.ndarray
    y: np.ndarray


def digits():
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels; every fifth of them is kept for testing."""
    from sklearn.datasets import load_digits  # slow to import, and no other data set needs it

    data = load_digits()
    images = np.round(data.images[..., None] * (255 / 16)).astype(np.uint8)
    labels = data.target.astype(np.int32)
    test = np.arange(len(labels)) % 5 == 4
    parts = Arrays(images[~test], labels[~test]), Arrays(images[test], labels[test])
    return Parts(parts[0], None, parts[1], tuple(map(str, range(10))))


def from_memory(data, test=None, classes=None):
    """Arrays, or a `tf.data.Dataset` that is read into memory.

    Args:
        data: `(x, y)`, pixels `(n, height, width[, channels])` and labels, as `from_npz` takes them; or a data set of
            such pairs, single or in batches.
        test: likewise, or None.
        classes: names of the classes that the labels are of; None for those that `data` has.

    Raises:
        DataError: if they are no labelled images.
    """
    pairs = {"train": _pair("the training images", data)}
    if test is not None:
        pairs["test"] = _pair("the test images", test)
    return _parts("these arrays", pairs, classes)


def _pair(what, data):
    if isinstance(data, tf.data.Dataset):
        spec = data.element_spec
        if not isinstance(spec, tuple) or len(spec) != 2:
            raise DataError(f"{what}: a data set must give pairs of an image and a label. It gives {spec}.")
        image, label = (part.shape for part in spec)
        single = image.rank == 3 and image[0] and image[-1] in MODES  # whose label may be a one-hot row
        if label.rank and not single:
            data = data.unbatch()
        pairs = list(data.as_numpy_iterator())
        if not pairs:
            raise DataError(f"{what}: the data set is empty")
        data = np.stack([x for x, _ in pairs]), np.array([y for _, y in pairs])
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise DataError(f"{what} must be a pair (images, labels), or a tf.data.Dataset of such pairs")
    return _Pair(what, what.split()[1] + " labels", *(np.asarray(part) for part in data))


def from_npz(path):
    """Arrays `x_train, y_train, x_test, y_test` (and `x_valid, y_valid`) of a NumPy archive.

    Pixels `(n, height, width[, channels])` are uint8, or other numbers from 0 to 255, floats from 0 to 1, or uint16 up
    to 65535. Labels are integers, whole floats, texts, or one-hot rows; the classes are those that `y_train` has.

    Raises:
        DataError: if it is not such an archive.
    """
    path = pathlib.Path(path).expanduser()
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read {path} as a NumPy archive ({str(error).splitlines()[0]}); write it by "
            "np.savez(FILE, x_train=..., y_train=..., x_test=..., y_test=...)"
        ) from None
    missing = [name for name in ("x_train", "y_train") if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {' and '.join(missing)}; it has {', '.join(arrays) or 'no arrays'}")
    pairs = {}
    for part in ("train", "valid", "test"):
        x, y = f"x_{part}", f"y_{part}"
        if x in arrays and y not in arrays:
            raise DataError(f"{path} has {x} but lacks {y}")
        if x in arrays:
            pairs[part] = _Pair(f"{x} in {path}", f"{y} in {path}", arrays[x], arrays[y])
    return _parts(path, pairs)


def _parts(name, pairs, classes=None):
    """The `Parts` of pairs, a dictionary with `train`, and if they like `valid` and `test`."""
    images = _pixels({pair.x_name: pair.x for pair in pairs.values()})
    labels = {part: _labels(pair.y_name, pair.y, len(pair.x)) for part, pair in pairs.items()}
    if len({image.shape[1:] for image in images.values()}) > 1:
        shapes = ", ".join(f"{what} {image.shape[1:]}" for what, image in images.items())
        raise DataError(f"the images in {name} differ in size: {shapes}; bring them to one")
    classes = classes or tuple(str(value) for value in np.unique(labels["train"]))
    if len(classes) < 2:
        raise DataError(f"{pairs['train'].y_name} has one class only, {classes[0]}; there is nothing to tell apart")
    found = {
        part: Arrays(images[pair.x_name], _numbered(pair.y_name, labels[part], classes)) for part, pair in pairs.items()
    }
    return Parts(found["train"], found.get("valid"), found.get("test"), classes)


def _pixels(arrays):
    """Arrays of any kind of number as `(n, height, width, channels)` uint8; what white is, is seen from all together.

    Args:
        arrays: dictionary from what to call an array in an error to the array.
    """
    highest = {}  # of each kind of number
    for what, x in arrays.items():
        if x.ndim not in (3, 4) or 0 in x.shape:
            raise DataError(f"{what} must be (n, height, width) or (n, height, width, channels). It is {x.shape}.")
        if x.ndim == 4 and x.shape[-1] not in MODES and x.shape[1] in MODES:
            raise DataError(f"{what} has its channels first, {x.shape}; give (n, height, width, channels)")
        if x.dtype.kind not in "buif":
            raise DataError(f"{what} must hold pixels, numbers from 0 to 255, not {x.dtype}")
        low, high = x.min(), x.max()
        if not 0 <= low <= high <= (65535 if x.dtype == np.uint16 else 255):  # also of what is not a number
            raise DataError(
                f"{what} must hold pixels from 0 to 255, or from 0 to 1. It has {x.dtype} values from {low} to {high}; "
                "scale them"
            )
        highest[x.dtype.kind, x.dtype.itemsize] = max(high, highest.get((x.dtype.kind, x.dtype.itemsize), 0))
    result = {}
    for what, x in arrays.items():
        x, high = x[..., None] if x.ndim == 3 else x, highest[x.dtype.kind, x.dtype.itemsize]
        if x.dtype.kind in "bf":
            x = np.rint(x * np.float32(255) if high <= 1 else x)
        elif high > 255:
            x = eight_bits(x)
            if high < _DARK:
                text = f"of 16 bits, {what} has values up to {high} only, so that few shades are left; scale them up"
                print(f"warning: {text}", file=sys.stderr)
        result[what] = x.astype(np.uint8, copy=False)
    return result


def _labels(what, y, count):
    """Labels as a vector of integers or texts."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    elif y.ndim == 2 and y.dtype.kind in "buif" and ((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all():
        y = y.argmax(1)
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "O" and all(isinstance(value, str) for value in y.flat):
        y = y.astype(str)
    whole = y.dtype.kind in "bui" or (y.dtype.kind == "f" and np.isfinite(y).all() and (np.rint(y) == y).all())
    if y.shape != (count,) or not (whole or y.dtype.kind == "U"):
        raise DataError(
            f"{what} must be {count} integers, one per image, or texts or one-hot rows. It is {y.shape} {y.dtype}."
        )
    if not whole:
        return y
    if y.min() < 0:
        raise DataError(f"{what} has a negative label, {y.min():.0f}; leave out images without a class")
    return y.astype(np.int64)


def _numbered(what, labels, classes):
    """Labels as numbers of classes: by the classes' names, or, where the names are words, by their places."""
    values, places = np.unique(labels, return_inverse=True)
    numbers = {name: number for number, name in enumerate(classes)}
    strangers = [str(value) for value in values if str(value) not in numbers]
    if labels.dtype.kind == "i" and not any(name.isdecimal() for name in classes):
        numbers = {str(number): number for number in range(len(classes))}
        strangers = [str(value) for value in values if value >= len(classes)]
    if strangers:
        raise DataError(f"{what} has labels that the classes lack: {', '.join(strangers[:5])}")
    return np.array([numbers[str(value)] for value in values], np.int32)[places]
