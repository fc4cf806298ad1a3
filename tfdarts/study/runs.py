"""One run of a study: an ordinary search or training in a folder of its own, and what it has written there."""

import dataclasses
import json
import pathlib

from tfdarts.runs.folder import FOLDERS

RESULTS = {"search": "genotype.json", "train": "results.json"}  # the file that a finished run has


@dataclasses.dataclass(frozen=True)
class Run:
    """A command of a study.

    Attributes:
        name: path of its folder below `runs` of the study's folder.
        stage: `"search"` or `"train"`.
        words: flags of the command, but for `--logdir`.
        kind: what it is for, one of `KINDS`.
    """

    name: str
    stage: str
    words: tuple
    kind: str


KINDS = {"search": "search", "short": "short training", "full": "full training"}


def started(folder, stage):
    """The folder that a run has made for itself, or None.

    Args:
        folder: `pathlib.Path`, the run's logs.
        stage: `"search"` or `"train"`.
    """
    there = [path.parent for path in sorted(folder.glob(f"{FOLDERS[stage]}/*/config.json"))]
    return there[-1] if there else None


def finished(folder, stage):
    """The folder of a run that has ended as it should, or None; arguments as in `started`."""
    place = started(folder, stage)
    return place if place and (place / RESULTS[stage]).is_file() else None


def read_json(path):
    """The content of a JSON file."""
    return json.loads(pathlib.Path(path).read_text())


def own_score(folder):
    """What a search itself says of what it found, the higher the better: its last validation or reward; None for none.

    Args:
        folder: of a finished search.
    """
    lines = (folder / "metrics.jsonl").read_text().splitlines() if (folder / "metrics.jsonl").is_file() else []
    last = json.loads(lines[-1]) if lines else {}
    for name, sign in (("val_perplexity", -1), ("mean_reward", 1), ("val_accuracy", 1)):
        if name in last:
            return sign * last[name]
    return None


def search_seconds(folder):
    """How long a finished search took."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])["seconds"]
