"""Images that TensorFlow Datasets has prepared: in memory if they fit, otherwise read from its files."""

import dataclasses
import functools
import io
import math
import os
import pathlib
import re
import struct

import numpy as np
import tensorflow as tf

from tfdarts.data.decoding import decode, eight_bits
from tfdarts.data.sources import Arrays, DataError, Parts, Source

IN_MEMORY = 1 << 30  # bytes of pixels up to which images of one size are held


@dataclasses.dataclass(frozen=True, eq=False)
class Records(Source):
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

    if name and pathlib.Path(name).expanduser().is_dir():
        raise DataError(f"{name} is a folder; give --dataset folder:{name}")
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
    images, labels = (data[key] for key in keys)
    return Arrays(eight_bits(images) if images.dtype == np.uint16 else images, labels.astype(np.int32))


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
