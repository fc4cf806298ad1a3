"""What tells whether a search by DARTS goes wrong: skip connections and other operations without weights take over.

Such collapse is described by Zela et al. 2020 (arXiv:1909.09656) and Liang et al. 2019 (arXiv:1909.06035).
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from tfdarts import spaces
from tfdarts.layers import choices
from tfdarts.options import OptionError
from tfdarts.strategies import curvature
from tfdarts.strategies.curvature import ByBatch
from tfdarts.strategies.parts import robust_darts
from tfdarts.tasks.base import VALID

SKIP = "skip_connect"
WITHOUT_WEIGHTS = (SKIP, "max_pool_3x3", "avg_pool_3x3", "none", "noise")
MANY_SKIPS = 2  # in a normal cell, that DARTS+ stops at; more of them are a warning here
COSTLY = ("eigenvalue", "gap")
RISES = ("eigenvalue", "adaptive")  # values of --stop that need the eigenvalue


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


def asked(monitors, stop):
    """Which of `COSTLY` are measured: those of the option `monitors`, and what the option `stop` needs.

    Raises:
        OptionError: for a name that is none of them.
    """
    names = [name for name in monitors.split(",") if name]
    unknown = [name for name in names if name not in COSTLY]
    if unknown:
        raise OptionError(f"--monitors takes {' and '.join(COSTLY)}, with commas between. Received: {monitors!r}.")
    return [name for name in COSTLY if name in names or (name == "eigenvalue" and stop in RISES)]


def discretised(search):
    """Mixing weights under which the supernet is the cell of a search: 1 where an edge has an operation, else 0.

    Args:
        search: a `Darts`.
    """
    genotype, mixing = search.genotype(), search.mixing()
    graphs, chosen, result = spaces.load(genotype.space).graphs(genotype), {}, {}
    for kind, graph in graphs.items():
        for source, node, label in graph.edges:
            chosen.setdefault((kind, graph.edge_name(source, node)), set()).add(label.split("\n")[0])
    for name, table in search.choices.items():
        kind, rows = name if name in graphs else name.rsplit("_", 1)[0], []
        best, _ = choices.heaviest(np.asarray(mixing[name]), table)
        for choice, heaviest in zip(table, best):
            if choice.of_inputs:
                node = choice.name.removeprefix("to ")
                rows.append([(kind, f"{state} to {node}") in chosen for state in choice.candidates])
            else:
                kept = chosen.get((kind, choice.name), set())
                if name not in graphs:  # what follows an operation, or ends the cell
                    kept = {heaviest} if kept or name.endswith("_end") else set()
                rows.append([candidate in kept for candidate in choice.candidates])
        width = choices.shape(table)[1]
        result[name] = np.array([row + [False] * (width - len(row)) for row in rows], float)
    dtype = search.alphas.value.dtype
    return {name: tf.constant(table, dtype) for name, table in result.items()}


class Gap:
    """What a search loses on validation data when its cell is discretised: the difference of two accuracies.

    Both are normalised by the batches' statistics, since moving ones fit no discretised network.

    Args:
        validation: data set of the search's validation batches.
    """

    def __init__(self, validation):
        self.validation = validation
        self.hits = keras.metrics.Mean()
        self.measure = tf.function(self._measure, autograph=False, reduce_retracing=True)

    def __call__(self, search):
        """Accuracy of the supernet as it is, less that of its discretised cell."""
        self.search = search
        whole, cell = search.mixing_of(search.alphas.value), discretised(search)
        return self.accuracy(whole) - self.accuracy(cell)

    def accuracy(self, mixing):
        """The share of right answers under mixing weights."""
        self.hits.reset_state()
        for batch in self.validation:
            self.measure(mixing, batch)
        return float(self.hits.result())

    def _measure(self, mixing, batch):
        search = self.search
        call = ByBatch(search.supernet, search.weights_vector(), mixing)
        search.task.test(call, batch, lambda result: self.hits.update_state(search.task.scored(result)[0]))


class Costly(keras.callbacks.Callback):
    """Measures at the ends of epochs what costs passes of its own, and adds it to the metrics.

    Args:
        batch: function without arguments, the batch of validation data that the eigenvalue is of; None to leave it.
        gap: `Gap`; None to leave it.
        every: epochs from one measurement to the next, the first being measured.
        warns: whether to say, once, that the eigenvalue has risen.
    """

    def __init__(self, batch, gap, every, warns=True):
        super().__init__()
        self.batch, self.gap, self.every, self.hessian, self.warns = batch, gap, every, None, warns

    def on_train_begin(self, logs=None):
        if self.batch is not None and self.hessian is None:
            self.hessian = curvature.Hessian(self.model, self.batch())
            self.hessian.check()

    def on_epoch_end(self, epoch, logs=None):
        if epoch % self.every:
            return
        if self.hessian is not None:
            logs["eigenvalue"] = self._eigenvalue(epoch)
            self.model.memory.add(epoch, logs["eigenvalue"], self.model.alphas.numpy())
            self._warn(epoch)
        if self.gap is not None:
            logs["gap"] = self.gap(self.model)

    def _eigenvalue(self, epoch):
        found = self.hessian.largest()
        if not found.converged:
            print(
                f"warning: after {curvature.MOST_PRODUCTS} products the largest eigenvalue of the Hessian after epoch "
                f"{epoch + 1}, {found.value:.4g}, is known but to a residual of {found.residual:.2g}",
                file=sys.stderr,
            )
        return found.value

    def _warn(self, epoch):
        search = self.model
        if not self.warns:
            return
        epochs, values = search.memory.known()
        place = robust_darts.named(values)
        if place is not None and epochs[place] >= search.memory.first.numpy():
            self.warns = False
            print(
                f"warning: by epoch {epoch + 1} the largest eigenvalue of the Hessian has risen to more than "
                f"{robust_darts.FACTOR} times what it was, which is how collapse begins; --stop eigenvalue "
                f"would have stopped here, with the genotype of epoch {epochs[place] + 1}",
                file=sys.stderr,
            )


def costly(stream, *, monitors="", monitor_every=1, stop="none"):
    """The callbacks that measure what costs passes of its own; none unless it is asked for.

    Args:
        stream: what the data's `search` gave.
    """
    names = asked(monitors, stop)
    if not names:
        return []
    batch = (lambda: next(iter(stream.batches(0)))[VALID]) if "eigenvalue" in names else None
    gap = Gap(stream.validation) if "gap" in names else None
    return [Costly(batch, gap, monitor_every, warns=stop not in RISES)]


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
                f"{epoch + 1}, which is how DARTS collapses; --stop skips would have stopped it, --stop eigenvalue "
                "sees it coming, and docs/strategies.md names parts that prevent it",
                file=sys.stderr,
            )
