"""What the command lines share: flags made from a recipe's options, and errors as one line with exit code 2."""

import sys

from absl import app, flags, logging

from tfdarts import recipes
from tfdarts.data.images import DataError
from tfdarts.genotype import GenotypeError
from tfdarts.recipes import OptionError
from tfdarts.space import SpaceError

FLAGS = flags.FLAGS
_DEFINE = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float, str: flags.DEFINE_string}


class UserError(ValueError):
    """Something that the user can put right, with a sentence that says how."""


def define(stage):
    """Defines `--recipe` and one flag for every option of a stage, unset until the user sets it."""
    flags.DEFINE_string("recipe", recipes.DEFAULT, f"hyperparameters by name: {', '.join(recipes.RECIPES)}")
    for name, value in recipes.RECIPES[recipes.DEFAULT][stage].items():
        _DEFINE[type(value)](name, None, recipes.HELP[name] + "; default: the recipe's")


def options(stage):
    """The resolved options of a stage: the recipe's, and over them what the user gave."""
    names = recipes.RECIPES[recipes.DEFAULT][stage]
    given = {name: FLAGS[name].value for name in names if FLAGS[name].value is not None}
    return recipes.resolve(FLAGS.recipe, stage, given)


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
        except (UserError, OptionError, DataError, GenotypeError, SpaceError) as error:
            _fail(str(error))

    app.run(guarded, flags_parser=parse)


def _fail(message):
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)
