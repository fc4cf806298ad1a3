"""Image classification data: arrays in memory, cut into batches and augmented as a pure function of (seed, step)."""

import dataclasses
import functools
import pathlib

import numpy as np
import tensorflow as tf

from tfdarts.errors import UserError


class DataError(UserError):
    """Data that is missing or unusable, with a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Images:
    """A labelled set of images.

    Attributes:
        images: `(n, height, width, channels)` uint8, 0 to 255.
        labels: `(n,)` int32.
        classes: int.
        mean, std: per channel, of pixels scaled to 0..1; what the images are normalised with.
        padding: pixels of zeros that a random crop may shift into view.
        flip: whether a mirror image keeps its label.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: int
    mean: tuple
    std: tuple
    padding: int = 4
    flip: bool = True

    def __len__(self):
        return len(self.labels)

    @property
    def shape(self):
        return self.images.shape[1:]

    def take(self, indices):
        """The images with these indices, as a set of its own."""
        return dataclasses.replace(self, images=self.images[indices], labels=self.labels[indices])


# What `--dry_run` needs to know of a data set without reading it: shape and classes. The published statistics of the
# training pixels: CIFAR-10's are the ones of the authors' utils.py.
KNOWN = {
    "cifar10": ((32, 32, 3), 10, (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768), True),
    "cifar100": ((32, 32, 3), 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), True),
    "svhn_cropped": ((32, 32, 3), 10, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), False),
    "digits": ((8, 8, 1), 10, None, None, False),
}


def info(name):
    """Shape and number of classes of a data set that is known without reading it.

    Raises:
        DataError: if it is not one of `KNOWN`.
    """
    if name not in KNOWN:
        raise DataError(f"Unknown data set {name!r}; there are {', '.join(KNOWN)}.")
    return KNOWN[name][:2]


def load(name, data_dir=None):
    """Reads a data set.

    Args:
        name: one of `KNOWN`.
        data_dir: folder of data prepared by TensorFlow Datasets; None for its own default.

    Returns:
        Training and test `Images`.

    Raises:
        DataError: if the data set is unknown or not prepared.
    """
    shape, classes, mean, std, flip = (*info(name), *KNOWN[name][2:])
    (train, train_labels), (test, test_labels) = _digits() if name == "digits" else _tfds(name, data_dir)
    if mean is None:
        pixels = train / 255.0
        mean, std = tuple(pixels.mean((0, 1, 2))), tuple(pixels.std((0, 1, 2)))
    padding = shape[0] // 8  # 4 pixels of 32, as in the paper
    make = functools.partial(Images, classes=classes, mean=mean, std=std, padding=padding, flip=flip)
    return make(train, train_labels), make(test, test_labels)


def _digits():
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels; every fifth of them is kept for testing."""
    from sklearn.datasets import load_digits  # slow to import, and no other data set needs it

    digits = load_digits()
    images = np.round(digits.images[..., None] * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int32)
    test = np.arange(len(labels)) % 5 == 4
    return (images[~test], labels[~test]), (images[test], labels[test])


def _tfds(name, data_dir):
    import tensorflow_datasets as tfds  # likewise

    folder = pathlib.Path(data_dir or "~/tensorflow_datasets").expanduser()
    if not any((folder / name).glob("*/dataset_info.json")) and not any((folder / name).glob("*/*/dataset_info.json")):
        raise DataError(
            f"{name} is not prepared in {folder}. With a network, prepare it by "
            f"`python3 -m tensorflow_datasets.scripts.cli.main build {name} --data_dir {folder}`; "
            "`--recipe digits` needs no download."
        )
    try:
        parts = [
            tfds.as_numpy(tfds.load(name, data_dir=folder, split=split, download=False, batch_size=-1))
            for split in ("train", "test")
        ]
    except Exception as error:  # TFDS raises many kinds for a damaged folder
        raise DataError(f"Cannot read {name} from {folder}: {str(error).splitlines()[0]}") from error
    return [(part["image"], part["label"].astype(np.int32)) for part in parts]


def random_images(count, shape, classes, seed=0):
    """Images of noise, for tests and benchmarks."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = generator.integers(0, classes, count, dtype=np.int32)
    half = (0.5,) * shape[-1]
    return Images(pixels, labels, classes, half, half, padding=max(1, shape[0] // 8))


def split(images, portion, seed):
    """Divides a set at random into two disjoint ones, the first with `portion` of the images."""
    order = np.random.default_rng(seed).permutation(len(images))
    cut = int(portion * len(images))
    return images.take(order[:cut]), images.take(order[cut:])


def normalize(images, mean, std):
    """uint8 pixels to float32 with mean 0 and deviation 1 per channel."""
    return (tf.cast(images, tf.float32) / 255.0 - tf.constant(mean, tf.float32)) / tf.constant(std, tf.float32)


def augment(images, seed, padding, flip):
    """Random crop out of the zero-padded image, and a random mirror image; the whole batch in two gathers.

    Args:
        images: `(batch, height, width, channels)`, normalised or not; the padding is zero.
        seed: two integers; the same give the same result.
    """
    count, (height, width) = tf.shape(images)[0], images.shape[1:3]
    offsets = tf.random.stateless_uniform((2, count, 1), seed, maxval=2 * padding + 1, dtype=tf.int32)
    rows, columns = offsets[0] + tf.range(height), offsets[1] + tf.range(width)
    if flip:
        mirrored = tf.random.stateless_uniform((count, 1), [seed[0], seed[1] + (1 << 40)]) < 0.5
        columns = tf.where(mirrored, tf.reverse(columns, [1]), columns)
    border = [padding, padding]
    images = tf.pad(images, [[0, 0], border, border, [0, 0]])
    images = tf.gather(images, rows, axis=1, batch_dims=1)
    return tf.transpose(tf.gather(tf.transpose(images, [0, 2, 1, 3]), columns, axis=1, batch_dims=1), [0, 2, 1, 3])


def cutout(images, seed, length):
    """Blacks out a square of each image (DeVries and Taylor 2017, arXiv:1708.04552), centre uniform, cut at edges."""
    count, (height, width) = tf.shape(images)[0], images.shape[1:3]
    seed = [seed[0], seed[1] + (2 << 40)]
    centre = tf.cast(tf.random.stateless_uniform((2, count, 1), seed) * [[[height]], [[width]]], tf.int32)
    first = centre - length // 2
    inside = [(tf.range(n) >= first[i]) & (tf.range(n) < first[i] + length) for i, n in enumerate((height, width))]
    square = inside[0][:, :, None] & inside[1][:, None, :]
    return tf.where(square[..., None], tf.zeros_like(images), images)


def test_batches(data, batch_size):
    """All images once, in order, normalised: a `tf.data.Dataset` of `(images, labels)`."""
    batches = tf.data.Dataset.from_tensor_slices((data.images, data.labels)).batch(batch_size)
    return batches.map(lambda x, y: (normalize(x, data.mean, data.std), y)).prefetch(2)


def steps_per_epoch(data, batch_size):
    """Batches in an epoch; the last one may be short."""
    return -(-len(data) // batch_size)


def train_batches(data, batch_size, seed, cutout_length=0, start=0):
    """Endless shuffled and augmented batches; the n-th is a function of `seed` and n alone.

    Args:
        data: `Images`.
        seed: int; gives order and augmentation.
        cutout_length: side of the square that is blacked out, 0 for none.
        start: number of the first batch, for going on with a run.

    Returns:
        A `tf.data.Dataset` of `(images, labels)`.
    """
    count, steps = len(data), steps_per_epoch(data, batch_size)
    pixels, labels = tf.constant(data.images), tf.constant(data.labels)

    def indices(epoch):
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=tf.stack([np.int64(seed), epoch]))
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return tf.data.Dataset.zip(tf.data.Dataset.range(epoch * steps, (epoch + 1) * steps), batches)

    def batch(step, chosen):
        draw = [tf.constant(seed, tf.int64), step]
        images = augment(normalize(tf.gather(pixels, chosen), data.mean, data.std), draw, data.padding, data.flip)
        if cutout_length:
            images = cutout(images, draw, cutout_length)
        return images, tf.gather(labels, chosen)

    dataset = tf.data.Dataset.range(start // steps, np.iinfo(np.int64).max).flat_map(indices).skip(start % steps)
    return dataset.map(batch, num_parallel_calls=2, deterministic=True).prefetch(4)


def pairs(train, valid):
    """Pairs of a training and a validation batch, what a search step takes."""
    return tf.data.Dataset.zip(train, valid)
