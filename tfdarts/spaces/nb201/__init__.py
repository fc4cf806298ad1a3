"""The search space of NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326): one cell, of which all forms are known."""

import re

import numpy as np

from tfdarts.errors import UserError
from tfdarts.graph import Graph, edge_label
from tfdarts.layers.edges import MixedEdges
from tfdarts.spaces import base
from tfdarts.spaces.conv.restrictions import digest
from tfdarts.spaces.nb201 import architectures, options, restrictions, table
from tfdarts.spaces.nb201.genotype import EDGES, Nb201Genotype
from tfdarts.spaces.nb201.network import Nb201Network
from tfdarts.spaces.nb201.supernet import Nb201Supernet


class Nb201Space(base.Space):
    """One cell, stacked in three stages; what halves the map between them is fixed."""

    name = "nb201"
    genotype = Nb201Genotype
    network_class = Nb201Network
    recipe = "nb201"
    # Measured and estimated in GB, first-order search on 32x32, 16 channels: 5 cells a stage, 64 images 2.28 and 2.39;
    # 2 cells, 64 images 1.40 and 1.40; 3 cells, 32 images 1.43 and 1.41; 1 cell, 128 images 1.35 and 1.28.
    search_memory = {"bytes_per_byte": 0.5, "graph_bytes_per_node": 150e3}

    def options(self, stage, strategy=None):
        return options.options(stage)

    def check(self, stage, strategy, values):
        options.check(values)

    def supernet(self, inputs, edges=MixedEdges, *, init_channels, layers, restrict, partial_channels):
        candidates = restrictions.load(restrict)
        network = Nb201Supernet(inputs.classes, init_channels, layers, candidates, edges, partial_channels)
        network.build((None, *inputs.shape))
        return network

    def network(self, genotype, inputs, *, init_channels, layers):
        network = Nb201Network(genotype, inputs.classes, init_channels, layers, inputs.preprocessing)
        network.build((None, *inputs.shape))
        return network

    def remembered(self, *, restrict):
        return {"candidates": digest(restrictions.load(restrict))} if restrict not in ("", *restrictions.NAMES) else {}

    def search_callbacks(self, *, nb201_table):
        return (table.TableCallback(table.load(nb201_table)),) if nb201_table else ()

    def known(self, genotypes, *, nb201_table):
        if not nb201_table:
            return None
        accuracies = table.load(nb201_table)
        return [accuracies.of(genotype) for genotype in genotypes]

    def random(self, count, seed, *, restrict, unique):
        """Architectures drawn uniformly from the candidates; with `unique` none that computes what one before does.

        Raises:
            UserError: if there are not as many different ones.
        """
        generator, candidates = np.random.default_rng(seed), restrictions.load(restrict)
        drawn, known = [], set()
        if unique and (found := architectures.count_functions(candidates, count)) < count:
            raise UserError(f"--unique: these candidates make {found} different functions; lower --samples {count}")
        while len(drawn) < count:
            genotype = Nb201Genotype.of(names[generator.integers(len(names))] for names in candidates)
            function = architectures.canonical(genotype) if unique else len(drawn)
            if function not in known:
                known.add(function)
                drawn.append(genotype)
        return drawn

    def parse(self, text):
        """Reads an architecture as the authors write it, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`; the last in a log."""
        found = re.findall(r"\|[a-z0-9_]+~[0-9]\|[|+~a-z0-9_]*\|", text)
        if not found and not text.lstrip().startswith("|"):
            return None
        return Nb201Genotype.from_architecture(found[-1] if found else text)

    def graphs(self, genotype):
        """The cell; an edge with `none` is drawn as such."""
        edges = tuple((source, node - 1, edge_label(op)) for (op, source), (node, _) in zip(genotype.normal, EDGES))
        graph = Graph(
            title="cell",
            inputs=("0",),
            nodes=("1", "2", "3"),
            edges=edges,
            joined=(3,),
            output="c_{k}",
            join="node",
        )
        return {"normal": graph}


SPACE = Nb201Space()
