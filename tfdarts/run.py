"""A run's folder: configuration, metrics, TensorBoard events, checkpoint; all of it written by callbacks."""

import datetime
import json
import os
import pathlib
import platform
import sys
import time

import keras
import numpy as np
import tensorflow as tf


def configure_tensorflow(seed=0):
    """Settings of the process: Grappler off (half of the first step's time, no gain measured), determinism, seed."""
    keras.utils.set_random_seed(seed)
    # Exact second derivatives in a tf.function come out wrong with this setting (TensorFlow 2.21; seen with max
    # pooling). First derivatives, all that the library takes, are the same; do not add an exact Hessian under it.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if not tf.config.list_physical_devices("GPU"):
        tf.config.experimental.enable_op_determinism()


class Run:
    """Makes `<logdir>/<kind>/<YYYYmmdd-HHMMSS>/` and writes into it.

    Args:
        logdir: folder of all runs.
        kind: `"search_arch"` or `"eval_arch"`.
        options: namespace of resolved options, saved as `config.json` with seed and versions.
    """

    def __init__(self, logdir, kind, options):
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        self.folder = _new_folder(pathlib.Path(logdir) / kind, stamp)
        versions = {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}
        versions["numpy"] = np.__version__
        self.save_json("config.json", vars(options) | {"command": sys.argv, "versions": versions})
        self.events = tf.summary.create_file_writer(str(self.folder / "train"))

    def save_json(self, name, data):
        (self.folder / name).write_text(json.dumps(data, indent=2) + "\n")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def append_metrics(self, values):
        with (self.folder / "metrics.jsonl").open("a") as lines:
            lines.write(json.dumps(values) + "\n")

    def save_checkpoint(self, model):
        """All of the model's variables, under a temporary name first: a kill never leaves half a file."""
        temporary = self.folder / "next.weights.h5"
        model.save_weights(temporary)
        os.replace(temporary, self.folder / "checkpoint.weights.h5")


def _new_folder(parent, stamp):
    for attempt in range(100):
        folder = parent / (stamp if attempt == 0 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(parent / stamp)


class Schedule(keras.callbacks.Callback):
    """Sets the model's learning rate, and its epoch where it has one, at the start of each epoch."""

    def __init__(self, learning_rate):
        super().__init__()
        self.learning_rate = learning_rate

    def on_epoch_begin(self, epoch, logs=None):
        self.model.learning_rate.assign(self.learning_rate(epoch))
        if hasattr(self.model, "epoch"):
            self.model.epoch.assign(epoch)


class Record(keras.callbacks.Callback):
    """After each epoch: a line of `metrics.jsonl`, TensorBoard scalars, a checkpoint, the time left."""

    def __init__(self, run, epochs):
        super().__init__()
        self.run, self.epochs = run, epochs

    def on_train_begin(self, logs=None):
        self.start = time.time()

    def on_epoch_end(self, epoch, logs=None):
        values = {name: float(value) for name, value in logs.items()}
        values["learning_rate"] = float(self.model.learning_rate.numpy())
        seconds = time.time() - self.start
        self.run.append_metrics({"epoch": epoch + 1, "seconds": round(seconds, 2)} | values)
        with self.run.events.as_default(step=epoch + 1):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self.run.events.flush()
        self.run.save_checkpoint(self.model)
        left = seconds / (epoch + 1) * (self.epochs - epoch - 1)
        print(f"epoch {epoch + 1} of {self.epochs}, about {datetime.timedelta(seconds=round(left))} left", flush=True)


class Genotypes(keras.callbacks.Callback):
    """After each epoch of a search: its genotype as JSON; mixing weights, their entropy and skips for TensorBoard."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        genotype = self.model.genotype()
        self.run.write(f"train/genotype_epoch_{epoch + 1}", genotype.to_json())
        mixing = np.array(self.model.mixing())
        entropy = -(mixing * np.log(mixing)).sum(-1)
        names = self.model.supernet.space.searched
        with self.run.events.as_default(step=epoch + 1):
            tf.summary.scalar("skip_connections", genotype.skip_connections())
            for kind, table, edges in zip(("normal", "reduce"), mixing, entropy):
                for row, weights in enumerate(table):
                    tf.summary.scalar(f"entropy/{kind}/edge_{row:02d}", edges[row])
                    for name, weight in zip(names, weights):
                        tf.summary.scalar(f"mixing/{kind}/edge_{row:02d}/{name}", weight)


def verbosity():
    """A progress bar in a terminal, one line per epoch in a file."""
    return 1 if sys.stdout.isatty() else 2
