"""What the command lines share: flags made from the options' records, and errors as one line with exit code 2.

Each command defines its flags in an `absl.flags.FlagValues` of its own (`values` below), so that all commands can be
imported side by side and called more than once in a process.
"""

import os
import pathlib
import re
import signal
import sys

import tensorflow as tf
from absl import app, flags, logging

from tfdarts import recipes, spaces
from tfdarts.cli import elsewhere, meant
from tfdarts.errors import UserError
from tfdarts.options import Settings, check_values
from tfdarts.quiet import quiet
from tfdarts.runs import memory
from tfdarts.runs.callbacks import Stopped
from tfdarts.runs.folder import RunFolder, check_resumed, saved_config

with quiet():
    tf.config.list_physical_devices("GPU")  # where there is none, the first look for one complains

_DEFINE = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}


def define(values, stage):
    """Defines the flags of a stage: `--space`, `--recipe`, one for every option of any space, and what a run needs.

    A space of the user's own that the command line names brings its options.
    """
    own = {"flag_values": values}
    text = f"what is searched: {', '.join(spaces.NAMES)}, or a module with SPACE; default: the recipe's, or conv"
    flags.DEFINE_string("space", None, text, **own)
    flags.DEFINE_string("network_type", None, f"ENAS's names: {', '.join(meant.NETWORK_TYPES)}; or as --space", **own)
    there = ", ".join(recipes.names(stage))
    text = f"hyperparameters by name, in place of the defaults in this help: {there}; default: the space's first"
    flags.DEFINE_string("recipe", None, text, **own)
    for name, records in known_options(stage).items():
        (kind,) = {option.type for option in records.values()}
        _DEFINE[kind](name, None, help_text(records), **own)
    flags.DEFINE_string(
        "resume", None, "folder of a run to go on with, from its last checkpoint, with its options", **own
    )
    flags.DEFINE_string("logdir", None, "folder of all runs; default: logs, or where the resumed run is", **own)
    flags.DEFINE_bool("dry_run", False, "print what the network costs as JSON, without data, and stop", **own)
    text = "print the value of every option, and what differs from the recipe's base, and stop"
    flags.DEFINE_bool("show", False, text, **own)


def known_options(stage):
    """The options of a stage in all spaces.

    Returns:
        A dictionary from option to a dictionary from space, and strategy where that matters, to `Option`.
    """
    result = {}
    for name in (*spaces.NAMES, *_own_space()):
        space = spaces.load(name)
        strategies = dict.fromkeys(recipes.own_strategy(each, space) for each in recipes.roots(space))
        for strategy in strategies if stage == "search" else (None,):
            label = f"{name} by {strategy}" if len(strategies) > 1 and strategy else name
            for option, record in space.options(stage, strategy).items():
                result.setdefault(option, {})[label] = record
    return result


def _own_space():
    """The name that the command line gives a space of the user's own, in a tuple; empty for none, or one of ours."""
    for position, argument in enumerate(sys.argv):
        flag, _, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and flag in ("space", "network_type"):
            value = value or (sys.argv[position + 1] if position + 1 < len(sys.argv) else "")
            return (value,) if "." in value else ()
    return ()


def help_text(records):
    """A flag's help: what the option does, for each space where these differ, and its defaults.

    Args:
        records: dictionary from a space's name to `Option`.
    """
    texts, defaults = {}, {}
    for label, option in records.items():
        texts.setdefault(option.help, []).append(label)
        defaults.setdefault(option.default, []).append(label)
    whole = next(iter(texts)) if len(texts) == 1 else "; ".join(f"{', '.join(x)}: {text}" for text, x in texts.items())
    if set(defaults) == {None}:
        return whole
    if len(defaults) == 1:
        return f"{whole}; default: {_shown(next(iter(defaults)))}"
    return f"{whole}; default: " + ", ".join(f"{_shown(value)} ({', '.join(x)})" for value, x in defaults.items())


def _shown(value):
    return "none" if value == "" else str(value)


def named_space(values):
    """The space that `--space` or `--network_type` names, or None.

    Raises:
        UserError: if they name different ones.
    """
    other = meant.NETWORK_TYPES.get(values.network_type, values.network_type)
    if None not in (values.space, other) and values.space != other:
        raise UserError(f"--space {values.space}, but --network_type {values.network_type}; leave one out")
    return values.space or other


def space(values, stage, genotypes=()):
    """The space that the flags and the genotypes ask for; where none names it, the one that has the given options.

    Raises:
        UserError: if they contradict each other.
    """
    asked = named_space(values)
    named = recipes.space_of(values.recipe, asked)
    wanted = {f"--space {asked}": named} if asked else {}
    if values.recipe in recipes.RECIPES:
        wanted[f"--recipe {values.recipe}"] = named
    for genotype in genotypes:
        if genotype is not None:
            wanted[f"a genotype ({genotype.space})"] = genotype.space
    if len(set(wanted.values())) > 1:
        raise UserError(", but ".join(f"{what} is for the space {name}" for what, name in wanted.items()))
    if wanted:
        return next(iter(wanted.values()))
    return meant.space(given(values, stage), stage, values["arch"].value if "arch" in values else None)


def given(values, stage):
    """The options of a stage that the user gave, by name."""
    names = [*known_options(stage), *(["recipe"] if values.resume is not None else [])]
    result = {name: values[name].value for name in names if values[name].value is not None}
    if "dataset" in result:
        result["dataset"] = meant.DATASETS.get(result["dataset"], result["dataset"])
    if values.resume is not None and named_space(values):
        result["space"] = named_space(values)
    return result


def settings(values, stage, genotypes=()):
    """The resolved options of a stage: the recipe's or the resumed run's, and over them what the user gave.

    Returns:
        `Settings`, and what a resumed run remembers of its data, None for a new run.
    """
    wanted = given(values, stage)
    if values.resume is not None:
        config = saved_config(values.resume, stage)
        where = spaces.load(config["space"])
        wanted = meant.with_text(wanted) if where.task == "text" else wanted
        strategy = recipes.own_strategy(config["recipe"], where) if stage == "search" else None
        options = where.options(stage, strategy)
        check_resumed(values.resume, config, wanted, options)
        config |= wanted
        check_values(options, config)
        result, remembered = Settings.from_config(config, options), config.get("data_info")
    else:
        where = spaces.load(space(values, stage, genotypes))
        wanted = meant.with_text(wanted) if where.task == "text" else wanted
        if stage == "search" and values.recipe is None and values.strategy is None:
            strategy = meant.strategy(wanted, where, values.network_type in meant.NETWORK_TYPES)
            wanted |= {"strategy": strategy} if strategy else {}
        result, remembered = recipes.resolve(values.recipe, stage, wanted, where.name), None
    values["batch_size"].value = result.values["batch_size"]  # what the advice after running out of memory halves
    return result, remembered


def check_remembered(values, space_info):
    """Raises UserError where a file that a resumed run's options name is no longer what it was when the run began.

    Args:
        space_info: what the space remembers of such files now, `spaces.base.Space.remembered`.
    """
    if values.resume is None:
        return
    before = saved_config(values.resume, "search").get("space_info", space_info)  # an earlier version kept none
    if before != space_info:
        raise UserError(
            f"the {' and '.join(sorted(before.keys() | space_info.keys()))} of {values.resume} are not what they were "
            "when it began: a file that an option names has changed; put the old one back, or start a new run"
        )


def start_run(values, config):
    """The folder of a new run, or of the one that `--resume` names; without a configuration that one keeps its own."""
    if values.resume is not None:
        return RunFolder.resume(values.resume, values.logdir, config)
    return RunFolder.start(values.logdir or "logs", config)


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
        except flags.UnrecognizedFlagError as error:
            answer = elsewhere.ANSWERS.get(error.flagname)
            _fail(f"there is no --{error.flagname} here: {answer}" if answer else str(error))
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
        except Stopped as stop:
            print(f"{stop}; go on by: {program()} --resume {stop.folder}", file=sys.stderr)
            sys.exit(stop.code)
        except KeyboardInterrupt:
            print("stopped by SIGINT before there was anything to save", file=sys.stderr)
            sys.exit(130)
        except (MemoryError, tf.errors.OpError) as error:
            if memory.ran_out(error):
                _fail(memory.advice(values["batch_size"].value if "batch_size" in values else None))
            # TensorFlow's wrapping of what the reading of an image raised
            reason = re.search(r"DataError: (.*)", str(error))
            if not reason:
                raise
            _fail(reason[1])

    try:
        try:
            app.run(guarded, flags_parser=parse)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # what reads the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def _fail(message):
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
