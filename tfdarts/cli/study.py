"""Compares strategies over many seeds: `tfdarts study --recipe digits --strategies darts,random --seeds 4`.

Searches with each strategy and seed, chooses a cell of each by short trainings, trains what was chosen and random cells
of the same space fully, and writes a page with a table that says how much better than random cells it is. The folder
`logs/study/<time>/` holds it all: ordinary runs, `study.json`, `study.html`.
"""

import dataclasses
import datetime
import json
import pathlib
import re
import shlex
import sys
import tempfile

from absl import flags

from tfdarts import recipes, spaces, strategies
from tfdarts.cli import flags as cli
from tfdarts.cli import search, train
from tfdarts.errors import UserError
from tfdarts.runs import environment
from tfdarts.study import plan as plans
from tfdarts.study.estimate import estimate
from tfdarts.study.local import Workers
from tfdarts.study.page import page
from tfdarts.study.perform import Interrupted, perform
from tfdarts.study.progress import Progress
from tfdarts.study.table import measure_latencies, table
from tfdarts.version import __version__

FORMAT = 1  # of `study.json`
_DATA = ("dataset", "data", "data_dir", "image_size")  # options of data, which searches and trainings share
_MACHINES = ("jobs",)  # flags that a resumed study may have anew


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
    for name in _DATA:
        flags.DEFINE_string(name, None, "as in the commands search and train", **own)
    flags.DEFINE_integer("jobs", 1, "runs at once on this machine, each with its share of processors", 1, **own)
    flags.DEFINE_string("logdir", "logs", "folder of all runs", **own)
    flags.DEFINE_string("resume", None, "folder of a study to go on with, under its own options", **own)
    flags.DEFINE_bool("dry_run", False, "print every run with its estimated seconds and memory, and stop", **own)
    return values


def study(values, _):
    """Performs the study that the flags describe, or goes on with one."""
    folder = None
    if values.resume is not None:
        folder = pathlib.Path(values.resume)
        restore(values, folder)
    plan, searches = plan_of(values)
    environment.configure()
    if values.dry_run:
        return dry_run(plan, searches, values.jobs)
    folder = folder or start(values)
    there = plans.Study(plan, folder)
    print(f"study of {sum(plan.expected.values())} runs in {folder}", flush=True)
    try:
        with Progress(plan.expected, values.jobs) as progress:
            failed = perform(there, Workers(values.jobs), progress)
    except Interrupted as stop:
        print(f"stopped by {stop}; go on by: {cli.program()} --resume {folder}", file=sys.stderr)
        sys.exit(128 + stop.number)
    measure_latencies(there)
    result = table(there, failed)
    save(folder, {"result": result})
    (folder / "study.html").write_text(page(there, result, going_on(values, there, result)), encoding="utf-8")
    print(summary(result))
    print(folder / "study.html")


def plan_of(values):
    """The plan that the flags describe, and the settings of each strategy that searches, by its name.

    Raises:
        UserError: for flags that a search or a training would refuse, before anything is run.
    """
    base = [*_words("recipe", values.recipe), *_words("space", values.space)]
    data = [word for name in _DATA for word in _words(name, values[name].value)]
    shared = [*data, *shlex.split(values.search_flags)]
    found, searches = [], {}
    for label in strategies_of(values.strategies):
        first, *own = shlex.split(label)
        words = ["--recipe", first] if first in recipes.RECIPES else [*base, "--strategy", first]
        words = (*words, *shared, *own)
        name = re.sub(r"\W+", "_", label).strip("_")
        name += f"_{len(found)}" if name in (plans.BASELINE, *(each.name for each in found)) else ""
        if first == plans.RANDOM and own:
            raise UserError(f"{label!r}: random cells are drawn as --search_flags say, and have no flags of their own")
        found.append(plans.Strategy(label, name, () if first == plans.RANDOM else words))
        if first != plans.RANDOM:
            searches[name] = settings_of(search, "search", words)
    train_words = (*base, *data, *shlex.split(values.train_flags))
    trained, drawn = settings_of(train, "train", train_words), settings_of(search, "search", (*base, *shared))
    for name, settings in searches.items():
        if settings.space != trained.space:
            raise UserError(f"{name} searches the space {settings.space}, but the study is of {trained.space}")
    if values.select == "best" and any(strategy.drawn for strategy in found):
        raise UserError("--select best: random cells have no search that says which is best; leave random out of them")
    task = spaces.load(trained.space).task
    if task == "images" and not 0 < values.hold_out < 1:
        raise UserError("--hold_out must lie between 0 and 1")
    alike = ("--split_seed", "0") if "split_seed" in trained.values else ()  # all runs are tested on the same images
    plan = plans.Plan(
        strategies=tuple(
            each if each.drawn else dataclasses.replace(each, words=(*each.words, *alike)) for each in found
        ),
        seeds=values.seeds,
        select=values.select,
        select_epochs=values.select_epochs,
        hold_out=values.hold_out,
        train_seeds=values.train_seeds,
        random=values.random,
        budget=plans.budget_of(values.budget),
        train_words=(*train_words, *alike),
        search=drawn,
        train=trained,
    )
    return plan, searches


def _words(name, value):
    return [] if value is None else [f"--{name}", value]


def strategies_of(texts):
    """The strategies of some texts with commas between them; a comma within a flag's value does not divide.

    Raises:
        UserError: for one that begins with neither a strategy nor a recipe.
    """
    known = (plans.RANDOM, *strategies.NAMES, *recipes.names("search"))
    divider = rf",\s*(?=(?:{'|'.join(map(re.escape, known))})(?:[\s,]|$))"
    found = [part.strip() for text in texts for part in re.split(divider, text)]
    for label in found:
        if not label or label.split()[0] not in known:
            there = ", ".join((plans.RANDOM, *strategies.NAMES))
            raise UserError(
                f"--strategies: {label!r} begins with neither a strategy ({there}) nor a recipe for searches (the "
                "command recipes lists them)"
            )
    return found


def settings_of(command, stage, words):
    """The options that a command would resolve some flags to.

    Raises:
        UserError: as the command would.
    """
    values = command.define()
    try:
        rest = values(["study", *words])
    except flags.Error as error:
        raise UserError(f"{shlex.join(words)}: {error}") from None
    if len(rest) > 1:
        raise UserError(f"{shlex.join(words)}: {rest[1]!r} is no flag; flags start with --")
    taken = [name for name in ("seed", "resume", "logdir", "dry_run", "genotype_file", "arch") if _given(values, name)]
    if taken:
        raise UserError(f"--{taken[0]} is the study's own; leave it out of {shlex.join(words)}")
    return cli.settings(values, stage)[0]


def _given(values, name):
    return name in values and not values[name].using_default_value


def start(values):
    """The folder of a new study, which holds its options."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = pathlib.Path(values.logdir, "study", stamp)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}; give another --logdir") from None
    own = values.flags_by_module_dict()[sys.modules[__name__].__name__]
    options = {flag.name: flag.value for flag in own if flag.name not in ("resume", "dry_run", "logdir", *_MACHINES)}
    save(folder, {"format": FORMAT, "tfdarts": __version__, "command": sys.argv, "options": options})
    return folder


def restore(values, folder):
    """Sets the flags to those of the study in a folder.

    Raises:
        UserError: if there is none, or other flags were given that are not of the machines.
    """
    try:
        saved = json.loads((folder / "study.json").read_text())
        options = saved["options"]
    except (OSError, ValueError, KeyError) as error:
        reason = type(error).__name__
        raise UserError(f"{folder} is not the folder of a study ({reason}); give logs/study/<time>") from None
    if saved.get("format") != FORMAT:
        raise UserError(f"{folder} was written by another version of tfdarts; start a new study")
    for name, value in options.items():
        if name not in values:
            raise UserError(f"{folder} was written by another version of tfdarts; start a new study")
        if _given(values, name) and values[name].value != value:
            raise UserError(f"--resume goes on with the study's own options; leave out --{name}, or start a new study")
        values[name].value = value


def save(folder, values):
    """Adds values to the folder's `study.json`; a kill leaves the old file whole."""
    path = folder / "study.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    following = path.with_name("study.json.next")
    following.write_text(json.dumps(before | values, indent=2) + "\n")
    following.replace(path)


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
        words = ["python3", "train.py", *_words("space", space.name)]
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
