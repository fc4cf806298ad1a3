"""Loads operation modules: what may sit on the edges of a cell, chosen by `--ops`."""

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
import numpy as np
import tensorflow as tf

from tfdarts import ops as modules
from tfdarts.errors import UserError
from tfdarts.genotype import NONE
from tfdarts.ops import attention_modules, common
from tfdarts.runs import environment

# Where a search places attention modules (Att-DARTS, Nakai et al. 2020, section 3): among the operations of an edge,
# behind them, on a cell's output. "mixed" is the operations and all modules but `Identity`, "attention" the modules.
LOCATIONS = {
    "no_attention": {},
    "after_every": {"after": "attention"},
    "end": {"end": "attention"},
    "after_every_and_end": {"after": "attention", "end": "attention"},
    "mixed_with_operation": {"searched": "mixed"},
    "double_mixed": {"searched": "mixed", "after": "mixed"},
}


class OperationsError(UserError):
    """An operation module that breaks the contract, with a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Operations:
    """The operations and attention modules that may sit on an edge.

    Attributes:
        name: how the module was named, as `--ops` and the genotype have it.
        ops: dictionary from name to `(channels, stride, edges, affine) -> layer`; for recurrent cells to a function of
            one tensor.
        searched: names that a search chooses from, in the order of the architecture parameters' columns.
        after: likewise for what follows the operation on the same edge; empty for nothing.
        end: likewise for what follows the concatenation of a cell; empty for nothing.
        options: what the module was made with, by name; empty if it has no options.
        preprocess: `(channels, halve, affine) -> layer` for the inputs of a cell.
        attention: what convolutional cells may hold beside `ops`, likewise; an operation of the same name goes first.
    """

    name: str
    ops: dict
    searched: tuple
    options: dict = dataclasses.field(default_factory=dict)
    preprocess: collections.abc.Callable = common.preprocess
    after: tuple = ()
    end: tuple = ()
    attention: dict = dataclasses.field(default_factory=dict)

    def build(self, op, channels, stride, edges, affine, inputs=1):
        """Builds the layer for `edges` parallel edges, whether or not the operation knows about parallel edges.

        Args:
            inputs: int, how many maps lie side by side in what the layer will be given, each for its share of the
                edges: 1 for one that all edges see, `edges` for one map per edge.

        Raises:
            OperationsError: if the operation does not exist or builds no Keras layer.
        """
        make = (self.attention | self.ops).get(op)
        if make is None:
            raise OperationsError(f"Operation module {self.name!r} has no {op!r}; it offers {', '.join(self.ops)}.")
        accepted = _accepted(make)
        parallel = "edges" in accepted and (inputs == 1 or "inputs" in accepted)
        arguments = {"channels": channels, "stride": stride, "affine": affine}
        arguments |= {"edges": edges, "inputs": inputs} if parallel else {"edges": 1}
        arguments = {name: value for name, value in arguments.items() if name in accepted}
        if parallel:
            return self._layer(op, make(**arguments))
        return PerEdge([self._layer(op, make(**arguments)) for _ in range(edges)], inputs)

    def takes_inputs(self, op):
        """Whether the layer that `build` gives does the edges of several inputs in one."""
        make = (self.attention | self.ops).get(op)  # without one, `build` says so
        return make is not None and {"edges", "inputs"} <= {*_accepted(make)}

    def _layer(self, op, layer):
        if not isinstance(layer, keras.layers.Layer):
            kind = type(layer).__name__
            raise OperationsError(f"{self.name}: OPS[{op!r}] must build a keras.layers.Layer, not {kind}.")
        return layer

    def check(self, genotype):
        """Raises OperationsError if the genotype uses an operation that the module does not have."""
        unknown = sorted(genotype.operations() - set(self.attention | self.ops))
        if unknown:
            raise OperationsError(
                f"The genotype uses {', '.join(unknown)}, which operation module {self.name!r} does not have."
            )


class PerEdge(keras.layers.Layer):
    """One layer per edge, side by side, scaled outside: for operations that know no parallel edges.

    Args:
        layers: one per edge.
        inputs: how many maps lie side by side in the input, each for its share of the edges.
    """

    def __init__(self, layers, inputs=1, **kwargs):
        super().__init__(**kwargs)
        self.layers, self.inputs = tuple(layers), inputs
        self.takes_training = "training" in _accepted(layers[0].call)

    def call(self, x, weights=None, training=None):
        options = {"training": training} if self.takes_training else {}
        count = len(self.layers)
        parts = keras.ops.split(x, self.inputs, axis=-1) if self.inputs > 1 else [x]
        maps = [part for part in parts for _ in range(count // self.inputs)]
        results = [layer(y, **options) for layer, y in zip(self.layers, maps)]
        if weights is not None:
            results = [y * tf.cast(weights[edge], y.dtype) for edge, y in enumerate(results)]
        return keras.ops.concatenate(results, axis=-1)


def _accepted(function):
    return tuple(inspect.signature(function).parameters)


def option_flags():
    """The options of the modules of `ops/`: name to default and help text."""
    found = (importlib.import_module(f"tfdarts.ops.{module.name}") for module in pkgutil.iter_modules(modules.__path__))
    return {name: option for module in found for name, option in getattr(module, "OPTIONS", {}).items()}


def load(name, options=None, *, location="no_attention", recurrent=False):
    """Loads an operation module.

    Args:
        name: a module of `ops/` (`regular`), a dotted path (`mypackage.myops`), looked up as Python does and in the
            working directory, or a Python file (`./myops.py`).
        options: dictionary of the module's options; those left out have their defaults.
        location: one of `LOCATIONS`: where a search places attention modules.
        recurrent: whether the operations are those of recurrent cells, functions from a tensor to one of its shape.

    Returns:
        A `Operations`.

    Raises:
        OperationsError: if there is no such module or location, or the module breaks the contract or takes other
            options.
    """
    if location not in LOCATIONS:
        raise OperationsError(f"--location must be one of {', '.join(LOCATIONS)}. Received: {location!r}.")
    module = _module(name)
    if getattr(module, "EXACT_FLOAT32", False):  # here, since every way to the operations leads through here
        if keras.config.dtype_policy().compute_dtype not in ("float32", "float64"):
            raise OperationsError(f"Operation module {name!r} needs all bits of float32; leave out --precision.")
        environment.exact_float32()
    made, options = _make(module, name, options or {})
    contract = "(tensor)" if recurrent else "(channels, stride, edges, affine)"
    ops = getattr(made, "OPS", None)
    if not isinstance(ops, dict) or not ops:
        raise OperationsError(f"Operation module {name!r} lacks OPS, a dictionary of {contract}.")
    searched = tuple(getattr(made, "SEARCHED", ops))
    unknown = sorted(set(searched) - set(ops) - ({NONE} if recurrent else set()))
    if unknown:
        raise OperationsError(f"{name}: SEARCHED names {', '.join(unknown)}, which OPS does not have.")
    for op, make in ops.items():
        if not callable(make):
            raise OperationsError(f"{name}: OPS[{op!r}] must be callable with {contract}.")
        missing = [] if recurrent else [item for item in ("channels", "stride") if item not in _accepted(make)]
        if missing:
            raise OperationsError(f"{name}: OPS[{op!r}] does not take {' and '.join(missing)}.")
    if recurrent:
        result = Operations(name, dict(ops), searched, options)
        for op in ops:
            _try_function(result, op)
        return result
    attention = attention_modules.OPS
    columns = {
        "attention": tuple(attention),
        "mixed": searched + tuple(module for module in attention if module != "Identity" and module not in searched),
    }
    chosen = {part: columns[kind] for part, kind in LOCATIONS[location].items()}
    result = Operations(
        name,
        dict(ops),
        **{"searched": searched} | chosen,
        options=options,
        preprocess=getattr(made, "PREPROCESS", common.preprocess),
        attention=attention,
    )
    if not module.__name__.startswith("tfdarts.ops."):
        for op in ops:
            _try(result, op)
    return result


def _make(module, name, given):
    """The module, or what it makes of its options; and the options as they should be kept."""
    known = getattr(module, "OPTIONS", {})
    if unknown := [f"--{option}" for option in given if option not in known]:
        takes = ", ".join(f"--{option}" for option in known) or "none"
        raise OperationsError(f"Operation module {name!r} takes no {', '.join(unknown)} (its options: {takes}).")
    if not known:
        return module, {}
    options = {option: default for option, (default, _) in known.items()} | given
    try:
        made = module.make(**options)
    except ValueError as error:
        raise OperationsError(str(error)) from None
    return made, getattr(made, "options", options)


def _module(name):
    try:
        if name.endswith(".py"):
            path = pathlib.Path(name).resolve()
            if not path.is_file():
                raise OperationsError(
                    f"Operation module {name!r} does not exist, seen from {os.getcwd()}; say by --ops where it is."
                )
            spec = importlib.util.spec_from_file_location("tfdarts_user_" + path.stem, path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
            return module
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # as `python -m` has it; a script has only its own folder
        return importlib.import_module(name if "." in name else f"tfdarts.ops.{name}")
    except OperationsError:
        raise
    except ModuleNotFoundError as error:
        raise OperationsError(
            f"Cannot load operation module {name!r} ({error}); give a module of ops/, a dotted path or a .py file."
        ) from None
    except Exception as error:  # the user's module may raise anything while it is imported
        raise OperationsError(f"Operation module {name!r} fails on import: {type(error).__name__}: {error}") from error


def _try(operations, op):
    """Runs a user's operation once at either stride, so that a wrong shape is found before a search starts."""
    for stride in (1, 2):
        try:
            y = operations.build(op, 4, stride, 2, False)(tf.zeros((2, 8, 8, 4)), training=True)
        except OperationsError:
            raise
        except Exception as error:
            raise OperationsError(f"{operations.name}: OPS[{op!r}] fails at stride {stride}: {error}") from error
        expected = (2, 8 // stride, 8 // stride, 8)
        if tuple(y.shape) != expected:
            raise OperationsError(
                f"{operations.name}: OPS[{op!r}] with channels=4, stride={stride}, edges=2 must map (2, 8, 8, 4) to "
                f"{expected}, edge after edge. It gave {tuple(y.shape)}."
            )
        _try_further(operations, op, stride)


def _try_further(operations, op, stride):
    """Tries what an operation says that it can do beyond that: several inputs, weights spread over the channels."""
    called = f"{operations.name}: OPS[{op!r}] with channels=4, stride={stride}"
    x = tf.random.stateless_normal((2, 8, 8, 8), [0, 0])
    if operations.takes_inputs(op):
        layer = operations.build(op, 4, stride, 4, False, inputs=2)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cast(layer(x, training=True), x.dtype)
            first = tf.reduce_sum(tf.square(y[..., : y.shape[-1] // 2]) * tf.range(1.0, 1 + y.shape[-1] // 2))
        gradient = tape.gradient(first, x, unconnected_gradients="zero")
        if y.shape[-1] != 16 or np.any(gradient[..., 4:]):
            raise OperationsError(
                f"{called}, edges=4, inputs=2 must map (2, 8, 8, 8) to 16 channels, the first 8 from the first 4 "
                f"channels alone. It gave {y.shape[-1]} channels."
            )
    layer = operations.build(op, 4, stride, 2, False)
    if getattr(layer, "takes_scale", False):
        weights, x = tf.constant([0.25, 0.75]), x[..., :4]
        results = (layer(x, weights=w, training=False) for w in (weights, tf.repeat(weights, 4)))
        by_edge, spread = (tf.cast(y, tf.float32) for y in results)
        if not np.allclose(by_edge, spread, rtol=0.02, atol=0.02):  # they may have been rounded to 16 bits
            raise OperationsError(
                f"{called} has takes_scale, so its weights (edges,) must do what they do as (edges * channels,). They "
                "do not; see scale_of in tfdarts.ops.common."
            )


def _try_function(operations, op):
    """Runs a recurrent operation once: layers where functions belong, say, are found before a search starts."""
    x = tf.reshape(tf.linspace(-2.0, 2.0, 6), (2, 3))
    try:
        y = tf.convert_to_tensor(operations.ops[op](x))
    except Exception as error:  # a user's function may raise anything
        name = f"{operations.name}: OPS[{op!r}]"
        raise OperationsError(f"{name} must map a tensor to one of its shape: {error}") from error
    if y.shape != x.shape or y.dtype != x.dtype or not np.isfinite(y).all():
        raise OperationsError(
            f"{operations.name}: OPS[{op!r}] must map float32 (2, 3) to finite float32 (2, 3). "
            f"It gave {y.dtype.name} {tuple(y.shape)}."
        )
