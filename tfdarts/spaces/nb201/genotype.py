"""The genotype of the cell of NAS-Bench-201."""

import dataclasses
import re

from tfdarts.genotype import NONE, VERSION, Genotype, check, check_fixed

# What an edge may carry, in the order of the columns of the authors' tables.
OPERATIONS = (NONE, "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NODES = 3  # that are computed, beside the input
EDGES = tuple((node, source) for node in range(1, NODES + 1) for source in range(node))  # in the order of rows


@dataclasses.dataclass(frozen=True)
class Nb201Genotype(Genotype):
    """The cell of NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326, section 2.1), an operation on each of six edges.

    Node 0 is the cell's input, node 3 its output; each node from 1 on is the sum of its edges from all earlier nodes.
    `str` gives the authors' form, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.

    Attributes:
        normal: tuple of six `(op, source)`, op being one of `OPERATIONS`, in the order of `EDGES`.
        space: `"nb201"`.

    Raises:
        GenotypeError: if an edge is missing, out of order, or carries another operation.
    """

    normal: tuple
    space: str = "nb201"

    def __post_init__(self):
        edges = self.normal
        ok = isinstance(edges, (list, tuple)) and len(edges) == len(EDGES)
        check(ok, f"`normal` must be a list of {len(EDGES)} entries [op, source].")
        for k, (edge, (node, source)) in enumerate(zip(edges, EDGES)):
            ok = isinstance(edge, (list, tuple)) and len(edge) == 2 and edge[0] in OPERATIONS
            check(ok, f"`normal[{k}]` must be [op, source], op one of {', '.join(OPERATIONS)}. Received: {edge!r}.")
            ok = type(edge[1]) is int and edge[1] == source
            check(ok, f"`normal[{k}]` leads to node {node} from node {source}. Received: {edge!r}.")
        object.__setattr__(self, "normal", tuple(map(tuple, edges)))
        check_fixed(self, "space")

    @classmethod
    def of(cls, operations):
        """Builds it from the names of the six edges' operations, in the order of `EDGES`."""
        return cls(tuple((op, source) for op, (_, source) in zip(operations, EDGES, strict=True)))

    @classmethod
    def from_architecture(cls, text):
        """Reads the authors' form, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.

        Raises:
            GenotypeError: if it is not of that form.
        """
        nodes = [re.findall(r"([a-z0-9_]+)~([0-9])\|", node) for node in text.strip().split("+")]
        whole = "+".join("|" + "".join(f"{op}~{source}|" for op, source in node) for node in nodes)
        form = "An architecture must look like |op~0|+|op~0|op~1|+|op~0|op~1|op~2|."
        check(whole == text.strip() and [len(node) for node in nodes] == [1, 2, 3], form)
        return cls(tuple((op, int(source)) for node in nodes for op, source in node))

    def __str__(self):
        nodes = {}
        for (op, source), (node, _) in zip(self.normal, EDGES):
            nodes.setdefault(node, []).append(f"{op}~{source}|")
        return "+".join("|" + "".join(edges) for edges in nodes.values())

    def operations(self):
        """The set of operations that it uses."""
        return {op for op, _ in self.normal}

    def edge_operations(self):
        return {"normal": [op for op, _ in self.normal]}

    def skip_connections(self):
        """Number of `skip_connect` in the cell; a search that collapses chooses little else."""
        return self.edge_operations()["normal"].count("skip_connect")

    def to_dict(self):
        return {"version": VERSION, "space": self.space, "normal": [list(edge) for edge in self.normal]}

    def to_text(self):
        """`str(genotype)`."""
        return str(self), ()
