"""Compares search steps under each part of DARTS with the plain step: time and memory.

    python3 benchmarks/search_parts.py [--parts gumbel ...] [--rounds 2] [--batch_size 16]

Each measurement has a process of its own (`search_step.py`), and the parts take turns with the plain step. Prints what
each process prints, then one JSON line per part with its ratios to the plain step, as [median, smallest, largest]:

* time: of the median step.
* memory: of the peak that the system counts.
* above_import, above_trace: of that peak above what the process held once TensorFlow was imported, once the step was
  traced.
* of_images: of that peak above the peak with a single image; what stays is the maps of all other images.
"""

import argparse
import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from benchmarks import measure

PLAIN = "plain"
PARTS = {
    "partial_channels": ["--partial_channels", "4"],
    "gumbel": ["--mixing", "gumbel"],
    "sigmoid": ["--mixing", "sigmoid"],
    "dirichlet": ["--mixing", "dirichlet"],
    "random": ["--perturb", "random"],
    "adversarial": ["--perturb", "adversarial"],
}


def step(part, args, batch_size):
    """The line of a process that runs steps of `search_step.py` under a part."""
    command = [sys.executable, str(HERE / "search_step.py"), "--here", *PARTS.get(part, [])]
    for name in ("only", "init_channels", "layers", "steps"):
        command += [f"--{name}", str(getattr(args, name))]
    return measure.run([*command, "--batch_size", str(batch_size)])


def ratios(line, plain, one_image):
    """What a part's line is to the plain one's, by name; `one_image` has the peaks of both with a single image."""
    peaks = [each["peak_rss_bytes"] for each in (line, plain)]
    held = {"memory": (0, 0), "of_images": one_image}
    for point in ("imported", "traced"):
        name = {"imported": "above_import", "traced": "above_trace"}[point]
        held[name] = tuple(each[f"{point}_rss_bytes"] for each in (line, plain))
    result = {name: (peaks[0] - one) / (peaks[1] - two) for name, (one, two) in held.items()}
    return {"time": line["median_seconds"] / plain["median_seconds"]} | result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--only", default="first_order", help="kind of step, as in `search_step.py`")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--init_channels", type=int, default=16)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    names = [PLAIN, *args.parts]
    single = {name: step(name, args, 1)["peak_rss_bytes"] for name in names}
    rounds = [{name: step(name, args, args.batch_size) for name in names} for _ in range(args.rounds)]
    for name in args.parts:
        found = [ratios(lines[name], lines[PLAIN], (single[name], single[PLAIN])) for lines in rounds]
        columns = {key: [each[key] for each in found] for key in found[0]}
        summary = {key: [round(f(values), 2) for f in (statistics.median, min, max)] for key, values in columns.items()}
        print(json.dumps({"part": name, "batch_size": args.batch_size, **summary}), flush=True)


if __name__ == "__main__":
    main()
