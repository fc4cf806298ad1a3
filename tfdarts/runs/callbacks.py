"""Keras callbacks of a run: checkpoints, metrics, genotypes, the learning rate, the progress bar."""

import contextlib
import datetime
import math
import signal
import time

import keras
import numpy as np

from tfdarts.errors import UserError
from tfdarts.runs import checkpoint
from tfdarts.runs.signals import first_caught


class Stopped(Exception):
    """A signal asked the run to stop; it has saved a checkpoint. `code` is the exit code that shells expect."""

    def __init__(self, name, step, folder):
        super().__init__(f"stopped by {name} after step {step}, which is saved")
        self.folder, self.code = folder, 128 + signal.Signals[name]


class Progress(keras.callbacks.ProgbarLogger):
    """Keras's progress bar for an epoch that begins at its `offset`-th batch."""

    def __init__(self, offset, steps):
        super().__init__()
        self.offset, self.steps = offset, steps

    def set_params(self, params):
        super().set_params(params | {"steps": self.steps})

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch + self.offset, logs)


class LearningRateCallback(keras.callbacks.Callback):
    """Sets the model's learning rate and its epoch at the start of each epoch.

    Args:
        schedule: `epoch -> learning rate`.
        first: epoch of the run that is the schedule's and the model's epoch 0.
    """

    def __init__(self, schedule, first=0):
        super().__init__()
        self.schedule, self.first = schedule, first

    def on_epoch_begin(self, epoch, logs=None):
        self.model.learning_rate.assign(self.schedule(epoch - self.first))
        self.model.epoch.assign(epoch - self.first)


class MetricsCallback(keras.callbacks.Callback):
    """After each epoch: adds its metrics to `history`, and to the folder's `metrics.jsonl` and TensorBoard events.

    Attributes:
        history: dictionary from metric to a list of its values, one an epoch of this process.

    Args:
        folder: `RunFolder`, or None.
        keep: `CheckpointCallback`, which knows the time.
    """

    def __init__(self, folder, keep):
        super().__init__()
        self.folder, self.keep, self.history = folder, keep, {}

    def on_epoch_end(self, epoch, logs=None):
        values = {name: float(value) for name, value in logs.items()}
        values["learning_rate"] = float(self.model.learning_rate.numpy())
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        if self.folder is not None:
            line = {"epoch": epoch + 1, "seconds": round(self.keep.seconds(), 2)} | values
            self.folder.append("metrics.jsonl", line)
            self.folder.scalars(epoch + 1, values)


class CheckpointCallback(keras.callbacks.Callback):
    """Checkpoints, the stop on a signal, and the stop on a metric that is not finite.

    Args:
        folder: `RunFolder`; None to write nothing, and to leave signals alone.
        steps, epochs: of the whole run.
        minutes: between checkpoints within an epoch.
        values: state to go on from within an epoch, whose metrics `fit` has reset; None at an epoch's start.
        seconds: that the run took before.
    """

    def __init__(self, folder, steps, epochs, minutes, values, seconds):
        super().__init__()
        self.folder, self.steps, self.epochs, self.minutes = folder, steps, epochs, minutes
        self.values, self.signal = values, None
        self.start = time.monotonic() - seconds
        self.began, self.saved = time.monotonic(), time.monotonic()
        self.epochs_done = 0

    def seconds(self):
        """Time that the run has taken in all, without pauses."""
        return time.monotonic() - self.start

    def signals(self):
        """A context in which the first SIGTERM or SIGINT asks for a stop; a second one kills."""

        def ask(number):
            self.signal = signal.Signals(number).name

        return first_caught(ask) if self.folder else contextlib.nullcontext()

    def on_epoch_begin(self, epoch, logs=None):
        if self.values is not None:
            checkpoint.assign(self.model, self.values)
            self.values = None

    def on_train_batch_end(self, batch, logs=None):
        self._check(logs)
        step = int(self.model.step.numpy())
        if step % self.steps == 0:
            return  # the epoch's end follows, and with it a checkpoint
        if self.signal or time.monotonic() - self.saved >= 60 * self.minutes:
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        self._check(logs)
        self.epochs_done += 1
        left = (time.monotonic() - self.began) / self.epochs_done * (self.epochs - epoch - 1)
        print(f"epoch {epoch + 1} of {self.epochs}, about {datetime.timedelta(seconds=round(left))} left", flush=True)
        self._save()

    def _save(self):
        if self.folder is None:
            return
        checkpoint.save(self.folder, self.model, self.seconds())
        self.saved = time.monotonic()
        if self.signal:
            raise Stopped(self.signal, int(self.model.step.numpy()), self.folder.folder)

    def _check(self, logs):
        overflowing = self.model.task.overflowing
        wrong = [
            name
            for name, value in logs.items()
            if math.isnan(value) or (math.isinf(value) and name.removeprefix("val_") not in overflowing)
        ]
        if wrong:
            kept = f"; the last good checkpoint stays in {self.folder.folder}" if self.folder else ""
            raise UserError(
                f"{wrong[0]} is not finite at step {int(self.model.step.numpy())}, learning rate "
                f"{float(self.model.learning_rate.numpy()):g}: start again with a smaller --learning_rate or "
                f"--grad_clip (ENAS: --shared_lr, --shared_grad_clip){kept}"
            )


class GenotypeCallback(keras.callbacks.Callback):
    """After each epoch of a search: writes its genotype, mixing weights, their entropy, skips.

    Args:
        folder: `RunFolder`.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch, logs=None):
        genotype = self.model.genotype()
        self.folder.write(f"train/genotype_epoch_{epoch + 1}", genotype.to_json())
        line = {"epoch": epoch + 1, "skip_connections": genotype.skip_connections(), "tables": {}}
        values = {"skip_connections": genotype.skip_connections()}
        for kind, table in self.model.mixing().items():
            choices = self.model.choices[kind]
            rows = [row[: len(choice.candidates)] for row, choice in zip(np.asarray(table, float), choices)]
            line["tables"][kind] = describe(choices, rows)
            for number, (weights, choice) in enumerate(zip(rows, choices)):
                entropy = -(weights * np.log(np.maximum(weights, 1e-30))).sum()
                values[f"entropy/{kind}/edge_{number:02d}"] = entropy
                pairs = zip(choice.candidates, weights)
                values |= {f"mixing/{kind}/edge_{number:02d}/{name}": weight for name, weight in pairs}
        self.folder.append("mixing.jsonl", line)
        self.folder.scalars(epoch + 1, values)


def describe(choices, rows):
    """A table of mixing weights as `mixing.jsonl` has it.

    Args:
        choices: tuple of `Choice`.
        rows: for each choice, the weights of its candidates.

    Returns:
        A dictionary with `edges`, the choices' names; `operations`, their candidates, in one list if all have the same,
        else a list each; `weights`.
    """
    candidates = [choice.candidates for choice in choices]
    return {
        "edges": [choice.name for choice in choices],
        "operations": candidates[0] if len(set(candidates)) == 1 else candidates,
        "weights": [np.round(row, 6).tolist() for row in rows],
    }
