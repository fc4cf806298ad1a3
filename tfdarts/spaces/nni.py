"""Reads the architectures that NNI exports for its DARTS space, as JSON."""

import re

from tfdarts.genotype import NONE, check

# The operations of NNI 1's example, in its order, since it exports their numbers too.
_OPERATIONS = {
    "maxpool": "max_pool_3x3",
    "avgpool": "avg_pool_3x3",
    "skipconnect": "skip_connect",
    "sepconv3x3": "sep_conv_3x3",
    "sepconv5x5": "sep_conv_5x5",
    "dilconv3x3": "dil_conv_3x3",
    "dilconv5x5": "dil_conv_5x5",
}


def fields(data):
    """Fields of a genotype from what NNI 2 and 3 export, or NNI 1; None for anything else.

    NNI 2 and 3 have `normal/op_<state>_<k>` and `normal/input_<state>_<k>` for the entries of each node; NNI 1 has
    `normal_n<state>_p<source>` with an operation for each source, and `normal_n<state>_switch`, the chosen two.
    All nodes are concatenated, as its DARTS space does it. Keys about sizes, `width` and `depth`, are not read:
    `--init_channels` and `--layers` give these.

    Raises:
        GenotypeError: if an entry is incomplete.
    """
    if not isinstance(data, dict):
        return None
    cells = {}
    for kind in ("normal", "reduce"):
        cells[kind] = _cell(data, kind) or _old_cell(data, kind)
    if not any(cells.values()):
        return None
    result = {}
    for kind, nodes in cells.items():
        check(nodes, f"This export of NNI lacks the cell {kind!r}.")
        check(sorted(nodes) == list(range(2, 2 + len(nodes))), f"This export of NNI lacks a node of the cell {kind!r}.")
        result[kind] = [nodes[state] for state in sorted(nodes)]
        result[f"{kind}_concat"] = sorted(nodes)
    return result


def _cell(data, kind):
    """The nodes of a cell of NNI 2 and 3: a dictionary from state to its entries."""
    nodes = {}
    for key, op in data.items():
        match = re.fullmatch(rf"{kind}/op_([0-9]{{1,2}})_([0-9]{{1,2}})", key)
        if match:
            state, k = match.groups()
            nodes.setdefault(int(state), []).append((_one(op), _one(data.get(f"{kind}/input_{state}_{k}"))))
    return nodes


def _old_cell(data, kind):
    """The same of NNI 1."""
    nodes = {}
    for key, chosen in data.items():
        match = re.fullmatch(rf"{kind}_n([0-9]{{1,2}})_switch", key)
        if match:
            check(isinstance(chosen, list), f"`{key}` must list the chosen inputs. Received: {chosen!r}.")
            entries = [(_operation(_one(data.get(name))), str(name).rpartition("_p")[2]) for name in chosen]
            check(all(source.isdecimal() for _, source in entries), f"`{key}` must list inputs. Received: {chosen!r}.")
            nodes[int(match[1])] = [(op, int(source)) for op, source in entries]
    return nodes


def _one(value):
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _operation(op):
    if type(op) is int and 0 <= op < len(_OPERATIONS):
        return list(_OPERATIONS.values())[op]
    return _OPERATIONS.get(op, op) if isinstance(op, str) else NONE
