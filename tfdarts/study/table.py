"""What came out of a study, as one dictionary: `study.json` holds it, and the page shows it."""

import json
import statistics

import tensorflow as tf

from tfdarts import spaces, tasks
from tfdarts.export.check import latency
from tfdarts.runs import environment
from tfdarts.saving import load_model
from tfdarts.study import runs
from tfdarts.study import statistics as figures
from tfdarts.study.plan import BASELINE, SCORES

COSTS = ("parameters", "multiply_adds", "latency_ms")


def measure_latencies(study):
    """Measures what each trained cell's network takes for one image, and keeps it beside its first training.

    Nothing else should run meanwhile. Of networks that take text nothing is measured.

    Args:
        study: `plan.Study`.
    """
    settings = study.plan.train
    space = spaces.load(settings.space)
    task = tasks.load(space.task)
    if space.task != "images":
        return
    shape = None
    for place in trained_places(study):
        kept = place / "latency.json"
        if kept.is_file():
            continue
        shape = shape or task.known_inputs(**settings.pick(task.known_inputs)).shape
        network = load_model(place / "model.keras", space=settings.space)
        kept.write_text(json.dumps({"latency_ms": _latency(network, tf.zeros((1, *shape)))}))
        environment.forget(0)


def _latency(network, image):
    """Median milliseconds of a call on one image, as a compiled function, on all processors that TensorFlow has."""
    call = tf.function(lambda images: network(images, training=False), autograph=False, jit_compile=False)
    return latency(lambda: call(image).numpy())


def trained_places(study):
    """The folder of the first training that has ended of each cell."""
    for owner in study.owners():
        for cell in study.cells(owner):
            places = (study.finished(study.full(cell, seed)) for seed in range(study.plan.train_seeds))
            place = next(filter(None, places), None)
            if place:
                yield place


def table(study, failed):
    """What came out of a study so far.

    Args:
        study: `plan.Study`.
        failed: dictionary from the name of a run that failed to its last line.

    Returns:
        A dictionary of JSON values: `score` (what is compared), `higher_is_better`, `strategies`, `random`, `cells`,
        `correlation` (Kendall's tau with the full trainings), `failed`.
    """
    score, _, higher = SCORES[study.plan.task]
    cells = {owner: [_cell(study, cell) for cell in study.cells(owner)] for owner in study.owners()}
    everything = [cell for own in cells.values() for cell in own]
    others = [cell["mean"] for cell in cells[BASELINE] if cell["full"]]
    seconds = [time for cell in everything for time in cell["seconds"]]
    return {
        "score": score,
        "higher_is_better": higher,
        "strategies": [
            _strategy(study, strategy, cells[strategy.name], others, seconds, failed)
            for strategy in study.plan.strategies
        ],
        "random": {"cells": len(others)} | (figures.summary(others) if others else {}),
        "cells": everything,
        "correlation": {
            name: figures.kendall([(cell[name], _signed(cell["mean"], higher)) for cell in _both(everything, name)])
            for name in ("short", "own")
        },
        "failed": failed,
    }


def _signed(value, higher):
    return value if higher else -value


def _both(cells, name):
    return [cell for cell in cells if cell["full"] and cell[name] is not None]


def _cell(study, cell):
    """What is known of one cell."""
    score, _, _ = SCORES[study.plan.task]
    places = [study.finished(study.full(cell, seed)) for seed in range(study.plan.train_seeds)]
    results = [runs.read_json(place / "results.json") for place in places if place]
    full = [result[score] for result in results]
    kept = [place / "latency.json" for place in places if place and (place / "latency.json").is_file()]
    costs = (results[0] if results else {}) | (runs.read_json(kept[0]) if kept else {})
    own = study.own_score(cell)
    return {
        "name": cell.name,
        "owner": cell.owner,
        "number": cell.number,
        "path": str(cell.path.relative_to(study.folder)),
        "own": own,
        "short": study.short_score(cell) if study.plan.select != "best" else None,
        "full": full,
        "mean": statistics.fmean(full) if full else None,
        "seconds": [result["seconds"] for result in results],
    } | {name: costs.get(name) for name in COSTS}


def _strategy(study, strategy, cells, others, training_seconds, failed):
    """A strategy's line: what its chosen cells reached, beside the random ones."""
    plan, (_, _, higher) = study.plan, SCORES[study.plan.task]
    searches = [] if strategy.drawn else [study.search(strategy, seed) for seed in range(plan.seeds)]
    places = [place for place in map(study.finished, searches) if place]
    seconds = [runs.search_seconds(place) for place in places]
    line = {
        "label": strategy.label,
        "name": strategy.name,
        "searches": plan.seeds if strategy.drawn else len(places),
        "failed_searches": sum(run.name in failed for run in searches),
        "search_seconds": statistics.fmean(seconds) if seconds else 0.0,
        "chosen_by_short": best(cells, "short"),
        "chosen_by_own": best(cells, "own"),
        "trained": [cell["number"] for cell in cells if cell["full"]],
    }
    trained = [cell for cell in cells if cell["full"]]
    if not trained:
        return line
    # Of several cells each counts once; of a single one its trainings do, and what follows is about that cell.
    values = [cell["mean"] for cell in trained] if len(trained) > 1 else trained[0]["full"]
    line |= {"counted": "cells" if len(trained) > 1 else "trainings of one cell"} | figures.summary(values)
    line |= {name: statistics.fmean(known) for name in COSTS if (known := _known(trained, name))}
    if others:
        line |= figures.difference(values, others)
        line["ranks"] = [figures.rank(cell["mean"], others, higher) for cell in trained]
        spent = line["search_seconds"] * (1 if len(trained) > 1 else line["searches"])
        count = 1 + int(spent / statistics.fmean(training_seconds))
        line["best_of"] = {"count": count, "mean": figures.best_of(count, others, higher), "there": len(others)}
    return line


def _known(cells, name):
    return [cell[name] for cell in cells if cell[name] is not None]


def best(cells, name):
    """The number of the cell that is best by a score; None where there is none."""
    scored = [cell for cell in cells if cell[name] is not None]
    return max(scored, key=lambda cell: cell[name])["number"] if scored else None
