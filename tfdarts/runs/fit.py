"""Keras's `fit` of a search or a training, from wherever its last checkpoint stands, to the same bits as in one go."""

import contextlib
import gc
import sys
import typing

import keras
import tensorflow as tf

from tfdarts.errors import UserError
from tfdarts.runs import checkpoint, environment
from tfdarts.runs.callbacks import CheckpointCallback, LearningRateCallback, MetricsCallback, Progress


class Fitted(typing.NamedTuple):
    """What a fit leaves beside the model.

    Attributes:
        seconds: that the run has taken in all.
        history: dictionary from metric to a list of its values, one an epoch of this process.
        model: that was fitted; the last stage's.
    """

    seconds: float
    history: dict
    model: keras.Model


def fit(folder, job, epochs, checkpoint_minutes, callbacks=()):
    """Fits a job and the stages that follow it, from the last checkpoint on if there is one.

    Args:
        folder: `RunFolder`; None to write nothing.
        job: `training.job.Job`.
        epochs: int, those of the job's own not counted.
        checkpoint_minutes: time between checkpoints within an epoch; there is one at its end besides.
        callbacks: further ones, run after the job's and before the epoch's checkpoint.

    Returns:
        `Fitted`.

    Raises:
        Stopped: after SIGTERM or SIGINT, if there is a folder.
        UserError: for a metric that is not finite, a folder that cannot be written, or a machine of the cluster that
            has stopped.
    """
    stage, done = 1, checkpoint.newest_step(folder) if folder and job.following else 0
    while job.following and done > job.following.epoch * job.steps:
        stage += 1
        job = job.following.build(folder.load_json(_handed(stage)), None)
    values, seconds = checkpoint.restore(folder, job.model) if folder else (None, 0.0)
    fitted = _fit(folder, job, epochs, checkpoint_minutes, callbacks, values, seconds)
    while job.following and not (job.model.stop_training or job.model.over):
        stage, handed = stage + 1, job.following.hand_on()
        if folder:
            folder.save_json(_handed(stage), handed)
        ended, job = job.model, job.following.build(handed, job.model)
        ended.forget_graphs()
        gc.collect()
        before, fitted = fitted, _fit(folder, job, epochs, checkpoint_minutes, callbacks, None, fitted.seconds)
        for metric, values in before.history.items():
            fitted.history[metric] = values + fitted.history.get(metric, [])
    return fitted


def _handed(stage):
    """Name of the file of what a stage was built from."""
    return f"stage_{stage}.json"


def _fit(folder, job, epochs, checkpoint_minutes, callbacks, values, seconds):
    """Fits one stage.

    Args:
        folder, job, epochs, checkpoint_minutes, callbacks: as in `fit`.
        values: what `checkpoint.restore` gave; None if the stage begins.
        seconds: that the run has taken so far.
    """
    model, batches, steps, whole = job.model, job.batches, job.steps, epochs + job.further_epochs
    epochs = job.following.epoch if job.following else whole
    if folder and job.states is not None:
        job.states.open(folder.folder)
    epoch, batch = divmod(int(model.step.numpy()), steps)
    if folder:
        folder.forget_after(epoch)
    if model.over:
        return Fitted(seconds, {}, model)
    keep = CheckpointCallback(folder, steps, whole, checkpoint_minutes, values if batch else None, seconds)
    metrics = MetricsCallback(folder, keep)
    callbacks = [LearningRateCallback(job.schedule, job.first), *job.callbacks, *callbacks, metrics, keep]
    common = {"shuffle": False, "verbose": verbosity(), "validation_data": job.validation}
    if model.devices is not None:
        model.devices.meet(epoch * steps + batch)
    with keep.signals(), _cluster(folder):
        if batch:  # the rest of the epoch that was under way; its progress bar begins where it stopped
            first = [Progress(batch, steps), *callbacks]
            data = batches(epoch * steps + batch)
            ends = {"initial_epoch": epoch, "epochs": epoch + 1}
            model.fit(data, steps_per_epoch=steps - batch, callbacks=first, **ends, **common)
            epoch = epochs if model.stop_training else epoch + 1
        if epoch < epochs:
            data = batches(epoch * steps)
            ends = {"initial_epoch": epoch, "epochs": epochs}
            model.fit(data, steps_per_epoch=steps, callbacks=callbacks, **ends, **common)
    return Fitted(keep.seconds(), metrics.history, model)


@contextlib.contextmanager
def _cluster(folder):
    """A context in which the end of another machine of the cluster is a sentence."""
    try:
        yield
    except tf.errors.OpError as error:
        if "Collective ops is aborted" not in error.message:
            raise
        where = f" --resume {folder.folder}" if folder and environment.cluster()[0] == 0 else " --resume"
        raise UserError(
            "another machine of the cluster has stopped, and so has this one; go on from the last checkpoint with"
            f"{where} once all are there again"
        ) from error


def verbosity():
    """A progress bar in a terminal, one line per epoch in a file."""
    return 1 if sys.stdout.isatty() else 2
