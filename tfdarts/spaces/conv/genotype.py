"""The genotype of a pair of convolutional cells."""

import dataclasses

from tfdarts.genotype import NONE, VERSION, CellPair, call_text, check, check_fixed, checked_edges, checked_states
from tfdarts.spaces.conv import entries

_CELLS = ("normal", "reduce")


@dataclasses.dataclass(frozen=True)
class ConvGenotype(CellPair):
    """A pair of convolutional cells (DARTS, arXiv:1806.09055, section 2.4).

    Attributes:
        normal, reduce: tuples of `(op, source)`, node after node; a source is a state: 0 and 1 the cell's inputs, 2 + i
            node i. A third element, where there is one, names what follows the operation (Att-DARTS); an empty one is
            dropped.
        normal_concat, reduce_concat: the states whose concatenation is the cell's output.
        normal_bottleneck, reduce_bottleneck: what follows the concatenation (Att-DARTS), or empty.
        normal_inputs, reduce_inputs: how many entries each node has (FairDARTS); empty for two each, as in DARTS. A
            node of 0 does not exist: it is no source, and not concatenated.
        ops: name of the operation module.
        space: `"conv"`.

    Raises:
        GenotypeError: if an entry is malformed or refers to a state that does not exist yet.
    """

    normal: tuple
    normal_concat: tuple
    reduce: tuple
    reduce_concat: tuple
    ops: str = "regular"
    space: str = "conv"
    normal_bottleneck: str = ""
    reduce_bottleneck: str = ""
    normal_inputs: tuple = ()
    reduce_inputs: tuple = ()

    def __post_init__(self):
        for name in _CELLS:
            inputs = _checked_inputs(name + "_inputs", getattr(self, name + "_inputs"))
            edges = checked_edges(name, getattr(self, name), inputs)
            object.__setattr__(self, name, edges)
            object.__setattr__(self, name + "_inputs", () if set(inputs) == {2} else inputs)
            states = 2 + len(self.inputs(name == "reduce"))
            concat = checked_states(name + "_concat", getattr(self, name + "_concat"), states)
            there = all(i < 2 or not inputs or inputs[i - 2] for i in concat)
            check(there, f"`{name}_concat` lists a node without inputs. Received: {concat!r}.")
            object.__setattr__(self, name + "_concat", concat)
            bottleneck = getattr(self, name + "_bottleneck")
            ok = isinstance(bottleneck, str) and bottleneck != NONE
            check(ok, f"`{name}_bottleneck` must name an attention module. Received: {bottleneck!r}.")
        check_fixed(self, "space")
        check(isinstance(self.ops, str), f"`ops` must name an operation module. Received: {self.ops!r}.")

    @classmethod
    def from_dict(cls, data):
        """Builds a genotype from parsed JSON, or from fields that another program printed (`entries.as_darts`)."""
        if isinstance(data, dict):
            data = data | entries.as_darts("normal", data) | entries.as_darts("reduce", data)
        return super().from_dict(data)

    def inputs(self, reduction):
        return (self.reduce_inputs if reduction else self.normal_inputs) or super().inputs(reduction)

    def concat(self, reduction):
        """The concatenated states of the reduction or the normal cell."""
        return self.reduce_concat if reduction else self.normal_concat

    def operations(self):
        """The set of operations and attention modules that it uses."""
        used = {self.normal_bottleneck, self.reduce_bottleneck}
        for op, _, attention in self.edges(False) + self.edges(True):
            used |= {op, attention}
        return used - {""}

    def bottleneck(self, reduction):
        """What follows the concatenation of the reduction or the normal cell, "" for nothing."""
        return self.reduce_bottleneck if reduction else self.normal_bottleneck

    def to_dict(self):
        lists = {
            name: [list(x) if isinstance(x, tuple) else x for x in getattr(self, name)]
            for name in ("normal", "normal_concat", "reduce", "reduce_concat")
        }
        lists |= {f"{name}_inputs": list(getattr(self, f"{name}_inputs")) for name in _CELLS}
        lists = {name: value for name, value in lists.items() if value}
        names = {name: getattr(self, name) for name in ("normal_bottleneck", "reduce_bottleneck")}
        present = {name: value for name, value in names.items() if value}
        return {"version": VERSION, "space": self.space, "ops": self.ops} | lists | present

    def to_text(self):
        """`Genotype(...)` as DARTS has it; with Att-DARTS's triples, or FairDARTS's, where a cell needs them."""
        cells = {name: self.edges(reduction) for name, reduction in zip(_CELLS, (False, True))}
        ends = {f"{name}_bottleneck": self.bottleneck(name == "reduce") for name in _CELLS}
        inputs = {f"{name}_inputs": list(self.inputs(name == "reduce")) for name in _CELLS}
        uneven = any(set(counts) != {2} for counts in inputs.values())
        attended = any(ends.values()) or any(entry[2] for edges in cells.values() for entry in edges)
        known, more = {}, {} if self.ops == "regular" else {"ops": self.ops}
        for name, edges in cells.items():
            nodes = self.nodes(name == "reduce")
            if uneven and not attended:
                edges = [(op, 2 + node, source) for (op, source, _), node in zip(edges, nodes)]
            known[name] = list(edges) if attended or uneven else [entry[:2] for entry in edges]
            known[f"{name}_concat"] = list(self.concat(name == "reduce"))
        if attended:
            known |= ends
            more |= inputs if uneven else {}
        return call_text(known, more)

    def to_nni(self):
        """What NNI 2 and 3 export of DARTS's cells: an operation and a source for either input of each node."""
        result = {}
        for name, reduction in zip(_CELLS, (False, True)):
            states = tuple(range(2, 2 + len(self.inputs(reduction))))
            ok = set(self.inputs(reduction)) == {2} and self.concat(reduction) == states
            ok = ok and self.ops == "regular" and not self.bottleneck(reduction)
            ok = ok and all(len(entry) == 2 for entry in getattr(self, name))
            message = "NNI's cells have two plain entries for each node, all nodes concatenated; take --to json."
            check(ok, message)
            for k, (op, source) in enumerate(getattr(self, name)):
                result[f"{name}/op_{2 + k // 2}_{k % 2}"] = op
                result[f"{name}/input_{2 + k // 2}_{k % 2}"] = source
        return result


def _checked_inputs(name, inputs):
    """A field that counts entries node by node, as a tuple; empty for two each."""
    ok = isinstance(inputs, (list, tuple)) and all(type(count) is int and count >= 0 for count in inputs)
    ok = ok and (not inputs or inputs[-1] > 0)
    check(ok, f"`{name}` must list how many entries each node has, the last at least 1. Received: {inputs!r}.")
    return tuple(inputs)
