"""Parts of DARTS: what its descendants change, each a small class whose hooks default to plain DARTS.

`Darts(..., parts=[...])` calls the hooks that a part overrides; a hook that none overrides costs nothing. Mixing
weights are dictionaries from table to tensor, as the supernet takes them. Parts see the tables of choices between
operations; choices between a node's inputs (`Choice.of_inputs`) are always weighed by a softmax.
"""

import typing

import tensorflow as tf

MIXING, PERTURBATION = 0, 1  # what random numbers are for


class Moment(typing.NamedTuple):
    """When a hook is called.

    Attributes:
        draw: two integers, seed of the random numbers of parts in this pass.
        progress: how much of the search is done, from 0 to 1.
    """

    draw: tf.Tensor
    progress: tf.Tensor

    def seeds(self, use, tables):
        """Seeds of random numbers of their own for each table: name to two integers.

        Args:
            use: `MIXING` or `PERTURBATION`.
            tables: dictionary by name.
        """
        numbers = ((use << 8) + place for place, _ in enumerate(tables))
        return {
            name: self.draw + tf.constant([number << 36, 0], tf.int64) for name, number in zip(sorted(tables), numbers)
        }


class Part:
    """Base class of the parts; a subclass overrides the hooks that it needs."""

    edges = None  # class of the layers on the supernet's edges, in place of `layers.edges.MixedEdges`
    start_deviation = None  # standard deviation of the architecture parameters' start, in place of 1e-3

    def mixing(self, alphas, moment):
        """Makes mixing weights of architecture parameters; plain DARTS: `softmax`. One part at most overrides it.

        Args:
            alphas: dictionary from table to parameters `(choices, candidates)`; where a candidate does not exist or is
                masked, the parameter is minus infinity.
            moment: `Moment` of a pass in training; None for validation, where nothing may be random.

        Returns:
            A dictionary from table to weights of the same shape.
        """
        raise NotImplementedError

    def strengths(self, alphas):
        """The weights by which candidates are ranked and shown, of the part that overrides `mixing`.

        Args:
            alphas: as in `mixing`.
        """
        return self.mixing(alphas, None)

    def perturb(self, mixing, loss, moment):
        """Changes the mixing weights of the weights' step; plain DARTS leaves them. Parts run one after the other.

        Args:
            mixing: dictionary from table to mixing weights.
            loss: function of such a dictionary, the loss on the step's training batch in evaluation mode.
            moment: `Moment`.
        """
        raise NotImplementedError

    def penalty(self, alphas, progress):
        """A scalar that is added to the loss of the architecture parameters; plain DARTS adds none.

        Args:
            alphas: as in `mixing`.
            progress: how much of the search is done, from 0 to 1.
        """
        raise NotImplementedError

    def stop(self, search, logs):
        """Looks at a search at the end of an epoch; returns a sentence to stop it, None to go on."""
        raise NotImplementedError

    def select(self, search):
        """The genotype of a search; plain DARTS: by the largest mixing weights. One part at most overrides it."""
        raise NotImplementedError


HOOKS = ("mixing", "perturb", "penalty", "stop", "select")
SINGLE = ("mixing", "select")


def overriding(parts, hook):
    """The parts that override a hook, in their order."""
    return [part for part in parts if getattr(type(part), hook) is not getattr(Part, hook)]


def softmax(alphas):
    """Mixing weights of plain DARTS: the softmax of each choice's parameters (section 2.2, equation 2)."""
    return {name: tf.nn.softmax(table) for name, table in alphas.items()}


def exists(alphas):
    """Where the candidates of a table of parameters exist and are not masked: bools of its shape."""
    return tf.math.is_finite(alphas)
