"""Compares strategies over many seeds: `tfdarts study --recipe digits --strategies darts,random --seeds 4`.

Searches with each strategy and seed, chooses a cell of each by short trainings, trains what was chosen and random cells
of the same space fully, and writes a page with a table that says how much better than random cells it is. The folder
`logs/study/<time>/` holds it all: ordinary runs, `study.json`, `study.html`.
"""

import json
import pathlib
import shlex
import sys
import tempfile

from absl import flags

from tfdarts import spaces
from tfdarts.cli import flags as cli
from tfdarts.cli.plans import DATA, given, plan_of, words_of
from tfdarts.errors import UserError
from tfdarts.runs import environment
from tfdarts.study import local, record
from tfdarts.study import plan as plans
from tfdarts.study.estimate import estimate
from tfdarts.study.page import page
from tfdarts.study.perform import Interrupted, perform
from tfdarts.study.progress import Progress
from tfdarts.study.table import measure_latencies, table

_MACHINES = ("jobs", "ray", "ray_address", "cpus", "gpus", "storage")  # flags that a resumed study may have anew


def main():
    """The command `tfdarts study`, and `study.py`."""
    cli.run(study, define())


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    own = {"flag_values": values}
    text = "recipe of the searches by a strategy's name, and of all trainings; default: the space's first"
    flags.DEFINE_string("recipe", None, text, **own)
    flags.DEFINE_string("space", None, "what is searched, as in the command search; default: the recipe's", **own)
    text = (
        "what is compared, separated by commas: darts, enas, random_ws, random (cells drawn at random), or the name of "
        "a recipe; each may be followed by flags of the command search, and the whole then is quoted: "
        '"darts --unrolled, darts --partial_channels 4"'
    )
    flags.DEFINE_multi_string("strategies", ["darts,random"], text, **own)
    flags.DEFINE_integer("seeds", 4, "searches of each strategy", lower_bound=1, **own)
    text = (
        "how the cell of a strategy is chosen that is trained fully: short (by a short training of each, on images "
        "held out from the training images), best (by the search's own validation), or all (no choice)"
    )
    flags.DEFINE_enum("select", "short", ["short", "best", "all"], text, **own)
    flags.DEFINE_integer("select_epochs", 3, "epochs of a short training", lower_bound=1, **own)
    text = "share of the training images that a short training is scored on and not trained on"
    flags.DEFINE_float("hold_out", 0.2, text, **own)
    flags.DEFINE_integer("train_seeds", 3, "full trainings of each cell", lower_bound=1, **own)
    flags.DEFINE_integer("random", 8, "random cells that all are compared with", lower_bound=0, **own)
    text = "what a cell's network may have at most: parameters<=100000,multiply_adds<=2e6, or one of the two"
    flags.DEFINE_string("budget", "", text, **own)
    flags.DEFINE_string("search_flags", "", "further flags of all searches, quoted", **own)
    flags.DEFINE_string("train_flags", "", "further flags of all trainings, quoted", **own)
    for name in DATA:
        flags.DEFINE_string(name, None, "as in the commands search and train", **own)
    flags.DEFINE_integer("jobs", 1, "runs at once on this machine, each with its share of processors", 1, **own)
    flags.DEFINE_bool("ray", False, "run on Ray, started on this machine (pip install tfdarts[ray])", **own)
    text = "run on a Ray cluster: auto for the one that this machine belongs to, or HOST:PORT"
    flags.DEFINE_string("ray_address", None, text, **own)
    flags.DEFINE_float("cpus", 1.0, "with Ray: processors of a run", 0.0, **own)
    flags.DEFINE_float("gpus", 0.0, "with Ray: GPUs of a run, also a part of one: 0.25", 0.0, **own)
    text = (
        "with Ray: where runs lie that all machines reach, a URL that fsspec opens (s3://..., gs://...); default: the "
        "study's folder, which then has to be on a shared disk (--logdir)"
    )
    flags.DEFINE_string("storage", None, text, **own)
    flags.DEFINE_string("logdir", "logs", "folder of all runs", **own)
    flags.DEFINE_string("resume", None, "folder of a study to go on with, under its own options", **own)
    flags.DEFINE_bool("dry_run", False, "print every run with its estimated seconds and memory, and stop", **own)
    return values


def study(values, _):
    """Performs the study that the flags describe, or goes on with one."""
    if values.resume is not None:
        if given(values, "logdir"):
            raise UserError("--resume goes on in the study's own folder; leave out --logdir")
        restore(values, pathlib.Path(values.resume))
    if values.dry_run and (values.ray or values.ray_address):
        raise UserError("--dry_run measures on this machine; leave out --ray, and give --jobs for how many run at once")
    plan, searches = plan_of(values)
    environment.configure()
    if values.dry_run:
        return dry_run(plan, searches, values.jobs)
    folder = pathlib.Path(values.resume or record.start(values.logdir, options(values))).resolve()
    there = plans.Study(plan, folder)
    print(f"study of {sum(plan.expected.values())} runs in {folder}", flush=True)
    try:
        workers = workers_of(values, folder)
        with Progress(plan.expected, workers.jobs) as progress:
            failed = perform(there, workers, progress)
    except Interrupted as stop:
        print(f"stopped by {stop}; go on by: {cli.program()} --resume {folder}", file=sys.stderr)
        sys.exit(128 + stop.number)
    measure_latencies(there)
    result = table(there, failed)
    record.save(folder, {"result": result})
    (folder / "study.html").write_text(page(there, result, going_on(values, there, result)), encoding="utf-8")
    print(summary(result))
    print(folder / "study.html")


def options(values):
    """What a study remembers of its flags: all that decides what it does, and not where."""
    own = values.flags_by_module_dict()[sys.modules[__name__].__name__]
    return {flag.name: flag.value for flag in own if flag.name not in ("resume", "dry_run", "logdir", *_MACHINES)}


def restore(values, folder):
    """Sets the flags to those of the study in a folder.

    Raises:
        UserError: if there is none, or other flags were given that decide what it does.
    """
    for name, value in record.options_of(folder).items():
        if name not in values:
            raise UserError(f"{folder} was written by another version of tfdarts; start a new study")
        if given(values, name) and values[name].value != value:
            raise UserError(f"--resume goes on with the study's own options; leave out --{name}, or start a new study")
        values[name].value = value


def workers_of(values, folder):
    """Who runs the study's runs: processes of this machine, or Ray.

    Raises:
        UserError: if Ray is asked for and cannot be had, or flags of Ray are given without it.
    """
    if not (values.ray or values.ray_address):
        foreign = [name for name in ("cpus", "gpus", "storage") if given(values, name)]
        if foreign:
            raise UserError(f"--{foreign[0]} goes with --ray or --ray_address; on one machine there is --jobs")
        return local.Workers(values.jobs)
    if given(values, "jobs"):
        raise UserError("--jobs is for one machine without Ray; Ray runs as many at once as --cpus and --gpus allow")
    if values.cpus <= 0:
        raise UserError("--cpus must be above 0")
    try:
        from tfdarts.study import cluster
    except ImportError:
        raise UserError("--ray needs Ray: pip install 'tfdarts[ray]', or pip install ray in a clone") from None
    return cluster.Workers(values.ray_address, values.cpus, values.gpus, folder, values.storage)


def dry_run(plan, searches, jobs):
    """Prints every run as a line of JSON, and the whole."""
    with tempfile.TemporaryDirectory() as folder:
        lines, whole = estimate(plans.Study(plan, pathlib.Path(folder)), searches, jobs)
    for line in [*lines, whole]:
        print(json.dumps(line))


def summary(result):
    """The table of strategies as text."""
    lines = [f"{result['score'].replace('_', ' ')}, difference to the mean of {result['random']['cells']} random cells"]
    for line in result["strategies"]:
        if "mean" not in line:
            lines.append(f"  {line['label']}: no result")
            continue
        low, high = line.get("interval") or (None, None)
        interval = "" if low is None else f" (95 %: {low:+.2f} to {high:+.2f})"
        apart = f", {line['difference']:+.2f}{interval}" if "difference" in line else ""
        lines.append(f"  {line['label']}: {line['mean']:.2f}, n = {line['runs']} {line['counted']}{apart}")
    lines += [f"  failed: {name}: {reason}" for name, reason in result["failed"].items()]
    return "\n".join(lines)


def going_on(values, there, result):
    """Commands to go on with, each with what it is for."""
    commands = []
    cells = [cell for cell in result["cells"] if cell["full"] and cell["owner"] != plans.BASELINE]
    if cells:
        best = (max if result["higher_is_better"] else min)(cells, key=lambda cell: cell["mean"])
        plan, space = there.plan, spaces.load(there.plan.train.space)
        words = ["python3", "train.py", *words_of("space", space.name)]
        source = "dataset" if plan.task == "images" else "data"
        for name in (source, "data_dir", "image_size"):
            value = plan.train.values.get(name)
            words += [f"--{name}", str(value)] if value else []
        path = there.folder / best["path"]
        command = shlex.join([*words, "--genotype_file", str(path)])
        commands.append(("train the best of the found cells at its paper's size", command))
    resume = f"python3 study.py --resume {shlex.quote(str(there.folder))}"
    commands.append(("go on with this study, or try again what failed", resume))
    return commands
