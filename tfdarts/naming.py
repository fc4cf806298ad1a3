"""Every variable of a network of cells under the name that it has in the authors' layout.

Our layers hold the weights of several edges side by side. The names tell them apart, one for each edge and operation:
`cells/2/edges/(1,0)/sep_conv_3x3/pointwise_1`, where edge (1,0) leads from state 0 to node 1. So weights can be handed
from one network to another whose edges carry other operations, and compared with the authors' programs. The weights of
`SampledEdges`, one vector an edge, have no such names.
"""

import numpy as np


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


def part_of(name, value, place, places):
    """Where one of `places` edges' part of a variable lies that the edges share."""
    axis = 1 if name.endswith("_range") else 2 if name.startswith("depthwise") else value.ndim - 1
    size = value.shape[axis] // places
    index = (slice(None),) * axis + (slice(place * size, (place + 1) * size),)
    return (0, 0, *index[2:]) if name.startswith("fc_") and value.ndim == 4 else index  # a linear layer over there


def _part(prefix, layer, place=0, places=1):
    """A layer's variables, or one edge's part of them, under the names that they have below a prefix."""
    return {
        f"{prefix}{name}": (variable, part_of(name, variable, place, places))
        for name, variable in variables(layer).items()
    }


def _operations(edges):
    """The operations on mixed edges: `(edge, name, layer, place, places)`; the edge has one of the layer's parts."""
    found = []
    for name, layer, own in zip(edges.names, edges.operations, edges.edges):
        for place, edge in enumerate(own):
            where = place, len(own)
            if edges.is_narrow(layer):  # one BatchNorm for all edges of an input
                where = edge // len(edges.targets), edges.inputs
            found.append((edge, name, layer, *where))
    return found


def named_cell(cell, prefix=""):
    """Every variable of a `Cell` by name: `{name: (variable, index)}`, the index being the part of it that is meant."""
    result = _part(prefix + "preprocess0/", cell.preprocess0) | _part(prefix + "preprocess1/", cell.preprocess1)
    for source, edges in zip(cell.sources, cell.edges):
        edges = getattr(edges, "inner", edges)  # partial channels
        if hasattr(edges, "operations"):
            for part, level in ((edges, ""), (edges.then, "second/")):
                for edge, name, layer, place, places in _operations(part) if part else ():
                    first, target = divmod(edge, len(edges.targets))
                    state = first if cell.inputs_together and source == 1 else source
                    where = f"{prefix}edges/({edges.targets[target]},{state})/{level}{name}/"
                    result |= _part(where, layer, place, places)
        else:
            for place, entry in enumerate(edges.entries):
                result |= _part(f"{prefix}ops/{entry}/", edges.operation, place, len(edges.entries))
                if edges.attention:
                    result |= _part(f"{prefix}attention/{entry}/", edges.attention, place, len(edges.entries))
    if hasattr(cell.bottleneck, "operations"):
        for _, name, layer, place, places in _operations(cell.bottleneck):
            result |= _part(f"{prefix}bottleneck/{name}/", layer, place, places)
    elif cell.bottleneck is not None:
        result |= _part(f"{prefix}bottleneck/", cell.bottleneck.operation)
    return result


def named(network):
    """Every variable of a network of cells by name, as in `named_cell`."""
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
    """The values that variables have now, by name; all of them, or those of the wanted names."""
    return {name: np.asarray(names[name][0].value)[names[name][1]] for name in wanted or names}


def assign(names, values):
    """Sets variables by name.

    Raises:
        KeyError: for a value that no variable has the name of.
        ValueError: for a value of another shape.
    """
    changed = {}
    for name, value in values.items():
        variable, index = names[name]
        _, array = changed.setdefault(id(variable), (variable, np.array(variable.value)))
        if array[index].shape != value.shape:
            raise ValueError(f"{name} is {array[index].shape}. Received: {value.shape}.")
        array[index] = value
    for variable, array in changed.values():
        variable.assign(array)


def arrays(names, of, values):
    """Values ordered like the variables `of` (gradients, say), by name."""
    by_variable = {id(variable): np.asarray(value) for variable, value in zip(of, values)}
    return {name: by_variable[id(v)][index] for name, (v, index) in names.items() if id(v) in by_variable}
