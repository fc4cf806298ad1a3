"""What a genotype is: an architecture that a search found, as checked data.

Each space has its own kind, a subclass of `Genotype` in `spaces/<name>/genotype.py`; `spaces.genotypes` reads files.
Nothing here imports TensorFlow, and nothing is ever evaluated.
"""

import dataclasses
import json
import re

from tfdarts.errors import UserError
from tfdarts.modules import same_module

VERSION = 1
NONE = "none"  # connects nothing; a search may weigh it, a genotype of DARTS's cells never holds it


class GenotypeError(UserError):
    """A genotype that is not one, with a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Genotype:
    """Base class of the genotypes of all spaces.

    A subclass is a frozen dataclass whose `__post_init__` checks its fields. It has a field `space`, the name of its
    space, and, if its operations come from a module, a field `ops` with the module's name.
    """

    def to_dict(self):
        """The genotype as JSON has it: its version, its space, its fields."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"version": VERSION, "space": fields.pop("space")} | fields

    def to_json(self):
        """The genotype as text, one entry per line: easy to read, compare and edit."""
        lines = []
        for key, value in self.to_dict().items():
            text = json.dumps(value)
            if isinstance(value, (list, tuple)) and isinstance(value[0], (list, tuple)):
                text = "[\n    " + ",\n    ".join(json.dumps(edge) for edge in value) + "\n  ]"
            lines.append(f'  "{key}": {text}')
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_dict(cls, data):
        """Builds a genotype of this kind from parsed JSON.

        Raises:
            GenotypeError: if it is not one.
        """
        check_version(data)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in data]
        check(not missing, f"The genotype lacks {', '.join(missing)}.")
        unknown = sorted(set(data) - {"version", *fields})
        check(not unknown, f"The genotype has unknown fields: {', '.join(unknown)}.")
        return cls(**{name: value for name, value in data.items() if name != "version"})

    def to_text(self):
        """The genotype as the authors' programs take it, and the fields in it that these do not know, a tuple.

        Raises:
            GenotypeError: if they have no form for it.
        """
        raise GenotypeError(f"No other program has a form for genotypes of the space {self.space!r}; take --to json.")

    def to_nni(self):
        """The genotype as parsed JSON of the form in which NNI exports DARTS's cells, a dictionary.

        Raises:
            GenotypeError: if NNI has no form for it.
        """
        raise GenotypeError(f"NNI has no form for genotypes of the space {self.space!r}; take --to json.")

    def with_module(self, ops):
        """The same architecture, with `ops` naming its operation module, which may lie elsewhere than it did.

        Raises:
            GenotypeError: if `ops` names another module, or the operations are not a module's.
        """
        if not hasattr(self, "ops"):
            raise GenotypeError(f"--ops {ops} is of no use here: the operations of space {self.space!r} are fixed.")
        check(same_module(ops, self.ops), f"--ops {ops} contradicts the genotype, which names {self.ops}")
        return dataclasses.replace(self, ops=ops)

    def operations(self):
        """The set of operations that it uses."""
        raise NotImplementedError

    def edge_operations(self):
        """The operation on every edge of its cells: kind of cell to a list; empty if it has no convolutional cells."""
        return {}

    def skip_connections(self):
        """Number of its connections that leave a state as it is; a search that collapses chooses little else."""
        raise NotImplementedError


class CellPair(Genotype):
    """Base class of genotypes with a normal and a reduction cell: fields `normal`, `reduce`, of `checked_edges`."""

    def inputs(self, reduction):
        """How many entries each node of the reduction or the normal cell has: here, two."""
        return (2,) * (len(self.reduce if reduction else self.normal) // 2)

    def nodes(self, reduction):
        """The node that each entry of the reduction or the normal cell leads to, counted from 0; a tuple."""
        return nodes_of(self.inputs(reduction))

    def edges(self, reduction):
        """The entries of the reduction or the normal cell as `(op, source, attention)`, attention being "" for none."""
        return attended(self.reduce if reduction else self.normal)

    def edge_operations(self):
        return {"normal": [edge[0] for edge in self.normal], "reduce": [edge[0] for edge in self.reduce]}

    def skip_connections(self):
        """Number of `skip_connect` in both cells; a search that collapses chooses little else."""
        return sum(ops.count("skip_connect") for ops in self.edge_operations().values())


def call_text(known, more):
    """`Genotype(...)` as DARTS's programs and their descendants have it in their `genotypes.py`.

    Args:
        known: dictionary of the fields that their programs know, to lists and texts.
        more: dictionary of those that only ours does, likewise.

    Returns:
        The text, and the names of `more`.
    """
    fields = ", ".join(f"{name}={value!r}" for name, value in (known | more).items())
    return f"Genotype({fields})", tuple(more)


def check(condition, message):
    """Raises GenotypeError with the message unless the condition holds."""
    if not condition:
        raise GenotypeError(message)


def check_version(data):
    """Raises GenotypeError unless parsed JSON is an object of a version that this program reads."""
    check(isinstance(data, dict), "A genotype file must hold one JSON object.")
    version = data.get("version", VERSION)
    check(version == VERSION, f"This program reads genotypes of version {VERSION}. Received: {version!r}.")


def check_fixed(genotype, name):
    """Raises GenotypeError unless the genotype's field has the value that all of its kind have: the default."""
    (expected,) = (field.default for field in dataclasses.fields(genotype) if field.name == name)
    value = getattr(genotype, name)
    check(value == expected, f"`{name}` must be {expected!r}. Received: {value!r}.")


def integers(text):
    """The numbers, of at most three digits, in a text that holds nothing else."""
    words = text.split()
    check(all(re.fullmatch("[0-9]{1,3}", word) for word in words), "An architecture's numbers must be small integers.")
    return [int(word) for word in words]


def nodes_of(inputs):
    """The node of each entry, where `inputs` has how many entries each node has; a tuple."""
    return tuple(node for node, count in enumerate(inputs) for _ in range(count))


def checked_edges(name, edges, inputs=()):
    """A field of entries `[op, source]` or `[op, source, attention]`, as a tuple.

    Args:
        name: of the field.
        edges: its value.
        inputs: how many entries each node has; empty for two each.
    """
    check(isinstance(edges, (list, tuple)) and len(edges) > 0, f"`{name}` must be a list of [op, source].")
    if inputs:
        message = f"`{name}` has {len(edges)} entries, but `{name}_inputs` counts {sum(inputs)}."
        check(sum(inputs) == len(edges), message)
    else:
        message = (
            f"`{name}` must hold two entries per node, or a list of entries for each. Received: {len(edges)} entries."
        )
        check(len(edges) % 2 == 0, message)
        inputs = (2,) * (len(edges) // 2)
    for k, (edge, node) in enumerate(zip(edges, nodes_of(inputs))):
        ok = isinstance(edge, (list, tuple)) and len(edge) in (2, 3)
        ok = ok and isinstance(edge[0], str) and type(edge[1]) is int
        ok = ok and all(isinstance(attention, str) for attention in edge[2:])
        check(ok, f"`{name}[{k}]` must be [op, source] or [op, source, attention]. Received: {edge!r}.")
        check(NONE not in edge, f"`{name}[{k}]` is {NONE!r}, which connects nothing.")
        states = 2 + node
        message = f"`{name}[{k}]` comes from state {edge[1]}; node {node} can use states 0 to {states - 1}."
        check(0 <= edge[1] < states, message)
        message = f"`{name}[{k}]` comes from state {edge[1]}, a node without inputs."
        check(edge[1] < 2 or inputs[edge[1] - 2] > 0, message)
    return tuple(tuple(edge[:2] if edge[-1] == "" else edge) for edge in edges)


def checked_states(name, states, count):
    """A field that lists some of `count` states, as a tuple."""
    ok = isinstance(states, (list, tuple)) and len(states) > 0 and all(type(i) is int for i in states)
    ok = ok and all(0 <= i < count for i in states)
    check(ok, f"`{name}` must list states from 0 to {count - 1}. Received: {states!r}.")
    return tuple(states)


def attended(edges):
    """Entries `(op, source)` or `(op, source, attention)` as `(op, source, attention)`, attention being "" for none."""
    return tuple((*edge, "")[:3] for edge in edges)
