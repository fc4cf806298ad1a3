"""A planted collapse: do parts of DARTS find other cells where plain DARTS ends with skip connections?

    python3 benchmarks/collapse.py [--preset nb201] [--folder FOLDER] [--seeds 3] [--random 5] [--jobs 2]

Searches on the embedded digits with each strategy and seed, trains every found cell and some random ones alike, and
prints a JSON line per strategy and a table. What is there is not done again, so it may be stopped at any time. The
weights see so few images that they learn them by heart, which makes skip connections look better than they are.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).parent.parent
PRESETS = {
    "nb201": {
        "recipe": "nb201_digits",
        "search": "--nounrolled --layers 2 --train_portion 0.03 --weight_decay 0 --arch_learning_rate 0.03 "
        "--epochs 70 --restrict without_none",
        "random": "--restrict without_none",
    },
    "s2": {
        "recipe": "digits",
        "search": "--nounrolled --restrict s2 --layers 6 --arch_learning_rate 0.1 --train_portion 0.1 --epochs 20",
        "random": "--restrict s2",
    },
}
STRATEGIES = {
    "DARTS": "",
    "DARTS, --penalty beta": "--penalty beta",
    "DARTS, --perturb random": "--perturb random",
    "DARTS, --mixing gumbel": "--mixing gumbel",
    "DARTS, --mixing dirichlet --penalty kl": "--mixing dirichlet --penalty kl",
    "DARTS, --mixing sigmoid --penalty zero_one": "--mixing sigmoid --penalty zero_one",
    "DARTS, --partial_channels 4": "--partial_channels 4",
}
SKIP = "skip_connect"


def command(script, *words):
    """Runs a script of the program; returns what it printed on both streams.

    Raises:
        RuntimeError: if it failed, with its last line.
    """
    done = subprocess.run(
        [sys.executable, str(ROOT / script), *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{script} {' '.join(map(str, words))}: {(done.stderr or done.stdout).splitlines()[-1]}")
    return done.stdout + done.stderr


def search(preset, flags, seed, folder):
    """The genotype that a search finds, its path, and whether it warned of a collapse; kept in `folder`."""
    kept = folder / "found.json"
    if not kept.is_file():
        words = f"--recipe {preset['recipe']} {preset['search']} {flags} --seed {seed}".split()
        printed = command("search_cell.py", *words, "--logdir", folder)
        (path,) = folder.glob("search_arch/*/genotype.json")
        found = {"warned": "is how DARTS collapses" in printed, "path": str(path.relative_to(folder))}
        kept.write_text(json.dumps(found))
    about = json.loads(kept.read_text())
    path = folder / about["path"]
    return json.loads(path.read_text()), path, about["warned"]


def draw(preset, count, folder):
    """Paths of random cells of the same space."""
    if not folder.exists():
        words = f"--recipe {preset['recipe']} --strategy random --samples {count} {preset['random']}".split()
        command("search_cell.py", *words, "--logdir", folder)
    return sorted(folder.glob("search_arch/*/genotype_*.json"))


def accuracy(preset, path, folder):
    """Test accuracy of a trained cell, in percent; kept in `folder`."""
    place = folder / "trained.json"
    if not place.is_file():
        command("train.py", "--recipe", preset["recipe"], "--epochs", 15, "--genotype_file", path, "--logdir", folder)
        (results,) = folder.glob("eval_arch/*/results.json")
        place.write_text(results.read_text())
    return json.loads(place.read_text())["test_accuracy_percent"]


def operations(genotype):
    """What is on the edges of a cell, the normal one where there are two."""
    return [op for op, *_ in genotype["normal"]]


def line(name, cells, accuracies, warned=None):
    """What is printed of some cells: skip connections and other operations of each, and accuracies."""
    skips = [operations(cell).count(SKIP) for cell in cells]
    kinds = collections.Counter(op for cell in cells for op in operations(cell))
    result = {
        "strategy": name,
        "edges": len(operations(cells[0])),
        "skips": skips,
        "operations": dict(kinds.most_common()),
        "accuracy_percent": [round(value, 2) for value in accuracies],
        "mean": round(statistics.mean(accuracies), 2),
        "deviation": round(statistics.stdev(accuracies), 2) if len(accuracies) > 1 else None,
    }
    return result if warned is None else result | {"warned": warned}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", choices=PRESETS, default="nb201")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "logs" / "collapse")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--random", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    preset, folder = PRESETS[args.preset], (args.folder / args.preset).resolve()
    folder.mkdir(parents=True, exist_ok=True)

    def one(name, number, path_of):
        """A cell, its accuracy, and whether its search warned; or the sentence of what failed."""
        place = folder / f"{list(STRATEGIES).index(name) if name in STRATEGIES else 'random'}_{number}"
        cell, path, warned = path_of(place)
        return cell, accuracy(preset, path, place / "training"), warned

    def searched(name, seed):
        return one(name, seed, lambda place: search(preset, STRATEGIES[name], seed, place))

    def drawn(number, path):
        return one("random", number, lambda place: (json.loads(path.read_text()), path, None))

    lines = []
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        jobs = {name: [pool.submit(searched, name, seed) for seed in range(args.seeds)] for name in STRATEGIES}
        paths = draw(preset, args.random, folder / "drawn")
        jobs["random cells"] = [pool.submit(drawn, number, path) for number, path in enumerate(paths)]
        for name, futures in jobs.items():
            cells, accuracies, warned = zip(*(future.result() for future in futures))
            lines.append(line(name, cells, accuracies, None if warned[0] is None else sum(warned)))
            print(json.dumps(lines[-1]), flush=True)
    print("\n| strategy | skip connections | warned | test accuracy |\n|---|---|---|---|")
    for each in lines:
        skips = ", ".join(f"{count} of {each['edges']}" for count in each["skips"])
        warned = f"{each['warned']} of {args.seeds}" if "warned" in each else ""
        print(f"| {each['strategy']} | {skips} | {warned} | {each['mean']} +- {each['deviation']} % |")


if __name__ == "__main__":
    main()
