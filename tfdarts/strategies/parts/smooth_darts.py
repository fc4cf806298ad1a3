"""SmoothDARTS (Chen and Hsieh 2020, arXiv:2002.05283): weights that are trained under perturbed mixing weights.

Its radius grows from epoch to epoch: 0.03 in the first, `epsilon` behind the last.
"""

import tensorflow as tf

from tfdarts.strategies.parts import PERTURBATION, Part

FIRST_RADIUS = 0.03
ASCENTS = 7  # steps of the attack


class _Perturbation(Part):
    """What both forms share.

    Args:
        epsilon: float, the radius that is approached.
    """

    def __init__(self, epsilon=0.3):
        self.epsilon = epsilon

    def radius(self, progress):
        """The radius at a point of the search, `progress` from 0 to 1."""
        return FIRST_RADIUS + (self.epsilon - FIRST_RADIUS) * progress

    def noise(self, mixing, moment):
        """Uniform noise in the cube of that radius for every table."""
        seeds, radius = moment.seeds(PERTURBATION, mixing), self.radius(moment.progress)
        return {
            name: radius * tf.random.stateless_uniform(table.shape, seeds[name], -1, 1, table.dtype)
            for name, table in mixing.items()
        }


class RandomNoise(_Perturbation):
    """SDARTS-RS: uniform noise."""

    def perturb(self, mixing, loss, moment):
        return projected(mixing, self.noise(mixing, moment))


class Adversarial(_Perturbation):
    """SDARTS-ADV: the mixing weights near by under which the training loss is largest.

    Each step costs seven gradients and two passes more, all in evaluation mode.
    """

    def perturb(self, mixing, loss, moment):
        return attacked(mixing, self.noise(mixing, moment), self.radius(moment.progress), loss)


def project(table, kept=None):
    """Clips weights to [0, 1] and divides each row by its sum; a row clipped to nothing keeps its largest entry.

    A row without a candidate, of an edge that was dropped, stays 0.

    Args:
        table: `(choices, candidates)`.
        kept: bools of its shape, the candidates that exist; None for all.
    """
    clipped = tf.clip_by_value(table, 0, 1)
    if kept is not None:
        clipped = tf.where(kept, clipped, 0)
        table = tf.where(kept, table, table.dtype.min)
    largest = tf.one_hot(tf.argmax(table, -1), table.shape[-1], dtype=table.dtype)
    total = tf.reduce_sum(clipped, -1, keepdims=True)
    clipped = tf.where(total > 0, clipped, largest if kept is None else tf.where(kept, largest, 0))
    return tf.math.divide_no_nan(clipped, tf.reduce_sum(clipped, -1, keepdims=True))


def projected(mixing, change):
    """Mixing weights with a change added, projected; what weighs nothing for want of a candidate stays nothing."""
    return {name: project(table + change[name], table > 0) for name, table in mixing.items()}


def attacked(mixing, noise, radius, loss):
    """The mixing weights that an attack by signed gradients in the cube around them ends with.

    The division by a row's sum follows the clipping to the cube, so that the result may lie outside.

    Args:
        mixing, noise: dictionaries from table to weights and to where the attack starts from them.
        radius: scalar.
        loss: function of mixing weights.

    Returns:
        Mixing weights; those that came in if the loss is larger there than at the end of the attack.
    """
    names = list(mixing)
    found = projected(mixing, noise)
    for _ in range(ASCENTS):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(found)
            value = loss(found)
        gradients = tape.gradient(value, found, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        for name in names:
            step = found[name] + (2 * radius / ASCENTS) * tf.sign(gradients[name])
            found[name] = mixing[name] + tf.clip_by_value(step - mixing[name], -radius, radius)
        found = {name: project(found[name], mixing[name] > 0) for name in names}
    worse = loss(mixing) > loss(found)
    return {name: tf.where(worse, mixing[name], found[name]) for name in names}
