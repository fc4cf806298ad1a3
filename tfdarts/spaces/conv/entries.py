"""Entries of cells as other programs write them: node by node, with weights, with `none`, with states they lead to."""

from tfdarts.genotype import NONE, check, nodes_of

# AutoDL-Projects' names of the same operations.
_ALIASES = {
    f"{there}_{k}x{k}": f"{here}_{k}x{k}"
    for k in (3, 5)
    for there, here in (("dua_sepc", "sep_conv"), ("dil_sepc", "dil_conv"))
}


def as_darts(name, data):
    """The fields `name`, `<name>_inputs` and `<name>_concat` of a cell with its entries as DARTS has them.

    Read are entries node by node, `[[(op, source), (op, source)], ...]`, of any number (pt.darts); with their weights,
    `(op, source, 0.13)` (GDAS); triples `(op, state, source)` (FairDARTS). `none` connects nothing, so its entries are
    left out, and what comes from a state that has no entry then; such states are not concatenated.

    Args:
        name: `"normal"` or `"reduce"`.
        data: all fields, a dictionary.

    Returns:
        A dictionary of the fields that change; empty where there is nothing to do, or the entries are malformed.
    """
    entries = data.get(name)
    if not isinstance(entries, (list, tuple)) or not entries:
        return {}
    led = _by_state(name, entries, data.get(f"{name}_inputs"))
    if led is None:
        return {}
    found = {}
    for state, (op, *rest) in led:
        op = op if "ops" in data else _ALIASES.get(op, op)
        found.setdefault(state, []).append((op, *(part for part in rest if not isinstance(part, float))))
    plain = [(op, *rest) for own in found.values() for op, *rest in own]
    if [list(entry) for entry in plain] == [list(entry) for entry in entries] and NONE not in (e[0] for e in plain):
        return {}
    return _connected(name, found, data.get(f"{name}_concat"))


def _by_state(name, entries, inputs):
    """Pairs of the state that an entry leads to and the entry, `(op, source, ...)`; None if they are malformed."""
    if all(
        isinstance(node, (list, tuple)) and all(isinstance(each, (list, tuple)) for each in node) for node in entries
    ):
        led = [(2 + node, entry) for node, own in enumerate(entries) for entry in own]
    elif any(_is_triple(entry) for entry in entries):
        for entry in entries:
            ok = _is_triple(entry) and entry[1] >= 2
            check(ok, f"`{name}` holds entries [op, state, source], of states from 2 on. Received: {entry!r}.")
        led = [(state, (op, source)) for op, state, source in entries]
    else:
        counts = inputs or [2] * (len(entries) // 2)
        counted = isinstance(counts, (list, tuple)) and all(type(count) is int for count in counts)
        nodes = nodes_of(counts) if counted else ()
        led = [(2 + node, entry) for node, entry in zip(nodes, entries)] if len(nodes) == len(entries) else []
    sound = all(
        isinstance(entry, (list, tuple))
        and len(entry) in (2, 3)
        and isinstance(entry[0], str)
        and type(entry[1]) is int
        for _, entry in led
    )
    return led if led and sound else None


def _is_triple(entry):
    """Whether it is one of FairDARTS's entries `(op, state, source)`."""
    return isinstance(entry, (list, tuple)) and len(entry) == 3 and type(entry[1]) is type(entry[2]) is int


def _connected(name, found, concat):
    """The fields of a cell's entries, `found` being state to entries, without those that connect nothing."""
    there = {0, 1}
    for state in sorted(found):
        found[state] = [
            entry for entry in found[state] if entry[0] != NONE and (entry[1] in there or entry[1] >= state)
        ]
        if found[state]:
            there.add(state)
    check(len(there) > 2, f"`{name}` has no entry that leads from the cell's inputs to a node.")
    states = range(2, 1 + max(there))
    concat = [state for state in concat if state in there] if isinstance(concat, (list, tuple)) else concat
    return {
        name: [entry for state in states for entry in found.get(state, [])],
        f"{name}_inputs": [len(found.get(state, [])) for state in states],
        f"{name}_concat": concat,
    }
