"""Tests a saved network: `python3 evaluate.py --model_path logs/eval_arch/<time>/model.keras`.

With `--mul_table exact,drum:4,FILE.bin` it is tested under each of these approximate multipliers, before and after
`--finetune_epochs` of training with it; a table of results is printed and written beside the model.
"""

import json
import pathlib
import re

import keras
from absl import flags

from tfdarts import cli, evalnet, multipliers, optimizers, run
from tfdarts.data import images
from tfdarts.training import Training

FLAGS = flags.FLAGS
flags.DEFINE_string("model_path", None, "a model.keras that train.py saved")
flags.DEFINE_string("dataset", None, "data set with the same classes; default: the one it was trained on")
flags.DEFINE_string("data_dir", None, "folder of data prepared by TensorFlow Datasets; default: its own")
flags.DEFINE_string("ops", None, "where the operation module lies now, if it has moved")
flags.DEFINE_integer("batch_size", 96, "images per step", lower_bound=1)
flags.DEFINE_string("mul_table", None, "multipliers to test under, separated by commas; default: the network's own")
flags.DEFINE_string("approx_range", None, "as in training; default: the network's own")
flags.DEFINE_integer("finetune_epochs", 0, "epochs of training under each multiplier", lower_bound=0)
flags.DEFINE_float("finetune_learning_rate", 0.005, "of the first of them; the cosine ends at 0", lower_bound=0)


def main(_):
    if FLAGS.model_path is None:
        raise cli.UserError("give --model_path logs/eval_arch/<time>/model.keras")
    path = pathlib.Path(FLAGS.model_path)
    if not path.is_file():
        raise cli.UserError(f"there is no file {path}")
    try:
        network = evalnet.load(path, FLAGS.ops)
    except ValueError as error:
        raise cli.UserError(f"cannot load {path}: {error}") from error
    trained_on = network.options["preprocessing"]
    if trained_on is None:
        raise cli.UserError(f"{path} does not know what images it was trained on; train.py saves that with the model")
    run.configure_tensorflow()
    train, _, test = images.load(
        FLAGS.dataset or trained_on["dataset"],
        FLAGS.data_dir,
        trained_on["seed"],
        trained_on["image_size"],
        trained_on["augmentation"],
        statistics=trained_on,
    )
    if FLAGS.mul_table is not None:
        return under_multipliers(network, train, test, path.parent / "multipliers.json")
    for name in ("approx_range", "finetune_epochs"):
        if not FLAGS[name].using_default_value:
            raise cli.UserError(f"--{name} needs --mul_table")
    result = accuracy(network, test)
    names = {"test_error_percent": 1 - result["accuracy"], "test_accuracy_percent": result["accuracy"]}
    names["top5_accuracy_percent"] = result["top5"]
    print(json.dumps({name: 100 * value for name, value in names.items()}))


def accuracy(network, test):
    """Loss and accuracies on the test images."""
    training = Training(network)
    training.compile(jit_compile=False)
    return training.evaluate(images.test_batches(test, FLAGS.batch_size), return_dict=True, verbose=0)


def under_multipliers(network, train, test, path):
    """Tests the network under each multiplier, without and with fine-tuning, each time from the saved weights."""
    tables = re.split(r",(?!\d+(?:,|$))", FLAGS.mul_table)  # not at the comma in broken_array:2,6
    lines = [{"multiplier": table, **multipliers.statistics(table)} for table in tables]
    options = network.options["ops_options"] | ({"approx_range": FLAGS.approx_range} if FLAGS.approx_range else {})
    print(f"{'multiplier':<24} {'error of products':>17} {'test accuracy':>13} {'fine-tuned':>10}")
    for table, line in zip(tables, lines):
        try:
            other, new = evalnet.with_operations(network, test.shape, "approximate", options | {"mul_table": table})
        except ValueError as error:
            raise cli.UserError(str(error)) from error
        batches = images.train_batches(train, FLAGS.batch_size, network.options["preprocessing"]["seed"])
        if new:  # a network trained without quantisation does not know its ranges
            evalnet.observe(other, new, batches.take(min(50, images.steps_per_epoch(train, FLAGS.batch_size))))
        line["test_accuracy_percent"], tuned = 100 * accuracy(other, test)["accuracy"], ""
        if FLAGS.finetune_epochs:
            finetune(other, train, batches)
            line["finetuned_accuracy_percent"] = 100 * accuracy(other, test)["accuracy"]
            tuned = f"{line['finetuned_accuracy_percent']:.2f}%"
        error, before = 100 * line["mean_relative_error"], line["test_accuracy_percent"]
        print(f"{table:<24} {error:16.2f}% {before:12.2f}% {tuned:>10}", flush=True)
    settings = {"finetune_epochs": FLAGS.finetune_epochs, "finetune_learning_rate": FLAGS.finetune_learning_rate}
    path.write_text(json.dumps(settings | {"results": lines}, indent=2) + "\n")
    print(f"written to {path}")


def finetune(network, train, batches):
    """Trains the network a little, without drop-path, the learning rate falling along a cosine."""
    training = Training(network, FLAGS.finetune_learning_rate, drop_path_prob=0.0)
    training.compile(jit_compile=False)
    schedule = optimizers.cosine(FLAGS.finetune_learning_rate, 0.0, FLAGS.finetune_epochs)
    rate = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: training.learning_rate.assign(schedule(epoch))
    )
    steps = images.steps_per_epoch(train, FLAGS.batch_size)
    training.fit(batches, epochs=FLAGS.finetune_epochs, steps_per_epoch=steps, callbacks=[rate], verbose=0)


if __name__ == "__main__":
    cli.run(main)
