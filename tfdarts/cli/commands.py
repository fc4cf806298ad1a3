"""The commands by which a user goes on with a run, as text."""

import shlex

from tfdarts import recipes, spaces
from tfdarts.errors import UserError
from tfdarts.runs.folder import FORMAT

SCRIPTS = {"search": "search_cell.py", "train": "train.py"}


def train(config, paths):
    """The command that trains the genotypes in files, on the data that a search ran on.

    Args:
        config: the search's options, a dictionary.
        paths: of the genotypes.
    """
    space, recipe = spaces.load(config["space"]), config["recipe"]
    there = recipes.RECIPES.get(recipe)
    words = ["python3", "train.py"]
    if there is None:
        words += ["--space", config["space"]]
    elif there.base is not None and "train" in there.stages:
        words += ["--recipe", recipe]
    else:
        recipe = space.recipe
    known, options = recipes.values(recipe, "train", space)
    for name in ("dataset", "data"):
        value = config.get(name)
        if value is not None and value != known.get(name):
            words += [f"--{name}", value]
    for name in ("data_dir", "image_size"):
        words += [f"--{name}", config[name]] if config.get(name) else []
    words += ["--seed", config["seed"]] if config["seed"] else []  # it chooses what is held out for testing
    given = {name: config.get(name) for name, option in options.items() if option.of_module}
    words += [f"--{name}={value}" for name, value in given.items() if value is not None]
    return shlex.join(map(str, [*words, "--genotype_file", *paths]))


def resume(config, folder, *flags):
    """The command that goes on with the run in a folder, with further flags."""
    return shlex.join(map(str, ["python3", SCRIPTS[config["stage"]], "--resume", folder, *flags]))


def evaluate(config, folder):
    """The command that tests the model in a training's folder."""
    words = ["--data_dir", config["data_dir"]] if config.get("data_dir") else []
    return shlex.join(map(str, ["python3", "evaluate.py", *words, "--model_path", folder / "model.keras"]))


def going_on(run):
    """What a user may do with a run next, for its report.

    Args:
        run: `History`.

    Returns:
        A list of `(what, command)`.

    Raises:
        UserError: if the run's configuration does not hold what a command needs.
    """
    try:
        return _going_on(run)
    except (KeyError, TypeError, AttributeError):
        raise UserError("config.json does not hold what a command to train needs.") from None


def _ends_for_good(config, folder):
    """Whether a search that has ended cannot have more epochs: it was stopped, or decided by their number."""
    known = {"stages": "none", "select": "magnitude", "stop": "none"}
    stages, select, stop = (config.get(name, usual) for name, usual in known.items())
    stopped = (folder / "stop.json").is_file()
    return stopped or stages != "none" or select == "perturbation" or stop == "adaptive"


def _going_on(run):
    config, folder, commands = run.config, run.folder, []
    resumable = run.unit == "epoch" and config.get("format") == FORMAT  # not of an earlier version
    if resumable and not run.finished:
        commands.append(("go on", resume(config, folder)))
    found = [folder / "genotype.json"] if run.genotype else []
    if run.unit == "sample":
        found = [folder / f"genotype_{number}.json" for number in run.genotypes]
    if found and not run.training:
        commands.append(("train what it found", train(config, found)))
    if run.training and run.finished:
        commands.append(("test the model again", evaluate(config, folder)))
    grows = type(run.total) is int and run.total < 1e9 and not _ends_for_good(config, folder)
    if resumable and run.finished and grows:
        commands.append(("go on for more epochs", resume(config, folder, "--epochs", 2 * run.total)))
    if run.cells():
        drawn = folder / "genotype.json" if run.training else folder
        commands.append(("draw", shlex.join(["python3", "visualize.py", str(drawn)])))
    return commands
