"""Recurrent cells on text (DARTS, Liu et al. 2019, arXiv:1806.09055; ENAS, Pham et al. 2018, arXiv:1802.03268)."""

import numpy as np

from tfdarts import operations
from tfdarts.data.text import LONGER
from tfdarts.genotype import NONE
from tfdarts.graph import recurrent_graph
from tfdarts.spaces import base
from tfdarts.spaces.recurrent import options
from tfdarts.spaces.recurrent.controller import RecurrentController
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel
from tfdarts.spaces.recurrent.shared import SharedLanguageModel
from tfdarts.spaces.recurrent.supernet import LanguageSupernet


def random_entries(searched, nodes, count, seed):
    """Draws the entries of recurrent cells uniformly: for each node one earlier state, and an activation.

    Args:
        searched: names of activations; `none` is never drawn.
        nodes: int.
        count: cells to draw.
        seed: the same gives the same cells.

    Returns:
        A list of tuples of `(activation, previous)`.
    """
    generator = np.random.default_rng(seed)
    names = [op for op in searched if op != NONE]

    def cell():
        return tuple(
            (names[generator.integers(len(names))], int(generator.integers(node + 1))) for node in range(nodes)
        )

    return [cell() for _ in range(count)]


class RecurrentSpace(base.Space):
    """A recurrent cell in a language model."""

    name = "recurrent"
    task = "text"
    genotype = RecurrentGenotype
    network_class = EvaluationLanguageModel
    recipe = "darts_ptb"
    strategies = ("darts", "enas", "random_ws")
    reads_numbers = True
    reward_per_decision = True
    clips_virtual_step = True
    search_memory = {"longer": 0}
    train_memory = {"longer": LONGER}  # the longest batch that there may be

    def options(self, stage, strategy=None):
        return options.options(stage, strategy)

    def check(self, stage, strategy, values):
        options.check(stage, strategy, values)

    def supernet(self, inputs, *, nhid, nodes, ops):
        network = LanguageSupernet(operations.load(ops, recurrent=True), inputs.words, nhid, nodes)
        network.build()
        return network

    def shared_network(self, inputs, *, nhid, nodes):
        network = SharedLanguageModel(inputs.words, nhid, nodes)
        network.build()
        return network

    def controller(self, *, nodes, controller_hid, softmax_temperature, tanh_c):
        result = RecurrentController(nodes, controller_hid, softmax_temperature, tanh_c)
        result.build()
        return result

    def network(self, genotype, inputs, *, nhid, offset=False):
        network = EvaluationLanguageModel(genotype, inputs.words, nhid, inputs.corpus, offset)
        network.build()
        return network

    def random(self, count, seed, *, nodes, ops):
        searched, concat = operations.load(ops, recurrent=True).searched, tuple(range(1, nodes + 1))
        return [RecurrentGenotype(cell, concat, ops=ops) for cell in random_entries(searched, nodes, count, seed)]

    def shared_sgd(self, *, shared_lr, shared_l2_reg, shared_grad_clip):
        return {"learning_rate": shared_lr, "weight_decay": shared_l2_reg, "grad_clip": shared_grad_clip}

    def weight_sgd(self, *, learning_rate, wdecay, grad_clip):
        return {"learning_rate": learning_rate, "weight_decay": wdecay, "grad_clip": grad_clip}

    def sizes_of(self, genotype):
        return {"nodes": {len(genotype.recurrent)}}

    def graphs(self, genotype):
        return {"recurrent": recurrent_graph(genotype, "recurrent cell")}


SPACE = RecurrentSpace()
