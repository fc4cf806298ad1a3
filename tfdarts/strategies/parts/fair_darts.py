"""FairDARTS (Chu et al. 2020, arXiv:1911.12126): operations that do not compete, and a loss that makes them decide."""

import numpy as np
import tensorflow as tf

from tfdarts.genotype import NONE
from tfdarts.spaces.conv.supernet import edge_row
from tfdarts.strategies.parts import Part, exists


class Sigmoid(Part):
    """Every candidate has a weight of its own, a sigmoid; its parameter starts at 0."""

    start_deviation = 0.0

    def mixing(self, alphas, moment):
        return {name: tf.sigmoid(table) for name, table in alphas.items()}


class ZeroOne(Part):
    """Pulls gates away from a half: `-weight * mean((sigmoid(alpha) - 0.5)^2)` (section 3.3).

    The mean goes over all candidates of all tables. At parameters of 0 it has no gradient: the first push comes from
    the validation loss.

    Args:
        weight: float; the program's is 10.
    """

    distance = staticmethod(tf.square)

    def __init__(self, weight=10.0):
        self.weight = weight

    def penalty(self, alphas, progress):
        return self.weight * zero_one(alphas, self.distance)


class ZeroOneL1(ZeroOne):
    """The same with absolute values in place of squares."""

    distance = staticmethod(tf.abs)


class Threshold(Part):
    """Cells of all operations whose gate reaches a threshold: a node has as many inputs as that leaves it.

    Where no operation reaches it on the way from a cell's inputs to a node, as at the start of a search, the cell has
    one, the largest gate of an edge from an input.

    Args:
        choose: `sparse` or `every_edge`.
        threshold: float; the program's is 0.85.
    """

    def __init__(self, choose, threshold=0.85):
        self.choose, self.threshold = choose, threshold

    def select(self, search):
        gates = {name: np.asarray(table) for name, table in search.mixing().items()}

        def cell(table, choices, nodes, edges):
            scaled = table if edges is None else table * np.asarray(edges)[:, None]
            return reached(self.choose(scaled, choices, nodes, self.threshold)) or sparse(scaled, choices, 1, 0.0)[:1]

        return search.supernet.genotype(gates, cell)


def _gates(row, choice):
    """The gates of an edge, `none` left out: a list of `(gate, op)`, the largest first (ties: the first)."""
    gates = [(float(gate), op) for gate, op in zip(row, choice.candidates) if op != NONE]
    return sorted(gates, key=lambda pair: -pair[0])


def sparse(gates, table, nodes, threshold):
    """The two edges a node whose best gates are largest, where those reach the threshold (section 3.4).

    Args:
        gates: `(edges, operations)`.
        table: tuple of `Choice`, one an edge.
        nodes: int.
        threshold: float.

    Returns:
        A list of `(op, node, source)`, the larger gate of a node first.
    """
    found = []
    for node in range(nodes):
        first = edge_row(node, 0)
        best = [(*_gates(gates[first + k], table[first + k])[0], node, k) for k in range(node + 2)]
        two = sorted(best, key=lambda entry: -entry[0])[:2]
        found += [entry[1:] for entry in two if entry[0] >= threshold]
    return found


def every_edge(gates, table, nodes, threshold):
    """On every edge the up to two largest gates that reach the threshold, the smaller first.

    Args and result: as of `sparse`.
    """
    found = []
    for node in range(nodes):
        for source in range(node + 2):
            row = edge_row(node, source)
            two = [op for gate, op in _gates(gates[row], table[row])[:2] if gate >= threshold]
            found += [(op, node, source) for op in reversed(two)]
    return found


def reached(entries):
    """The entries of `(op, node, source)`, node after node, whose source a cell's inputs lead to."""
    there, found = {0, 1}, []
    for op, node, source in entries:
        if source in there:
            there.add(2 + node)
            found.append((op, node, source))
    return found


def zero_one(alphas, distance=tf.square):
    """`-mean(distance(sigmoid(alpha) - 0.5))` over all candidates that exist.

    Args:
        alphas: dictionary from table to parameters.
        distance: function of a tensor, entry by entry.
    """
    total = count = 0.0
    for table in alphas.values():
        there = tf.cast(exists(table), table.dtype)
        total += tf.reduce_sum(there * distance(tf.sigmoid(table) - 0.5))
        count += tf.reduce_sum(there)
    return -total / count
