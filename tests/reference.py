"""Reads the golden values and knows our variables by the names that they have there."""

import json
import pathlib

import numpy as np

GOLDENS = pathlib.Path(__file__).parent / "goldens"


def load(name):
    """Arrays of `goldens/<name>.npz`, or the content of a `.json` file."""
    path = GOLDENS / name
    return json.loads(path.read_text()) if path.suffix == ".json" else dict(np.load(path.with_suffix(".npz")))


def group(arrays, prefix):
    """The arrays below a prefix, without it."""
    return {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}


def variables(layer):
    """A layer's variables by name: `depthwise_1`, `bn_1/gamma`."""
    result = {}
    for variable in layer.variables:
        *_, parent, name = ("", *variable.path.split("/"))
        nested = parent != layer.name and (parent.startswith("bn") or parent == "classifier")
        result[f"{parent}/{name}" if nested else name] = variable
    return result


def _edge(name, value, edge, edges):
    """Where one edge's part of a stacked variable lies."""
    axis = 2 if name.startswith("depthwise") else value.ndim - 1
    size = value.shape[axis] // edges
    return (slice(None),) * axis + (slice(edge * size, (edge + 1) * size),)


def named(network):
    """Every variable of a network under its reference names: `{name: (variable, index)}`."""
    result = {}

    def add(prefix, layer, edge=0, edges=1):
        for name, variable in variables(layer).items():
            result[f"{prefix}/{name}"] = (variable, _edge(name, variable, edge, edges))

    if hasattr(network.stem, "conv_1"):
        for ours, theirs, suffix in (("conv_1", "stem0", "_1"), ("conv_2", "stem0", "_2"), ("conv_3", "stem1", "")):
            for name, variable in variables(getattr(network.stem, ours)).items():
                first, *rest = name.split("/")
                result["/".join([theirs, first + suffix, *rest])] = (variable, ...)
    else:
        add("stem", network.stem.conv)
    for c, cell in enumerate(network.cells):
        add(f"cells/{c}/preprocess0", cell.preprocess0)
        add(f"cells/{c}/preprocess1", cell.preprocess1)
        for source, edges in zip(cell.sources, cell.edges):
            for position, target in enumerate(edges.targets):
                count = len(edges.targets)
                if hasattr(edges, "operations"):
                    for name, operation in zip(edges.names, edges.operations):
                        shared = hasattr(operation, "narrow")  # one BatchNorm for all edges
                        where = (0, 1) if shared else (position, count)
                        add(f"cells/{c}/edges/({target},{source})/{name}", operation, *where)
                else:
                    add(f"cells/{c}/ops/{edges.entries[position]}", edges.operation, position, count)
    if getattr(network, "auxiliary_head", None):
        add("auxiliary_head", network.auxiliary_head)
    add("classifier", network.classifier)
    return result


def read(names, wanted=None):
    """The values that variables have now, by reference name; all of them, or those of the wanted names."""
    return {name: np.asarray(names[name][0].value)[names[name][1]] for name in wanted or names}


def assign(names, values):
    """Sets variables by reference name; every value must find its place."""
    for name, value in values.items():
        variable, index = names[name]
        array = np.asarray(variable.value)
        assert array[index].shape == value.shape, name
        array[index] = value
        variable.assign(array)


def arrays(names, variables_, values):
    """Values ordered like `variables_` (gradients, say) under their reference names."""
    by_variable = {id(variable): np.asarray(value) for variable, value in zip(variables_, values)}
    return {name: by_variable[id(v)][index] for name, (v, index) in names.items() if id(v) in by_variable}


def close(got, stored, tolerance, name=""):
    """Asserts `max|got - stored| <= tolerance * max|stored|`, over a group if both are dictionaries."""
    if not isinstance(stored, dict):
        got, stored = {name: got}, {name: stored}
    assert stored, f"nothing to compare: {name}"
    scale = max(np.abs(value).max() for value in stored.values())
    for key, value in stored.items():
        array = np.asarray(got[key], np.float64)
        assert array.shape == np.shape(value), f"{name} {key}: {array.shape}, not {np.shape(value)}"
        error = np.abs(array - value).max() / (scale or 1.0)
        assert error <= tolerance, f"{name} {key}: {error:.2e} > {tolerance}"
