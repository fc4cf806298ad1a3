"""Studies that are small enough for tests."""

import json

TINY = "--layers 1 --init_channels 2 --epochs 1"
SIZE = ["--recipe", "digits", "--search_flags", f"{TINY} --nodes 1 --multiplier 1", "--train_flags", TINY]
# One search and four trainings.
WHOLE = [*SIZE, "--seeds", "1", "--random", "1", "--train_seeds", "1", "--select", "all", "--select_epochs", "1"]
WHOLE += ["--strategies", "darts --nounrolled"]


def result_of(logs):
    """The table of the study in a folder of logs, without what time and place change."""
    (path,) = logs.glob("study/*/study.json")
    result = json.loads(path.read_text())["result"]
    assert len(result["cells"]) == 2 and not result["failed"]
    for line in result["strategies"]:
        for name in ("search_seconds", "best_of", "latency_ms"):
            del line[name]
    for cell in result["cells"]:
        del cell["seconds"], cell["latency_ms"], cell["path"]
    return result
