"""Genotypes drawn at random: the baseline of every search (Li and Talwalkar 2019, arXiv:1902.07638)."""

import numpy as np

from tfdarts.genotype import NONE, SPACES, Genotype


def genotypes(space, nodes, multiplier, count, seed):
    """Draws genotypes uniformly from what a search could find.

    Each node has two different earlier states as inputs, every pair equally likely, and on each of them one of the
    searched operations other than `none`, and one of what may follow it; one of what may end the cell.

    Args:
        space: `Space`.
        nodes, multiplier: nodes of a cell, and how many of the last of them are concatenated.
        count: genotypes to draw.
        seed: the same gives the same genotypes.

    Returns:
        A list of `Genotype`.
    """
    generator = np.random.default_rng(seed)
    concat = tuple(range(2 + nodes - multiplier, 2 + nodes))

    def one_of(names):
        names = [name for name in names if name != NONE]
        return names[generator.integers(len(names))] if names else ""

    def cell():
        sources = (source for node in range(nodes) for source in sorted(generator.choice(2 + node, 2, replace=False)))
        return tuple((one_of(space.searched), int(source), one_of(space.after)) for source in sources)

    def ends():
        return {f"{kind}_bottleneck": one_of(space.end) for kind in ("normal", "reduce")}

    return [Genotype(cell(), concat, cell(), concat, ops=space.name, **ends()) for _ in range(count)]


def recurrent_genotypes(space, kind, nodes, count, seed, **fields):
    """Draws recurrent genotypes uniformly: for each node one earlier state, and an activation other than `none`.

    Args:
        space: `Space` of activations.
        kind: `"recurrent"` or `"renet"`.
        nodes: int; the mean of all of them is the cell's output.
        count, seed: as in `genotypes`.
        fields: further fields of the genotypes.

    Returns:
        A list of `RecurrentGenotype`, or of the kind's.
    """
    generator = np.random.default_rng(seed)
    operations = [op for op in space.searched if op != NONE]

    def cell():
        return tuple(
            (operations[generator.integers(len(operations))], int(generator.integers(node + 1)))
            for node in range(nodes)
        )

    concat = tuple(range(1, nodes + 1))
    return [SPACES[kind](cell(), concat, ops=space.name, **fields) for _ in range(count)]
