"""Writes data sets of noise in every form that users have them in, and returns what is in them."""

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds


def noise(count, shape, seed=0):
    """Images that all differ."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def save_folder(root, parts, shape=(8, 8, 3), classes=("cat", "dog"), ending="png"):
    """Writes `root/<part>/<class>/<i>.<ending>` and returns the pixels by part, in the order of reading."""
    written = {}
    for seed, (part, count) in enumerate(parts.items()):
        pixels = noise(count * len(classes), shape, seed)
        for i, image in enumerate(pixels):
            folder = root / part / classes[i // count]
            folder.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(image if shape[-1] > 1 else image[..., 0]).save(folder / f"{i:05d}.{ending}")
        written[part] = pixels
    return written


def save_npz(path, counts, shape=(8, 8, 3), classes=3):
    """Writes an archive of `x_<part>` and `y_<part>`, and returns these arrays."""
    arrays = {}
    for seed, (part, count) in enumerate(counts.items()):
        arrays[f"x_{part}"] = noise(count, shape, seed)
        arrays[f"y_{part}"] = np.arange(count) % classes
    np.savez(path, **arrays)
    return arrays


def save_tfds(root, counts, shape=(8, 8, 3), name="beasts"):
    """Writes a data set as TensorFlow Datasets prepares them, and returns the pixels by part."""
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=shape), "label": tfds.features.ClassLabel(names=["cat", "dog"])}
    )
    written = {}

    def examples(seed, count):
        written[seed] = noise(count, shape if shape[0] else (8, 8, shape[-1]), seed)
        return {str(i): {"image": image, "label": i % 2} for i, image in enumerate(written[seed])}

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            return {part: examples(seed, count).items() for seed, (part, count) in enumerate(counts.items())}

        def _generate_examples(self):
            raise NotImplementedError

    Builder.name = name
    Builder(data_dir=root).download_and_prepare()
    return dict(zip(counts, written.values()))
