"""Papers' hyperparameters by name, a file a paper; and how a run's options come from them.

Every recipe is a difference: from another one, or from the defaults of its space's options, which are the first
paper's values. `tfdarts recipes NAME` prints all of them.
"""

from tfdarts import spaces, strategies
from tfdarts.options import OptionError, Settings, laid_over, module_options
from tfdarts.recipes import (
    att_darts,
    beta_darts,
    darts,
    darts_pt,
    dartsrenet,
    drnas,
    enas,
    fair_darts,
    gdas,
    nb201,
    p_darts,
    pc_darts,
    robust_darts,
    smooth_darts,
)

PAPERS = (
    *(darts, att_darts, pc_darts, p_darts, gdas, drnas, smooth_darts, beta_darts, fair_darts, darts_pt, robust_darts),
    *(enas, dartsrenet, nb201),
)
RECIPES = {each.name: each for paper in PAPERS for each in paper.RECIPES}


def names(stage):
    """Names of the recipes of a stage, `"search"` or `"train"`."""
    return [name for name, recipe in RECIPES.items() if stage in recipe.stages]


def space_of(recipe, space=None):
    """Name of the space that a recipe and a named space ask for; either may be None.

    Raises:
        OptionError: if they ask for different ones.
    """
    if space and recipe in RECIPES and RECIPES[recipe].space != space:
        raise OptionError(
            f"--space {space} and --recipe {recipe} contradict each other: that recipe is for the space "
            f"{RECIPES[recipe].space}."
        )
    return RECIPES[recipe].space if recipe in RECIPES else space or "conv"


def default(space, strategy=None):
    """Name of a space's recipe, for a strategy if there is one that its own does not serve; None if it has none.

    Args:
        space: `spaces.base.Space`.
        strategy: name, or None.
    """
    own = RECIPES.get(space.recipe)
    for name, recipe in RECIPES.items():
        fits = recipe.space == space.name and recipe.base is None
        if fits and own.strategy != recipe.strategy and strategy in _alike(recipe.strategy):
            return name
    return space.recipe


def roots(space):
    """Names of the recipes of a space that are no difference from another; without such, a list of None."""
    return [name for name, recipe in RECIPES.items() if recipe.space == space.name and recipe.base is None] or [None]


def own_strategy(recipe, space):
    """Name of the strategy that a recipe searches by; without a recipe the space's first.

    Args:
        recipe: name, or None.
        space: `spaces.base.Space`.
    """
    return RECIPES[recipe].strategy if recipe in RECIPES else space.strategies[0]


def _alike(strategy):
    """The strategies that search as a recipe's strategy does, with the same options."""
    module = strategies.load(strategy)
    return [name for name in strategies.NAMES if strategies.load(name) is module]


def values(recipe, stage, space):
    """The value of every option of a recipe, as a dictionary, and the options' records.

    Args:
        recipe: name; None for the space's defaults.
        stage: `"search"` or `"train"`.
        space: `spaces.base.Space`.
    """
    options = space.options(stage, own_strategy(recipe, space) if stage == "search" else None)
    own = getattr(RECIPES[recipe], stage) if recipe else {}
    return {name: option.default for name, option in options.items()} | own, options


def resolve(recipe, stage, given, space=None):
    """The options of a run.

    Args:
        recipe: name of a recipe; None for the space's.
        stage: `"search"` or `"train"`.
        given: options that the user gave, as a dictionary.
        space: name of the space; None for the recipe's.

    Returns:
        `Settings`.

    Raises:
        UserError: for an unknown recipe, option or space, or an impossible value.
    """
    if recipe is not None and recipe not in names(stage):
        raise OptionError(f"Unknown {stage} recipe {recipe!r}. Available: {', '.join(names(stage))}.")
    where = spaces.load(space_of(recipe, space))
    recipe = recipe or default(where, given.get("strategy"))
    if recipe is not None and stage not in RECIPES[recipe].stages:
        raise OptionError(f"Unknown {stage} recipe {recipe!r}. Available: {', '.join(names(stage))}.")
    known, options = values(recipe, stage, where)
    foreign = ", ".join(f"--{name}" for name in given if name not in options)
    if foreign:
        raise OptionError(f"{foreign}: the space {where.name!r} has no such option; leave it out.")
    if stage == "search":
        _check_strategy(recipe, where, given.get("strategy", known["strategy"]), given, options)
    result = laid_over(options, known, given)
    own = own_strategy(recipe, where) if stage == "search" else None
    if stage == "search":
        strategies.load(own).check(result)
    where.check(stage, own, result)
    return Settings(stage, recipe, where.name, result, module_options(options))


def _check_strategy(recipe, space, strategy, given, options):
    """Raises OptionError for a strategy that a search cannot follow, or that has no use for a given option."""
    own = own_strategy(recipe, space)
    choices = ("random", *_alike(own))
    if strategy not in choices:
        there = [name for name, other in RECIPES.items() if other.strategy and strategy in _alike(other.strategy)]
        there = [name for name in there if "search" in RECIPES[name].stages]
        there = f"; for it there are the recipes {', '.join(there)}" if there else ""
        which = f"The recipe {recipe}" if recipe else f"The space {space.name}"
        raise OptionError(f"{which} takes --strategy {' or '.join(choices)}, not {strategy!r}{there}.")
    if strategy == "random":
        unused, why = [name for name in given if not options[name].random], "draws without any training"
    elif strategy == "random_ws":
        unused, why = [name for name in given if options[name].controller], "has no controller"
    else:
        return
    if unused:
        raise OptionError(f"--strategy {strategy} {why}; leave out {', '.join('--' + name for name in unused)}.")
