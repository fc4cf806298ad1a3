"""Times one search step of the recurrent cell on the CPU or GPU that is there.

    python3 benchmarks/recurrent_step.py [--only KIND] [--against "python torch_recurrent_step.py"]

Prints one JSON line per kind of step, each measured in a process of its own. With `--against`, another program that
prints such lines takes turns with ours, and a last line per kind has the ratios.
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from benchmarks import measure

KINDS = {"weights": "weights", "first_order": "first", "second_order": "second"}


def one_kind(args):
    """Measures one kind of step in this process; as in the other program, without dropout and regularisers."""
    import numpy as np

    from tfdarts import operations, optimizers
    from tfdarts.data import text
    from tfdarts.runs import environment
    from tfdarts.spaces.recurrent.supernet import LanguageSupernet
    from tfdarts.strategies.darts import Darts
    from tfdarts.tasks.text import TextTask

    environment.configure()
    supernet = LanguageSupernet(operations.load("recurrent", recurrent=True), args.words, args.nhid)
    supernet.build()
    task = TextTask(args.nhid, args.batch_size, args.bptt, searches=True)
    sgd = optimizers.Sgd(20.0, weight_decay=5e-7, grad_clip=0.25)
    adam = optimizers.Adam(3e-3, (0.9, 0.999), 1e-3, name="arch_adam")
    darts = Darts(supernet, task, sgd, KINDS[args.only], adam, unrolled_clip=0.25)
    stream = np.random.default_rng(0).integers(0, args.words, 40 * args.bptt * args.batch_size, np.int32)
    rows = text.batchify(stream, args.batch_size, "random")
    batches = measure.Batches(text.search_batches(rows, rows, args.bptt, 0))
    functions = {"weights": [darts._both], "first_order": [darts._both, darts._architecture]}
    functions["second_order"] = functions["first_order"]
    return measure.measure(
        args.only,
        darts,
        batches.next,
        batches,
        args.steps,
        functions[args.only],
        None,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--bptt", type=int, default=35)
    parser.add_argument("--nhid", type=int, default=300)
    parser.add_argument("--words", type=int, default=10_000)
    measure.main(parser, KINDS, one_kind)
