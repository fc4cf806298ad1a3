"""Loads an operation module; the only importer of `ops/`."""

import dataclasses
import importlib
import importlib.util
import inspect
import os
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from tfdarts.errors import UserError
from tfdarts.genotype import NONE


class SpaceError(UserError):
    """An operation module that breaks the contract, with a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Space:
    """The operations that may sit on an edge.

    Attributes:
        name: how the module was named, as `--ops` and the genotype have it.
        ops: dictionary from name to `(channels, stride, edges, affine) -> layer`; for recurrent cells to a function of
            one tensor.
        searched: names that a search chooses from, in the order of the architecture parameters' columns.
    """

    name: str
    ops: dict
    searched: tuple

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
        unknown = sorted(genotype.operations() - set(self.ops))
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


def load(name, recurrent=False):
    """Loads an operation module.

    Args:
        name: a module of `ops/` (`regular`), a dotted path (`mypackage.myops`), looked up as Python does and in the
            working directory, or a Python file (`./myops.py`).
        recurrent: whether the operations are those of recurrent cells, functions from a tensor to one of its shape.

    Returns:
        A `Space`.

    Raises:
        SpaceError: if there is no such module, or it breaks the contract.
    """
    module = _module(name)
    contract = "(tensor)" if recurrent else "(channels, stride, edges, affine)"
    ops = getattr(module, "OPS", None)
    if not isinstance(ops, dict) or not ops:
        raise SpaceError(f"Operation module {name!r} lacks OPS, a dictionary of {contract}.")
    searched = tuple(getattr(module, "SEARCHED", ops))
    unknown = sorted(set(searched) - set(ops) - ({NONE} if recurrent else set()))
    if unknown:
        raise SpaceError(f"{name}: SEARCHED names {', '.join(unknown)}, which OPS does not have.")
    for op, make in ops.items():
        if not callable(make):
            raise SpaceError(f"{name}: OPS[{op!r}] must be callable with {contract}.")
        missing = [] if recurrent else [item for item in ("channels", "stride") if item not in _accepted(make)]
        if missing:
            raise SpaceError(f"{name}: OPS[{op!r}] does not take {' and '.join(missing)}.")
    space = Space(name, dict(ops), searched)
    if recurrent:
        for op in ops:
            _try_function(space, op)
    elif not module.__name__.startswith("ops."):
        for op in ops:
            _try(space, op)
    return space


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


def _try_function(space, op):
    """Runs a recurrent operation once: layers where functions belong, say, are found before a search starts."""
    x = tf.reshape(tf.linspace(-2.0, 2.0, 6), (2, 3))
    try:
        y = tf.convert_to_tensor(space.ops[op](x))
    except Exception as error:  # a user's function may raise anything
        raise SpaceError(f"{space.name}: OPS[{op!r}] must map a tensor to one of its shape: {error}") from error
    if y.shape != x.shape or y.dtype != x.dtype or not np.isfinite(y).all():
        raise SpaceError(
            f"{space.name}: OPS[{op!r}] must map float32 (2, 3) to finite float32 (2, 3). "
            f"It gave {y.dtype.name} {tuple(y.shape)}."
        )
