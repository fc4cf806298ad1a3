"""The genotype of a pair of ENAS's convolutional cells."""

import dataclasses

from tfdarts.genotype import VERSION, CellPair, check, check_fixed, checked_edges, integers

# What ENAS chooses from, in the order of its numbers.
MICRO_OPS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")


@dataclasses.dataclass(frozen=True)
class MicroGenotype(CellPair):
    """A pair of convolutional cells of ENAS (Pham et al. 2018, arXiv:1802.03268, section 2.4).

    The output of a cell is the concatenation of its loose ends: the states, inputs among them, that no node reads.

    Attributes:
        normal, reduce: tuples of `(op, source)` as in `ConvGenotype`, with operations of `MICRO_OPS`; both entries of a
            node may have the same source.
        space: `"micro"`.

    Raises:
        GenotypeError: if an entry is malformed, names another operation or a state that does not exist yet.
    """

    normal: tuple
    reduce: tuple
    space: str = "micro"

    def __post_init__(self):
        for name in ("normal", "reduce"):
            edges = checked_edges(name, getattr(self, name))
            for k, edge in enumerate(edges):
                ok = len(edge) == 2 and edge[0] in MICRO_OPS
                message = f"`{name}[{k}]` must be [op, source], op one of {', '.join(MICRO_OPS)}. Received: {edge!r}."
                check(ok, message)
            object.__setattr__(self, name, edges)
        check_fixed(self, "space")

    @classmethod
    def from_arc(cls, arc):
        """From numbers `(2, blocks, 4)`: index_1, op_1, index_2, op_2 of each node of the normal, then the other cell.

        Raises:
            GenotypeError: if an operation or a state does not exist.
        """
        cells = [[(int(op), int(index)) for node in cell for index, op in (node[:2], node[2:])] for cell in arc]
        for op, _ in cells[0] + cells[1]:
            check(op in range(len(MICRO_OPS)), f"Operations have numbers 0 to {len(MICRO_OPS) - 1}. Received: {op}.")
        return cls(*([(MICRO_OPS[op], index) for op, index in cell] for cell in cells))

    @classmethod
    def from_numbers(cls, text):
        """From the numbers of an arc as ENAS's scripts have them: in one text, separated by blanks.

        Raises:
            GenotypeError: if these are no two cells of as many nodes each.
        """
        numbers = integers(text)
        message = f"Two micro cells take 8 numbers per node, 4 for either cell. Received: {len(numbers)} numbers."
        check(numbers and len(numbers) % 8 == 0, message)
        nodes = [numbers[i : i + 4] for i in range(0, len(numbers), 4)]
        return cls.from_arc((nodes[: len(nodes) // 2], nodes[len(nodes) // 2 :]))

    def concat(self, reduction):
        """The loose ends of the reduction or the normal cell."""
        edges = self.reduce if reduction else self.normal
        return tuple(sorted(set(range(2 + len(edges) // 2)) - {source for _, source in edges}))

    def operations(self):
        """The set of operations that it uses."""
        return {op for op, _ in self.normal + self.reduce}

    def to_dict(self):
        cells = {name: [list(edge) for edge in getattr(self, name)] for name in ("normal", "reduce")}
        return {"version": VERSION, "space": self.space} | cells

    def to_text(self):
        """The numbers of ENAS's scripts, a line for each cell."""
        check(len(self.normal) == len(self.reduce), "ENAS's scripts take two cells of as many nodes; take --to json.")
        cells = ([(source, MICRO_OPS.index(op)) for op, source in cell] for cell in (self.normal, self.reduce))
        return "\n".join(" ".join(f"{source} {op}" for source, op in cell) for cell in cells), ()
