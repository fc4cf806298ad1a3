"""Searches and trainings in this process that are stopped and gone on with: jobs, signals, states."""

import os
import signal

import keras

from tests.support.commands import ROOT
from tfdarts import recipes, spaces, tasks
from tfdarts.runs import environment
from tfdarts.strategies import darts

CONV = {"init_channels": 4, "layers": 1, "nodes": 1, "multiplier": 1, "batch_size": 300, "unrolled": False}
CONV |= {"ops": str(ROOT / "examples" / "my_ops.py")}


def job_of(recipe, values):
    """Settings, data and `Job` of a short deterministic search by DARTS on images: a recipe, and values above it."""
    settings = recipes.resolve(recipe, "search", {"epochs": 2, "checkpoint_minutes": 60.0} | values)
    environment.configure(deterministic=True, devices=settings.values["devices"])
    task = tasks.load("images")
    data = task.load(**settings.pick(task.load))
    return settings, data, darts.job(spaces.load(settings.space), data, settings)


def kill_politely(model):
    """Sends this process the signal of a polite kill."""
    os.kill(os.getpid(), signal.SIGTERM)


class StopAt(keras.callbacks.Callback):
    """Stops at a step, by a function of the model."""

    def __init__(self, step, act=kill_politely):
        super().__init__()
        self.step, self.act = step, act

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step.numpy()) == self.step:
            self.act(self.model)


def assign_state(learner, values):
    """Sets every variable of a learner, in the order of `Learner.state`."""
    for variable, value in zip(learner.state(), values, strict=True):
        variable.assign(value)
