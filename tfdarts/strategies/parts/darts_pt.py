"""DARTS-PT (Wang et al. 2021, arXiv:2108.04392): a cell is chosen by what the supernet loses without each candidate.

After the search, operations of edges and then inputs of nodes, or these first, are decided one by one, at the beginning
of every few epochs; between the decisions the supernet is tuned.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from tfdarts.errors import UserError

INPUTS = 2  # that a node of DARTS's cells keeps
KINDS = ("normal", "reduce")
SLOWER = 10  # times the learning rate of the search's beginning


def undecided(mask, kept, inputs=INPUTS):
    """What is still open in a cell.

    Args:
        mask: bools `(edges, candidates)`, what an edge may carry.
        kept: bools `(edges,)`, which edges are there.
        inputs: int, what a node keeps; None for all.

    Returns:
        The edges that may carry more than one operation, and the nodes that have more than `inputs` inputs; lists.
    """
    edges = [edge for edge in np.flatnonzero(kept) if mask[edge].sum() > 1]
    if inputs is None:
        return edges, []
    nodes = [node for node in range(count_nodes(len(kept))) if kept[rows_of(node)].sum() > inputs]
    return edges, nodes


def count_nodes(edges):
    """Nodes of a cell that has so many edges."""
    return (math.isqrt(9 + 8 * edges) - 3) // 2


def rows_of(node):
    """Rows of a node's incoming edges in a table of mixing weights, an array."""
    return np.arange(node * (node + 3) // 2, (node + 1) * (node + 4) // 2)


def decide(mask, kept, mixing, harm, pick, inputs=INPUTS, edges_first=False):
    """Decides one thing in a cell, in place: the operation of an edge, or the inputs of a node.

    The operation whose absence harms most is kept (ties: the first), and as many edges likewise as a node keeps. A
    candidate is absent where its weight is 0; the others' are not scaled up (section 4.1).

    Args:
        mask, kept, inputs: as in `undecided`.
        mixing: the cell's mixing weights, `(edges, candidates)`, with what was decided in them.
        harm: function of such weights, how bad the supernet is with them.
        pick: function of a list, one of it.
        edges_first: whether nodes choose their inputs before operations are chosen.
    """
    edges, nodes = undecided(mask, kept, inputs)
    if edges and not (edges_first and nodes):
        edge = pick(edges)
        candidates = np.flatnonzero(mask[edge])
        harms = [harm(_without(mixing, (edge, candidate))) for candidate in candidates]
        mask[edge] = np.arange(mask.shape[1]) == candidates[np.argmax(harms)]
    elif nodes:
        rows = rows_of(pick(nodes))
        harms = np.array([harm(_without(mixing, (row,))) for row in rows])
        kept[rows] = False
        kept[rows[np.argsort(-harms, kind="stable")[:inputs]]] = True


def _without(mixing, place):
    changed = mixing.copy()
    changed[place] = 0
    return changed


def decisions(choices, inputs=INPUTS, edges_first=False):
    """How many decisions make a cell at the most, of a supernet's `choices`; the rest as in `decide`."""
    tables = [choices[kind] for kind in KINDS if kind in choices]
    open_edges = [[len(choice.candidates) > 1 for choice in table] for table in tables]
    if inputs is None:
        return max(map(sum, open_edges))
    nodes = [rows_of(node) for node in range(count_nodes(len(tables[0])))]
    choosing = sum(len(rows) > inputs for rows in nodes)
    if edges_first:  # then the operations of the edges that are kept
        return choosing + max(sum(min(inputs, sum(np.take(edges, rows))) for rows in nodes) for edges in open_edges)
    return choosing + max(map(sum, open_edges))


class Projection(keras.callbacks.Callback):
    """Decides what a search's cells are made of, once the search is done.

    Args:
        first: epoch of the first decision, counted from 0.
        every: epochs from one to the next.
        criterion: `"accuracy"` or `"loss"`, on the validation images, normalised by their batches.
        images: data set of validation batches.
        edges_first: as in `decide`.
    """

    def __init__(self, first, every, criterion, images, edges_first=False):
        super().__init__()
        self.first, self.every, self.criterion, self.images = first, every, criterion, images
        self.edges_first = edges_first
        self.measure = tf.function(self._measure, autograph=False)

    def on_epoch_begin(self, epoch, logs=None):
        search = self.model
        done = int(search.decisions.numpy())
        if epoch < self.first:
            if done:
                raise UserError("The cells are being decided on already; --epochs can no longer grow.")
            return
        if not done:
            search.weight_optimizer.buffer.assign(tf.zeros_like(search.weight_optimizer.buffer.value))
        if done <= (epoch - self.first) // self.every:
            self._decide(done)
            search.decisions.assign(done + 1)

    def _decide(self, number):
        search = self.model
        for place, kind in enumerate(kind for kind in KINDS if kind in search.choices):
            mask, kept = search.decided()
            mixing = search.mixing_of(search.alphas.value)
            generator = np.random.default_rng([search.seed, number, place])
            harm, inputs = self._harm(kind, mixing), search.supernet.kept_inputs
            decide(mask[kind], kept[kind], mixing[kind].numpy(), harm, generator.choice, inputs, self.edges_first)
            search.set_decided(mask, kept)

    def _harm(self, kind, mixing):
        """How bad the supernet is with other mixing weights of a kind of cell, as a function of these."""

        def harm(table):
            changed = mixing | {kind: tf.constant(table)}
            loss, hits = np.sum([self.measure(changed, *batch) for batch in self.images], 0)
            return loss if self.criterion == "loss" else -hits

        return harm

    def _measure(self, mixing, *batch):
        search = self.model
        inputs = search.task.inputs(search.supernet, batch, None)
        _, result, _ = search.pass_on(search.weights_vector(), mixing, inputs)
        hits, *_ = search.task.scored(result)
        return result.loss * tf.size(hits, hits.dtype), tf.reduce_sum(hits)


def projected(job, *, epochs, learning_rate, projection_every, projection_criterion, projection_first="operations"):
    """A search as a `Job` that goes on with the decisions, and with tuning at a constant learning rate between them."""
    edges_first = projection_first == "edges"
    decide = Projection(epochs, projection_every, projection_criterion, job.validation, edges_first)
    count = decisions(job.model.choices, job.model.supernet.kept_inputs, edges_first)
    return job._replace(
        schedule=lambda epoch: job.schedule(epoch) if epoch < epochs else learning_rate / SLOWER,
        callbacks=(*job.callbacks, decide),
        further_epochs=projection_every * (count - 1) + 1,
    )
