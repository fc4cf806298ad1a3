"""What an architecture consists of: choices between candidates, grouped into tables of mixing weights."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfdarts.genotype import NONE


@dataclasses.dataclass(frozen=True)
class Choice:
    """One decision of an architecture: which operation an edge carries, say, or which input a node takes.

    Attributes:
        name: what is decided, for people: `"c_{k-2} to 0"`.
        candidates: names of what can be chosen.
        of_inputs: whether the candidates are a node's inputs rather than operations.
    """

    name: str
    candidates: tuple
    of_inputs: bool = False


def alike(names, candidates):
    """A table whose choices all have the same candidates.

    Args:
        names: of the choices.
        candidates: names of what can be chosen.

    Returns:
        A tuple of `Choice`.
    """
    return tuple(Choice(name, tuple(candidates)) for name in names)


def shape(table):
    """Rows and columns of a table of mixing weights: its choices, and the most candidates that one of them has."""
    return len(table), max(len(choice.candidates) for choice in table)


def mask(table):
    """Which entries of a table of mixing weights exist: bools of its `shape`.

    A choice with fewer candidates than others has the first columns of its row.
    """
    rows, columns = shape(table)
    return np.array([[column < len(choice.candidates) for column in range(columns)] for choice in table])


def heaviest(weights, table):
    """The candidate of each choice that weighs most, other than `none`, and its weight.

    Args:
        weights: `(choices, candidates)`; a choice with fewer candidates has the first columns of its row.
        table: tuple of `Choice`.

    Returns:
        A list of names, and an array of weights.
    """
    weights = np.array(weights, np.float32)
    for row, choice in enumerate(table):
        weights[row, len(choice.candidates) :] = -2.0
        if NONE in choice.candidates:
            weights[row, choice.candidates.index(NONE)] = -1.0
    columns = weights.argmax(-1)
    return [choice.candidates[column] for choice, column in zip(table, columns)], weights.max(-1)


def uniform(table):
    """Equal mixing weights for a table, float32 of its `shape`."""
    return tf.fill(shape(table), 1 / shape(table)[1])
