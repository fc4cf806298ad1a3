"""What a source of images is, and what a data set consists of; the other files here make them.

A source has `labels`, or gives a label with each image; only arrays hold their pixels, the others read an image when it
is asked for, so that memory does not grow with their number. Nothing is unpickled.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from tfdarts.errors import UserError


class DataError(UserError):
    """Data that is missing or unusable, with a sentence for the user."""


class Source:
    """Labelled images.

    Attributes:
        shape: `(height, width, channels)`; height and width None where they differ.
    """

    def __len__(self):
        raise NotImplementedError

    def read(self, index):
        """One image, `(height, width, channels)` uint8, and its label."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays(Source):
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
        return self.images[index], self.labels[index]


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
