"""Options are records beside their use, from which flags, help, refusals and values come; recipes are differences."""

import dataclasses
import json
import pathlib
import pickle
import re

import pytest

from tfdarts import options, recipes, spaces
from tfdarts.cli import flags, search, train
from tfdarts.cli import recipes as printing
from tfdarts.errors import UserError
from tfdarts.spaces.macro import options as macro

# The values of recipes before options were records; they belong to the program, not to a set of goldens. Recipes and
# options that came later are not in them.
VALUES = json.loads((pathlib.Path(__file__).parent / "goldens/recipes.json").read_text())
COMMANDS = {"search": search, "train": train}
STAGES = [(name, stage) for name, recipe in VALUES.items() for stage in recipe if stage != "space"]


def parsed(command, *arguments):
    """A command's flags, parsed."""
    values = command.define()
    values(["command", *arguments])
    return values


def helps(stage):
    """The help of every flag of a stage that is an option."""
    return {name: flags.help_text(records) for name, records in flags.known_options(stage).items()}


def lines(text):
    """A printed table: option to whether it is marked, its value and what it differs from."""
    rows = (re.fullmatch(r"([* ]) (\w+) +(\S+)(?: +(\S.*))?", line) for line in text.splitlines())
    return {row[2]: (row[1] == "*", row[3], row[4]) for row in rows if row}


def test_no_recipe_went():
    there = {name: {"space": recipe.space, "stages": set(recipe.stages)} for name, recipe in recipes.RECIPES.items()}
    before = {name: {"space": old["space"], "stages": set(old) - {"space"}} for name, old in VALUES.items()}
    assert there.items() >= before.items()


@pytest.mark.parametrize("name,stage", STAGES)
def test_every_value_of_a_recipe_is_as_before(name, stage):
    settings, before = recipes.resolve(name, stage, {}), VALUES[name][stage]
    kept = {key: value for key, value in settings.values.items() if key in before}
    assert kept == before and all(type(value) is type(before[key]) for key, value in kept.items())
    own = getattr(recipes.RECIPES[name], stage)
    _, records = recipes.values(name, stage, spaces.load(settings.space))
    assert all(settings.values[key] == records[key].default for key in settings.values.keys() - before - own.keys())
    assert json.loads(json.dumps(settings.to_config())) == settings.to_config()


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_a_recipe_tells_its_command_and_changes_only_options_that_its_space_has(name):
    recipe = recipes.RECIPES[name]
    assert re.search(r"`python3 (search_cell|train)\.py", recipe.doc) and recipe.doc.endswith(".")
    assert recipe.base is None or f"--recipe {name}" in recipe.doc
    for stage in recipe.stages:
        values, records = recipes.values(name, stage, spaces.load(recipe.space))
        assert set(values) == set(records)


@pytest.mark.parametrize("stage", COMMANDS)
def test_every_help_is_complete_by_itself(stage):
    values = COMMANDS[stage].define()
    for name, text in helps(stage).items():
        assert text == values[name].help and len(text) > 10
        assert not re.match("(of|over|by|to|that|instead) ", text), f"--{name} begins in the middle: {text}"
        assert not re.search(r"\b(that|it|this) (begins|ends|rate|pull|square|is smaller)\b", text), f"--{name}: {text}"
        assert set(re.findall("--([a-z_]+)", text)) - {name} <= set(values), f"--{name} names no flag: {text}"
        records = flags.known_options(stage)[name].values()
        assert {option.type for option in records} == {type_of(values[name])}
        for option in records:
            assert all(str(choice) in text for choice in option.choices), f"--{name} does not tell its choices: {text}"
            assert option.default in (None, "") or str(option.default) in text, f"--{name} tells no default: {text}"


def type_of(flag):
    """Type of a flag's values."""
    return {"bool": bool, "int": int, "float": float, "string": str}[flag.flag_type()]


@pytest.mark.parametrize("stage", COMMANDS)
def test_every_option_of_every_space_has_its_flag(stage):
    known = flags.known_options(stage)
    for name in spaces.NAMES:
        space = spaces.load(name)
        for strategy in space.strategies if stage == "search" else (None,):
            for option, record in space.options(stage, strategy).items():
                assert isinstance(record, options.Option) and record in known[option].values(), (name, option)
    assert set(known) <= set(COMMANDS[stage].define())


def test_a_new_option_stands_in_one_table(monkeypatch):
    record = options.Option(0.5, "share of the layers that sparkle", zero=True, fraction=True)
    monkeypatch.setitem(macro.SEARCH, "sparkle", record)
    assert helps("search")["sparkle"] == "share of the layers that sparkle; default: 0.5"

    def given(*arguments):
        return flags.settings(parsed(search, *arguments), "search")[0]

    def network(inputs, *, layers, sparkle):
        return layers, sparkle

    settings = given("--recipe", "macro_digits", "--sparkle", "0.25")
    assert network(None, **settings.pick(network)) == (6, 0.25)
    assert given("--space", "macro").values["sparkle"] == 0.5
    assert settings.to_config()["sparkle"] == 0.25
    with pytest.raises(UserError, match="--sparkle must be below 1. Received: 1.5."):
        given("--space", "macro", "--sparkle", "1.5")
    with pytest.raises(UserError, match="--sparkle must be at least 0. Received: -1.0."):
        given("--space", "macro", "--sparkle", "-1")
    with pytest.raises(UserError, match="'micro' has no such option"):
        given("--space", "micro", "--sparkle", "0.25")
    with pytest.raises(UserError, match="draws without any training; leave out --sparkle"):
        given("--space", "macro", "--strategy", "random", "--sparkle", "0.25")


def test_settings_are_picklable_and_keep_their_attributes():
    settings = recipes.resolve("digits", "search", {"layers": 9})
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.stage = "train"
    assert settings.but(layers=3).values["layers"] == 3 and settings.values["layers"] == 9
    records = spaces.load("conv").options("search", "darts")
    assert options.Settings.from_config(settings.to_config() | {"versions": {}}, records) == settings


def test_a_variation_of_an_option_keeps_the_rest():
    option = options.Option(2, "nodes of a cell", random=True)
    other = option.but(5)
    assert other == dataclasses.replace(option, default=5) and option.default == 2
    assert option.but(5, "blocks of a cell", zero=True).help == "blocks of a cell"


def test_recipes_are_printed_with_what_differs_from_their_base(capsys):
    printing.show(None, [])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(recipes.RECIPES) and all(len(x.split()) > 3 for x in listed)
    printing.show(None, ["digits"])
    text = capsys.readouterr().out
    assert recipes.RECIPES["digits"].doc in text
    searched, trained = (lines(part) for part in text.split("train:\n"))
    for stage, table in (("search", searched), ("train", trained)):
        values, bases = (recipes.resolve(name, stage, {}).values for name in ("digits", "darts_cifar10"))
        assert set(table) == set(values)
        for name, value in values.items():
            base = bases[name]
            shown = "unset" if value is None else "none" if value == "" else str(value)
            assert table[name] == ((True, shown, f"darts_cifar10: {base}") if value != base else (False, shown, None))
    with pytest.raises(UserError, match="Unknown recipe 'x'. Available: darts_cifar10"):
        printing.show(None, ["x"])


def test_the_users_own_flags_are_shown_over_a_recipe(capsys):
    search.search(parsed(search, "--recipe", "digits", "--layers", "9", "--nodes", "5", "--show"), [])
    table = lines(capsys.readouterr().out)
    assert table["layers"] == (True, "9", "darts_cifar10: 8") and table["nodes"] == (True, "5", "darts_cifar10: 4")
    assert table["learning_rate"] == (False, "0.025", None)
    search.search(parsed(search, "--space", "macro", "--layers", "9", "--show"), [])
    table = lines(capsys.readouterr().out)
    assert [name for name, (marked, *_) in table.items() if marked] == ["layers"]
    assert table["layers"] == (True, "9", "default: 12")


def test_recipes_are_printed_and_flags_are_shown_by_the_command_lines(command):
    assert command("-m", "tfdarts", "recipes", "digits").stdout.startswith("digits: Convolutional cells")
    result = command("train.py", "--recipe", "digits", "--arch", "digits", "--epochs", "3", "--show")
    assert lines(result.stdout)["epochs"] == (True, "3", "darts_cifar10: 600")
    assert "Unknown recipe 'x'" in command("-m", "tfdarts", "recipes", "x", code=2).stderr
