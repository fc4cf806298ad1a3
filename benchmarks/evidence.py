"""Does a search find better cells than chance? A study on CIFAR-10's pixels, written as docs/evidence.md.

    python3 benchmarks/evidence.py --preset small --data_dir FOLDER [--folder logs/evidence] [--jobs 2]

It may be stopped at any time, and started again; `--report` only writes the page, of what there is. The runs that are
done are in docs/evidence_<preset>.json, so that another machine goes on where one stopped. `--data_dir` holds CIFAR-10
as TensorFlow Datasets prepares it; without it the whole set is downloaded.
"""

import argparse
import json
import pathlib
import platform
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

INTRODUCTION = """# Is what a search finds better than chance?

Written by `benchmarks/evidence.py --preset {preset}`, which anyone can run again and which goes on where it was
stopped; the figures behind it are in `evidence_{preset}.json`. It is this study, on 10,000 training images of CIFAR-10,
scaled to 16x16 pixels, tested on 2,000:

```
{command}
```

{runs} runs are done. Machine: {machine}.

The search is far smaller than the paper's (4 channels, 5 cells and 10 epochs instead of 16, 8 and 50), and so is the
training (8 channels, 5 cells, 10 epochs instead of 36, 20, 600): what holds here need not hold there. Each cell found
is trained, none is chosen; its accuracy is the mean of its trainings. The interval is Welch's, for the difference of
the means over cells. Best of k: the expected best of as many random cells as could have been trained in the time of
one search and one training, chosen by their test accuracy, which favours them.
"""

PRESETS = {
    "small": {
        "strategies": [
            "darts --nounrolled",
            "darts --unrolled",
            "darts --nounrolled --partial_channels 2 --edge_normalization",
            "darts --nounrolled --perturb random",
        ],
        "flags": "--dataset cifar10 --image_size 16 --seeds 4 --select all --select_epochs 2 --train_seeds 2 "
        "--random 16",
        "search_flags": "--init_channels 4 --layers 5 --epochs 10 --arch_learning_rate 0.003",
        "train_flags": "--init_channels 8 --layers 5 --epochs 10 --batch_size 64 --noauxiliary --nocutout "
        "--drop_path_prob 0",
    },
}


def words(preset, args):
    """The command of the study, without what goes on with one."""
    result = [*shlex.split(preset["flags"]), "--search_flags", preset["search_flags"]]
    result += ["--train_flags", preset["train_flags"]]
    for strategy in preset["strategies"]:
        result += ["--strategies", strategy]
    return result + (["--data_dir", args.data_dir] if args.data_dir else [])


def write(args, preset, folder):
    """Writes docs/evidence.md: the question, what was run, the table, and what it says."""
    from tfdarts.cli import study as command
    from tfdarts.study import table
    from tfdarts.study.plan import Study

    values = command.define()
    values(["study.py", "--resume", str(folder)])
    command.restore(values, folder)
    study = Study(command.plan_of(values)[0], folder)
    saved = json.loads((folder / "study.json").read_text()).get("result", {})
    result = table.table(study, saved.get("failed", {}))
    shown = shlex.join(["python3", "study.py", *words(preset, argparse.Namespace(data_dir=None))])
    lines = [
        INTRODUCTION.format(command=shown, preset=args.preset, machine=args.machine, runs=done(study)),
        "| strategy | cells | test accuracy | difference to random | 95 % interval | ranks among random | best of k |",
        "|---|---|---|---|---|---|---|",
        *map(row, result["strategies"]),
        "| random cells | {cells} | {mean:.2f} +- {deviation:.2f} % | | | | |".format(**result["random"]),
        "",
        *(f"* {line['label']}: {sentence(line)}" for line in result["strategies"]),
        *(f"* {said}" for said in (*choices(result), *correlations(result))),
    ]
    (ROOT / "docs" / "evidence.md").write_text("\n".join(lines) + "\n")
    kept = {"command": shown, "machine": args.machine, "result": result, "files": dict(packed(study))}
    record(args.preset).write_text(json.dumps(kept, indent=1) + "\n")


def record(preset):
    """The file in the repository that holds a preset's figures and finished runs."""
    return ROOT / "docs" / f"evidence_{preset}.json"


def packed(study):
    """What a study needs to know of its finished runs: pairs of a file's name and its text."""
    for path in sorted((study.folder / "cells").glob("*.json")):
        yield str(path.relative_to(study.folder)), path.read_text()
    for place in filter(None, map(study.finished, study.runs())):
        config = json.loads((place / "config.json").read_text())
        known = {name: config.get(name) for name in ("stage", "seed", "versions")}
        yield str((place / "config.json").relative_to(study.folder)), json.dumps(known)
        for name in ("genotype.json", "results.json", "latency.json"):
            if (place / name).is_file():
                yield str((place / name).relative_to(study.folder)), (place / name).read_text()
        last = (place / "metrics.jsonl").read_text().splitlines()[-1]
        yield str((place / "metrics.jsonl").relative_to(study.folder)), last + "\n"


def unpack(preset, logs, command):
    """Makes a study's folder with the runs that an earlier machine finished; returns whether there were any."""
    kept = json.loads(record(preset).read_text()) if record(preset).is_file() else {"files": {}}
    if not kept["files"]:
        return False
    from tfdarts.cli import study as commands
    from tfdarts.study import record as records

    values = commands.define()
    values(["study.py", *command])
    folder = records.start(logs, commands.options(values))
    for name, text in kept["files"].items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return True


def done(study):
    """How much of the study is finished, in words."""
    there = [run for run in study.runs() if study.finished(run)]
    return f"{len(there)} of {sum(study.plan.expected.values())}"


def row(line):
    """A strategy's row of the table."""
    if "mean" not in line:
        return f"| {line['label']} | 0 | | | | | |"
    if len(line["trained"]) == 1:  # its deviation is that of trainings, which says nothing of other cells
        return f"| {line['label']} | 1 | {line['mean']:.2f} % | {line['difference']:+.2f} | | | |"
    low, high = line["interval"] or (float("nan"), float("nan"))
    best = line["best_of"]
    deviation = "" if line["deviation"] is None else f" +- {line['deviation']:.2f}"
    return (
        f"| {line['label']} | {len(line['trained'])} | {line['mean']:.2f}{deviation} % | {line['difference']:+.2f} | "
        f"{low:+.2f} to {high:+.2f} | {', '.join(map(str, line['ranks']))} of {best['there'] + 1} | "
        f"{best['mean']:.2f} % (k = {best['count']}) |"
    )


def sentence(line):
    """What a row says."""
    if "mean" not in line:
        return "no cell was trained yet."
    if len(line["trained"]) == 1:
        return "one cell so far, from which nothing follows."
    low, high = line["interval"] or (-1.0, 1.0)
    verdict = "better than" if low > 0 else "worse than" if high < 0 else "not told apart from"
    apart = "" if line["deviations"] is None else f", {line['deviations']:+.1f} deviations of the random cells"
    above = "above" if line["mean"] > line["best_of"]["mean"] else "not above"
    return (
        f"{verdict} the mean random cell ({line['difference']:+.2f} points{apart}); its mean is {above} the best of "
        f"{line['best_of']['count']} random cells, which take as much time as a search and a training."
    )


def choices(result):
    """What the short training would choose of a strategy's cells, and of the random ones, in sentences."""
    from tfdarts.study import table
    from tfdarts.study.plan import BASELINE

    trained, said = {}, []
    for cell in result["cells"]:
        if cell["full"]:
            trained.setdefault(cell["owner"], {})[cell["number"]] = cell
    for owner, label in [*((line["name"], line["label"]) for line in result["strategies"]), (BASELINE, "random cells")]:
        cells = trained.get(owner, {})
        chosen = table.best(cells.values(), "short")
        if chosen is not None:
            said.append(f"{label} {cells[chosen]['mean']:.2f} % (of {len(cells)})")
    if said:
        yield f"Test accuracy of the cell that the short training, on validation images, chooses: {'; '.join(said)}."
    if random := [cell["mean"] for cell in trained.get(BASELINE, {}).values()]:
        yield f"Test accuracy of the best random cell: {max(random):.2f} %; of the worst: {min(random):.2f} %."


def correlations(result):
    """Kendall's tau of what one could choose by, in sentences."""
    for name, what in (("short", "the short training"), ("own", "the search's own validation accuracy")):
        found = result["correlation"][name]
        if found:
            tau, pairs, p = found["tau"], found["pairs"], found["p"]
            yield f"Kendall's tau of {what} with the full training: {tau:.2f} over {pairs} cells (p = {p:.2g})."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--data_dir")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "logs" / "evidence")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="write the page of what there is, and run nothing")
    parser.add_argument("--machine", default=f"{platform.machine()}, no GPU", help="what the page says it ran on")
    args = parser.parse_args()
    preset, logs = PRESETS[args.preset], args.folder / args.preset
    begun = sorted(logs.glob("study/*/study.json"))
    if not begun and unpack(args.preset, logs, words(preset, args)):
        begun = sorted(logs.glob("study/*/study.json"))
    command = [sys.executable, "study.py", "--jobs", str(args.jobs)]
    command += ["--resume", str(begun[-1].parent)] if begun else [*words(preset, args), "--logdir", str(logs)]
    code = 0 if args.report else subprocess.run(command, cwd=ROOT, check=False).returncode
    (path, *_) = reversed(sorted(logs.glob("study/*/study.json")))
    write(args, preset, path.parent)
    sys.exit(code)


if __name__ == "__main__":
    main()
