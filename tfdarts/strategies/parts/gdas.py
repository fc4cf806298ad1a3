"""GDAS (Dong and Yang 2019, arXiv:1910.04465): one operation an edge is drawn in each pass, and no other computed."""

import numpy as np
import tensorflow as tf

from tfdarts.layers.sampled import sampled_edges
from tfdarts.strategies.parts import MIXING, Part, softmax


class Gumbel(Part):
    """Draws by the Gumbel-max trick, with the gradient of the relaxed sample (section 3.2).

    Forward the weights are one-hot; backward the gradient goes through `softmax((log softmax(alpha) + gumbel) / tau)`.
    The loss has no gradient for the weights of operations that are not computed. Validation runs the likeliest.

    Args:
        tau_max, tau_min: temperature in the first and in the last epoch; it falls linearly.
        epochs: int, of the search.
        samples_edges: whether the supernet is to compute the drawn operations only. Otherwise all are computed, and
            the weights of those that were not drawn have a gradient, too.
    """

    def __init__(self, tau_max=10.0, tau_min=0.1, epochs=1, samples_edges=True):
        self.tau_max, self.tau_min, self.epochs = tau_max, tau_min, epochs
        self.edges = sampled_edges() if samples_edges else None

    def tau(self, progress):
        """The temperature at a point of the search, `progress` from 0 to 1 - 1 / epochs."""
        if self.epochs == 1:
            return self.tau_max
        return self.tau_max - (self.tau_max - self.tau_min) * progress * self.epochs / (self.epochs - 1)

    def mixing(self, alphas, moment):
        if moment is None:
            return {name: one_hot(table) for name, table in alphas.items()}
        seeds, tau = moment.seeds(MIXING, alphas), self.tau(moment.progress)
        return {
            name: hard_sample(table, gumbel(table.shape, seeds[name], table.dtype), tau)[0]
            for name, table in alphas.items()
        }

    def strengths(self, alphas):
        return softmax(alphas)


def gumbel(shape, seed, dtype):
    """Numbers from the Gumbel distribution, `-log(-log(uniform))`, finite everywhere."""
    uniform = tf.random.stateless_uniform(shape, seed, np.finfo(dtype.as_numpy_dtype).tiny, 1, dtype)
    return -tf.math.log(-tf.math.log(uniform))


def one_hot(table):
    """1 at the largest entry of each row, 0 elsewhere."""
    return tf.one_hot(tf.argmax(table, -1), table.shape[-1], dtype=table.dtype)


def hard_sample(alphas, noise, tau):
    """A one-hot sample of each row, through which a gradient goes as through the relaxed one.

    Args:
        alphas: `(choices, candidates)`, minus infinity where there is none.
        noise: numbers from the Gumbel distribution, of the same shape.
        tau: temperature.

    Returns:
        The sample and the relaxed sample, both of that shape.
    """
    soft = tf.nn.softmax((tf.nn.log_softmax(alphas) + noise) / tau)
    return tf.stop_gradient(one_hot(soft) - soft) + soft, soft
