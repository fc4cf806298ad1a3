"""Tests a saved network: `python3 evaluate.py --model_path logs/eval_arch/<time>/model.keras`."""

import json
import pathlib

from absl import flags

from tfdarts import cli, evalnet, run
from tfdarts.data import images
from tfdarts.training import Training

FLAGS = flags.FLAGS
flags.DEFINE_string("model_path", None, "a model.keras that train.py saved")
flags.DEFINE_string("dataset", None, "data set with the same classes; default: the one it was trained on")
flags.DEFINE_string("data_dir", None, "folder of data prepared by TensorFlow Datasets; default: its own")
flags.DEFINE_string("ops", None, "where the operation module lies now, if it has moved")
flags.DEFINE_integer("batch_size", 96, "images per step")


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
    _, _, test = images.load(
        FLAGS.dataset or trained_on["dataset"],
        FLAGS.data_dir,
        trained_on["seed"],
        trained_on["image_size"],
        trained_on["augmentation"],
        statistics=trained_on,
    )
    training = Training(network)
    training.compile(jit_compile=False)
    result = training.evaluate(images.test_batches(test, FLAGS.batch_size), return_dict=True, verbose=0)
    names = {"test_error_percent": 1 - result["accuracy"], "test_accuracy_percent": result["accuracy"]}
    names["top5_accuracy_percent"] = result["top5"]
    print(json.dumps({name: 100 * value for name, value in names.items()}))


if __name__ == "__main__":
    cli.run(main)
