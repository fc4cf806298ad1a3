"""A run's folder: configuration, metrics, TensorBoard events, checkpoints; and going on with it after a stop."""

import contextlib
import datetime
import hashlib
import io
import json
import math
import os
import pathlib
import platform
import shutil
import signal
import sys
import time
import types
import typing
import zipfile

import keras
import numpy as np
import tensorflow as tf

from tfdarts.errors import UserError
from tfdarts.genotype import same_module

KEPT = 2  # checkpoints; the older one is for the case that the newer one is damaged
MAY_GROW = ("epochs",)  # options that a resumed run may have larger than before
MAY_CHANGE = ("checkpoint_minutes", "derive_num_sample")


class Stopped(Exception):
    """A signal asked the run to stop; it has saved a checkpoint. `code` is the exit code that shells expect."""

    def __init__(self, name, step, folder):
        super().__init__(f"stopped by {name} after step {step}, which is saved")
        self.folder, self.code = folder, 128 + signal.Signals[name]


def configure_tensorflow(seed=0, deterministic=None):
    """Settings of the process: Grappler off (half of the first step's time, no gain measured), determinism, seed.

    Args:
        seed: int.
        deterministic: whether kernels must give the same bits twice; None for yes without a GPU, no with one.
    """
    keras.utils.set_random_seed(seed)
    # Exact second derivatives in a tf.function come out wrong with this setting (TensorFlow 2.21; seen with max
    # pooling). First derivatives, all that the library takes, are the same; do not add an exact Hessian under it.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if deterministic is None:
        deterministic = not tf.config.list_physical_devices("GPU")
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def forget(seed):
    """Frees what Keras remembers of networks before, and begins its random numbers anew."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)


def saved_options(folder, stage, given):
    """The options of the run in `folder`, for going on with it.

    Args:
        folder: the run's folder.
        stage: `"search"` or `"train"`.
        given: what the user gave beside it, as a dictionary.

    Raises:
        UserError: if there is no run, another command's, or `given` differs from its options where it may not.
    """
    path = pathlib.Path(folder) / "config.json"
    try:
        saved = json.loads(path.read_text())
        options = {name: saved[name] for name in saved if name not in ("command", "versions")}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{folder} is not the folder of a run: cannot read {path} ({type(error).__name__}); "
            "give logs/search_arch/<time> or logs/eval_arch/<time>"
        ) from None
    if options.get("stage") != stage:
        maker = " ".join(map(str, saved.get("command", ["another program"])[:1]))
        raise UserError(f"{folder} is a run of {maker}, which this command cannot go on with")
    differing = []
    for name, value in given.items():
        if value == options.get(name) or (name in MAY_CHANGE and name in options):
            continue
        if name == "ops" and same_module(value, options.get(name, "")):
            continue
        if name in MAY_GROW and name in options and value > options[name]:
            continue
        differing.append(f"--{name} {value} (was {options.get(name)})")
    if differing:
        raise UserError(
            f"cannot go on with {folder} under other options: {', '.join(differing)}; leave them out, or start a new "
            "run (a resumed one may have more --epochs, another --logdir, --checkpoint_minutes and --derive_num_sample)"
        )
    return types.SimpleNamespace(**options | given)


class Run:
    """The folder of a run, `<logdir>/<kind>/<YYYYmmdd-HHMMSS>/`, and what is written into it.

    Args:
        folder: made by `start` or `resume`.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        with self._writing():
            self.events = tf.summary.create_file_writer(str(self.folder / "train"))

    @classmethod
    def start(cls, logdir, kind, options):
        """Makes the folder of a new run and saves its options, with the versions of what it runs on.

        Args:
            logdir: folder of all runs.
            kind: `"search_arch"` or `"eval_arch"`, for the stages `"search"` and `"train"`.
            options: namespace of resolved options.

        Raises:
            UserError: if the folder cannot be written.
        """
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        try:
            folder = _new_folder(pathlib.Path(logdir) / kind, stamp)
        except OSError as error:
            raise UserError(f"cannot write into {logdir}: {error.strerror}; give another --logdir") from None
        run = cls(folder)
        versions = {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__}
        versions["numpy"] = np.__version__
        run.save_json("config.json", vars(options) | {"command": sys.argv, "versions": versions})
        return run

    @classmethod
    def resume(cls, folder, logdir, options):
        """Goes on with a run, in its own folder, or, given a `logdir`, in a copy of it there.

        Its options become the given ones; None leaves them as they are.
        """
        folder = pathlib.Path(folder).resolve()
        if logdir is not None:
            copy = pathlib.Path(logdir).resolve() / folder.parent.name / folder.name
            if copy != folder:
                try:
                    shutil.copytree(folder, copy)
                except (OSError, shutil.Error) as error:
                    raise UserError(f"cannot copy {folder} to {copy}: {error}") from None
                folder = copy
        run = cls(folder)
        if options is not None:
            saved = json.loads((folder / "config.json").read_text())
            run.save_json("config.json", saved | vars(options))
        return run

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise UserError(
                f"cannot write into {self.folder}: {reason}; the last checkpoint is intact, go on with "
                f"--resume {self.folder} once there is room, or with --logdir elsewhere"
            ) from error

    def _replace(self, name, data):
        """Writes a file under a temporary name first: a kill never leaves half of it."""
        path = self.folder / name
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".next")
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        return path

    def save_json(self, name, data):
        return self._replace(name, (json.dumps(data, indent=2) + "\n").encode())

    def write(self, name, text):
        return self._replace(name, text.encode())

    def append(self, name, values):
        """Adds a line to a `.jsonl` file."""
        with self._writing(), (self.folder / name).open("a") as lines:
            lines.write(json.dumps(values) + "\n")

    def scalars(self, step, values):
        """Writes a dictionary of numbers for TensorBoard."""
        with self._writing(), self.events.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
            self.events.flush()

    def save_checkpoint(self, model, seconds):
        """Writes all of the model's state to `checkpoint_<step>_<sha256>.npz`, and keeps the one before it."""
        arrays = {f"{i:05d}": variable.numpy() for i, variable in enumerate(model.state())}
        buffer = io.BytesIO()
        np.savez(buffer, seconds=np.float64(seconds), **arrays)
        data = buffer.getvalue()
        name = f"checkpoint_{int(model.step.numpy()):09d}_{hashlib.sha256(data).hexdigest()[:16]}.npz"
        self._replace(name, data)
        for path in [path for path in self._checkpoints() if path.name != name][KEPT - 1 :]:
            path.unlink(missing_ok=True)

    def _checkpoints(self):
        """Newest step first; of one step the one that was written last."""
        paths = self.folder.glob("checkpoint_*_*.npz")
        return sorted(paths, key=lambda p: (p.name.split("_")[1], p.stat().st_mtime_ns), reverse=True)

    def restore(self, model):
        """Sets the model to the newest intact checkpoint.

        Returns:
            `(values, seconds)`: the values of `model.state()`, None without a checkpoint, and the time spent so far.

        Raises:
            UserError: if every checkpoint is damaged, or they belong to another model.
        """
        paths = self._checkpoints()
        for path in paths:
            data = path.read_bytes()
            if hashlib.sha256(data).hexdigest()[:16] != path.stem.split("_")[2]:
                print(f"warning: {path} is damaged; using the checkpoint before it", file=sys.stderr)
                continue
            try:
                with np.load(io.BytesIO(data), allow_pickle=False) as file:
                    seconds = float(file["seconds"])
                    values = [file[f"{i:05d}"] for i in range(len(file.files) - 1)]
            except (ValueError, KeyError, OSError, zipfile.BadZipFile):
                raise UserError(f"{path} is not a checkpoint of this program") from None
            state = model.state()
            if [v.shape for v in values] != [tuple(v.shape) for v in state]:
                raise UserError(f"{path} belongs to another network than config.json describes; start a new run")
            assign(model, values)
            return values, seconds
        if paths:
            raise UserError(f"every checkpoint in {self.folder} is damaged; start a new run")
        return None, 0.0

    def forget_after(self, epoch):
        """Drops lines of epochs that the checkpoint does not hold, and a line that was cut short."""
        for path in self.folder.glob("*.jsonl"):
            kept = []
            for line in path.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    if json.loads(line)["epoch"] <= epoch:
                        kept.append(line + "\n")
            self._replace(path.name, "".join(kept).encode())


def assign(model, values):
    """Sets the variables of `model.state()`."""
    for variable, value in zip(model.state(), values):
        variable.assign(value)


def _new_folder(parent, stamp):
    for attempt in range(100):
        folder = parent / (stamp if attempt == 0 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(parent / stamp)


class Job(typing.NamedTuple):
    """What is fitted, and on what."""

    model: keras.Model  # compiled `Learner`
    batches: typing.Callable  # (step) -> tf.data.Dataset, the endless batches from a global step on
    steps: int  # batches in an epoch
    schedule: typing.Callable  # (epoch) -> learning rate
    validation: tf.data.Dataset | None = None  # for the end of an epoch
    callbacks: tuple = ()  # run before the epoch's checkpoint


def fit(run, job, epochs, checkpoint_minutes, callbacks=()):
    """Keras's `fit` of a job, from wherever the run's checkpoint stands, to the same bits as in one go.

    Args:
        run: `Run`.
        job: `Job`.
        epochs: int.
        checkpoint_minutes: time between checkpoints within an epoch; there is one at its end besides.
        callbacks: further ones, run after the job's and before the epoch's checkpoint.

    Returns:
        Seconds that the run has taken in all.

    Raises:
        Stopped: after SIGTERM or SIGINT.
        UserError: for a loss that is not finite, or a folder that cannot be written.
    """
    model, batches, steps = job.model, job.batches, job.steps
    values, seconds = run.restore(model)
    epoch, batch = divmod(int(model.step.numpy()), steps)
    run.forget_after(epoch)
    keep = Keep(run, steps, epochs, checkpoint_minutes, values if batch else None, seconds)
    callbacks = [Schedule(job.schedule), *job.callbacks, *callbacks, Record(run, keep), keep]
    common = {"shuffle": False, "verbose": verbosity(), "validation_data": job.validation}
    with keep.signals():
        if batch:  # the rest of the epoch that was under way; its progress bar begins where it stopped
            first = [Progress(batch, steps), *callbacks]
            data = batches(epoch * steps + batch)
            ends = {"initial_epoch": epoch, "epochs": epoch + 1}
            model.fit(data, steps_per_epoch=steps - batch, callbacks=first, **ends, **common)
            epoch += 1
        if epoch < epochs:
            data = batches(epoch * steps)
            ends = {"initial_epoch": epoch, "epochs": epochs}
            model.fit(data, steps_per_epoch=steps, callbacks=callbacks, **ends, **common)
    return keep.seconds()


class Progress(keras.callbacks.ProgbarLogger):
    """Keras's progress bar for an epoch that begins at its `offset`-th batch."""

    def __init__(self, offset, steps):
        super().__init__()
        self.offset, self.steps = offset, steps

    def set_params(self, params):
        super().set_params(params | {"steps": self.steps})

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch + self.offset, logs)


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
    """After each epoch: a line of `metrics.jsonl`, TensorBoard scalars."""

    def __init__(self, run, keep):
        super().__init__()
        self.run, self.keep = run, keep

    def on_epoch_end(self, epoch, logs=None):
        values = {name: float(value) for name, value in logs.items()}
        values["learning_rate"] = float(self.model.learning_rate.numpy())
        self.run.append("metrics.jsonl", {"epoch": epoch + 1, "seconds": round(self.keep.seconds(), 2)} | values)
        self.run.scalars(epoch + 1, values)


class Keep(keras.callbacks.Callback):
    """Checkpoints, the stop on a signal, and the stop on a loss that is not finite.

    Args:
        run: `Run`.
        steps, epochs: of the whole run.
        minutes: between checkpoints within an epoch.
        values: state to go on from within an epoch, whose metrics `fit` has reset; None at an epoch's start.
        seconds: that the run took before.
    """

    def __init__(self, run, steps, epochs, minutes, values, seconds):
        super().__init__()
        self.run, self.steps, self.epochs, self.minutes = run, steps, epochs, minutes
        self.values, self.signal = values, None
        self.start = time.monotonic() - seconds
        self.began, self.saved = time.monotonic(), time.monotonic()
        self.epochs_done = 0

    def seconds(self):
        """Time that the run has taken in all, without pauses."""
        return time.monotonic() - self.start

    @contextlib.contextmanager
    def signals(self):
        """While it is entered, the first SIGTERM or SIGINT asks for a stop; a second one kills."""

        def handle(number, _):
            self.signal = signal.Signals(number).name
            for each in numbers:
                signal.signal(each, signal.SIG_DFL)

        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, handle) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before):
                signal.signal(number, handler)

    def on_epoch_begin(self, epoch, logs=None):
        if self.values is not None:
            assign(self.model, self.values)
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
        self.run.save_checkpoint(self.model, self.seconds())
        self.saved = time.monotonic()
        if self.signal:
            raise Stopped(self.signal, int(self.model.step.numpy()), self.run.folder)

    def _check(self, logs):
        wrong = [name for name, value in logs.items() if "loss" in name and not math.isfinite(value)]
        if wrong:
            raise UserError(
                f"{wrong[0]} is not finite at step {int(self.model.step.numpy())}, learning rate "
                f"{float(self.model.learning_rate.numpy()):g}: start again with a smaller --learning_rate or "
                "--grad_clip (ENAS: --shared_lr, --shared_grad_clip); "
                f"the last good checkpoint stays in {self.run.folder}"
            )


class Genotypes(keras.callbacks.Callback):
    """After each epoch of a search: its genotype, mixing weights, their entropy, skips; for us and for TensorBoard."""

    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        genotype = self.model.genotype()
        self.run.write(f"train/genotype_epoch_{epoch + 1}", genotype.to_json())
        line = {"epoch": epoch + 1, "skip_connections": genotype.skip_connections(), "tables": {}}
        values = {"skip_connections": genotype.skip_connections()}
        for kind, table in self.model.mixing().items():
            table, (edges, names) = np.asarray(table, float), self.model.tables[kind]
            line["tables"][kind] = {"edges": edges, "operations": names, "weights": np.round(table, 6).tolist()}
            for row, weights in enumerate(table):
                values[f"entropy/{kind}/edge_{row:02d}"] = -(weights * np.log(np.maximum(weights, 1e-30))).sum()
                values |= {f"mixing/{kind}/edge_{row:02d}/{name}": weight for name, weight in zip(names, weights)}
        self.run.append("mixing.jsonl", line)
        self.run.scalars(epoch + 1, values)


def verbosity():
    """A progress bar in a terminal, one line per epoch in a file."""
    return 1 if sys.stdout.isatty() else 2
