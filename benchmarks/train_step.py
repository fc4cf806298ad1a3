"""Times one training step of the evaluation network (DARTS_V2); options and output as in `search_step.py`.

python3 benchmarks/train_step.py [--against "python benchmarks/torch_train_step.py"]
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from benchmarks import measure


def one_kind(args):
    """Measures the step in this process."""
    from tfdarts import genotype
    from tfdarts.runs import run
    from tfdarts.spaces.conv.network import EvaluationNetwork
    from tfdarts.training.trainer import Training

    run.configure_tensorflow()
    network = EvaluationNetwork(genotype.load("DARTS_V2"), 10, args.init_channels, args.layers, auxiliary=True)
    network.build((None, 32, 32, 3))
    training = Training(network)
    training.epoch.assign(300)
    batches = measure.cifar_batches(args.batch_size)
    return measure.measure(
        "train", lambda: training.train_step, batches.next, batches, args.steps, network.trainable_variables, [], None
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--init_channels", type=int, default=36)
    parser.add_argument("--layers", type=int, default=20)
    measure.main(parser, ["train"], one_kind)
