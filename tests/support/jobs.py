"""Searches and trainings in this process that are stopped and gone on with: jobs, signals, states."""

import os
import pathlib
import signal

import keras

from tfdarts import recipes, spaces, tasks
from tfdarts.runs import environment
from tfdarts.strategies import darts

ROOT = pathlib.Path(__file__).parents[2]
CONV = {"init_channels": 4, "layers": 1, "nodes": 1, "multiplier": 1, "batch_size": 300, "unrolled": False}
CONV |= {"ops": str(ROOT / "examples" / "my_ops.py")}


def job_of(recipe, values):
    """Settings, data and `Job` of a short deterministic search by DARTS on images: a recipe, and values above it."""
    settings = recipes.resolve(recipe, "search", {"epochs": 2, "checkpoint_minutes": 60.0} | values)
    environment.configure(0, True)
    task = tasks.load("images")
    data = task.load(**settings.pick(task.load))
    return settings, data, darts.job(spaces.load(settings.space), data, settings)


class StopAt(keras.callbacks.Callback):
    """Sends the signal of a polite kill at a step."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step.numpy()) == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def assign_state(learner, values):
    """Sets every variable of a learner, in the order of `Learner.state`."""
    for variable, value in zip(learner.state(), values, strict=True):
        variable.assign(value)
