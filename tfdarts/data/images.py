"""Image classification data, cut into batches and augmented as a pure function of (seed, step)."""

import dataclasses
import math
import typing

import numpy as np
import PIL.Image
import tensorflow as tf

from tfdarts.data import arrays, folders, prepared, sources
from tfdarts.data.sources import DataError

HELD_OUT = 0.1  # share of the training images that are kept for testing where there is nothing else to test on
AUGMENTATIONS = ("crop", "imagenet")
_STATISTICS_SAMPLE = 100_000  # images, evenly spaced, that means and deviations are computed from at the most


class Known(typing.NamedTuple):
    """What is known of a data set without reading it."""

    shape: tuple
    classes: int
    mean: tuple | None  # published statistics of the training pixels; None: computed
    std: tuple | None
    flip: bool  # whether a mirror image keeps its label


# CIFAR-10's statistics are the ones of the authors' utils.py.
KNOWN = {
    "cifar10": Known((32, 32, 3), 10, (0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768), True),
    "cifar100": Known((32, 32, 3), 100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), True),
    "svhn_cropped": Known((32, 32, 3), 10, (0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970), False),
    "mnist": Known((28, 28, 1), 10, (0.1307,), (0.3081,), False),
    "fashion_mnist": Known((28, 28, 1), 10, (0.2860,), (0.3530,), True),
    "imagenet2012": Known((None, None, 3), 1000, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), True),
    "digits": Known((8, 8, 1), 10, None, None, False),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """A labelled set of images, or a part of one.

    Attributes:
        source: `sources.Source`, where the pixels are.
        indices: which of the source's images belong to the set.
        names: of the classes.
        shape: `(height, width, channels)` of what the network sees.
        mean, std: per channel, of pixels scaled to 0..1; what the images are normalised with.
        augmentation: `"crop"` (shifted by up to an eighth of the height, as in the CIFAR papers) or `"imagenet"`
            (random part of random size, colour jitter).
        flip: whether a mirror image keeps its label.
    """

    source: sources.Source
    indices: np.ndarray
    names: tuple
    shape: tuple
    mean: tuple = ()
    std: tuple = ()
    augmentation: str = "crop"
    flip: bool = True

    def __len__(self):
        return len(self.indices)

    @property
    def classes(self):
        return len(self.names)

    @property
    def statistics(self):
        """Mean and deviation of the channels, and the names of the classes: what a run and a model remember."""
        return {"mean": list(self.mean), "std": list(self.std), "classes": list(self.names)}

    @property
    def padding(self):
        """Pixels of zeros that a random crop may shift into view: 4 of 32, as in the papers."""
        return self.shape[0] // 8

    def take(self, positions):
        """The images at these positions, as a set of its own."""
        return dataclasses.replace(self, indices=self.indices[positions])

    def fetch(self, positions, draw=None):
        """Reads images, brought to one size where they differ.

        Args:
            positions: vector of integers.
            draw: two integers, for the random part that `"imagenet"` cuts out; None for the centre.

        Returns:
            `(n, height, width, channels)` uint8, and `(n,)` int32 labels.
        """
        chosen = tf.gather(tf.constant(self.indices), positions)
        if isinstance(self.source, sources.Arrays) and self.source.shape == self.shape:
            return tuple(tf.gather(values, chosen) for values in self.source.tensors)
        random = self.augmentation == "imagenet" and draw is not None
        shape = (tf.size(chosen), *(_DRAWS if random else (0, 4)))
        uniform = tf.random.stateless_uniform(shape, [0, 0] if draw is None else [draw[0], draw[1] + (3 << 40)])
        # Reading a file twice gives the same twice, so batches may be read side by side.
        images, labels = tf.numpy_function(self._read, [chosen, uniform], [tf.uint8, tf.int32], stateful=False)
        return tf.ensure_shape(images, (None, *self.shape)), tf.ensure_shape(labels, (None,))

    def _read(self, chosen, uniform):
        images, labels = np.empty((len(chosen), *self.shape), np.uint8), np.empty(len(chosen), np.int32)
        for i, index in enumerate(chosen):
            pixels, labels[i] = self.source.read(index)
            if pixels.shape != self.shape:
                pixels = resize(pixels, self.shape[:2], self._box(*pixels.shape[:2], uniform[i]))
            images[i] = pixels
        return images, labels

    def _box(self, height, width, uniform):
        if self.augmentation == "crop":
            return 0, 0, width, height
        return random_box(height, width, uniform) if len(uniform) else central_box(height, width)


def resize(pixels, size, box):
    """The part `box` (left, top, right, bottom) of an image, brought to `size` (height, width), bilinear."""
    image = PIL.Image.fromarray(pixels if pixels.shape[-1] > 1 else pixels[..., 0])
    return np.asarray(image.resize(size[::-1], PIL.Image.Resampling.BILINEAR, box)).reshape(*size, pixels.shape[-1])


_DRAWS = (10, 4)  # attempts at a random box, numbers for each


def random_box(height, width, uniform):
    """A random part of an image: 8 to 100 % of its area, sides in a ratio from 3/4 to 4/3.

    Szegedy et al. 2015, arXiv:1409.4842, section 6. The largest central part with such a ratio if no attempt fits.

    Args:
        uniform: `(attempts, 4)` numbers from 0 to 1.

    Returns:
        `(left, top, right, bottom)`.
    """
    for area, ratio, x, y in uniform.astype(float):
        area, ratio = (0.08 + 0.92 * area) * height * width, math.exp((2 * ratio - 1) * math.log(4 / 3))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(x * (width - w + 1)), int(y * (height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def central_box(height, width):
    """The square that remains after bringing the shorter side to 256 and cutting out the central 224x224."""
    side = min(height, width) * 224 / 256
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def info(name, data_dir=None, image_size=0):
    """Shape and number of classes of a data set; of those in `KNOWN` without reading it."""
    if name in KNOWN and (image_size or KNOWN[name].shape[0]):
        shape = KNOWN[name].shape
        return ((image_size, image_size, shape[2]) if image_size else shape), KNOWN[name].classes
    train, _, _ = load(name, data_dir, image_size=image_size, statistics={"mean": (), "std": (), "classes": ()})
    return train.shape, train.classes


def load(name, data_dir=None, seed=0, image_size=0, augmentation="crop", flip=None, extra=False, statistics=None):
    """Reads a data set, or learns where its images are.

    Args:
        name: `digits`, `folder:PATH`, `npz:FILE`, or an image classification set of TensorFlow Datasets.
        data_dir: folder of data prepared by TensorFlow Datasets; None for its own default.
        seed: chooses what is held out for testing, from a set that has training images only.
        image_size: height and width to bring images to; 0 to leave them, which must then be of one size.
        augmentation: see `Images`.
        flip: see `Images`; None for what is known of the set, otherwise yes.
        extra: whether a split `extra` belongs to the training images.
        statistics: as `Images.statistics` gave it before; None for the published ones, or computed ones.

    Returns:
        Training, validation and test `Images`, disjoint. Validation is None where the set has none beside what it is
        tested on.

    Raises:
        DataError: if the data set is unknown, not prepared, damaged or unsuitable.
    """
    kind, _, rest = name.partition(":")
    if extra and (name == "digits" or kind in ("folder", "npz")):
        raise DataError(f"{name} has no split `extra`; leave out --use_extra.")
    if name == "digits":
        parts = arrays.digits()
    elif kind == "folder":
        parts = folders.from_folder(rest, one_size=not image_size)
    elif kind == "npz":
        parts = arrays.from_npz(rest)
    else:
        parts = prepared.from_tfds(name, data_dir, bool(image_size), extra)
    return of_parts(name, parts, seed, image_size, augmentation, flip, statistics)


def of_parts(name, parts, seed=0, image_size=0, augmentation="crop", flip=None, statistics=None):
    """Training, validation and test images of a source's parts; arguments and result as in `load`.

    Args:
        parts: `sources.Parts`.
    """
    known = KNOWN.get(name, Known(None, None, None, None, True))
    shape = tuple(parts.train.shape)
    if image_size:
        shape = (image_size, image_size, shape[2])
    elif shape[0] is None:
        raise DataError(f"the images of {name} differ in size; give --image_size to bring them to one")
    if statistics and statistics["classes"] and list(statistics["classes"]) != list(parts.classes):
        raise DataError(f"the classes of {name} are not the ones that it had before")

    def whole(source):
        if source is None:
            return None
        keeps = known.flip if flip is None else flip
        return Images(source, np.arange(len(source)), parts.classes, shape, augmentation=augmentation, flip=keeps)

    train, validation, test = (whole(part) for part in (parts.train, parts.validation, parts.test))
    if test is None and validation is not None:
        test, validation = validation, None
    if test is None:
        train, test = split(train, 1 - HELD_OUT, seed)
        _check_left(name, train)
    if not len(train) or not len(test):
        raise DataError(f"{name} has too few images: {len(train)} for training, {len(test)} for testing")
    if statistics:
        mean, std = statistics["mean"], statistics["std"]
    elif known.mean:
        mean, std = known.mean, known.std
    else:
        mean, std = channel_statistics(train)
    parts = (train, validation, test)
    return tuple(part and dataclasses.replace(part, mean=tuple(mean), std=tuple(std)) for part in parts)


def _check_left(name, train):
    """Raises DataError where all images of a class are held out for testing, so that it cannot be learnt."""
    labels = getattr(train.source, "labels", np.arange(0))  # records tell theirs when they are read
    lost = sorted(set(labels.tolist()) - set(labels[train.indices].tolist())) if len(labels) else []
    if lost:
        classes = ", ".join(train.names[label] for label in lost)
        raise DataError(
            f"{name} has so few images of {classes} that all are held out for testing; give more, a test part, or "
            "another --seed"
        )


def channel_statistics(images):
    """Mean and standard deviation of each channel, of pixels scaled to 0..1.

    Of a set of more than 100,000 images, as many evenly spaced ones count.
    """
    positions = np.arange(0, len(images), max(1, len(images) // _STATISTICS_SAMPLE))
    count, total, squares = 0, 0.0, 0.0
    for start in range(0, len(positions), 256):
        pixels = images.fetch(positions[start : start + 256])[0].numpy().astype(np.float64)
        count += pixels[..., 0].size
        total, squares = total + pixels.sum((0, 1, 2)), squares + (pixels**2).sum((0, 1, 2))
    mean = total / count
    std = np.sqrt(squares / count - mean**2)
    return tuple((mean / 255).tolist()), tuple((np.where(std > 0, std, 255) / 255).tolist())


def random_images(count, shape, classes, seed=0):
    """Images of noise, for tests and benchmarks."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
    source = sources.Arrays(pixels, generator.integers(0, classes, count, dtype=np.int32))
    half = (0.5,) * shape[-1]
    return Images(source, np.arange(count), tuple(map(str, range(classes))), tuple(shape), half, half)


def split(images, portion, seed):
    """Divides a set at random into two disjoint ones, the first with `portion` of the images."""
    order = np.random.default_rng(seed).permutation(len(images))
    cut = int(portion * len(images))
    return images.take(order[:cut]), images.take(order[cut:])


def held_out(images, portion):
    """Divides a set as `split`, always alike: what remains, and a share of it for validation, None for none.

    Args:
        portion: of the images, from 0 to below 1.

    Raises:
        DataError: if the share is less than one image.
    """
    if not portion:
        return images, None
    kept, rest = split(images, 1 - portion, 0)
    if not (len(kept) and len(rest)):
        raise DataError(f"--hold_out {portion:g} of {len(images)} images leaves nothing for one of the two parts.")
    return kept, rest


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


def color_jitter(images, seed, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2):
    """Random brightness, contrast, saturation and hue, in this order (Howard 2013, arXiv:1312.5402, section 2).

    The strengths are the ImageNet training's of DARTS: factors from 1 - s to 1 + s, a hue shift of up to 0.2 turns.

    Args:
        images: `(batch, height, width, channels)` from 0 to 1; saturation and hue need 3 channels.
        seed: two integers; the same give the same result.
    """
    draw = tf.random.stateless_uniform((4, tf.shape(images)[0], 1, 1, 1), [seed[0], seed[1] + (4 << 40)], -1.0, 1.0)

    def blend(x, y, strength, drawn):
        return tf.clip_by_value(y + (1 + strength * drawn) * (x - y), 0.0, 1.0)

    def gray(x):
        return tf.image.rgb_to_grayscale(x) if x.shape[-1] == 3 else tf.reduce_mean(x, -1, keepdims=True)

    images = blend(images, 0.0, brightness, draw[0])
    images = blend(images, tf.reduce_mean(gray(images), [1, 2], keepdims=True), contrast, draw[1])
    if images.shape[-1] != 3:
        return images
    images = blend(images, gray(images), saturation, draw[2])
    hues, *rest = tf.split(tf.image.rgb_to_hsv(images), 3, -1)
    return tf.image.hsv_to_rgb(tf.concat([tf.math.floormod(hues + hue * draw[3], 1.0), *rest], -1))


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

    def batch(positions):
        images, labels = data.fetch(positions)
        return normalize(images, data.mean, data.std), labels

    positions = tf.data.Dataset.range(len(data)).batch(batch_size)
    return positions.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def search_halves(train, validation, portion, use_validation, seed, arch_portion=0.0):
    """The images for the weights and, disjoint from them, the images for the architecture.

    Args:
        train, validation: as `load` returns them.
        portion: of the training images, for the weights.
        use_validation: whether the validation split is for the architecture, and all training images for the weights.
        seed: divides the training images.
        arch_portion: of the training images, for the architecture; 0 for all that the weights leave.

    Raises:
        DataError: if there is no validation split, or one half would be empty.
    """
    if use_validation:
        if validation is None:
            raise DataError(
                "--use_validation needs a validation split besides the images that are tested on; leave it out"
            )
        return train, validation
    halves = split(train, portion, seed)
    if arch_portion:
        wanted = int(arch_portion * len(train))
        if wanted > len(halves[1]):
            raise DataError(f"--train_portion {portion} and --arch_portion {arch_portion} are more than there is.")
        halves = halves[0], halves[1].take(np.arange(wanted))
    if not all(len(half) for half in halves):
        which = "leaves" if not arch_portion else f"and --arch_portion {arch_portion} leave"
        raise DataError(f"--train_portion {portion} {which} one half of the search without images.")
    return halves


def check_batch_size(data, batch_size):
    """Raises DataError if a batch would hold more images than there are."""
    if batch_size > len(data):
        raise DataError(
            f"--batch_size {batch_size} is larger than the {len(data)} images of an epoch; give a smaller one"
        )


def steps_per_epoch(data, batch_size):
    """Batches in an epoch; the last one may be short."""
    return -(-len(data) // batch_size)


def train_batches(data, batch_size, seed, cutout_length=0, start=0, augmented=True):
    """Endless shuffled batches, augmented or not; the n-th is a function of `seed` and n alone.

    Args:
        data: `Images`.
        seed: int; gives order and augmentation.
        cutout_length: side of the square that is blacked out, 0 for none.
        start: number of the first batch, for going on with a run.
        augmented: whether images are changed at random, as for training weights.

    Returns:
        A `tf.data.Dataset` of `(images, labels)`.
    """
    count, steps = len(data), steps_per_epoch(data, batch_size)

    def indices(epoch):
        order = tf.random.experimental.stateless_shuffle(tf.range(count), seed=tf.stack([np.int64(seed), epoch]))
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return tf.data.Dataset.zip(tf.data.Dataset.range(epoch * steps, (epoch + 1) * steps), batches)

    def batch(step, positions):
        if not augmented:
            images, labels = data.fetch(positions)
            return normalize(images, data.mean, data.std), labels
        draw = [tf.constant(seed, tf.int64), step]
        images, labels = data.fetch(positions, draw)
        padding = data.padding
        if data.augmentation == "imagenet":
            images, padding = 255.0 * color_jitter(tf.cast(images, tf.float32) / 255.0, draw), 0
        images = augment(normalize(images, data.mean, data.std), draw, padding, data.flip)
        if cutout_length:
            images = cutout(images, draw, cutout_length)
        return images, labels

    dataset = tf.data.Dataset.range(start // steps, np.iinfo(np.int64).max).flat_map(indices).skip(start % steps)
    parallel = 2 if isinstance(data.source, sources.Arrays) else tf.data.AUTOTUNE
    return dataset.map(batch, num_parallel_calls=parallel, deterministic=True).prefetch(4)


def pairs(train, valid):
    """Pairs of a training and a validation batch, what a search step takes."""
    return tf.data.Dataset.zip(train, valid)
