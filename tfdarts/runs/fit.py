"""Keras's `fit` of a search or a training, from wherever its last checkpoint stands, to the same bits as in one go."""

import sys
import typing

from tfdarts.runs import checkpoint
from tfdarts.runs.callbacks import CheckpointCallback, LearningRateCallback, MetricsCallback, Progress


class Fitted(typing.NamedTuple):
    """What a fit leaves beside the model.

    Attributes:
        seconds: that the run has taken in all.
        history: dictionary from metric to a list of its values, one an epoch of this process.
    """

    seconds: float
    history: dict


def fit(folder, job, epochs, checkpoint_minutes, callbacks=()):
    """Fits a job, from its last checkpoint on if there is one.

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
        UserError: for a metric that is not finite, or a folder that cannot be written.
    """
    model, batches, steps, epochs = job.model, job.batches, job.steps, epochs + job.further_epochs
    values, seconds = checkpoint.restore(folder, model) if folder else (None, 0.0)
    if folder and job.states is not None:
        job.states.open(folder.folder)
    epoch, batch = divmod(int(model.step.numpy()), steps)
    if folder:
        folder.forget_after(epoch)
    if model.over:
        return Fitted(seconds, {})
    keep = CheckpointCallback(folder, steps, epochs, checkpoint_minutes, values if batch else None, seconds)
    metrics = MetricsCallback(folder, keep)
    callbacks = [LearningRateCallback(job.schedule), *job.callbacks, *callbacks, metrics, keep]
    common = {"shuffle": False, "verbose": verbosity(), "validation_data": job.validation}
    with keep.signals():
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
    return Fitted(keep.seconds(), metrics.history)


def verbosity():
    """A progress bar in a terminal, one line per epoch in a file."""
    return 1 if sys.stdout.isatty() else 2
