import numpy as np
import pytest
import tensorflow as tf

from tfdarts.data import images


def take(dataset, count):
    return [(x.numpy(), y.numpy()) for x, y in dataset.take(count)]


def test_batches_are_a_function_of_seed_and_step():
    data = images.random_images(10, (8, 8, 3), 4)
    assert images.steps_per_epoch(data, 4) == 3
    first = take(images.train_batches(data, 4, seed=3, cutout_length=2), 6)
    for start in (0, 2, 3, 5):
        again = take(images.train_batches(data, 4, 3, 2, start=start), 6 - start)
        for (x, y), (x2, y2) in zip(first[start:], again):
            np.testing.assert_array_equal(x, x2)
            np.testing.assert_array_equal(y, y2)
    assert [len(y) for _, y in first] == [4, 4, 2, 4, 4, 2]
    other = take(images.train_batches(data, 4, 4, 2), 1)
    assert np.abs(other[0][0] - first[0][0]).max() > 0


def test_an_epoch_holds_every_image_once():
    data = images.random_images(10, (8, 8, 1), 4)
    data = images.dataclasses.replace(data, labels=np.arange(10, dtype=np.int32))
    batches = take(images.train_batches(data, 4, 0), 6)
    for epoch in (batches[:3], batches[3:]):
        assert sorted(np.concatenate([y for _, y in epoch])) == list(range(10))
    assert [y.tolist() for _, y in batches[:3]] != [y.tolist() for _, y in batches[3:]]


def test_crops_are_windows_of_the_padded_image_or_of_its_mirror_image():
    x = np.random.default_rng(0).normal(size=(40, 6, 5, 2)).astype("float32")
    got = images.augment(tf.constant(x), [1, 2], 2, True).numpy()
    padded = np.pad(x, [(0, 0), (2, 2), (2, 2), (0, 0)])
    mirrored = 0
    for image, result in zip(padded, got):
        windows = [image[i : i + 6, j : j + 5] for i in range(5) for j in range(5)]
        straight = any(np.array_equal(result, w) for w in windows)
        flipped = any(np.array_equal(result, w[:, ::-1]) for w in windows)
        assert straight or flipped
        mirrored += flipped and not straight
    assert 8 < mirrored < 32


def test_cutout_blacks_out_one_square():
    got = images.cutout(tf.ones((50, 8, 8, 1)), [0, 1], 4).numpy()[..., 0]
    for image in got:
        rows, columns = np.where(image == 0)
        assert 4 <= len(rows) <= 16
        assert (image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 0).all()
    assert len({image.tobytes() for image in got}) > 20


def test_the_halves_of_a_search_are_disjoint_and_digits_are_divided():
    train, test = images.load("digits")
    assert (len(train), len(test), train.shape) == (1438, 359, (8, 8, 1))
    first, second = images.split(train, 0.5, 0)
    assert len(first) + len(second) == len(train)
    rows = np.concatenate([first.images, second.images]).reshape(len(train), -1)
    assert sorted(map(bytes, rows)) == sorted(map(bytes, train.images.reshape(len(train), -1)))


def test_an_unknown_set_names_the_known_ones():
    with pytest.raises(images.DataError, match="digits"):
        images.load("x")
