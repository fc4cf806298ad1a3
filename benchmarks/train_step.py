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
    from tfdarts import optimizers
    from tfdarts.runs import environment
    from tfdarts.spaces import genotypes
    from tfdarts.spaces.conv.network import EvaluationNetwork
    from tfdarts.tasks.images import ImageTask
    from tfdarts.training.trainer import Trainer

    environment.configure()
    network = EvaluationNetwork(genotypes.load("DARTS_V2"), 10, args.init_channels, args.layers, auxiliary=True)
    network.build((None, 32, 32, 3))
    task = ImageTask(label_smooth=0.0, auxiliary_weight=0.4, drop_path_prob=0.2, top5=True)
    training = Trainer(network, task, optimizers.Sgd(0.025, 0.9, 3e-4, 5.0), epochs=600)
    training.epoch.assign(300)
    batches = measure.cifar_batches(args.batch_size)
    return measure.measure("train", training, batches.next, batches, args.steps, [], None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--init_channels", type=int, default=36)
    parser.add_argument("--layers", type=int, default=20)
    measure.main(parser, ["train"], one_kind)
