"""Times one search step on the CPU or GPU that is there.

    python3 benchmarks/search_step.py [--only KIND] [--against "python torch_search_step.py"]

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
    """Measures one kind of step in this process."""
    from tfdarts import operations, optimizers
    from tfdarts.runs import environment
    from tfdarts.spaces.conv.supernet import Supernet
    from tfdarts.strategies.darts import Darts
    from tfdarts.tasks.images import ImageTask

    environment.configure()
    supernet = Supernet(operations.load("regular"), 10, args.init_channels, args.layers)
    supernet.build((None, 32, 32, 3))
    darts = Darts(supernet, ImageTask(), optimizers.Sgd(0.025, 0.9, 3e-4, 5.0), KINDS[args.only])
    batches = measure.cifar_batches(args.batch_size)
    functions = {"weights": [darts._both], "first_order": [darts._both, darts._architecture]}
    functions["second_order"] = functions["first_order"]

    weights, batch = optimizers.flatten(supernet.trainable_variables), batches.next()

    def pure():  # loss, gradients and new statistics of a weight step, without the optimizer
        darts._both(weights, darts.alphas.value, ((*batch, {}), None))

    return measure.measure(
        args.only,
        lambda: darts.train_step,
        lambda: (batches.next(), batches.next()),
        batches,
        args.steps,
        supernet.trainable_variables,
        functions[args.only],
        pure if args.only == "weights" else None,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--init_channels", type=int, default=16)
    parser.add_argument("--layers", type=int, default=8)
    measure.main(parser, KINDS, one_kind)
