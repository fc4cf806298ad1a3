"""Runs of a study on this machine, some of them at once, each with its share of the processors.

It imports nothing of the program, so that a Ray worker can have `Processes` without loading TensorFlow.
"""

import concurrent.futures
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading


def last_line(path):
    """The last line that a run printed."""
    lines = path.read_text(errors="replace").split("\n") if path.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")


class Processes:
    """What runs of this machine have in common: their processes, and the end of all of them."""

    def __init__(self):
        self.running, self.stopping, self.lock = set(), False, threading.Lock()

    def execute(self, stage, words, folder, environment=None, cwd=None):
        """Runs a run to its end, as an ordinary command; what it prints goes into `output.txt` in its folder.

        Args:
            stage, words: of the `Run`.
            folder: `pathlib.Path` of its logs.
            environment: variables beside those of this process, as a dictionary.
            cwd: folder that the command is run in; None for this process's.

        Returns:
            None; if it does not end as it should, the last line that it printed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        output = folder / "output.txt"
        with output.open("a") as file:
            with self.lock:
                if self.stopping:
                    return "stopped"
                process = subprocess.Popen(
                    [sys.executable, "-m", "tfdarts.cli.study_run", str(folder), stage, *words],
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    # A run takes as much of a GPU's memory as it needs, since another one may share it; it is a run
                    # of this machine alone.
                    env={"TF_FORCE_GPU_ALLOW_GROWTH": "true"} | os.environ | {"TF_CONFIG": ""} | (environment or {}),
                    start_new_session=True,  # Ctrl-C reaches the study, which asks its runs to stop
                )
                self.running.add(process)
            code = process.wait()
        with self.lock:
            self.running.discard(process)
        if not code:
            return None
        return (f"killed by {signal.Signals(-code).name}: " if code < 0 else "") + last_line(output)

    def stop(self):
        """Asks every run to save a checkpoint and end."""
        with self.lock:
            self.stopping = True
            for process in self.running:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()


class Workers:
    """Runs up to `jobs` runs at once.

    Args:
        jobs: int.
    """

    def __init__(self, jobs):
        self.jobs, self.processes = jobs, Processes()
        self.pool = concurrent.futures.ThreadPoolExecutor(jobs)
        self.slots = queue.SimpleQueue()
        for share in shares(jobs):
            self.slots.put(share)

    def submit(self, run, folder):
        """Starts a run when its turn comes; a `Future` of None, or of the last line of a run that failed."""
        return self.pool.submit(self._execute, run, folder)

    def _execute(self, run, folder):
        cores, gpu = share = self.slots.get()
        try:
            if cores:
                os.sched_setaffinity(0, cores)  # of this thread, and so of the process that it starts
            environment = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
            return self.processes.execute(run.stage, run.words, folder, environment)
        finally:
            self.slots.put(share)

    def stop(self):
        """Asks the runs under way to save a checkpoint and end, and waits for that."""
        self.processes.stop()
        self.pool.shutdown(cancel_futures=True)


def shares(jobs):
    """Processors and GPU of each of `jobs` runs at once.

    Returns:
        A list of pairs: a set of processors, None where the system does not divide them or there is one run; and the
        GPU's name in `CUDA_VISIBLE_DEVICES`, None without GPUs or for a run that may see all.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") and jobs > 1 else []
    gpus = visible_gpus() if jobs > 1 else []
    result = []
    for number in range(jobs):
        own = set(cores[number::jobs]) or ({cores[number % len(cores)]} if cores else None)
        result.append((own, gpus[number % len(gpus)] if gpus else None))
    return result


def visible_gpus():
    """Names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU")]
