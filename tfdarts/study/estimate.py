"""What a study will take: a step of each kind of run is measured here, and multiplied."""

import statistics
import subprocess
import sys
import time

from tfdarts import api, spaces, strategies, tasks
from tfdarts.runs import environment
from tfdarts.spaces import genotypes
from tfdarts.study.plan import BASELINE, RANDOM
from tfdarts.training import trainer

_STEPS = 3  # that are measured after the first, which traces


def estimate(study, search_settings, jobs):
    """Every run that the study will have, with the seconds and the memory that it is expected to take.

    Args:
        study: `plan.Study`, in which nothing has been run.
        search_settings: dictionary from the name of a strategy that searches to its `Settings`.
        jobs: how many run at once.

    Returns:
        A list of dictionaries `run`, `kind`, `seconds`, `peak_memory_estimate_bytes`; and one for the whole, its
        `seconds` with `jobs` at once.
    """
    plan, start = study.plan, _seconds_to_start()
    lines = []
    for name, settings in search_settings.items():
        seconds, memory = _search(settings)
        lines += [_line(f"{name}/search_{seed}", "search", start + seconds, memory) for seed in range(plan.seeds)]
    (cell, *_) = [cell for owner in study.owners() for cell in study.cells(owner)] or [None]
    if cell:
        genotype = genotypes.load(cell.path, plan.train.space)
    else:
        (genotype,) = api.run_random(plan.search.but(strategy=RANDOM, samples=1))
    epochs = {"short": plan.select_epochs, "full": plan.train.values["epochs"]}
    (short, full), memory = _training(plan.train, genotype, epochs.values())
    for owner in study.owners():
        count = plan.random if owner == BASELINE else plan.seeds
        if plan.select != "best":
            names = (f"{owner}/short_{number}" for number in range(count))
            lines += [_line(name, "short", start + short, memory) for name in names]
        trained = range(count) if owner == BASELINE or plan.select == "all" else ["chosen"]
        names = (f"{owner}/full_{number}_{seed}" for number in trained for seed in range(plan.train_seeds))
        lines += [_line(name, "full", start + full, memory) for name in names]
    largest = sorted((line["peak_memory_estimate_bytes"] for line in lines), reverse=True)[:jobs]
    seconds = sum(line["seconds"] for line in lines) / jobs
    return lines, {
        "runs": len(lines),
        "jobs": jobs,
        "seconds": round(seconds),
        "peak_memory_estimate_bytes": sum(largest),
    }


def _line(name, kind, seconds, memory):
    return {"run": name, "kind": kind, "seconds": round(seconds), "peak_memory_estimate_bytes": memory}


def _seconds_to_start():
    """How long a run's process takes before it does anything."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import tfdarts.cli.train"], check=False, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _search(settings):
    """Seconds and memory of a search, of one in stages those of its first."""
    space = spaces.load(settings.space)
    task, strategy = tasks.load(space.task), strategies.load(settings.strategy)
    data = task.load(**settings.pick(task.load))
    begun = time.perf_counter()
    job = strategy.job(space, data, settings)
    (seconds,) = _seconds(job, time.perf_counter() - begun, [settings.values["epochs"] + job.further_epochs])
    costs = strategy.costs(space, task, data.inputs, settings)
    environment.forget(0)
    return seconds, costs["peak_memory_estimate_bytes"]


def _training(settings, genotype, epochs):
    """Seconds of trainings of a genotype of so many epochs each, a list, and their memory."""
    space = spaces.load(settings.space)
    task = tasks.load(space.task)
    settings = settings.but(**space.options_of(genotype))
    data = task.load(**settings.pick(task.load))
    begun = time.perf_counter()
    job = trainer.job(space, data, genotype, settings)
    seconds = _seconds(job, time.perf_counter() - begun, epochs)
    memory = trainer.costs(space, task, data.inputs, genotype, settings)["peak_memory_estimate_bytes"]
    environment.forget(0)
    return seconds, memory


def _seconds(job, building, epochs):
    """Seconds of a job of so many epochs, for each number of them: one batch is trained and tested often enough."""
    job.model.make_train_function()
    first, step = _times(job.model.train_function, iter(job.batches(0)))
    traced, test = (0.0, 0.0)
    if job.validation is not None:
        job.model.make_test_function()
        traced, test = _times(job.model.test_function, iter(job.validation.repeat()))
        test *= int(job.validation.cardinality())
    return [building + first + traced + number * (job.steps * step + test) for number in epochs]


def _times(function, batches):
    """Seconds of the first call of a step, and the median of further ones."""
    times = []
    for _ in range(1 + _STEPS):
        begun = time.perf_counter()
        function(batches)
        times.append(time.perf_counter() - begun)
    return times[0], statistics.median(times[1:])
