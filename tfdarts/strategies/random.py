"""Genotypes drawn at random: the baseline of every search (Li and Talwalkar 2019, arXiv:1902.07638)."""

import numpy as np

from tfdarts.genotype import NONE, Genotype


def genotypes(space, nodes, multiplier, count, seed):
    """Draws genotypes uniformly from what a search could find.

    Each node has two different earlier states as inputs, every pair equally likely, and on each of them one of the
    searched operations other than `none`.

    Args:
        space: `Space`.
        nodes, multiplier: nodes of a cell, and how many of the last of them are concatenated.
        count: genotypes to draw.
        seed: the same gives the same genotypes.

    Returns:
        A list of `Genotype`.
    """
    generator = np.random.default_rng(seed)
    operations = [op for op in space.searched if op != NONE]
    concat = tuple(range(2 + nodes - multiplier, 2 + nodes))

    def cell():
        sources = (source for node in range(nodes) for source in sorted(generator.choice(2 + node, 2, replace=False)))
        return tuple((operations[generator.integers(len(operations))], int(source)) for source in sources)

    return [Genotype(cell(), concat, cell(), concat, ops=space.name) for _ in range(count)]
