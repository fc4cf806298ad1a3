"""FairDARTS (Chu et al. 2020, arXiv:1911.12126): operations that do not compete, and a loss that makes them decide."""

import tensorflow as tf

from tfdarts.strategies.parts import Part, exists


class Sigmoid(Part):
    """Every candidate has a weight of its own, a sigmoid; its parameter starts at 0."""

    start_deviation = 0.0

    def mixing(self, alphas, moment):
        return {name: tf.sigmoid(table) for name, table in alphas.items()}


class ZeroOne(Part):
    """Pulls gates away from a half: `-weight * mean((sigmoid(alpha) - 0.5)^2)`.

    The mean goes over all candidates of all tables. At parameters of 0 it has no gradient: the first push comes from
    the validation loss.

    Args:
        weight: float; the program's is 10.
    """

    def __init__(self, weight=10.0):
        self.weight = weight

    def penalty(self, alphas, progress):
        return self.weight * zero_one(alphas)


def zero_one(alphas):
    """`-mean((sigmoid(alpha) - 0.5)^2)` over all candidates that exist.

    Args:
        alphas: dictionary from table to parameters.
    """
    total = count = 0.0
    for table in alphas.values():
        there = tf.cast(exists(table), table.dtype)
        total += tf.reduce_sum(there * tf.square(tf.sigmoid(table) - 0.5))
        count += tf.reduce_sum(there)
    return -total / count
