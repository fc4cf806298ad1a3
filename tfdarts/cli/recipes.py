"""Prints recipes, papers' hyperparameters by name: `tfdarts recipes`, or `tfdarts recipes digits` for every value.

A star marks a value that differs from the recipe's base, which stands behind it.
"""

from absl import flags

from tfdarts import recipes, spaces
from tfdarts.cli import flags as cli
from tfdarts.errors import UserError
from tfdarts.options import Settings


def main():
    """The command `tfdarts recipes`."""
    cli.run(show, flags.FlagValues(), positional=True)


def show(_, arguments):
    """Prints the names of all recipes, or every value of those that are named."""
    for name in arguments:
        if name not in recipes.RECIPES:
            raise UserError(f"Unknown recipe {name!r}. Available: {', '.join(recipes.RECIPES)}.")
    for name, recipe in recipes.RECIPES.items() if not arguments else ():
        print(f"{name:<20} {recipe.doc.split(': ')[0].rstrip('.')}")
    for name in arguments:
        recipe = recipes.RECIPES[name]
        print(f"{name}: {recipe.doc}")
        for stage in recipe.stages:
            values, _ = recipes.values(name, stage, spaces.load(recipe.space))
            print(f"\n{stage}:\n{table(Settings(stage, name, recipe.space, values))}")


def table(settings):
    """Every option's value, one a line; those that differ from the recipe's base are marked.

    Args:
        settings: `Settings`, of a recipe or with a user's options laid over one.
    """
    space, recipe = spaces.load(settings.space), recipes.RECIPES.get(settings.recipe)
    base = recipe.base if recipe else None
    known, _ = recipes.values(base, settings.stage, space) if base else ({}, None)
    if not base:
        strategy = recipes.own_strategy(settings.recipe, space) if settings.stage == "search" else None
        known = {name: option.default for name, option in space.options(settings.stage, strategy).items()}
    lines = []
    for name, value in sorted(settings.values.items()):
        differs = name in known and known[name] != value
        line = f"{'*' if differs else ' '} {name:<26} {_shown(value):<20}"
        lines.append((f"{line} {base or 'default'}: {_shown(known[name])}" if differs else line).rstrip())
    return "\n".join(lines)


def _shown(value):
    return "unset" if value is None else "none" if value == "" else str(value)
