"""Convolutional cells (DARTS, Liu et al. 2019, arXiv:1806.09055), with attention modules if asked (Att-DARTS)."""

import numpy as np

from tfdarts import operations
from tfdarts.genotype import NONE
from tfdarts.graph import cell_graph
from tfdarts.layers.edges import MixedEdges
from tfdarts.spaces import base
from tfdarts.spaces.conv import options, restrictions
from tfdarts.spaces.conv.genotype import ConvGenotype
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.conv.supernet import Supernet, edge_row


class ConvSpace(base.Space):
    """Pairs of convolutional cells: a normal one, and a reduction that halves the map."""

    name = "conv"
    genotype = ConvGenotype
    network_class = EvaluationNetwork
    recipe = "darts_cifar10"

    def options(self, stage, strategy=None):
        return options.options(stage)

    def check(self, stage, strategy, values):
        options.check(values)

    def supernet(
        self,
        inputs,
        edges=MixedEdges,
        candidates=None,
        *,
        init_channels,
        layers,
        nodes,
        multiplier,
        stem_multiplier,
        ops,
        location,
        restrict,
        partial_channels,
        edge_normalization,
        network,
        ops_options=None,
    ):
        known = operations.load(ops, ops_options, location=location)
        supernet = Supernet(
            known,
            inputs.classes,
            channels=init_channels,
            layers=layers,
            nodes=nodes,
            multiplier=multiplier,
            stem_multiplier=stem_multiplier,
            candidates=candidates or restrictions.load(restrict, known, nodes),
            edges=edges,
            partial_channels=partial_channels,
            edge_normalization=edge_normalization,
            stem=network,
        )
        supernet.build((None, *inputs.shape))
        return supernet

    def remembered(self, *, restrict, ops, location, nodes, ops_options=None):
        if not restrict or restrict in restrictions.NAMES:
            return {}
        known = operations.load(ops, ops_options, location=location)
        return {"candidates": restrictions.digest(restrictions.load(restrict, known, nodes))}

    def network(
        self,
        genotype,
        inputs,
        *,
        init_channels,
        layers,
        auxiliary,
        network,
        stem_multiplier,
        second_bn=None,
        ops_options=None,
    ):
        result = EvaluationNetwork(
            genotype,
            inputs.classes,
            channels=init_channels,
            layers=layers,
            auxiliary=auxiliary,
            network=network,
            stem_multiplier=stem_multiplier,
            preprocessing=inputs.preprocessing,
            ops_options=ops_options,
            second_bn=second_bn,
        )
        result.build((None, *inputs.shape))
        return result

    def random(self, count, seed, *, nodes, multiplier, ops, location, restrict):
        """Genotypes drawn uniformly from what DARTS could find (Li and Talwalkar 2019, arXiv:1902.07638).

        Each node has two different earlier states as inputs, every pair equally likely, and on each of them one of the
        edge's candidates other than `none`, and one of what may follow it; one of what may end the cell.
        """
        known, generator = operations.load(ops, location=location), np.random.default_rng(seed)
        candidates = restrictions.load(restrict, known, nodes)
        concat = tuple(range(2 + nodes - multiplier, 2 + nodes))

        def one_of(names):
            names = [name for name in names if name != NONE]
            return names[generator.integers(len(names))] if names else ""

        def cell(kind):
            pairs = (sorted(generator.choice(2 + node, 2, replace=False)) for node in range(nodes))
            return tuple(
                (one_of(candidates[kind][edge_row(node, source)]), int(source), one_of(known.after))
                for node, pair in enumerate(pairs)
                for source in pair
            )

        def ends():
            return {f"{kind}_bottleneck": one_of(known.end) for kind in ("normal", "reduce")}

        return [
            ConvGenotype(cell("normal"), concat, cell("reduce"), concat, ops=known.name, **ends()) for _ in range(count)
        ]

    def sizes_of(self, genotype):
        nodes = {len(genotype.inputs(reduction)) for reduction in (False, True)}
        joined = {len(genotype.concat(reduction)) for reduction in (False, True)}
        return {"nodes": nodes, "multiplier": joined}

    def graphs(self, genotype):
        result = {}
        for kind, title, reduction in (("normal", "normal cell", False), ("reduce", "reduction cell", True)):
            end = genotype.bottleneck(reduction)
            output = "c_{k}" + (f" after {end}" if end else "")
            entries, nodes = genotype.edges(reduction), genotype.nodes(reduction)
            result[kind] = cell_graph(title, entries, nodes, genotype.concat(reduction), output)
        return result


SPACE = ConvSpace()
