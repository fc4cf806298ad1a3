"""Times a step of ENAS's shared weights against the fixed child's, and against computing every operation.

    python3 benchmarks/enas_step.py [--only macro|micro|recurrent] [--rounds 5] [--batch_size 32] [--units 200]

One JSON line per space: milliseconds of a shared step, the gradient of one architecture with the weights' update, for
`sampled` (the graph that serves all architectures), `fixed` (a graph of the same architecture alone) and `all` (every
operation is computed, one is kept), the ratios to `fixed` of turns taken one after the other, and the peak memory of
processes that run one of them each. Sizes are those of the papers' searches but for the batch on images (160 and 128)
and the units on text (1000).
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import tfdarts  # noqa: F401, I001  before TensorFlow, for the environment that it sets

import tensorflow as tf

from tfdarts import recipes, spaces
from tfdarts.layers.choose import choose
from tfdarts.runs import environment
from tfdarts.spaces.base import ImageInputs, TextInputs
from tfdarts.spaces.macro import shared as macro
from tfdarts.spaces.micro import shared as micro
from tfdarts.spaces.recurrent import shared as language

SPACES = {"macro": "enas_macro", "micro": "enas_micro", "recurrent": "enas_ptb"}
FORMS = ("sampled", "fixed", "all")
WORDS = 10_000


def choose_all(index, branches):
    """As `tfdarts.layers.choose.choose`, at the cost of every branch."""
    results = [branch() for branch in branches]
    return tf.nest.map_structure(lambda *parts: tf.gather(tf.stack(parts), index), *results)


def step(space, form, batch_size, units):
    """A function that runs one shared step on an architecture that is the same for all forms."""
    given = {"batch_size": batch_size} if space != "recurrent" else {"nhid": units, "data": ""}
    settings, where = recipes.resolve(SPACES[space], "search", given), spaces.load(space)
    (drawn,) = where.random_architectures(1, 0, **settings.pick(where.controller))
    known = TextInputs(WORDS) if space == "recurrent" else ImageInputs((32, 32, 3), 10)
    for module in (language, macro, micro):  # until the next call, before which this one's graph is traced
        module.choose = choose_all if form == "all" else choose
    network = where.shared_network(known, **settings.pick(where.shared_network))
    if space == "recurrent":
        columns = settings.values["batch_size"]
        labels = tf.random.uniform((settings.values["bptt"], columns), 0, WORDS, tf.int32)
        inputs = labels, tf.zeros((columns, units))
    else:
        inputs, labels = (tf.random.normal((batch_size, 32, 32, 3)),), tf.zeros((batch_size,), tf.int32)
    weights = network.trainable_variables
    tensors = tf.constant(drawn) if space == "micro" else tuple(map(tf.constant, drawn))
    arc = drawn if form == "fixed" else tensors

    def run_step(arc):
        with tf.GradientTape() as tape:
            results = network(*inputs, arc=arc, training=True)
            logits = results[0] if space == "recurrent" else results
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, [v.value for v in weights], unconnected_gradients="zero")
        for weight, gradient in zip(weights, gradients):
            weight.assign_sub(1e-6 * tf.convert_to_tensor(gradient))
        return loss

    if form == "fixed":
        return tf.function(lambda: run_step(arc), autograph=False)
    compiled = tf.function(run_step, autograph=False)
    return lambda: compiled(arc)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(SPACES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=32, help="of images")
    parser.add_argument("--units", type=int, default=200, help="of the recurrent space")
    parser.add_argument("--memory", choices=FORMS, help="run one form three times, print the peak memory in bytes")
    args = parser.parse_args()
    environment.configure()
    if args.memory:
        one = step(args.only, args.memory, args.batch_size, args.units)
        for _ in range(3):
            one().numpy()
        return print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    for space in [args.only] if args.only else SPACES:
        print(json.dumps({"space": space} | compare(space, args)), flush=True)


def compare(space, args):
    """The line of a space."""
    sizes = ["--batch_size", str(args.batch_size), "--units", str(args.units)]
    steps, seconds, memory = {}, {form: [] for form in FORMS}, {}
    for form in FORMS:
        command = [sys.executable, sys.argv[0], "--only", space, "--memory", form, *sizes]
        memory[form] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
        steps[form] = step(space, form, args.batch_size, args.units)
        steps[form]().numpy()
    for _ in range(args.rounds):
        for form in FORMS:
            start = time.perf_counter()
            steps[form]().numpy()
            seconds[form].append(time.perf_counter() - start)
    result = {f"{form}_ms": round(1000 * statistics.median(seconds[form]), 1) for form in FORMS}
    for form in ("sampled", "all"):
        ratios = [a / b for a, b in zip(seconds[form], seconds["fixed"])]
        result[f"{form}_over_fixed"] = [round(f(ratios), 2) for f in (statistics.median, min, max)]
        result[f"{form}_memory_over_fixed"] = round(memory[form] / memory["fixed"], 2)
    return result


if __name__ == "__main__":
    main()
