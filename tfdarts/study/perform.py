"""Performs a study: starts what can be started, until nothing is left."""

import concurrent.futures
import signal

from tfdarts.runs.signals import first_caught


class Interrupted(BaseException):
    """A signal asked the study to stop; `number` is the signal's."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


def _interrupt(number):
    raise Interrupted(number)


def perform(study, workers, progress):
    """Runs all runs of a study that have not ended yet.

    Args:
        study: `plan.Study`.
        workers: `local.Workers` or `cluster.Workers`.
        progress: `progress.Progress`.

    Returns:
        A dictionary from the name of a run that failed to the last line that it printed.

    Raises:
        Interrupted: after SIGTERM or SIGINT, when all runs under way have saved a checkpoint.
    """
    failed, running = {}, {}
    progress.begin(run for run in study.runs() if study.finished(run))
    with first_caught(_interrupt):
        try:
            while True:
                busy = {run.name for run in running.values()}
                for run in study.runs(failed):
                    if len(running) == workers.jobs:
                        break
                    if not (run.name in failed or run.name in busy or study.finished(run)):
                        running[workers.submit(run, study.place(run))] = run
                        progress.started(run)
                if not running:
                    return failed
                done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    run = running.pop(future)
                    lost = future.exception()  # a worker that died more often than it is started again
                    error = str(lost).strip().splitlines()[0] if lost else future.result()
                    if error is None and not study.finished(run):
                        error = "it ended without a result"
                    if error is not None:
                        failed[run.name] = error
                    progress.ended(run, failed.get(run.name))
        except BaseException:
            workers.stop()
            raise
