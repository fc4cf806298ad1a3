"""The small supernet that the stored values of several parts of DARTS are of."""

import dataclasses

import numpy as np
import tensorflow as tf

from tests.support import build, precision, reference
from tfdarts import operations, optimizers
from tfdarts.spaces.conv.supernet import Supernet

KINDS = ("normal", "reduce")
SHARED, SIZES = (reference.load(f"strategies/supernet7/{name}") for name in ("inputs", "config.json"))
NO_NONE = dataclasses.replace(operations.load("regular"), searched=tuple(SIZES["primitives_order"]))


def pair(arrays, name, suffix=""):
    """Stored values of the normal and of the reduction cell as one vector."""
    return np.concatenate([arrays[f"{name}_{kind}{suffix}"].ravel() for kind in KINDS])


class Shared:
    """The small supernet without `none` that SDARTS's and FairDARTS's values are of."""

    def __init__(self):
        sizes = SIZES["config"]
        with precision.floatx("float64"):
            self.net = Supernet(
                NO_NONE, sizes["num_classes"], sizes["C"], sizes["layers"], sizes["steps"], sizes["multiplier"]
            )
            self.net.build((None, *SHARED["train/images"].shape[1:]))
        self.names = reference.named(self.net)
        reference.assign(self.names, reference.group(SHARED, "weights/") | reference.group(SHARED, "state/"))
        self.weights = optimizers.flatten(self.net.trainable_variables)

    def search(self, **options):
        with precision.floatx("float64"):
            search = build.search(self.net, "first", **options)
        search.alphas.assign(pair(SHARED, "alphas"))
        return search

    @staticmethod
    def batch(part):
        return tf.constant(SHARED[f"{part}/images"], tf.float64), tf.constant(SHARED[f"{part}/labels"])
