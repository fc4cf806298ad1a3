"""A network's variables as a few vectors: what a compiled training step reads and writes instead of them."""

import contextlib

import tensorflow as tf

from tfdarts import optimizers


def join(tensors):
    """Tensors or variables of any shapes as a tuple of vectors, one for each dtype, the first one's first."""
    return tuple(optimizers.flatten(group) for group in _by_dtype(tensors).values())


def cut(vectors, like):
    """Cuts what `join` gave into a list of tensors with the shapes of `like`, in its order."""
    pieces = {
        dtype: iter(optimizers.unflatten(vector, group))
        for vector, (dtype, group) in zip(vectors, _by_dtype(like).items(), strict=True)
    }
    return [next(pieces[tf.as_dtype(tensor.dtype)]) for tensor in like]


def _by_dtype(tensors):
    groups = {}
    for tensor in tensors:
        groups.setdefault(tf.as_dtype(tensor.dtype), []).append(tensor)
    return groups


def assign(variables, vector):
    """Sets variables from one vector of all their values."""
    for variable, value in zip(variables, optimizers.unflatten(vector, variables)):
        variable.assign(value)


class Vectors:
    """Weights and statistics of a network as vectors, which hold them while compiled steps are taken.

    So a step assigns to two variables and not to each of the network's. Between steps either the vectors lead, and the
    network's variables are old, or the network's lead; `lead` and `settle` bring the other side up to date.

    Attributes:
        stepping: whether a compiled step is being traced or run, which finds the network in the vectors.
        weights: variable, all trainable weights; None before the first step.
        statistics: tuple of variables, the non-trainable ones, as `join` gives them.

    Args:
        network: built model.
    """

    def __init__(self, network):
        self.network, self.weights, self.statistics = network, None, ()
        self.stepping = self.leading = False

    @contextlib.contextmanager
    def lead(self):
        """A context for compiled steps: the vectors have what the network's variables had, and lead from here on."""
        if not self.leading:
            weights = optimizers.flatten(self.network.trainable_variables)
            statistics = join(self.network.non_trainable_variables)
            if self.weights is None:
                self.weights = tf.Variable(weights, trainable=False)
                self.statistics = tuple(tf.Variable(vector, trainable=False) for vector in statistics)
            else:
                self.weights.assign(weights)
                self.assign_statistics(statistics)
            self.leading = True
        self.stepping = True
        try:
            yield
        finally:
            self.stepping = False

    def settle(self):
        """Brings the network's variables up to date; they lead from here on, so that they may be assigned to."""
        if not self.leading:
            return
        self.leading = False
        assign(self.network.trainable_variables, self.weights)
        others = self.network.non_trainable_variables
        for variable, value in zip(others, cut(self.statistics, others)):
            variable.assign(value)

    def assign_statistics(self, vectors):
        """Sets the statistics from what `join` gives."""
        for variable, vector in zip(self.statistics, vectors, strict=True):
            variable.assign(vector)
