"""Tests a saved network: `python3 evaluate.py --model_path logs/eval_arch/<time>/model.keras`."""

import json
import pathlib

from absl import flags

from tfdarts import cli, on_images, on_text, run, saved
from tfdarts.language import EvaluationLanguageModel

FLAGS = flags.FLAGS
flags.DEFINE_string("model_path", None, "a model.keras that train.py saved")
flags.DEFINE_string("dataset", None, "data set with the same classes; default: the one it was trained on")
flags.DEFINE_string("data", None, "folder of the text that it was trained on; default: where it was")
flags.DEFINE_string("data_dir", None, "folder of data prepared by TensorFlow Datasets; default: its own")
flags.DEFINE_string("ops", None, "where the operation module lies now, if it has moved")
flags.DEFINE_integer("batch_size", None, "images per step; default: 96")


def main(_):
    if FLAGS.model_path is None:
        raise cli.UserError("give --model_path logs/eval_arch/<time>/model.keras")
    path = pathlib.Path(FLAGS.model_path)
    if not path.is_file():
        raise cli.UserError(f"there is no file {path}")
    try:
        network = saved.load(path, FLAGS.ops)
    except ValueError as error:
        raise cli.UserError(f"cannot load {path}: {error}") from error
    run.configure_tensorflow()
    task, source, other = on_images, FLAGS.dataset, FLAGS.data
    if isinstance(network, EvaluationLanguageModel):
        task, source, other = on_text, FLAGS.data, FLAGS.dataset
    if other is not None:
        raise cli.UserError(f"the model takes {'text' if task is on_text else 'images'}; leave out {other}")
    print(json.dumps(task.evaluate(network, source, FLAGS.data_dir, FLAGS.batch_size)))


if __name__ == "__main__":
    cli.run(main)
