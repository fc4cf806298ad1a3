"""Beta-DARTS (Ye et al. 2022, arXiv:2203.01665): decay of the mixing weights instead of their parameters."""

import tensorflow as tf

from tfdarts.strategies.parts import Part


class BetaDecay(Part):
    """Adds `weight * progress * beta_decay` to the architecture's loss: the weight rises from 0.

    The authors' program multiplies by half the number of the epoch, of 100; their paper names the range from 0 to 50,
    which is what `weight` 50 gives in a search of any length.

    Args:
        weight: float, of the decay at the end of the search.
    """

    def __init__(self, weight=50.0):
        self.weight = weight

    def penalty(self, alphas, progress):
        return self.weight * progress * beta_decay(alphas)


def beta_decay(alphas):
    """The mean over the choices of `log(sum(exp(alpha)))`, summed over the tables.

    Args:
        alphas: dictionary from table to parameters.
    """
    return tf.add_n([tf.reduce_mean(tf.reduce_logsumexp(table, -1)) for table in alphas.values()])
