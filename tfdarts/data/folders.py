"""Image files in class folders."""

import collections
import dataclasses
import os
import pathlib
import sys

import numpy as np

from tfdarts.data.decoding import decode, header
from tfdarts.data.sources import DataError, Parts, Source

ENDINGS = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
PARTS = {  # names of the folders of a data set's parts, in any case
    "train": ("train", "training"),
    "validation": ("valid", "val", "validation"),
    "test": ("test", "testing"),
}
_SAMPLE = 1000  # images that are looked at to learn the number of channels


@dataclasses.dataclass(frozen=True, eq=False)
class Files(Source):
    """Image files, decoded when they are asked for.

    Attributes:
        paths: list of paths.
        labels: `(n,)` int32.
        shape: as in `Source`.
    """

    paths: list
    labels: np.ndarray
    shape: tuple

    def __len__(self):
        return len(self.paths)

    def read(self, index):
        path = self.paths[index]
        return decode(path, path, self.shape, upright=True), self.labels[index]


def from_folder(path, one_size):
    """Images in `path/train/<class>/`, with optional `valid` (or `val`, `validation`) and `test` beside `train`.

    Or in `path/<class>/`, all of them training images then. A class folder may have folders of its own. What is hidden,
    by a dot or as `__MACOSX`, is passed over.

    Args:
        path: folder.
        one_size: whether all must have the same size, which their headers then are read for.

    Raises:
        DataError: if there is nothing of that form, a class has no images, or the sizes differ.
    """
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise DataError(
            f"there is no folder {root}; `folder:PATH` needs PATH/<class>/*.png or PATH/train/<class>/*.png"
        )
    folders = _parts(root)
    classes = tuple(entry.name for entry in _visible(folders["train"]) if entry.is_dir())
    if not classes:
        where = folders["train"]
        raise DataError(
            f"{where} has no class folders; each class needs its own, {where}/<class>/, for images without labels "
            "cannot be trained on"
        )
    found, left_out = {}, collections.Counter()
    for part, folder in folders.items():
        found[part] = _class_folders(folder, classes, left_out)
    _check_classes(folders["train"], classes, found["train"][1])
    if left_out:
        kinds = ", ".join(f"{count} {ending}" for ending, count in sorted(left_out.items()))
        text = f"warning: files of other kinds than {', '.join(ENDINGS)} are left out below {root}: {kinds}"
        print(text, file=sys.stderr)
    shape = _shape([path for paths, _ in found.values() for path in paths], one_size)
    parts = {part: Files(paths, labels, shape) for part, (paths, labels) in found.items()}
    return Parts(parts["train"], parts.get("validation"), parts.get("test"), classes)


def _parts(root):
    """The folder of each part; all is training images where no folder has a part's name."""
    there = {entry.name.lower(): root / entry.name for entry in _visible(root) if entry.is_dir()}
    found = {part: there[name] for part, names in PARTS.items() for name in reversed(names) if name in there}
    if found and "train" not in found:
        others = ", ".join(path.name for path in found.values())
        raise DataError(f"{root} has {others} but no folder `train`; training images belong in {root}/train/<class>/")
    return found or {"train": root}


def _visible(folder):
    entries = (entry for entry in os.scandir(folder) if not entry.name.startswith((".", "__MACOSX")))
    return sorted(entries, key=lambda entry: entry.name)


def _class_folders(root, classes, left_out):
    """Paths and labels of a part's images; `left_out` counts the endings of other files."""
    paths, labels = [], []
    for entry in _visible(root):
        if not entry.is_dir():
            continue
        if entry.name not in classes:
            raise DataError(f"{root} has a class {entry.name!r} that the training images do not have")
        own = _images(entry.path, left_out, {os.path.realpath(root)})
        paths += own
        labels += [classes.index(entry.name)] * len(own)
    if not paths:
        raise DataError(f"{root} has no images in its class folders; known endings: {', '.join(ENDINGS)}")
    return paths, np.array(labels, np.int32)


def _images(folder, left_out, above):
    """Paths of the images in a folder and those below it; `above` are the folders that led here, links followed."""
    here, paths = os.path.realpath(folder), []
    if here in above:
        raise DataError(f"{folder} is a link to a folder that it lies in; remove it")
    for entry in _visible(folder):
        if entry.is_dir():
            paths += _images(entry.path, left_out, above | {here})
        elif entry.name.lower().endswith(ENDINGS):
            paths.append(entry.path)
        else:
            left_out[os.path.splitext(entry.name)[1].lower() or "without an ending"] += 1
    return paths


def _check_classes(root, classes, labels):
    """Raises DataError for one single class, or a class without images: a network would learn nothing from either."""
    empty = [name for name, count in zip(classes, np.bincount(labels, minlength=len(classes))) if not count]
    if empty:
        raise DataError(f"{root} has no images of {', '.join(empty)}; remove the folder, or put images there")
    if len(classes) < 2:
        raise DataError(f"{root} has one class only, {classes[0]}; each class needs a folder, {root}/<class>/")


def _shape(paths, one_size):
    """Size and channels by the headers: of all files for the size, of a sample for the channels."""
    looked_at = paths if one_size else paths[:: max(1, len(paths) // _SAMPLE)]
    sizes, channels = {}, set()
    for path in looked_at:
        size, count = header(path)
        sizes.setdefault(size, path)
        channels.add(count)
    if one_size and len(sizes) > 1:
        (first, a), (second, b), *_ = sizes.items()
        raise DataError(
            f"the images differ in size ({a} is {first[0]}x{first[1]}, {b} is {second[0]}x{second[1]}); "
            "give --image_size to bring them to one"
        )
    width, height = next(iter(sizes)) if one_size else (None, None)
    return height, width, channels.pop() if len(channels) == 1 else 3
