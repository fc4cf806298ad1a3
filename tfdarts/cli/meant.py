"""What a command line leaves unsaid: the space, the strategy and the genotype, told from what only one of them has.

So the commands of the papers' programs, which have a program for each space, run as their users know them.
"""

from tfdarts import recipes, spaces
from tfdarts.errors import UserError
from tfdarts.spaces import genotypes

NETWORK_TYPES = {"rnn": "recurrent", "cnn": "macro"}  # ENAS's names of spaces, which it searches by its controller
DATASETS = {"cifar": "cifar10"}  # ENAS's name of a data set
TEXTS = ("ptb", "wikitext")  # ENAS's names of texts, which lie below TEXT_FOLDER, as any text does there
TEXT_FOLDER = "data"


def with_text(given):
    """The options that the user gave, `--dataset ptb` being the text in `data/ptb` unless `--data` names another."""
    if "dataset" not in given:
        return given
    others = {option: value for option, value in given.items() if option != "dataset"}
    return {"data": f"{TEXT_FOLDER}/{given['dataset']}"} | others


def fitting(given, stage):
    """The spaces that have all given options, each with the strategies that have them.

    Args:
        given: options by name, a dictionary.
        stage: `"search"` or `"train"`.
    """
    found = {}
    for name in spaces.NAMES:
        space = spaces.load(name)
        for recipe in recipes.roots(space):
            strategy = recipes.own_strategy(recipe, space) if stage == "search" else None
            if given.keys() <= space.options(stage, strategy).keys():
                found.setdefault(name, []).append(strategy)
    return found


def space(given, stage, arch=None):
    """The space that options and a genotype's name mean; conv where that is one of several.

    Args:
        given, stage: as in `fitting`.
        arch: name of a genotype, or None.

    Raises:
        UserError: if several others could be meant.
    """
    named = [name for name in spaces.NAMES if arch is None or genotypes.shipped(arch, name)]
    fits = fitting(with_text(given) if given.get("dataset") in TEXTS else given, stage)
    there = [name for name in named if name in fits] or (named if len(named) == 1 else ["conv"])
    if "conv" in there or len(there) == 1:
        return "conv" if "conv" in there else there[0]
    what = f"the genotype {arch}" if arch else ", ".join(f"--{name}" for name in given)
    raise UserError(f"{what} can be of the spaces {', '.join(there)}; say which by --space")


def strategy(given, space, network_type):
    """The strategy of a search that options mean, where no recipe and no `--strategy` says it; None for the default.

    Args:
        given: options by name, a dictionary.
        space: `spaces.base.Space`.
        network_type: whether the space was called by a name of ENAS's.
    """
    own = recipes.own_strategy(space.recipe, space)
    if network_type and "enas" in space.strategies:
        return None if own == "enas" else "enas"
    there = fitting(given, "search").get(space.name, [])
    return there[0] if there and own not in there else None


def arch(space, recipe, determining):
    """Name of the genotype that a recipe trains where none is named; None if it has none.

    Args:
        space: `spaces.base.Space`.
        recipe: name; None for the space's.
        determining: given options that a genotype must agree with, as a dictionary.
    """
    usual = recipes.RECIPES[recipe or space.recipe].arch if recipe or space.recipe else None
    for name in (usual, *genotypes.names(space.name)) if usual else ():
        known = space.options_of(genotypes.load(name, space.name))
        if all(known.get(option, value) == value for option, value in determining.items()):
            return name
    return None
