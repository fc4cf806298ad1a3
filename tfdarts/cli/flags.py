"""What the command lines share: flags made from a recipe's options, and errors as one line with exit code 2."""

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
FLAGS = flags.FLAGS
_DEFINE = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}


def define(stage):
    """Defines `--space`, `--recipe` and one flag for every option of a stage, unset until the user sets it."""
    flags.DEFINE_enum("space", None, list(recipes.DEFAULTS), "what is searched; default: the recipe's, or conv")
    flags.DEFINE_alias("network_type", "space")
    there = ", ".join(name for name, recipe in recipes.RECIPES.items() if stage in recipe)
    flags.DEFINE_string("recipe", None, f"hyperparameters by name: {there}; default: the space's first")
    for name, value in recipes.defaults(stage).items():
        _DEFINE[bool if value is None else type(value)](name, None, recipes.HELP[name] + "; default: the recipe's")
    flags.DEFINE_string("resume", None, "folder of a run to go on with, from its last checkpoint, with its options")
    flags.DEFINE_string("logdir", None, "folder of all runs; default: logs, or where the resumed run is")
    for name, (value, text) in _COMMON.items():
        default = _UNSET.get(name, value)
        _DEFINE[bool if value is None else type(value)](name, None, f"{text}; default: {default}")
    for name, (value, text) in operations.option_flags().items():
        _DEFINE[type(value)](name, None, f"{text}; default: {value}")
    flags.DEFINE_bool("dry_run", False, "print what the network costs as JSON, without data, and stop")


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


def space(genotypes=()):
    """The space that the flags and the genotypes ask for.

    Raises:
        UserError: if they contradict each other.
    """
    wanted = {"--space " + FLAGS.space: FLAGS.space} if FLAGS.space else {}
    if FLAGS.recipe in recipes.RECIPES:
        wanted["--recipe " + FLAGS.recipe] = recipes.RECIPES[FLAGS.recipe]["space"]
    for cells in genotypes:
        if cells is not None:
            wanted[f"a genotype ({cells.space})"] = cells.space
    if len(set(wanted.values())) > 1:
        raise UserError(", but ".join(f"{what} is for the space {name}" for what, name in wanted.items()))
    return next(iter(wanted.values()), "conv")


def given(stage):
    """The options of a stage that the user gave, by name."""
    names = [*recipes.defaults(stage), *_COMMON, *operations.option_flags()]
    names += ["space", "recipe"] if FLAGS.resume is not None else []
    return {name: FLAGS[name].value for name in names if FLAGS[name].value is not None}


def options(stage, genotypes=()):
    """The resolved options of a stage: the recipe's or the resumed run's, and over them what the user gave."""
    wanted = given(stage)
    if FLAGS.resume is not None:
        result = run_folder.saved_options(FLAGS.resume, stage, wanted)
        recipes.check_ranges(vars(result))
    else:
        where = space(genotypes)
        recipe = FLAGS.recipe or recipes.default(where, wanted.get("strategy"))
        common = {name: value for name, (value, _) in _COMMON.items()}
        common |= dict.fromkeys(operations.option_flags() if where == "conv" else ())
        result = types.SimpleNamespace(**vars(recipes.resolve(recipe, stage, wanted, common)), seen=None)
    FLAGS["batch_size"].value = result.batch_size  # what the advice after running out of memory halves
    return result


def task(options):
    """The module that does what the command lines ask for: data, networks and learners."""
    return on_enas if getattr(options, "strategy", None) in recipes.SHARED_WEIGHTS else TASKS[options.space]


def start_run(options):
    """The folder of a new run, or of the one that `--resume` names; without options that one keeps its own."""
    if FLAGS.resume is not None:
        return run_folder.Run.resume(FLAGS.resume, FLAGS.logdir, options)
    return run_folder.Run.start(FLAGS.logdir or "logs", _FOLDERS[options.stage], options)


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


def run(main, positional=False):
    """Runs `main(arguments)`: 0 for success and `--help`, 2 with one line on stderr for what the user can mend."""

    def parse(argv):
        if any(argument in ("--help", "-help", "-h") for argument in argv[1:]):
            print(sys.modules["__main__"].__doc__)
            print(FLAGS.main_module_help())
            print(FLAGS.module_help(sys.modules[__name__]))
            sys.exit(0)
        try:
            rest = FLAGS(argv)
        except flags.Error as error:
            _fail(str(error))
        if len(rest) > 1 and not positional:
            _fail(f"unknown argument {rest[1]!r}; options start with --")
        return rest

    def guarded(argv):
        logging.set_verbosity(logging.WARNING)
        try:
            main(argv[1:])
        except UserError as error:
            _fail(str(error))
        except run_folder.Stopped as stop:
            print(f"{stop}; go on by: python3 {sys.argv[0]} --resume {stop.folder}", file=sys.stderr)
            sys.exit(stop.code)
        except KeyboardInterrupt:
            print("stopped by SIGINT before there was anything to save", file=sys.stderr)
            sys.exit(130)
        except (tf.errors.ResourceExhaustedError, MemoryError):
            size = FLAGS["batch_size"].value if "batch_size" in FLAGS else None
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
