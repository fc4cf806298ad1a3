"""P-DARTS (Chen et al. 2019, arXiv:1904.12760): few skip connections, by dropout in the search and in the final cell.

Its stages, each with a deeper network and fewer candidates, are in `strategies.stages`.
"""

import numpy as np
import tensorflow as tf

from tfdarts.genotype import NONE
from tfdarts.spaces.conv.supernet import edge_row
from tfdarts.strategies.parts import Part

SKIP = "skip_connect"


def skip_dropout(rate, epochs, begin):
    """The probability of the dropout behind skip connections (section 3.3), as a function of how much is done.

    It falls from `rate` in the epochs in which only weights are stepped, and again, from `rate` on, afterwards.

    Args:
        rate: of the stage; 0 for no dropout.
        epochs: int, of the stage.
        begin: int, the first epoch in which the architecture is stepped.

    Returns:
        A function of a scalar tensor from 0 to 1; None without dropout.
    """
    if not rate:
        return None

    def probability(progress):
        epoch = tf.round(progress * epochs)
        falling, again = (epochs - epoch - 1) / epochs, tf.exp(-0.2 * (epoch - begin))
        return rate * tf.where(epoch < begin, falling, again)

    return probability


class FewSkips(Part):
    """Chooses a normal cell with at most so many skip connections (section 3.4).

    Args:
        most: int; the paper's is 2.
    """

    def __init__(self, most=2):
        self.most = most

    def select(self, search):
        mixing = {name: np.array(table, np.float64) for name, table in search.mixing().items()}

        def choose(table, choices, nodes, edges):
            weights = table if edges is None else table * np.asarray(edges)[:, None]
            return cell(weights, choices, nodes, self.most if choices is search.choices["normal"] else None)

        return search.supernet.genotype(mixing, choose)


def cell(weights, table, nodes, most=None):
    """The cell that mixing weights stand for, listed by source.

    Each edge has its heaviest operation other than `none` (ties: the last), and each node the two incoming edges whose
    operations weigh most (ties: the later source). While there are too many skip connections, the lightest of them
    (ties: the first) is set to 0, and everything is chosen anew.

    Args:
        weights: `(edges, operations)`.
        table: tuple of `Choice`, one an edge.
        nodes: int.
        most: int, skip connections that the cell may have; None for any number.

    Returns:
        A list of `(op, node, source)`. Where an edge has nothing but a skip connection, there may be more of them.
    """
    weights = np.array(weights)
    while True:
        best = [_heaviest(row, choice) for row, choice in zip(weights, table)]
        names = [choice.candidates[column] for choice, column in zip(table, best)]
        entries = []
        for node in range(nodes):
            first = edge_row(node, 0)
            strengths = [weights[first + source, best[first + source]] for source in range(node + 2)]
            two = sorted(range(node + 2), key=lambda source: (-strengths[source], -source))[:2]
            entries += [(first + source, node, source) for source in sorted(two)]
        skips = [row for row, _, _ in entries if names[row] == SKIP and weights[row, best[row]] > 0]
        if most is None or len(skips) <= most:
            return [(names[row], node, source) for row, node, source in entries]
        lightest = min(skips, key=lambda row: weights[row, best[row]])
        weights[lightest, best[lightest]] = 0


def _heaviest(row, choice):
    """The column of an edge's heaviest candidate other than `none`; of equal ones the last."""
    columns = [column for column, name in enumerate(choice.candidates) if name != NONE]
    return max(columns, key=lambda column: (row[column], column))
