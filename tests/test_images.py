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
    data.source.labels[:] = np.arange(10)
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


def test_color_jitter_stays_in_range_and_keeps_gray_gray():
    x = np.random.default_rng(0).random((30, 4, 5, 3), np.float32)
    got = images.color_jitter(tf.constant(x), [0, 1]).numpy()
    assert got.min() >= 0 and got.max() <= 1 and np.abs(got - x).max(axis=(1, 2, 3)).min() > 0.01
    gray = images.color_jitter(tf.constant(np.repeat(x[..., :1], 3, -1)), [0, 1]).numpy()
    np.testing.assert_allclose(gray, gray[..., :1] * np.ones(3), atol=1e-5)
    np.testing.assert_array_equal(images.color_jitter(tf.constant(x), [0, 1]), got)
    still = images.color_jitter(tf.constant(x), [0, 1], 0.0, 0.0, 0.0, 0.0)
    np.testing.assert_allclose(still, x, atol=1e-5)
    turned = images.color_jitter(tf.constant(x), [0, 1], 0.0, 0.0, 0.0, 0.2).numpy()
    np.testing.assert_allclose(turned.max(-1), x.max(-1), atol=1e-5)  # the value of a colour does not depend on its hue


@pytest.mark.parametrize("height,width", [(300, 200), (50, 400), (7, 5)])
def test_random_parts_have_the_area_and_sides_asked_for(height, width):
    draws = np.random.default_rng(0).random((300, 10, 4), np.float32)
    boxes = np.array([images.random_box(height, width, draw) for draw in draws])
    left, top, right, bottom = boxes.T
    assert left.min() >= 0 and top.min() >= 0 and right.max() <= width and bottom.max() <= height
    w, h = right - left, bottom - top
    if min(height, width) > 100:  # on small ones rounding of the sides matters
        assert 0.07 < (w * h / (height * width)).min() < 0.15 and (w * h).max() > 0.8 * height * width
        assert 0.74 < (w / h).min() < 0.8 and 1.25 < (w / h).max() < 1.35
        assert len({tuple(box) for box in boxes}) > 290
    assert images.random_box(height, width, np.ones((1, 4), np.float32))[2] <= width


def test_the_centre_is_224_of_256():
    assert images.central_box(256, 256) == (16, 16, 240, 240)
    assert images.central_box(512, 256) == (16, 144, 240, 368)


def test_resizing_takes_the_part_that_the_box_names():
    x = np.arange(48, dtype=np.uint8).reshape(6, 8, 1)
    np.testing.assert_array_equal(images.resize(x, (3, 4), (2, 1, 6, 4)), x[1:4, 2:6])
    assert images.resize(np.zeros((9, 5, 4), np.uint8), (3, 3), (0, 0, 5, 9)).shape == (3, 3, 4)


def test_statistics_are_those_of_the_pixels():
    data = images.random_images(700, (5, 4, 3), 2)
    mean, std = images.channel_statistics(data)
    pixels = data.source.images / 255.0
    np.testing.assert_allclose(mean, pixels.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, pixels.std((0, 1, 2)), rtol=1e-9)
    assert images.channel_statistics(images.random_images(1, (1, 1, 2), 1))[1] == (1.0, 1.0)  # nothing to divide by
