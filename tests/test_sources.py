"""Every kind of source that users have: what is read, and that what is tested on is never searched or trained on."""

import os
import pathlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.support.folders import noise, save_folder, save_npz, save_tfds
from tfdarts.data import images, prepared, sources
from tfdarts.data.sources import DataError


def pixels_of(data):
    """Every image of a set as bytes."""
    return [image.tobytes() for image in data.fetch(np.arange(len(data)))[0].numpy()]


SOURCES = [
    "digits",
    "folder",
    "folder, valid",
    "folder, train only",
    "npz",
    "npz, valid",
    "tfds",
    "tfds, valid",
    "tfds, train only",
]


def make(kind, root):
    """Makes a data set; returns its name, and the folder for `--data_dir`."""
    if kind == "digits":
        return "digits", None
    form, _, more = kind.partition(", ")
    counts = {"train": 30} if more == "train only" else {"train": 30, "test": 9}
    if more == "valid":
        counts["validation" if form == "tfds" else "valid"] = 8
    if form == "folder":
        save_folder(root, counts)
        return f"folder:{root}", None
    if form == "npz":
        save_npz(root / "a.npz", counts)
        return f"npz:{root / 'a.npz'}", None
    save_tfds(root, counts)
    return "beasts", root


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_tested_on_is_never_searched_on(kind, tmp_path):
    name, data_dir = make(kind, tmp_path)
    train, validation, test = images.load(name, data_dir, seed=3)
    assert ("valid" in kind) == (validation is not None)
    small = images.search_halves(train, validation, 0.2, False, 3, 0.1)
    assert [len(half) for half in small] == [int(0.2 * len(train)), int(0.1 * len(train))]
    assert not set(small[0].indices) & set(small[1].indices)
    with pytest.raises(images.DataError, match="more than there is"):
        images.search_halves(train, validation, 0.9, False, 3, 0.2)
    halves = images.search_halves(train, validation, 0.5, False, 3)
    parts = [*halves, test, *([validation] if validation else [])]
    everything = [pixels for part in parts for pixels in pixels_of(part)]
    if kind != "digits":  # which have a few identical images
        assert len(everything) == len(set(everything))
    for part in parts:  # as positions in one source, or as sources of their own
        others = [p for p in parts if p is not part and p.source is part.source]
        assert not set(part.indices) & {i for other in others for i in other.indices}
    assert sum(map(len, halves)) == len(train)
    if validation:
        weights, architecture = images.search_halves(train, validation, 0.5, True, 3)
        assert (weights, architecture) == (train, validation)
    else:
        with pytest.raises(DataError, match="use_validation"):
            images.search_halves(train, validation, 0.5, True, 3)
    again = images.load(name, data_dir, seed=3)[2]
    assert pixels_of(again) == pixels_of(test)
    if "train only" in kind:
        assert pixels_of(images.load(name, data_dir, seed=4)[2]) != pixels_of(test)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (48, 64, 3), (9, 7, 4)])
def test_any_size_and_channels_from_a_folder_and_from_arrays(shape, tmp_path):
    written = save_folder(tmp_path, {"train": 6, "test": 2}, shape)
    train, _, test = images.load(f"folder:{tmp_path}")
    assert train.shape == shape and train.names == ("cat", "dog")
    np.testing.assert_array_equal(train.fetch(np.arange(12))[0], written["train"])
    np.testing.assert_array_equal(train.fetch(np.array([0, 7]))[1], [0, 1])
    arrays = save_npz(tmp_path / "a.npz", {"train": 12, "test": 3}, shape)
    train, _, test = images.load(f"npz:{tmp_path / 'a.npz'}")
    assert train.shape == shape and train.classes == 3
    np.testing.assert_array_equal(test.fetch(np.arange(3))[0], arrays["x_test"])
    np.testing.assert_allclose(train.mean, arrays["x_train"].mean((0, 1, 2)) / 255, rtol=1e-6)


def test_every_known_kind_of_file(tmp_path):
    image = PIL.Image.fromarray(noise(1, (8, 8, 3))[0])
    for ending in ("png", "jpg", "JPEG", "bmp", "gif"):
        for part, name in (("train", "a"), ("train", "b"), ("test", "a")):
            (tmp_path / part / name).mkdir(parents=True, exist_ok=True)
            image.save(tmp_path / part / name / f"x.{ending}")
    train, _, test = images.load(f"folder:{tmp_path}")
    assert (len(train), len(test), train.shape) == (10, 5, (8, 8, 3))
    got = train.fetch(np.arange(10))[0].numpy()
    exact = [i for i, path in enumerate(train.source.paths) if path.endswith(("png", "bmp"))]
    np.testing.assert_array_equal(got[exact], np.stack([np.asarray(image)] * 4))


def test_streamed_records_are_those_that_tensorflow_datasets_reads(tmp_path):
    written = save_tfds(tmp_path, {"train": 30, "test": 9})
    held, streamed = (prepared.from_tfds("beasts", tmp_path, stream=stream).train for stream in (False, True))
    assert isinstance(held, sources.Arrays) and isinstance(streamed, prepared.Records)
    assert len(streamed) == len(held) == 30
    for i in range(30):
        for got, expected in zip(streamed.read(i), held.read(i)):
            np.testing.assert_array_equal(got, expected)
    assert {image.tobytes() for image in held.images} == {image.tobytes() for image in written["train"]}


def test_differing_sizes_are_brought_to_one(tmp_path):
    save_folder(tmp_path, {"train": 4, "test": 2}, (20, 30, 3), ending="jpg")
    PIL.Image.fromarray(noise(1, (40, 12, 3))[0]).save(tmp_path / "train/cat/tall.jpg")
    with pytest.raises(DataError, match="--image_size"):
        images.load(f"folder:{tmp_path}")
    for augmentation in images.AUGMENTATIONS:
        train, _, test = images.load(f"folder:{tmp_path}", image_size=16, augmentation=augmentation)
        assert train.shape == (16, 16, 3)
        first, second = (list(images.train_batches(train, 4, 0).take(6)) for _ in range(2))
        for (x, y), (x2, y2) in zip(first, second):
            np.testing.assert_array_equal(x, x2)
            np.testing.assert_array_equal(y, y2)
        (x, _), (again, _) = (next(iter(images.train_batches(train, 4, 0, start=s))) for s in (4, 4))
        np.testing.assert_array_equal(x, first[4][0])
        assert sum(len(y) for _, y in images.test_batches(test, 3)) == 4


def test_statistics_known_before_are_used_and_other_classes_refused(tmp_path):
    save_folder(tmp_path, {"train": 4, "test": 2})
    known = {"mean": [0.1, 0.2, 0.3], "std": [1.0, 2.0, 3.0], "classes": ["cat", "dog"]}
    train, _, test = images.load(f"folder:{tmp_path}", statistics=known)
    assert train.mean == test.mean == (0.1, 0.2, 0.3) and train.std == (1.0, 2.0, 3.0)
    with pytest.raises(DataError, match="classes"):
        images.load(f"folder:{tmp_path}", statistics=known | {"classes": ["cow", "dog"]})


PEAK = """import pathlib, re, sys
import tfdarts
from tfdarts.data import images

def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024

pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
before = memory("VmRSS")
train, _, _ = images.load(sys.argv[1])
for _ in images.train_batches(train, 100, 0).take(len(train) // 100):
    pass
print(len(train), memory("VmHWM") - before)
"""


@pytest.mark.skipif(not pathlib.Path("/proc/self/clear_refs").exists(), reason="reads the peak of memory from Linux")
def test_a_large_folder_streams(tmp_path, command):
    """20,000 images of 32x32x3 are 61 MB of pixels; a pass over them takes no more memory than one over 2,000."""
    (tmp_path / "peak.py").write_text(PEAK)
    save_folder(tmp_path / "few", {"train": 10, "test": 1}, (32, 32, 3))
    peaks = {}
    for count in (2_000, 20_000):
        for name in ("cat", "dog"):
            (tmp_path / str(count) / "train" / name).mkdir(parents=True)
            kept = sorted((tmp_path / "few/train" / name).iterdir())
            for i in range(count // 2):
                os.link(kept[i % len(kept)], tmp_path / str(count) / "train" / name / f"{i}.png")
        os.symlink(tmp_path / "few/test", tmp_path / str(count) / "test")
        images_read, peaks[count] = command(tmp_path / "peak.py", f"folder:{tmp_path / str(count)}").stdout.split()
        assert int(images_read) == count
    print("MB above the start, by number of images:", peaks)
    assert float(peaks[20_000]) < float(peaks[2_000]) + 20


def test_preparation_of_a_missing_set_is_explained(tmp_path):
    with pytest.raises(DataError, match="cifar100 is not prepared.*build cifar100.*--recipe digits"):
        images.load("cifar100", tmp_path)
    for name in ("cifar11", "../etc_", "x/../../y", ""):
        with pytest.raises(DataError, match="Unknown data set"):
            images.load(name, tmp_path)


def test_the_highest_version_is_read_unless_another_is_named(tmp_path):
    for version in ("1.0.0", "3.0.2", "3.0.10"):
        (tmp_path / "x" / version).mkdir(parents=True)
        (tmp_path / "x" / version / "dataset_info.json").write_text("{}")
    assert prepared.prepared("x", tmp_path).name == "3.0.10"
    assert prepared.prepared("x:3.0.2", tmp_path).name == "3.0.2"


def test_batches_are_the_same_from_memory_and_from_files(tmp_path):
    written = save_folder(tmp_path, {"train": 6, "test": 2})
    train, _, _ = images.load(f"folder:{tmp_path}")
    held = images.dataclasses.replace(train, source=sources.Arrays(written["train"], train.source.labels))
    for (x, y), (x2, y2) in zip(*(images.train_batches(data, 5, 1, 2).take(5) for data in (train, held))):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    assert tf.reduce_all(tf.math.is_finite(x))


@pytest.mark.parametrize("stream", [False, True])
def test_the_split_extra_joins_the_training_images(stream, tmp_path):
    written = save_tfds(tmp_path, {"train": 20, "extra": 7, "test": 5})
    for extra, parts in ((False, ["train"]), (True, ["train", "extra"])):
        source = prepared.from_tfds("beasts", tmp_path, stream, extra).train
        got = {source.read(i)[0].tobytes() for i in range(len(source))}
        assert got == {image.tobytes() for part in parts for image in written[part]}
    save_tfds(tmp_path / "without", {"train": 4, "test": 2})
    for name, data_dir in (("beasts", tmp_path / "without"), ("digits", None)):
        with pytest.raises(DataError, match="--use_extra"):
            images.load(name, data_dir, extra=True)
