"""DrNAS (Chen et al. 2021, arXiv:2006.10355): mixing weights are samples of Dirichlet distributions."""

import tensorflow as tf

from tfdarts.strategies.parts import MIXING, Part, exists


class Dirichlet(Part):
    """Weights drawn from `Dirichlet(elu(alpha) + 1)`, a new sample in each pass.

    The gradient goes through the sample, by implicit differentiation of the Gamma variables that it is made of
    (Figurnov et al. 2018, arXiv:1805.08498). Given the sample, its mean is the gradient that the authors' program
    approximates; validation, ranking and the final cell use the distribution's mean.
    """

    def mixing(self, alphas, moment):
        if moment is None:
            return {name: mean(table) for name, table in alphas.items()}
        seeds = moment.seeds(MIXING, alphas)
        return {name: sample(table, seeds[name]) for name, table in alphas.items()}


class ToUniform(Part):
    """Adds `weight * sum(KL(Dirichlet(c) || Dirichlet(1)))` to the architecture's loss.

    Args:
        weight: float; the program's is 1e-3.
    """

    def __init__(self, weight=1e-3):
        self.weight = weight

    def penalty(self, alphas, progress):
        return self.weight * tf.add_n([divergence(table) for table in alphas.values()])


def concentration(alphas):
    """`elu(alpha) + 1`; 1 where a candidate does not exist."""
    return tf.where(exists(alphas), tf.nn.elu(alphas) + 1, 1)


def mean(alphas):
    """The mean of each row's Dirichlet distribution; 0 where a candidate does not exist."""
    concentrations = tf.where(exists(alphas), concentration(alphas), 0)
    return concentrations / tf.reduce_sum(concentrations, -1, keepdims=True)


def sample(alphas, seed):
    """A sample for each row of a table; a candidate that does not exist weighs 0.

    It is drawn in double precision: in single precision, Gamma variables of small concentration are often all zero.
    """
    concentrations = tf.cast(concentration(alphas), tf.float64)
    gammas = tf.random.stateless_gamma(alphas.shape, seed, concentrations, dtype=tf.float64)
    return tf.cast(shares(tf.where(exists(alphas), gammas, 0)), alphas.dtype)


def shares(gammas):
    """What each entry of a row has of the row's sum."""
    return gammas / tf.reduce_sum(gammas, -1, keepdims=True)


def divergence(alphas):
    """The Kullback-Leibler divergence of each row's Dirichlet distribution from the uniform one; their sum."""
    there, c = exists(alphas), concentration(alphas)
    kept = tf.cast(there, c.dtype)
    total, count = tf.reduce_sum(c * kept, -1), tf.reduce_sum(kept, -1)
    terms = kept * ((c - 1) * (tf.math.digamma(c) - tf.math.digamma(total)[..., None]) - tf.math.lgamma(c))
    return tf.reduce_sum(tf.math.lgamma(total) - tf.math.lgamma(count) + tf.reduce_sum(terms, -1))
