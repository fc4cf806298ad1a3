"""Where images come from: arrays in memory, files in class folders, records of TensorFlow Datasets, NumPy archives.

A source has `labels`, or gives a label with each image; only arrays hold their pixels, the others read an image when it
is asked for, so that memory does not grow with their number. Nothing is unpickled.
"""

import collections
import dataclasses
import functools
import io
import math
import os
import pathlib
import re
import struct
import zipfile

import numpy as np
import PIL.Image
import tensorflow as tf

from tfdarts.errors import UserError

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
IN_MEMORY = 1 << 30  # bytes of pixels up to which images of one size, prepared by TensorFlow Datasets, are held
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_SAMPLE = 1000  # images that are looked at to learn the number of channels of a folder


class DataError(UserError):
    """Data that is missing or unusable, with a sentence for the user."""


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """Images in memory.

    Attributes:
        images: `(n, height, width, channels)` uint8.
        labels: `(n,)` int32.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    @property
    def shape(self):
        return self.images.shape[1:]

    @functools.cached_property
    def tensors(self):
        """Images and labels as tensors, in main memory, once for all data sets made of them."""
        with tf.init_scope(), tf.device("CPU"):
            return tf.constant(self.images), tf.constant(self.labels)

    def read(self, index):
        """One image and its label."""
        return self.images[index], self.labels[index]


@dataclasses.dataclass(frozen=True, eq=False)
class Files:
    """Image files, decoded when they are asked for.

    Attributes:
        paths: list of paths.
        labels: `(n,)` int32.
        shape: `(height, width, channels)`; height and width None where they differ.
    """

    paths: list
    labels: np.ndarray
    shape: tuple

    def __len__(self):
        return len(self.paths)

    def read(self, index):
        path = self.paths[index]
        return decode(path, path, self.shape), self.labels[index]


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """Records of TensorFlow Datasets' TFRecord files, each read at its place when it is asked for.

    Attributes:
        paths: the files.
        starts: `(n, 2)` int64: number of the file, and where in it the record begins.
        keys: names of the image's and the label's feature.
        shape: `(height, width, channels)`; height and width None where they differ.
    """

    paths: list
    starts: np.ndarray
    keys: tuple
    shape: tuple

    def __len__(self):
        return len(self.starts)

    def read(self, index):
        file, start = self.starts[index]
        with open(self.paths[file], "rb") as records:
            records.seek(start)
            (length,) = struct.unpack("<Q4x", records.read(12))
            data = records.read(length)
        name = f"record {index} of {self.paths[file]}"
        try:
            features = tf.train.Example.FromString(data).features.feature
            image, label = (features[key] for key in self.keys)
            encoded, label = image.bytes_list.value[0], label.int64_list.value[0]
        except Exception as error:  # a damaged record can fail in many ways
            raise DataError(f"{name} is damaged; prepare the data set again") from error
        return decode(io.BytesIO(encoded), name, self.shape), label


Source = Arrays | Files | Records


def decode(file, name, shape):
    """Decodes an image (of an animation the first frame) to `(height, width, channels)` uint8.

    Args:
        file: a path, or a file object.
        name: what to call it in an error.
        shape: what it must have; height and width None for any.

    Raises:
        DataError: if it cannot be read, or has another size.
    """
    try:
        with PIL.Image.open(file) as image:
            pixels = np.asarray(image.convert(MODES[shape[2]]), np.uint8)
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"cannot read the image {name} ({reason}); repair or remove it") from None
    pixels = pixels.reshape(*pixels.shape[:2], shape[2])
    if shape[0] is not None and pixels.shape != tuple(shape):
        raise DataError(f"the image {name} is {pixels.shape[1]}x{pixels.shape[0]}, others differ; give --image_size")
    return pixels


@dataclasses.dataclass(frozen=True)
class Parts:
    """What a data set consists of: sources by split, and the names of its classes.

    Attributes:
        train: `Source`.
        validation, test: `Source`, or None where the data set has no such split.
        classes: names of the classes, in the order of the labels.
    """

    train: Source
    validation: Source | None
    test: Source | None
    classes: tuple


def digits():
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels; every fifth of them is kept for testing."""
    from sklearn.datasets import load_digits  # slow to import, and no other data set needs it

    data = load_digits()
    images = np.round(data.images[..., None] * (255 / 16)).astype(np.uint8)
    labels = data.target.astype(np.int32)
    test = np.arange(len(labels)) % 5 == 4
    parts = Arrays(images[~test], labels[~test]), Arrays(images[test], labels[test])
    return Parts(parts[0], None, parts[1], tuple(map(str, range(10))))


def from_folder(path, one_size):
    """Images in `path/train/<class>/`, with optional `valid` (or `val`, `validation`) and `test` beside `train`.

    Args:
        path: folder.
        one_size: whether all must have the same size, which their headers then are read for.

    Raises:
        DataError: if there is nothing of that form, or the sizes differ.
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; `folder:PATH` needs PATH/train/<class>/*.png")
    if not (root / "train").is_dir():
        raise DataError(f"{root} has no folder `train`; images belong in {root}/train/<class>/")
    classes = tuple(sorted(entry.name for entry in os.scandir(root / "train") if entry.is_dir()))
    if not classes:
        raise DataError(
            f"{root}/train has no class folders; each class needs its own, {root}/train/<class>/, for images without "
            "labels cannot be trained on"
        )
    found = {}
    for part, names in (("train", ("train",)), ("validation", ("valid", "val", "validation")), ("test", ("test",))):
        for name in names:
            if (root / name).is_dir():
                found[part] = _class_folders(root / name, classes)
                break
    shape = _shape([path for paths, _ in found.values() for path in paths], one_size)
    parts = {part: Files(paths, labels, shape) for part, (paths, labels) in found.items()}
    return Parts(parts["train"], parts.get("validation"), parts.get("test"), classes)


def _class_folders(root, classes):
    paths, labels = [], []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if not entry.is_dir():
            continue
        if entry.name not in classes:
            raise DataError(f"{root} has a class {entry.name!r} that the training images do not have")
        names = sorted(file.name for file in os.scandir(entry.path) if file.name.lower().endswith(ENDINGS))
        paths += [os.path.join(entry.path, name) for name in names]
        labels += [classes.index(entry.name)] * len(names)
    if not paths:
        raise DataError(f"{root} has no images in its class folders; known endings: {', '.join(ENDINGS)}")
    return paths, np.array(labels, np.int32)


def _shape(paths, one_size):
    """Size and channels by the headers: of all files for the size, of a sample for the channels."""
    looked_at = paths if one_size else paths[:: max(1, len(paths) // _SAMPLE)]
    sizes, channels = {}, collections.Counter()
    for path in looked_at:
        try:
            with PIL.Image.open(path) as image:
                sizes.setdefault(image.size, path)
                channels[_channels(image)] += 1
        except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
            raise DataError(f"cannot read the image {path}; repair or remove it") from None
    if one_size and len(sizes) > 1:
        (first, a), (second, b), *_ = sizes.items()
        raise DataError(
            f"the images differ in size ({a} is {first[0]}x{first[1]}, {b} is {second[0]}x{second[1]}); "
            "give --image_size to bring them to one"
        )
    width, height = next(iter(sizes)) if one_size else (None, None)
    return height, width, next(iter(channels)) if len(channels) == 1 else 3


def _channels(image):
    bands = image.getbands()
    if image.mode in ("P", "PA"):
        return 4 if image.mode == "PA" else 3
    return {1: 1, 2: 1, 4: 4 if image.mode == "RGBA" else 3}.get(len(bands), 3)


def from_memory(data, test=None):
    """Arrays, or a `tf.data.Dataset` that is read into memory.

    Args:
        data: `(x, y)`: pixels from 0 to 255 `(n, height, width[, channels])`, and integer labels `(n,)`; or a data set
            of such pairs, single or in batches.
        test: likewise, or None.

    Raises:
        DataError: if they are no labelled images.
    """
    train = _in_memory("the training images", data)
    tested = None if test is None else _in_memory("the test images", test)
    labels = train.labels if tested is None else np.concatenate([train.labels, tested.labels])
    if tested is not None and tested.shape != train.shape:
        shapes = f"the test images are {tested.shape}, the training images {train.shape}"
        raise DataError(f"{shapes}; bring them to one size")
    return Parts(train, None, tested, tuple(map(str, range(1 + int(labels.max())))))


def _in_memory(what, data):
    if isinstance(data, tf.data.Dataset):
        spec = data.element_spec
        if not isinstance(spec, tuple) or len(spec) != 2:
            raise DataError(f"{what}: a data set must give pairs of an image and a label. It gives {spec}.")
        if spec[1].shape.rank:
            data = data.unbatch()
        pairs = list(data.as_numpy_iterator())
        if not pairs:
            raise DataError(f"{what}: the data set is empty")
        data = np.stack([x for x, _ in pairs]), np.array([y for _, y in pairs])
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise DataError(f"{what} must be a pair (images, labels), or a tf.data.Dataset of such pairs")
    x, y = (np.asarray(part) for part in data)
    if x.dtype != np.uint8:
        whole = np.issubdtype(x.dtype, np.number) and x.size and (np.rint(x) == x).all() and 0 <= x.min()
        if not whole or not 1 < x.max() <= 255:
            raise DataError(f"{what} must hold pixels, whole numbers from 0 to 255, not {x.dtype} values; scale them")
        x = x.astype(np.uint8)
    return _labelled(what, what.split()[1] + " labels", x, y)


def from_npz(path):
    """Arrays `x_train, y_train, x_test, y_test` (and `x_valid, y_valid`) of a NumPy archive, `(n, height, width[, c])`.

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
    parts = {}
    for part in ("train", "valid", "test"):
        if f"x_{part}" in arrays:
            if f"y_{part}" not in arrays:
                raise DataError(f"{path} has x_{part} but lacks y_{part}")
            names = (f"x_{part} in {path}", f"y_{part} in {path}")
            parts[part] = _labelled(*names, arrays[f"x_{part}"], arrays[f"y_{part}"])
    classes = 1 + max(int(part.labels.max()) for part in parts.values())
    if len({part.shape for part in parts.values()}) > 1:
        shapes = ", ".join(f"x_{name} {part.shape}" for name, part in parts.items())
        raise DataError(f"the images in {path} differ in size: {shapes}")
    return Parts(parts["train"], parts.get("valid"), parts.get("test"), tuple(map(str, range(classes))))


def _labelled(what, labels, x, y):
    if x.ndim not in (3, 4) or 0 in x.shape:
        raise DataError(f"{what} must be (n, height, width) or (n, height, width, channels). It is {x.shape}.")
    x = x[..., None] if x.ndim == 3 else x
    if x.dtype != np.uint8:
        raise DataError(f"{what} must hold uint8 pixels from 0 to 255, not {x.dtype}; scale and convert them")
    if x.shape[-1] not in MODES and x.shape[1] in MODES:
        raise DataError(f"{what} has its channels first, {x.shape}; give (n, height, width, channels)")
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y.shape != (len(x),) or not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{labels} must be {len(x)} integers, one per image. It is {y.shape} {y.dtype}.")
    if y.min() < 0:
        raise DataError(f"{labels} has a negative label, {y.min()}; classes count from 0")
    return Arrays(x, y.astype(np.int32))


def prepared(name, data_dir):
    """The folder of a data set that TensorFlow Datasets has prepared here, of the highest version.

    Raises:
        DataError: if it is unknown, or not prepared.
    """
    root = pathlib.Path(data_dir or os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    wanted, _, version = name.partition(":")
    safe = re.fullmatch(r"\w+(/[\w.+-]+)?", wanted)
    infos = [*(root / wanted).glob("*/dataset_info.json"), *(root / wanted).glob("*/*/dataset_info.json")]
    folders = [info.parent for info in infos if not version or info.parent.name == version]
    if safe and folders:
        return max(folders, key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    import tensorflow_datasets as tfds  # slow to import, likewise

    if not safe or wanted.split("/")[0] not in tfds.list_builders(with_community_datasets=False):
        raise DataError(
            f"Unknown data set {name!r}; give digits, an image set of TensorFlow Datasets (cifar10, cifar100, "
            "svhn_cropped, imagenet2012, ...), folder:PATH or npz:FILE."
        )
    raise DataError(
        f"{name} is not prepared in {root}. With a network, prepare it by "
        f"`python3 -m tensorflow_datasets.scripts.cli.main build {name} --data_dir {root}`; "
        "`--recipe digits` needs no download."
    )


def from_tfds(name, data_dir, stream, extra=False):
    """An image classification set that TensorFlow Datasets has prepared.

    Args:
        name: `name`, `name/config` or `name:version`.
        data_dir: folder of prepared data; None for TensorFlow Datasets' own.
        stream: whether to read images when they are asked for, even if they would fit into memory.
        extra: whether the split `extra` belongs to the training images.

    Raises:
        DataError: if it is unknown, not prepared, damaged, or no image classification set.
    """
    where = prepared(name, data_dir)
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(where)
        features, splits = builder.info.features, builder.info.splits
        images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
        labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    except Exception as error:  # TFDS raises many kinds for a damaged folder
        raise DataError(f"Cannot read {name} from {where}: {str(error).splitlines()[0]}") from error
    if not images or not labels or "train" not in splits:
        raise DataError(f"{name} is no image classification set: it needs an image, a label and a split `train`.")
    keys, shape = (images[0], labels[0]), features[images[0]].shape
    # ImageNet's test split carries no labels; what papers test on is its validation split.
    names = {"train": "train", "validation": "validation", "test": "test"}
    if name.startswith("imagenet2012"):
        names.pop("test")
    found = {part: [splits[split]] for part, split in names.items() if split in splits}
    if extra:
        if "extra" not in splits:
            raise DataError(f"{name} has no split `extra`; leave out --use_extra.")
        found["train"].append(splits["extra"])
    count = sum(split.num_examples for part in found.values() for split in part)
    size = math.prod(n or IN_MEMORY for n in shape) * count
    read = _records if stream or size > IN_MEMORY else functools.partial(_arrays, builder)
    parts = {part: read(name, chosen, keys, shape) for part, chosen in found.items()}
    classes = tuple(features[keys[1]].names)
    return Parts(parts["train"], parts.get("validation"), parts.get("test"), classes)


def _arrays(builder, name, splits, keys, shape):
    try:
        data = builder.as_dataset(split="+".join(split.name for split in splits), batch_size=-1)
        data = {key: data[key].numpy() for key in keys}
    except Exception as error:
        raise DataError(f"Cannot read {name} from {builder.data_dir}: {str(error).splitlines()[0]}") from error
    return Arrays(data[keys[0]], data[keys[1]].astype(np.int32))


def _records(name, splits, keys, shape):
    paths, starts = [str(path) for split in splits for path in split.filepaths], []
    for number, path in enumerate(paths):
        try:
            starts.append(_record_starts(number, path))
        except (OSError, struct.error) as error:
            raise DataError(f"Cannot read {name}: {path} is missing or damaged; prepare it again") from error
    starts = np.concatenate(starts)
    count = sum(split.num_examples for split in splits)
    if len(starts) != count:
        raise DataError(f"{name} should have {count} images, its files have {len(starts)}; prepare it again")
    return Records(paths, starts, keys, shape)


def _record_starts(number, path):
    """Where the records of a TFRecord file begin: each has its length, 4 bytes, itself, 4 bytes."""
    starts, position, end = [], 0, os.path.getsize(path)
    with open(path, "rb") as file:
        while position < end:
            starts.append((number, position))
            file.seek(position)
            position += struct.unpack("<Q", file.read(8))[0] + 16
    if position != end:
        raise OSError(path)
    return np.array(starts, np.int64).reshape(-1, 2)
