"""Turns the flags of the command study into a plan, and checks them as the commands search and train would."""

import dataclasses
import re
import shlex

from absl import flags

from tfdarts import recipes, spaces, strategies, tasks
from tfdarts.cli import flags as cli
from tfdarts.cli import search, train
from tfdarts.errors import UserError
from tfdarts.study import plan as plans

DATA = ("dataset", "data", "data_dir", "image_size")  # options of data, which searches and trainings share


def plan_of(values):
    """The plan that the flags describe, and the settings of each strategy that searches, by its name.

    Raises:
        UserError: for flags that a search or a training would refuse, before anything is run.
    """
    base = [*words_of("recipe", values.recipe), *words_of("space", values.space)]
    data = [word for name in DATA for word in words_of(name, values[name].value)]
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
    task = spaces.load(trained.space).task
    source = tasks.load(task).SOURCE
    for name, settings in searches.items():
        if settings.space != trained.space:
            raise UserError(f"{name} searches the space {settings.space}, but the study is of {trained.space}")
        searched, needed = settings.values[source], trained.values[source]
        if searched != needed:
            raise UserError(f"{name} searches on {searched}, the trainings are on {needed}: give --{source}")
    if values.select == "best" and any(strategy.drawn for strategy in found):
        raise UserError("--select best: random cells have no search that says which is best; leave random out of them")
    for name in ("select_epochs", "hold_out"):
        if values.select == "best" and given(values, name):
            raise UserError(f"--{name} is of short trainings, which --select best has none of; leave it out")
    if task == "text" and given(values, "hold_out"):
        raise UserError("--hold_out is of images; a text has a validation part of its own")
    budget = plans.budget_of(values.budget)
    if task == "text" and "multiply_adds" in budget:
        raise UserError("--budget: multiply-adds are counted of image networks alone; give parameters<=N")
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
        budget=budget,
        train_words=(*train_words, *alike),
        search=drawn,
        train=trained,
    )
    return plan, searches


def words_of(name, value):
    """A flag and its value as words of a command; none for None."""
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
    taken = [name for name in ("seed", "resume", "logdir", "dry_run", "genotype_file", "arch") if given(values, name)]
    if taken:
        raise UserError(f"--{taken[0]} is the study's own; leave it out of {shlex.join(words)}")
    return cli.settings(values, stage)[0]


def given(values, name):
    """Whether a command has a flag and the user gave it."""
    return name in values and not values[name].using_default_value
