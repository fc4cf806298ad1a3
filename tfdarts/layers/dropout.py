"""Random factors for dropout and drop-path."""

import tensorflow as tf

from tfdarts.precision import exact_type


def dropout_factors(shape, probability, seed, dtype="float32"):
    """Factors for dropout, and for drop-path (FractalNet, Larsson et al. 2017, arXiv:1605.07648).

    Args:
        shape: tuple of ints and tensors.
        probability: of a factor being 0; a number, or a tensor that fits `shape`.
        seed: two integers.

    Returns:
        A tensor of 0 and 1 / (1 - probability).
    """
    keep = 1 - probability
    drawn = tf.random.stateless_uniform(shape, seed, dtype=exact_type(dtype))
    return tf.cast(tf.floor(keep + drawn) / keep, dtype)
