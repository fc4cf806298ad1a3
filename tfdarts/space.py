"""Loads an operation module; the only importer of `ops/`."""

import collections.abc
import dataclasses
import importlib
import importlib.util
import inspect
import os
import pathlib
import pkgutil
import sys

import keras
import tensorflow as tf

import ops as modules
from ops import common
from tfdarts.errors import UserError


class SpaceError(UserError):
    """An operation module that breaks the contract, with a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Space:
    """The operations that may sit on an edge.

    Attributes:
        name: how the module was named, as `--ops` and the genotype have it.
        ops: dictionary from name to `(channels, stride, edges, affine) -> layer`.
        searched: names that a search chooses from, in the order of the architecture parameters' columns.
        options: what the module was made with, by name; empty if it has no options.
        preprocess: `(channels, halve, affine) -> layer` for the inputs of a cell.
    """

    name: str
    ops: dict
    searched: tuple
    options: dict
    preprocess: collections.abc.Callable

    def build(self, op, channels, stride, edges, affine):
        """Builds the layer for `edges` parallel edges, whether or not the operation knows about parallel edges.

        Raises:
            SpaceError: if the operation does not exist or builds no Keras layer.
        """
        if op not in self.ops:
            raise SpaceError(f"Operation module {self.name!r} has no {op!r}; it offers {', '.join(self.ops)}.")
        arguments = {"channels": channels, "stride": stride, "edges": edges, "affine": affine}
        make, accepted = self.ops[op], _accepted(self.ops[op])
        arguments = {name: value for name, value in arguments.items() if name in accepted}
        if "edges" in accepted:
            return self._layer(op, make(**arguments))
        return PerEdge([self._layer(op, make(**arguments)) for _ in range(edges)])

    def _layer(self, op, layer):
        if not isinstance(layer, keras.layers.Layer):
            raise SpaceError(f"{self.name}: OPS[{op!r}] must build a keras.layers.Layer, not {type(layer).__name__}.")
        return layer

    def check(self, genotype):
        """Raises SpaceError if the genotype uses an operation that this space does not have."""
        unknown = sorted({op for op, _ in genotype.normal + genotype.reduce} - set(self.ops))
        if unknown:
            raise SpaceError(
                f"The genotype uses {', '.join(unknown)}, which operation module {self.name!r} does not have."
            )


class PerEdge(keras.layers.Layer):
    """One layer per edge, side by side, scaled outside: for operations that know no parallel edges."""

    def __init__(self, layers, **kwargs):
        super().__init__(**kwargs)
        self.layers = tuple(layers)
        self.takes_training = "training" in _accepted(layers[0].call)

    def call(self, x, weights=None, training=None):
        options = {"training": training} if self.takes_training else {}
        results = [layer(x, **options) for layer in self.layers]
        if weights is not None:
            results = [y * weights[edge] for edge, y in enumerate(results)]
        return keras.ops.concatenate(results, axis=-1)


def _accepted(function):
    return tuple(inspect.signature(function).parameters)


def option_flags():
    """The options of the modules of `ops/`: name to default and help text."""
    found = (importlib.import_module(f"ops.{module.name}") for module in pkgutil.iter_modules(modules.__path__))
    return {name: option for module in found for name, option in getattr(module, "OPTIONS", {}).items()}


def load(name, options=None):
    """Loads an operation module.

    Args:
        name: a module of `ops/` (`regular`), a dotted path (`mypackage.myops`), looked up as Python does and in the
            working directory, or a Python file (`./myops.py`).
        options: dictionary of the module's options; those left out have their defaults.

    Returns:
        A `Space`.

    Raises:
        SpaceError: if there is no such module, it breaks the contract, or it does not take the options.
    """
    module = _module(name)
    made, options = _make(module, name, options or {})
    ops = getattr(made, "OPS", None)
    if not isinstance(ops, dict) or not ops:
        raise SpaceError(f"Operation module {name!r} lacks OPS, a dictionary of (channels, stride, edges, affine).")
    searched = tuple(getattr(made, "SEARCHED", ops))
    unknown = sorted(set(searched) - set(ops))
    if unknown:
        raise SpaceError(f"{name}: SEARCHED names {', '.join(unknown)}, which OPS does not have.")
    for op, make in ops.items():
        if not callable(make):
            raise SpaceError(f"{name}: OPS[{op!r}] must be callable with (channels, stride, edges, affine).")
        missing = [argument for argument in ("channels", "stride") if argument not in _accepted(make)]
        if missing:
            raise SpaceError(f"{name}: OPS[{op!r}] does not take {' and '.join(missing)}.")
    space = Space(name, dict(ops), searched, options, getattr(made, "PREPROCESS", common.preprocess))
    if not module.__name__.startswith("ops."):
        for op in ops:
            _try(space, op)
    return space


def _make(module, name, given):
    """The module, or what it makes of its options; and the options as they should be kept."""
    known = getattr(module, "OPTIONS", {})
    if unknown := [f"--{option}" for option in given if option not in known]:
        takes = ", ".join(f"--{option}" for option in known) or "none"
        raise SpaceError(f"Operation module {name!r} takes no {', '.join(unknown)} (its options: {takes}).")
    if not known:
        return module, {}
    options = {option: default for option, (default, _) in known.items()} | given
    try:
        made = module.make(**options)
    except ValueError as error:
        raise SpaceError(str(error)) from None
    return made, getattr(made, "options", options)


def _module(name):
    try:
        if name.endswith(".py"):
            path = pathlib.Path(name).resolve()
            if not path.is_file():
                raise SpaceError(
                    f"Operation module {name!r} does not exist, seen from {os.getcwd()}; say by --ops where it is."
                )
            spec = importlib.util.spec_from_file_location("tfdarts_user_" + path.stem, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            return module
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # as `python -m` has it; a script has only its own folder
        return importlib.import_module(name if "." in name else f"ops.{name}")
    except SpaceError:
        raise
    except ModuleNotFoundError as error:
        raise SpaceError(
            f"Cannot load operation module {name!r} ({error}); give a module of ops/, a dotted path or a .py file."
        ) from None
    except Exception as error:  # the user's module may raise anything while it is imported
        raise SpaceError(f"Operation module {name!r} fails on import: {type(error).__name__}: {error}") from error


def _try(space, op):
    """Runs a user's operation once at either stride, so that a wrong shape is found before a search starts."""
    for stride in (1, 2):
        try:
            y = space.build(op, 4, stride, 2, False)(tf.zeros((2, 8, 8, 4)), training=True)
        except SpaceError:
            raise
        except Exception as error:
            raise SpaceError(f"{space.name}: OPS[{op!r}] fails at stride {stride}: {error}") from error
        expected = (2, 8 // stride, 8 // stride, 8)
        if tuple(y.shape) != expected:
            raise SpaceError(
                f"{space.name}: OPS[{op!r}] with channels=4, stride={stride}, edges=2 must map (2, 8, 8, 4) to "
                f"{expected}, edge after edge. It gave {tuple(y.shape)}."
            )
