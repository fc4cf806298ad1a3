"""What tells whether a search by DARTS goes wrong: skip connections and other operations without weights take over.

Such collapse is described by Zela et al. 2020 (arXiv:1909.09656) and Liang et al. 2019 (arXiv:1909.06035).
"""

import sys

import keras
import numpy as np

from tfdarts.layers import choices

SKIP = "skip_connect"
WITHOUT_WEIGHTS = (SKIP, "max_pool_3x3", "avg_pool_3x3", "none", "noise")
MANY_SKIPS = 2  # in a normal cell, that DARTS+ stops at; more of them are a warning here


def entropy(weights, table):
    """How undecided mixing weights are: the mean over the choices of their entropy, from 0 to 1 for equal weights.

    Args:
        weights: `(choices, candidates)`; each row is divided by its sum.
        table: tuple of `Choice`; those of a single candidate do not count.

    Returns:
        A float; 0 if there is nothing to choose.
    """
    weights, found = np.where(choices.mask(table), weights, 0), []
    for row, choice in zip(weights, table):
        if len(choice.candidates) > 1 and row.sum() > 0:
            shares = row[row > 0] / row.sum()
            found.append(-(shares * np.log(shares)).sum() / np.log(len(choice.candidates)))
    return min(float(np.mean(found)), 1.0) if found else 0.0


def monitored(search):
    """Name to number: entropy of each table; of convolutional cells the skip connections and what has no weights.

    Args:
        search: a `Darts`.
    """
    mixing, genotype, result = search.mixing(), search.genotype(), {}
    for name, table in search.choices.items():
        result[f"entropy_{name}"] = entropy(np.asarray(mixing[name]), table)
    for kind, operations in genotype.edge_operations().items():
        result[f"skips_{kind}"] = operations.count(SKIP)
        result[f"without_weights_{kind}"] = np.mean([op in WITHOUT_WEIGHTS for op in operations])
    return result


class Monitor(keras.callbacks.Callback):
    """Adds `monitored` to the metrics of every epoch, and warns once when skip connections take over."""

    warned = False

    def on_epoch_end(self, epoch, logs=None):
        found = monitored(self.model)
        logs.update(found)
        if found.get("skips_normal", 0) > MANY_SKIPS and not self.warned:
            self.warned = True
            print(
                f"warning: {found['skips_normal']} edges of the normal cell are skip connections after epoch "
                f"{epoch + 1}, which is how DARTS collapses; --stop skips would have stopped it, and "
                "docs/strategies.md names parts that prevent it",
                file=sys.stderr,
            )
