"""The genotype of a pair of convolutional cells."""

import dataclasses

from tfdarts.genotype import NONE, VERSION, CellPair, check, check_fixed, checked_edges, checked_states


@dataclasses.dataclass(frozen=True)
class ConvGenotype(CellPair):
    """A pair of convolutional cells (DARTS, arXiv:1806.09055, section 2.4).

    Attributes:
        normal, reduce: tuples of `(op, source)`, entries 2i and 2i + 1 being the two inputs of node i; a source is a
            state: 0 and 1 the cell's inputs, 2 + i node i. A third element, where there is one, names what follows
            the operation (Att-DARTS); an empty one is dropped.
        normal_concat, reduce_concat: the states whose concatenation is the cell's output.
        normal_bottleneck, reduce_bottleneck: what follows the concatenation (Att-DARTS), or empty.
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

    def __post_init__(self):
        for name in ("normal", "reduce"):
            edges = checked_edges(name, getattr(self, name))
            object.__setattr__(self, name, edges)
            concat = checked_states(name + "_concat", getattr(self, name + "_concat"), 2 + len(edges) // 2)
            object.__setattr__(self, name + "_concat", concat)
            bottleneck = getattr(self, name + "_bottleneck")
            ok = isinstance(bottleneck, str) and bottleneck != NONE
            check(ok, f"`{name}_bottleneck` must name an attention module. Received: {bottleneck!r}.")
        check_fixed(self, "space")
        check(isinstance(self.ops, str), f"`ops` must name an operation module. Received: {self.ops!r}.")

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
        names = {name: getattr(self, name) for name in ("normal_bottleneck", "reduce_bottleneck")}
        present = {name: value for name, value in names.items() if value}
        return {"version": VERSION, "space": self.space, "ops": self.ops} | lists | present
