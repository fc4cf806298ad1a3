"""Whole runs as commands: short ones of each kind, the folder that a run leaves, what may not depend on a kill."""

import json
import pathlib
import signal
import time

import numpy as np

TINY = ["--recipe", "digits", "--init_channels", "2", "--layers", "1", "--batch_size", "120", "--epochs", "2"]
SEARCH = ["search_cell.py", *TINY, "--nodes", "1", "--multiplier", "1", "--checkpoint_minutes", "0"]
FEW_OPERATIONS = ["--ops", "examples/my_ops.py"]
COMMANDS = {
    "second": SEARCH,
    "first": [*SEARCH, "--nounrolled", *FEW_OPERATIONS],
    "train": ["train.py", *TINY, "--arch", "digits", "--checkpoint_minutes", "0"],
}


def folder_of(logs):
    """The folder of the only run below a folder of logs."""
    (made,) = pathlib.Path(logs).glob("*_arch/*")
    return made


def outcome(folder):
    """All that a run leaves that must not depend on its interruptions: every variable, metrics, genotypes, results."""
    newest = max(folder.glob("checkpoint_*.npz"))
    with np.load(newest) as arrays:
        state = {name: arrays[name].tobytes() for name in arrays.files if name != "seconds"}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    metrics = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    genotypes = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("genotype*") if p.suffix != ".svg"}
    results = folder / "results.json"
    results = json.loads(results.read_text()) | {"seconds": 0} if results.exists() else None
    mixing = (folder / "mixing.jsonl").read_text() if results is None else None
    return newest.name.split("_")[1], state, metrics, genotypes, results, mixing


def steps_done(logs):
    """The step of the newest checkpoint of any run below a folder of logs, 0 if there is none."""
    names = [path.name for path in pathlib.Path(logs).glob("*_arch/*/checkpoint_*.npz")]
    return max((int(name.split("_")[1]) for name in names), default=0)


def kill_at(step, command, logs):
    """SIGKILL once the checkpoint of that step, or of a later one, is there."""
    while command.poll() is None and steps_done(logs) < step:
        time.sleep(0.005)
    command.kill()
    assert command.wait(None).returncode in (0, -signal.SIGKILL), command.stderr[-3000:]
