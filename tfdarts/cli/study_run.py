"""The process of one run of a study: an ordinary command that ends with the process that started it.

    python3 -m tfdarts.cli.study_run FOLDER search|train WORDS...

If the run has begun before, it goes on from its last checkpoint. A process that an earlier study left behind is waited
for, so that no two ever write the same run.
"""

import contextlib
import ctypes
import os
import pathlib
import signal
import sys

from tfdarts.cli import main as commands
from tfdarts.study import runs

_PR_SET_PDEATHSIG = 1  # Linux: the signal that this process gets when its parent ends


def run(arguments):
    """Runs a command: the run's folder, the stage, and the words of the command."""
    _end_with_parent()
    folder, stage, *words = arguments
    folder = pathlib.Path(folder)
    with _alone(folder):
        place = runs.started(folder, stage)
        words = ["--resume", str(place)] if place else [*words, "--logdir", str(folder)]
        sys.argv = ["tfdarts", stage, *words]
        commands.main()


def _end_with_parent():
    """Asks for SIGTERM, after which a run saves a checkpoint, when the parent process ends; on Linux alone."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)


@contextlib.contextmanager
def _alone(folder):
    """Holds a lock on the run's folder, which the system lets go of when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    run(sys.argv[1:])
