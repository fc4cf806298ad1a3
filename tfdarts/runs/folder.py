"""A run's folder: configuration, metrics, TensorBoard events; and what a resumed run may change."""

import atexit
import contextlib
import datetime
import json
import os
import pathlib
import platform
import shutil
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf

from tfdarts.errors import UserError
from tfdarts.runs import environment
from tfdarts.version import __version__

FORMAT = 1  # of `config.json`; it had no number before
FOLDERS = {"search": "search_arch", "train": "eval_arch"}
STAGES = {"search": "search", "train": "training"}


def saved_config(folder, stage):
    """The configuration of the run in `folder`, for going on with it.

    Args:
        folder: the run's folder.
        stage: `"search"` or `"train"`.

    Returns:
        `config.json` as a dictionary, without the command and the versions.

    Raises:
        UserError: if there is no run, or one of the other stage or of an earlier version of the program.
    """
    path = pathlib.Path(folder) / "config.json"
    try:
        saved = json.loads(path.read_text())
        config = {name: saved[name] for name in saved if name not in ("command", "versions", "format")}
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{folder} is not the folder of a run: cannot read {path} ({type(error).__name__}); "
            "give logs/search_arch/<time> or logs/eval_arch/<time>"
        ) from None
    if config.get("stage") != stage:
        kind = STAGES.get(config.get("stage"), "run of another program")
        raise UserError(f"{folder} is a {kind}, which this command cannot go on with")
    if saved.get("format") != FORMAT:
        raise UserError(
            f"{folder} was written by another version of tfdarts, and this one cannot go on with it; start a new run "
            "(its genotype.json can be trained)"
        )
    return config


def check_resumed(folder, config, given, options):
    """Raises UserError where a resumed run is to have another option than it may.

    Args:
        folder: the run's folder.
        config: its configuration, as `saved_config` gave it.
        given: options that the user gave beside it, as a dictionary.
        options: dictionary from name to `options.Option`, which says what may change.
    """
    differing = []
    for name, value in given.items():
        allowed = options[name].may_become(value, config[name]) if name in options and name in config else False
        if not allowed and value != config.get(name):
            differing.append(f"--{name} {value} (was {config.get(name)})")
    if differing:
        raise UserError(
            f"cannot go on with {folder} under other options: {', '.join(differing)}; leave them out, or start a new "
            "run (a resumed one may have more --epochs, another --logdir, --checkpoint_minutes and --derive_num_sample)"
        )


class RunFolder:
    """The folder of a run, `<logdir>/<kind>/<YYYYmmdd-HHMMSS>/`, and what is written into it.

    Args:
        folder: path of an existing folder; `start` and `resume` make and find it.
    """

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        with self._writing():
            self.events = tf.summary.create_file_writer(str(self.folder / "train"))

    @classmethod
    def start(cls, logdir, config):
        """Makes the folder of a new run and saves its configuration, with the versions of what it runs on.

        Args:
            logdir: folder of all runs.
            config: dictionary of the run's options, its `stage` among them.

        Raises:
            UserError: if the folder cannot be written.
        """
        logdir, stamp = _own(logdir), datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        try:
            folder = _new_folder(pathlib.Path(logdir) / FOLDERS[config["stage"]], stamp)
        except OSError as error:
            raise UserError(f"cannot write into {logdir}: {error.strerror}; give another --logdir") from None
        run = cls(folder)
        versions = {"tfdarts": __version__, "python": platform.python_version(), "tensorflow": tf.__version__}
        versions |= {"keras": keras.__version__, "numpy": np.__version__}
        run.save_json("config.json", {"format": FORMAT} | config | {"command": sys.argv, "versions": versions})
        return run

    @classmethod
    def resume(cls, folder, logdir=None, config=None):
        """Goes on with a run, in its own folder, or, given a `logdir`, in a copy of it there.

        Args:
            folder: of the run.
            logdir: folder of all runs, or None.
            config: dictionary of options that become the run's; None to leave them as they are.
        """
        folder, logdir = pathlib.Path(folder).resolve(), _own(logdir)
        if logdir is not None:
            copy = pathlib.Path(logdir).resolve() / folder.parent.name / folder.name
            if copy != folder:
                try:
                    shutil.copytree(folder, copy)
                except (OSError, shutil.Error) as error:
                    raise UserError(f"cannot copy {folder} to {copy}: {error}") from None
                folder = copy
        run = cls(folder)
        if config is not None:
            saved = json.loads((folder / "config.json").read_text())
            run.save_json("config.json", saved | config)
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

    def replace(self, name, data):
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
        """Writes a file of JSON; returns its path."""
        return self.replace(name, (json.dumps(data, indent=2) + "\n").encode())

    def load_json(self, name):
        """Reads a file of JSON that the run has written.

        Raises:
            UserError: if it is gone or damaged.
        """
        try:
            return json.loads((self.folder / name).read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {self.folder / name}, without which the run cannot go on: {error}") from None

    def write(self, name, text):
        """Writes a file of text; returns its path."""
        return self.replace(name, text.encode())

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

    def forget_after(self, epoch):
        """Drops lines of epochs that the checkpoint does not hold, and a line that was cut short."""
        for path in self.folder.glob("*.jsonl"):
            kept = []
            for line in path.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    if json.loads(line)["epoch"] <= epoch:
                        kept.append(line + "\n")
            self.replace(path.name, "".join(kept).encode())


def _own(logdir):
    """Where this machine writes: of several that share a run, only the first keeps what it writes."""
    machine, machines = environment.cluster()
    if machine == 0:
        return logdir
    folder = tempfile.TemporaryDirectory(prefix="tfdarts-")
    atexit.register(folder.cleanup)
    print(f"machine {machine + 1} of {machines}: the first one keeps the run and says what it finds")
    return folder.name


def _new_folder(parent, stamp):
    for attempt in range(100):
        folder = parent / (stamp if attempt == 0 else f"{stamp}-{attempt}")
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
    raise FileExistsError(parent / stamp)
