"""Runs of a study on Ray: on this machine, or on all machines of a cluster, each with its processors and GPUs.

A run whose machine or worker dies is started again on another, and goes on from its last checkpoint. What runs write
lies where all machines reach it: in the study's folder, if that is on a shared disk, or in a storage that `fsspec`
opens (`s3://...`, `gs://...`), to which each worker copies its run while it runs.
"""

import concurrent.futures
import os
import pathlib
import socket

import ray

from tfdarts.errors import UserError
from tfdarts.study import local, worker

_RESTARTS = 5  # of a run whose worker dies


class Workers:
    """Starts runs as tasks of Ray.

    Args:
        address: of a cluster, `"auto"` or `"HOST:PORT"`; None to start Ray on this machine.
        cpus, gpus: what a run takes, numbers as Ray has them; CPUs above 0.
        folder: `pathlib.Path` of the study.
        storage: URL of a folder that `fsspec` opens, in which the runs lie; None if all machines reach `folder`.

    Raises:
        UserError: if there is no such cluster, or none of its machines has what a run takes.
    """

    def __init__(self, address, cpus, gpus, folder, storage=None):
        for module in (local, worker):  # a Ray worker then imports neither this program nor TensorFlow
            ray.cloudpickle.register_pickle_by_value(module)
        try:
            if address not in (None, "auto"):  # Ray itself would try for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=10).close()
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except (OSError, OverflowError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"no Ray cluster answers at --ray_address {address} ({reason}); give HOST:PORT") from None
        self.cpus, self.gpus, self.folder, self.storage = cpus, gpus, folder.resolve(), storage
        if self.jobs == 1:
            ray.shutdown()
            raise UserError(f"no machine of the cluster has {cpus:g} CPUs and {gpus:g} GPUs for a run; ask for fewer")
        self.task = ray.remote(max_retries=_RESTARTS, num_cpus=cpus, num_gpus=gpus)(worker.work)
        self.references = []
        if storage:
            worker.push(storage, "cells", self.folder)

    @property
    def jobs(self):
        """How many runs to start at once: as many as the machines that are there hold, and one more, which tells a
        cluster that can grow that it should.
        """
        there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        slots = (min(node.get(name, 0) // most for name, most in wanted.items() if most) for node in there)
        return int(sum(slots)) + 1

    def submit(self, run, folder):
        """Starts a run when its turn comes; a `Future` of None, or of the last line of a run that failed."""
        name, words = folder.resolve().relative_to(self.folder).as_posix(), run.words
        if self.storage:
            words = [word.replace(f"{self.folder}/", worker.PLACE) for word in words]
        path = [str(pathlib.Path(__file__).parents[2]), os.getcwd()]
        reference = self.task.remote(run.stage, words, name, str(self.folder), self.storage, path)
        self.references.append(reference)
        if not self.storage:
            return reference.future()
        return _then(reference.future(), lambda: worker.pull(self.storage, name, self.folder))

    def stop(self):
        """Asks the runs under way to save a checkpoint and end, and waits for that."""
        for reference in self.references:
            ray.cancel(reference)
        ray.wait(self.references, num_returns=len(self.references), timeout=60)
        ray.shutdown()


def _then(future, action):
    """A future with the result of another one, done when `action` has been called after it."""
    result = concurrent.futures.Future()

    def finish(done):
        try:
            value = done.result()
            action()
            result.set_result(value)
        except Exception as error:
            result.set_exception(error)

    future.add_done_callback(finish)
    return result
