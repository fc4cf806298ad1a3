"""Times convolutions with approximate multipliers, forward, against the exact float convolution and a plain gather.

python3 benchmarks/approximate_conv.py [--rounds 7] [--batch_size 16] [--only conv_3x3]

One JSON line per convolution and table: `slowdown` is the time of the whole quantised convolution over that of the
float one, `over_plain_gather` the same over looking up every product in chunks of one image, `by_convolution` and
`by_gather` the slowdown of either way to sum the errors (`chosen` is the one in use). The programs take turns; medians
of the ratios of each turn, and their least and greatest.
"""

import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import tfdarts  # noqa: F401, I001  before TensorFlow, for the environment that it sets

import numpy as np
import tensorflow as tf

from tfdarts.ops import multipliers, quantised

ROOT = pathlib.Path(__file__).parent.parent
TABLES = "truncated:4 broken_array:0,4 7C1 2AC rank12 rank16 mitchell L40 exact".split()
# name: height and width, channels, kernel, filters, depthwise
LAYOUTS = {
    "conv_1x1": (16, 64, (1, 1), 64, False),
    "conv_3x3": (16, 64, (3, 3), 64, False),
    "depthwise_3x3": (16, 64, (3, 3), 1, True),
    "depthwise_5x5": (16, 64, (5, 5), 1, True),
}


def tables():
    """Multipliers by name: families, the circuits among the tests' golden values, two of a given rank."""
    result = {name: name for name in TABLES if name.partition(":")[0] in multipliers.FAMILIES}
    draw, circuits = np.random.default_rng(0), np.load(ROOT / "tests/goldens/approximate/tables.npz")
    arrays = {name: circuits[f"mul8u_{name}"] for name in ("7C1", "2AC", "L40")}
    for rank in (12, 16):
        arrays[f"rank{rank}"] = multipliers.exact() + draw.integers(0, 4, (256, rank)) @ draw.integers(
            0, 4, (rank, 256)
        )
    with tempfile.TemporaryDirectory() as folder:
        for name, array in arrays.items():
            path = pathlib.Path(folder) / f"{name}.bin"
            path.write_bytes(array.astype("<u2").tobytes())
            result[name] = multipliers.inline(str(path))
    return {name: quantised.Multiplier(result[name]) for name in TABLES}


class Forced:
    """A multiplier whose errors are summed in one of the two ways."""

    def __init__(self, multiplier, way):
        self.multiplier, self.way = multiplier, way

    def __getattr__(self, name):
        return getattr(self.multiplier, name)

    def by_convolution(self, *_):
        return self.way


def plain_gather(x, kernel, geometry, multiplier):
    """Every product looked up: `table[a << 8 | b]`, for one image at a time, summed over the taps."""
    ends, kernel_ends = (tf.unstack(tf.reshape(quantised.extremes(v), [2])) for v in (x, kernel))
    a = tf.pad(quantised.fake_quantise(x, *ends), geometry.pads(x, kernel))
    a = quantised.codes(a, *quantised.step_and_zero(*ends))
    b = quantised.codes(quantised.fake_quantise(kernel, *kernel_ends), *quantised.step_and_zero(*kernel_ends))
    table = tf.reshape(tf.transpose(multiplier.error), [-1])
    height, width, channels, filters = kernel.shape

    def image(codes):
        sizes = [size - window + 1 for size, window in zip(codes.shape[:2], (height, width))]
        windows = [codes[i : i + sizes[0], j : j + sizes[1]] for i in range(height) for j in range(width)]
        windows = tf.stack(windows, 2)  # (height, width, taps, channels)
        if geometry.depthwise:
            return tf.reduce_sum(tf.gather(table, windows * 256 + tf.reshape(b, [-1, channels])), 2)
        return tf.reduce_sum(
            tf.gather(table, windows[..., None] * 256 + tf.reshape(b, [-1, channels, filters])), [2, 3]
        )

    return tf.map_fn(image, a, fn_output_signature=tf.float32)


def programs(multiplier, geometry):
    """What takes turns, by name: functions of map and kernel."""

    def quantised_by(multiplier):
        return lambda x, kernel: quantised.convolution(x, kernel, quantised.extremes(x), multiplier, geometry)

    ways = {"float": geometry.convolve, "chosen": quantised_by(multiplier)}
    if multiplier.rank:
        ways["by_gather"] = quantised_by(Forced(multiplier, False))
        ways["plain"] = lambda x, kernel: plain_gather(x, kernel, geometry, multiplier)
    if multiplier.left is not None:
        ways["by_convolution"] = quantised_by(Forced(multiplier, True))
    return {name: tf.function(way, autograph=False) for name, way in ways.items()}


def clock(function, x, kernel):
    start = time.perf_counter()
    function(x, kernel).numpy()
    return time.perf_counter() - start


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=list(LAYOUTS))
    args = parser.parse_args(arguments)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    multiplier_of = tables()
    for layout in [args.only] if args.only else LAYOUTS:
        size, channels, window, filters, depthwise = LAYOUTS[layout]
        draw = np.random.default_rng(0).normal
        x = tf.constant(draw(size=(args.batch_size, size, size, channels)), tf.float32)
        kernel = tf.constant(draw(size=(*window, channels, filters)), tf.float32)
        geometry = quantised.Geometry("SAME", depthwise=depthwise)

        for name, multiplier in multiplier_of.items():
            ways = programs(multiplier, geometry)
            for function in ways.values():
                function(x, kernel)
            turns = [{way: clock(function, x, kernel) for way, function in ways.items()} for _ in range(args.rounds)]
            convolves = multiplier.by_convolution(np.prod(window), tf.float32)
            line = {"convolution": layout, "table": name, "rank": multiplier.rank}
            line["chosen"] = ("convolution" if convolves else "gather") if multiplier.rank else "no errors"
            line["float_ms"] = round(1e3 * statistics.median(turn["float"] for turn in turns), 2)
            line |= {"slowdown": ratio(turns, "chosen", "float"), "target": multiplier.rank + 2}
            if multiplier.rank:
                line["over_plain_gather"] = ratio(turns, "chosen", "plain")
            for way in ("by_convolution", "by_gather"):
                if way in ways:
                    line[way] = ratio(turns, way, "float")
            print(json.dumps(line), flush=True)


def ratio(turns, one, other):
    """Median, least and greatest ratio of the turns."""
    ratios = [turn[one] / turn[other] for turn in turns]
    return [round(value, 2) for value in (statistics.median(ratios), min(ratios), max(ratios))]


if __name__ == "__main__":
    main(sys.argv[1:])
