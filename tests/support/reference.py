"""Reads the golden values and knows our variables by the names that they have there."""

import itertools
import json
import pathlib
import re

import numpy as np

OURS = pathlib.Path(__file__).parent.parent / "goldens"
GOLDENS = OURS  # or what `--goldens` names


def load(name, folder=None):
    """Arrays of `<name>.npz` below the folder of goldens, or below another one, or the content of a `.json` file."""
    path = (folder or GOLDENS) / name
    return json.loads(path.read_text()) if path.suffix == ".json" else dict(np.load(path.with_suffix(".npz")))


def names(pattern):
    """Names of the files of golden values that match a pattern, as `load` takes them: `names("evalnet/*.npz")`."""
    return sorted(str(path.relative_to(GOLDENS).with_suffix("")) for path in GOLDENS.glob(pattern))


def numbers(counts, pattern):
    """The whole numbers in the one key that matches a pattern, and the value there: `([24, 96], 42559392)`."""
    (found,) = filter(None, (re.fullmatch(pattern, key) for key in counts))
    return [int(number) for number in found.groups()], counts[found[0]]


def count(arrays, pattern):
    """How many names match a pattern from their beginning."""
    return sum(bool(re.match(pattern, name)) for name in arrays)


def nodes_of(edges):
    """How many nodes a convolutional cell has that has so many edges."""
    return next(nodes for nodes in itertools.count(1) if nodes * (nodes + 3) // 2 >= edges)


def group(arrays, prefix):
    """The arrays below a prefix, without it and without the levels of names that our layers do without."""
    below = {name[len(prefix) :]: value for name, value in arrays.items() if name.startswith(prefix)}
    return {re.sub(r"\b(first|channel|spatial|gather|excite)/", "", name): value for name, value in below.items()}


def variables(layer):
    """A layer's variables by name: `depthwise_1`, `bn_1/gamma`, `fc_1/kernel`; only `fc_1` where there is no bias."""
    result = {}
    for variable in layer.variables:
        path = variable.path.split("/")
        below = path[len(path) - path[::-1].index(layer.name) :]
        result["/".join(below)] = variable
    return {
        name.removesuffix("/kernel") if name.replace("kernel", "bias") not in result else name: variable
        for name, variable in result.items()
    }


def _edge(name, value, edge, edges):
    """Where one edge's part of a stacked variable lies."""
    axis = 2 if name.startswith("depthwise") else value.ndim - 1
    size = value.shape[axis] // edges
    index = (slice(None),) * axis + (slice(edge * size, (edge + 1) * size),)
    return (0, 0, *index[2:]) if name.startswith("fc_") and value.ndim == 4 else index  # a linear layer over there


def _part(prefix, layer, edge=0, edges=1):
    """A layer's variables, or one edge's part of them, under the names that they have below a prefix."""
    return {
        f"{prefix}{name}": (variable, _edge(name, variable, edge, edges)) for name, variable in variables(layer).items()
    }


def named_cell(cell, prefix=""):
    """Every variable of a cell under its reference names: `{name: (variable, index)}`."""
    result = _part(prefix + "preprocess0/", cell.preprocess0) | _part(prefix + "preprocess1/", cell.preprocess1)

    def add_mixed(prefix, edges, position):
        for name, operation in zip(edges.names, edges.operations):
            shared = hasattr(operation, "narrow") and not edges.wide  # one BatchNorm for all edges
            where = (0, 1) if shared else (position, len(edges.targets))
            result.update(_part(f"{prefix}{name}/", operation, *where))

    for source, edges in zip(cell.sources, cell.edges):
        edges = getattr(edges, "inner", edges)  # partial channels
        for position, target in enumerate(edges.targets):
            if hasattr(edges, "operations"):
                add_mixed(f"{prefix}edges/({target},{source})/", edges, position)
                if edges.then:
                    add_mixed(f"{prefix}edges/({target},{source})/second/", edges.then, position)
            else:
                entry, count = edges.entries[position], len(edges.targets)
                result |= _part(f"{prefix}ops/{entry}/", edges.operation, position, count)
                if edges.attention:
                    result |= _part(f"{prefix}attention/{entry}/", edges.attention, position, count)
    if hasattr(cell.bottleneck, "operations"):
        add_mixed(prefix + "bottleneck/", cell.bottleneck, 0)
    return result


def named(network):
    """Every variable of a network under its reference names: `{name: (variable, index)}`."""
    result = {}
    if hasattr(network.stem, "conv_1"):
        for ours, theirs, suffix in (("conv_1", "stem0", "_1"), ("conv_2", "stem0", "_2"), ("conv_3", "stem1", "")):
            for name, variable in variables(getattr(network.stem, ours)).items():
                first, *rest = name.split("/")
                result["/".join([theirs, first + suffix, *rest])] = (variable, ...)
    else:
        result |= _part("stem/", network.stem.conv)
    for c, cell in enumerate(network.cells):
        result |= named_cell(cell, f"cells/{c}/")
    if getattr(network, "auxiliary_head", None):
        result |= _part("auxiliary_head/", network.auxiliary_head)
    return result | _part("classifier/", network.classifier)


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
