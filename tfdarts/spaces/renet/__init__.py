"""Recurrent cells that sweep images by rows and columns (DartsReNet, Moser et al. 2020, arXiv:2304.05838)."""

from tfdarts import operations
from tfdarts.errors import UserError
from tfdarts.graph import recurrent_graph
from tfdarts.spaces import base
from tfdarts.spaces.recurrent import random_entries
from tfdarts.spaces.renet import options
from tfdarts.spaces.renet.genotype import BASELINE_CELLS, ReNetGenotype
from tfdarts.spaces.renet.network import ReNetNetwork
from tfdarts.spaces.renet.supernet import ReNetSupernet


class ReNetSpace(base.Space):
    """A recurrent cell that sweeps images."""

    name = "renet"
    genotype = ReNetGenotype
    network_class = ReNetNetwork
    recipe = "dartsrenet_cifar10"
    determined_options = ("rnn_cell",)
    clips_virtual_step = True

    def options(self, stage, strategy=None):
        return options.options(stage)

    def check(self, stage, strategy, values):
        options.check(stage, values)

    def supernet(self, inputs, *, nhid, layers, rnn_cell, nodes, classifier_range, ops):
        known = operations.load(ops, recurrent=True)
        network = ReNetSupernet(known, inputs.classes, nhid, layers, rnn_cell, nodes, classifier_range)
        network.build((None, *inputs.shape))
        return network

    def network(self, genotype, inputs, *, nhid, layers, rnn_cell, classifier_range, gate="own"):
        cell = rnn_cell if genotype is None else genotype
        if gate == "forward" and rnn_cell != "sigmoid":
            raise UserError(f"--gate forward is for sigmoid cells; leave it out for {rnn_cell} ones")
        network = ReNetNetwork(cell, inputs.classes, nhid, layers, classifier_range, inputs.preprocessing, gate)
        network.build((None, *inputs.shape))
        return network

    def random(self, count, seed, *, nodes, ops, rnn_cell):
        searched, concat = operations.load(ops, recurrent=True).searched, tuple(range(1, nodes + 1))
        cells = random_entries(searched, nodes, count, seed)
        return [ReNetGenotype(cell, concat, ops=ops, cell=rnn_cell) for cell in cells]

    def needs_no_genotype(self, *, rnn_cell):
        return rnn_cell in BASELINE_CELLS

    def options_of(self, genotype):
        return {"rnn_cell": genotype.cell}

    def sizes_of(self, genotype):
        return {"nodes": {len(genotype.recurrent)}}

    def graphs(self, genotype):
        return {"recurrent": recurrent_graph(genotype, f"recurrent cell, {genotype.cell}")}


SPACE = ReNetSpace()
