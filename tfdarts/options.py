"""Options of a run: a record for each beside its use, and their values once everything is resolved.

Flags, ranges, help, refusals and what a resumed run may change all come from the records. Whoever has options, a space,
a task, a strategy, the trainer or the run itself, has them as a dictionary from name to `Option`.
"""

import dataclasses
import inspect
import math
import typing

from tfdarts.errors import UserError
from tfdarts.modules import same_module


class OptionError(UserError):
    """An option that cannot be, with a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        default: the paper's value; its type is the option's. None for an unset one of type `kind`.
        help: what it does, with unit; complete by itself.
        kind: type of the values.
        zero: whether a number may be 0; otherwise it must be above.
        fraction: whether a number must be below 1.
        choices: what a text may be; empty for anything.
        only_with: `(other option, *its values)`, without which it has no meaning; given then, it is refused.
        resume: what a resumed run may do to it: `"keep"` it as it is, let it `"grow"`, `"change"` it; `"move"` is for
            the name of an operation module, which may lie elsewhere than it did.
        random: whether the strategy `"random"` uses it.
        controller: whether only a controller uses it, so that the strategy `"random_ws"` does not.
        same_as: other options that always have its value: giving one gives all.
        of_module: whether it belongs to an operation module, which has a default of its own.
    """

    default: typing.Any
    help: str
    kind: type | None = None
    zero: bool = False
    fraction: bool = False
    choices: tuple = ()
    only_with: tuple = ()
    resume: str = "keep"
    random: bool = False
    controller: bool = False
    same_as: tuple = ()
    of_module: bool = False

    @property
    def type(self):
        """Type of the values."""
        return self.kind or type(self.default)

    def but(self, default, help=None, **changes):
        """The same option with another default, and other attributes if need be."""
        return dataclasses.replace(self, default=default, help=help or self.help, **changes)

    def may_become(self, value, before):
        """Whether a resumed run may have `value` where the run had `before`."""
        if value == before or self.resume == "change":
            return True
        if self.resume == "grow":
            return before is not None and value > before
        return self.resume == "move" and before is not None and same_module(value, before)

    def check(self, name, value):
        """Raises OptionError for a value that the option cannot have."""
        if self.choices and value not in self.choices:
            raise OptionError(f"--{name} must be {' or '.join(self.choices)}. Received: {value!r}.")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        if not (value >= 0 if self.zero else value > 0) or value == math.inf:
            raise OptionError(f"--{name} must be {'at least 0' if self.zero else 'above 0'}. Received: {value}.")
        if self.fraction and value >= 1:
            raise OptionError(f"--{name} must be below 1. Received: {value}.")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The resolved options of a run.

    Attributes:
        stage: `"search"` or `"train"`.
        recipe: name of the recipe that they come from; None for the space's defaults.
        space: name of the space.
        values: every option of the stage, by name.
        module_options: names of those that belong to an operation module; a function takes them together, those that
            the user gave, as a dictionary called `ops_options`.
    """

    stage: str
    recipe: str | None
    space: str
    values: dict
    module_options: tuple = ()

    @property
    def strategy(self):
        """Name of the strategy of a search; None in training."""
        return self.values.get("strategy")

    @property
    def precision(self):
        """In what the network computes, one of `precision.POLICIES`; float32 in a space without that option."""
        return self.values.get("precision", "float32")

    def pick(self, function):
        """The options that a function takes by name, as keyword-only parameters; a dictionary."""
        names = [p.name for p in inspect.signature(function).parameters.values() if p.kind == p.KEYWORD_ONLY]
        picked = {name: self.values[name] for name in names if name in self.values}
        if "ops_options" in names:
            given = {name: self.values[name] for name in self.module_options}
            picked["ops_options"] = {name: value for name, value in given.items() if value is not None}
        return picked

    def but(self, **changes):
        """The same settings with other values of some options."""
        return dataclasses.replace(self, values=self.values | changes)

    def to_config(self):
        """The settings as `config.json` has them: one dictionary."""
        return {"stage": self.stage, "space": self.space, "recipe": self.recipe} | self.values

    @classmethod
    def from_config(cls, config, options):
        """The settings that a run's configuration holds.

        Args:
            config: dictionary that `to_config` gave, with whatever else belongs to a run.
            options: dictionary from name to `Option`; one that the configuration lacks has its default.
        """
        values = {name: config.get(name, option.default) for name, option in options.items()}
        return cls(config["stage"], config["recipe"], config["space"], values, module_options(options))


def module_options(options):
    """Names of the options that belong to an operation module."""
    return tuple(name for name, option in options.items() if option.of_module)


def check_values(options, values):
    """Raises OptionError for a value that its option cannot have.

    Args:
        options: dictionary from name to `Option`.
        values: dictionary from name to value; unset ones, None, and names without an option pass.
    """
    for name, value in values.items():
        if name in options and value is not None:
            options[name].check(name, value)


def laid_over(options, values, given):
    """Values with those that the user gave laid over them.

    Args:
        options: dictionary from name to `Option`.
        values: dictionary from name to value, of every option.
        given: what the user gave, as a dictionary.

    Returns:
        A dictionary of all values.

    Raises:
        OptionError: for a given option that has no meaning beside the others, or a value that cannot be.
    """
    result = values | given
    for name in given:
        others = options[name].same_as
        if any(given.get(other, given[name]) != given[name] for other in others):
            *first, last = (f"--{each}" for each in sorted((name, *others)))
            raise OptionError(f"{', '.join(first)} and {last} must be the same: the cell has one size.")
        result |= dict.fromkeys(others, given[name])
    check_values({name: option for name, option in options.items() if option.choices}, result)
    for name in given:
        if options[name].only_with:
            other, *meaningful = options[name].only_with
            if result.get(other, meaningful[0]) not in meaningful:
                raise OptionError(f"--{name} has no meaning with --{other} {result[other]}; leave it out.")
    check_values(options, result)
    return result
