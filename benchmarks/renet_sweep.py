"""Times one sweep over a map with an LSTM, ours against two `keras.layers.LSTM` that do the same sweep.

    python3 benchmarks/renet_sweep.py [--units 128] [--batch_size 64]

Both take turns in one process, with the same weights. Prints one JSON line for each of the two sweeps of ReNet's first
layer (2x2 patches along the rows, pixels along the columns) and each of forward, and forward and backward: medians, and
their ratio with its spread over the rounds (above 1: ours takes longer). A check that both give the same comes first.
"""

import argparse
import functools
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))


def layers(patch, vertical, units):
    """Our sweep, the same of Keras's layers, and a function that gives these the weights of ours."""
    import keras
    import numpy as np

    from tfdarts.spaces.renet.body import Sweep
    from tfdarts.spaces.renet.cells import LSTMCell

    class Forms(keras.layers.Layer):
        """Stands where our cell stands: Keras's LSTM once in each direction, lines first."""

        def __init__(self):
            super().__init__()
            self.units = units
            self.ways = [keras.layers.LSTM(units, return_sequences=True, go_backwards=i > 0) for i in range(2)]

        def build(self, shape):
            for way in self.ways:
                way.build(shape)

        def call(self, x, training=None):
            x = keras.ops.transpose(x, [1, 0, 2])
            y = keras.ops.stack([way(x) for way in self.ways])
            return keras.ops.transpose(y, [2, 0, 1, 3])

    ours, theirs = (Sweep(cell, patch, vertical) for cell in (LSTMCell(units), Forms()))

    def copy():
        for i, way in enumerate(theirs.cell.ways):
            kernel, recurrent, bias = (np.asarray(v.value)[i] for v in ours.cell.trainable_variables)
            way.set_weights([kernel, recurrent, bias[0]])

    return ours, theirs, copy


def main(args):
    from tfdarts.runs import environment

    environment.configure()  # before TensorFlow, for the environment

    import numpy as np
    import tensorflow as tf

    x = tf.random.normal((args.batch_size, args.size, args.size, 2 * args.units))
    for patch, vertical in ((2, False), (1, True)):
        ours, theirs, copy = layers(patch, vertical, args.units)
        results = [sweep(x) for sweep in (ours, theirs)]
        copy()
        np.testing.assert_allclose(*(sweep(x) for sweep in (ours, theirs)), atol=1e-5)

        def gradients(sweep, x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                loss = tf.reduce_sum(tf.square(sweep(x)))
            return tape.gradient(loss, [x, *(v.value for v in sweep.trainable_variables)])

        for what, function in (("forward", lambda sweep, x: sweep(x)), ("forward and backward", gradients)):
            functions = [tf.function(functools.partial(function, sweep), autograph=False) for sweep in (ours, theirs)]
            times = ([], [])
            for step in range(-2, args.rounds):
                for side, call in enumerate(functions):
                    start = time.perf_counter()
                    tf.nest.map_structure(lambda t: t.numpy(), call(x))
                    if step >= 0:
                        times[side].append(time.perf_counter() - start)
            ratios = [a / b for a, b in zip(*times)]
            quartiles = statistics.quantiles(ratios, n=4)
            line = {
                "sweep": f"{patch}x{patch} patches, {'columns' if vertical else 'rows'}",
                "map": list(x.shape),
                "what": what,
                "tfdarts_median_seconds": round(statistics.median(times[0]), 4),
                "keras_median_seconds": round(statistics.median(times[1]), 4),
                "ratio": round(statistics.median(ratios), 2),
                "ratio_quartiles": [round(quartiles[0], 2), round(quartiles[2], 2)],
            }
            print(json.dumps(line), flush=True)
        x = results[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=128, help="of one direction")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--size", type=int, default=16, help="height and width of the map")
    parser.add_argument("--rounds", type=int, default=20)
    main(parser.parse_args())
