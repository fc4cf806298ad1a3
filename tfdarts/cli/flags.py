"""What the command lines share: flags made from a recipe's options, and errors as one line with exit code 2.

Each command defines its flags in an `absl.flags.FlagValues` of its own (`values` below), so that all commands can be
imported side by side and called more than once in a process.
"""

import pathlib
import re
import shlex
import sys
import types

import tensorflow as tf
from absl import app, flags, logging

from tfdarts import on_enas, on_images, on_text, operations, recipes
from tfdarts.errors import UserError
from tfdarts.runs import run as run_folder

TASKS = dict.fromkeys(("conv", "renet", "macro", "micro"), on_images) | {"recurrent": on_text}
_DEFINE = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}


def define(values, stage):
    """Defines `--space`, `--recipe` and one flag for every option of a stage, unset until the user sets it."""
    own = {"flag_values": values}
    flags.DEFINE_enum("space", None, list(recipes.DEFAULTS), "what is searched; default: the recipe's, or conv", **own)
    flags.DEFINE_alias("network_type", "space", **own)
    there = ", ".join(name for name, recipe in recipes.RECIPES.items() if stage in recipe)
    flags.DEFINE_string("recipe", None, f"hyperparameters by name: {there}; default: the space's first", **own)
    for name, value in recipes.defaults(stage).items():
        kind = bool if value is None else type(value)
        _DEFINE[kind](name, None, recipes.HELP[name] + "; default: the recipe's", **own)
    flags.DEFINE_string(
        "resume", None, "folder of a run to go on with, from its last checkpoint, with its options", **own
    )
    flags.DEFINE_string("logdir", None, "folder of all runs; default: logs, or where the resumed run is", **own)
    for name, (value, text) in _COMMON.items():
        default = _UNSET.get(name, value)
        _DEFINE[bool if value is None else type(value)](name, None, f"{text}; default: {default}", **own)
    for name, (value, text) in operations.option_flags().items():
        _DEFINE[type(value)](name, None, f"{text}; default: {value}", **own)
    flags.DEFINE_bool("dry_run", False, "print what the network costs as JSON, without data, and stop", **own)


# Options of every run beside the recipe's; an unset boolean depends on the machine.
_COMMON = {
    "seed": (0, "gives weights, data order, augmentation and drop-path"),
    "deterministic": (None, "the same bits from the same seed, on the same machine"),
    "checkpoint_minutes": (10.0, "time between checkpoints within an epoch; there is one at its end besides"),
    "jit_compile": (False, "compile the step by XLA; worth trying on a GPU, slow on a CPU"),
}


_FOLDERS = {"search": "search_arch", "train": "eval_arch"}
_UNSET = {
    "deterministic": "yes without a GPU",
}


def space(values, genotypes=()):
    """The space that the flags and the genotypes ask for.

    Raises:
        UserError: if they contradict each other.
    """
    wanted = {"--space " + values.space: values.space} if values.space else {}
    if values.recipe in recipes.RECIPES:
        wanted["--recipe " + values.recipe] = recipes.RECIPES[values.recipe]["space"]
    for cells in genotypes:
        if cells is not None:
            wanted[f"a genotype ({cells.space})"] = cells.space
    if len(set(wanted.values())) > 1:
        raise UserError(", but ".join(f"{what} is for the space {name}" for what, name in wanted.items()))
    return next(iter(wanted.values()), "conv")


def given(values, stage):
    """The options of a stage that the user gave, by name."""
    names = [*recipes.defaults(stage), *_COMMON, *operations.option_flags()]
    names += ["space", "recipe"] if values.resume is not None else []
    return {name: values[name].value for name in names if values[name].value is not None}


def options(values, stage, genotypes=()):
    """The resolved options of a stage: the recipe's or the resumed run's, and over them what the user gave."""
    wanted = given(values, stage)
    if values.resume is not None:
        result = run_folder.saved_options(values.resume, stage, wanted)
        recipes.check_ranges(vars(result))
    else:
        where = space(values, genotypes)
        recipe = values.recipe or recipes.default(where, wanted.get("strategy"))
        common = {name: value for name, (value, _) in _COMMON.items()}
        common |= dict.fromkeys(operations.option_flags() if where == "conv" else ())
        result = types.SimpleNamespace(**vars(recipes.resolve(recipe, stage, wanted, common)), seen=None)
    values["batch_size"].value = result.batch_size  # what the advice after running out of memory halves
    return result


def task(options):
    """The module that does what the command lines ask for: data, networks and learners."""
    return on_enas if getattr(options, "strategy", None) in recipes.SHARED_WEIGHTS else TASKS[options.space]


def start_run(values, options):
    """The folder of a new run, or of the one that `--resume` names; without options that one keeps its own."""
    if values.resume is not None:
        return run_folder.Run.resume(values.resume, values.logdir, options)
    return run_folder.Run.start(values.logdir or "logs", _FOLDERS[options.stage], options)


def train_command(options, paths):
    """The command that trains the genotypes in files, on the data that a search ran on."""
    there = recipes.RECIPES[options.recipe]
    words = ["python3", "train.py"]
    if options.recipe not in recipes.DEFAULTS.values() and "train" in there:
        words += ["--recipe", options.recipe]
    for name in ("dataset", "data"):
        value = getattr(options, name, None)
        if value is not None and value != there.get("train", {}).get(name):
            words += [f"--{name}", value]
    for name in ("data_dir", "image_size"):
        words += [f"--{name}", getattr(options, name)] if getattr(options, name, None) else []
    words += ["--seed", options.seed] if options.seed else []  # it chooses what is held out for testing
    words += [f"--{name}={value}" for name, value in operations.given(options).items()]
    return shlex.join(map(str, [*words, "--genotype_file", *paths]))


def program():
    """How the user calls the command that runs: `tfdarts search`, or `python3 search_cell.py`."""
    return sys.argv[0] if sys.argv[0].startswith("tfdarts ") else f"python3 {sys.argv[0]}"


def run(command, values, positional=False):
    """Runs a command: exit code 0 for success and `--help`, 2 with one line on stderr for what the user can mend.

    Args:
        command: function of the parsed flags and the other arguments. Its module's docstring and flags are the help,
            in which the module's `tfdarts <command>` becomes the user's own way to call it.
        values: `FlagValues` with the command's flags.
        positional: whether the command takes arguments beside its flags.
    """
    module = sys.modules[command.__module__]

    def parse(argv):
        if any(argument in ("--help", "-help", "-h") for argument in argv[1:]):
            name = module.__name__.rpartition(".")[2]
            call = program().replace(argv[0], pathlib.PurePath(argv[0]).name)  # without the script's folder
            print(module.__doc__.replace(f"tfdarts {name}", call))
            print(values.module_help(module))
            print(values.module_help(sys.modules[__name__]))
            sys.exit(0)
        for name in flags.FLAGS:  # absl's own, such as --verbosity, which `app.run` reads
            flag = flags.FLAGS[name]
            if name == flag.name and name not in values:  # not by its short name too
                values[name] = flag
        flags.FLAGS.mark_as_parsed()
        try:
            rest = values(argv)
        except flags.Error as error:
            _fail(str(error))
        if len(rest) > 1 and not positional:
            _fail(f"unknown argument {rest[1]!r}; options start with --")
        return rest

    def guarded(argv):
        logging.set_verbosity(logging.WARNING)
        try:
            command(values, argv[1:])
        except UserError as error:
            _fail(str(error))
        except run_folder.Stopped as stop:
            print(f"{stop}; go on by: {program()} --resume {stop.folder}", file=sys.stderr)
            sys.exit(stop.code)
        except KeyboardInterrupt:
            print("stopped by SIGINT before there was anything to save", file=sys.stderr)
            sys.exit(130)
        except (tf.errors.ResourceExhaustedError, MemoryError):
            size = values["batch_size"].value if "batch_size" in values else None
            smaller = f"--batch_size {max(1, size // 2)}" if size else "a smaller --batch_size"
            _fail(f"out of memory; try {smaller} (--dry_run estimates what a step needs)")
        except tf.errors.OpError as error:  # TensorFlow's wrapping of what the reading of an image raised
            reason = re.search(r"DataError: (.*)", str(error))
            if not reason:
                raise
            _fail(reason[1])

    app.run(guarded, flags_parser=parse)


def _fail(message):
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
