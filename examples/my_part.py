"""A part of DARTS of one's own: mixing weights that grow sharper while the search goes on, and a penalty on skips.

python3 examples/my_part.py
"""

import numpy as np
import tensorflow as tf

import tfdarts


class Sharpening(tfdarts.Part):
    """A softmax whose temperature falls from 1 to `end`.

    Args:
        end: float, the temperature at the end of the search.
    """

    def __init__(self, end=0.2):
        self.end = end

    def mixing(self, alphas, moment):
        # In validation, and to rank candidates, there is no moment: the weights are plain DARTS's.
        temperature = 1 if moment is None else 1 - (1 - self.end) * moment.progress
        return {name: tf.nn.softmax(table / temperature) for name, table in alphas.items()}


class FewSkips(tfdarts.Part):
    """Adds what the candidate in one column of each table weighs to the architecture's loss.

    Args:
        column: of the candidate.
        weight: float.
    """

    def __init__(self, column, weight=1.0):
        self.column, self.weight = column, weight

    def penalty(self, alphas, progress):
        return self.weight * sum(tf.reduce_mean(tf.nn.softmax(table)[:, self.column]) for table in alphas.values())


def main():
    generator = np.random.default_rng(0)
    data = generator.integers(0, 256, (120, 8, 8), np.uint8), np.arange(120) % 3
    tiny = {"init_channels": 2, "layers": 1, "nodes": 1, "multiplier": 1, "batch_size": 30, "unrolled": False}
    parts = [Sharpening(), FewSkips(column=3)]
    found = tfdarts.search(data, recipe="digits", epochs=2, parts=parts, **tiny)
    print(found.genotype.to_json())


if __name__ == "__main__":
    main()
