"""What a genotype is: the cells that a search found, as checked data.

Nothing here imports TensorFlow, and nothing is ever evaluated: JSON and the text form of DARTS's logs are parsed.
"""

import ast
import dataclasses
import json
import pathlib
import re

from tfdarts.errors import UserError
from tfdarts.paths import GENOTYPES

VERSION = 1
NONE = "none"  # the operation that connects nothing; a search may weigh it, a genotype never holds it
ALIASES = {"DARTS": "DARTS_V2"}  # as in the authors' genotypes.py
RENET_CELLS = ("vanilla", "sigmoid", "directional")
BASELINE_CELLS = ("lstm", "gru")  # of ReNet's networks, which need no genotype
# What ENAS chooses from, in the order of its numbers.
MACRO_OPS = ("conv_3x3", "sep_conv_3x3", "conv_5x5", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3")
MICRO_OPS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")
ENAS_ACTIVATIONS = ("tanh", "relu", "identity", "sigmoid")


class GenotypeError(UserError):
    """A genotype that is not one, with a sentence for the user."""


@dataclasses.dataclass(frozen=True)
class Genotype:
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
            edges = _checked_edges(name, getattr(self, name))
            object.__setattr__(self, name, edges)
            concat = _checked_states(name + "_concat", getattr(self, name + "_concat"), 2 + len(edges) // 2)
            object.__setattr__(self, name + "_concat", concat)
            bottleneck = getattr(self, name + "_bottleneck")
            ok = isinstance(bottleneck, str) and bottleneck != NONE
            _check(ok, f"`{name}_bottleneck` must name an attention module. Received: {bottleneck!r}.")
        _check(self.space == "conv", f"`space` must be 'conv'. Received: {self.space!r}.")
        _check(isinstance(self.ops, str), f"`ops` must name an operation module. Received: {self.ops!r}.")

    def with_module(self, ops):
        """The same cells, with `ops` naming their operation module, which may lie elsewhere than it did.

        Raises:
            GenotypeError: if `ops` names another module.
        """
        _check(same_module(ops, self.ops), f"--ops {ops} contradicts the genotype, which names {self.ops}")
        return dataclasses.replace(self, ops=ops)

    def edges(self, reduction):
        """The entries of the reduction or the normal cell as `(op, source, attention)`, attention being "" for none."""
        return tuple((*edge, "")[:3] for edge in (self.reduce if reduction else self.normal))

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

    def skip_connections(self):
        """Number of `skip_connect` in both cells; a search that collapses chooses little else."""
        return sum(edge[0] == "skip_connect" for edge in self.normal + self.reduce)

    def to_dict(self):
        lists = {
            name: [list(x) if isinstance(x, tuple) else x for x in getattr(self, name)]
            for name in ("normal", "normal_concat", "reduce", "reduce_concat")
        }
        names = {name: getattr(self, name) for name in ("normal_bottleneck", "reduce_bottleneck")}
        present = {name: value for name, value in names.items() if value}
        return {"version": VERSION, "space": self.space, "ops": self.ops} | lists | present

    def to_json(self):
        """One entry per line: easy to read, compare and edit."""
        lines = []
        for key, value in self.to_dict().items():
            text = json.dumps(value)
            if isinstance(value, list) and isinstance(value[0], list):
                text = "[\n    " + ",\n    ".join(json.dumps(edge) for edge in value) + "\n  ]"
            lines.append(f'  "{key}": {text}')
        return "{\n" + ",\n".join(lines) + "\n}\n"


@dataclasses.dataclass(frozen=True)
class RecurrentGenotype:
    """A recurrent cell (DARTS, arXiv:1806.09055, sections 2.1 and 3.1.2; ENAS, arXiv:1802.03268, section 2.1).

    Attributes:
        recurrent: tuple of `(activation, previous)`, entry i making state i + 1 from an earlier one; state 0 is made
            from the cell's input and hidden state.
        concat: the states whose mean is the cell's output.
        ops: name of the operation module.
        space: `"recurrent"`.
        start: activation of state 0; `"tanh"` needs no module, any other one must be in `ops`.
        carry: the next hidden state: `"mean"`, the output (DARTS), or `"last"`, the last state (ENAS).

    Raises:
        GenotypeError: if an entry is malformed or refers to a state that does not exist yet.
    """

    recurrent: tuple
    concat: tuple
    ops: str = "recurrent"
    space: str = "recurrent"
    start: str = "tanh"
    carry: str = "mean"

    @classmethod
    def from_arc(cls, arc):
        """The cell of an ENAS architecture: the output is the mean of the leaves, the last state is carried on.

        Args:
            arc: `(activations, previous)`: places in `ENAS_ACTIVATIONS`, `(nodes,)`, node i of ENAS being state i;
                parents of the nodes from 1 on, `(nodes - 1,)`.
        """
        activations, previous = arc
        start, *names = (ENAS_ACTIVATIONS[k] for k in activations)
        parents = [int(i) for i in previous]
        leaves = [i for i in range(len(activations)) if i not in parents]
        return cls(tuple(zip(names, parents)), leaves, start=start, carry="last")

    def __post_init__(self):
        entries = self.recurrent
        message = "`recurrent` must be a list of [activation, previous]."
        _check(isinstance(entries, (list, tuple)) and len(entries) > 0, message)
        for k, entry in enumerate(entries):
            ok = isinstance(entry, (list, tuple)) and len(entry) == 2
            ok = ok and isinstance(entry[0], str) and type(entry[1]) is int
            _check(ok, f"`recurrent[{k}]` must be [activation, previous]. Received: {entry!r}.")
            _check(entry[0] != NONE, f"`recurrent[{k}]` is {NONE!r}, which connects nothing.")
            message = f"`recurrent[{k}]` comes from state {entry[1]}; it can use states 0 to {k}."
            _check(0 <= entry[1] <= k, message)
        object.__setattr__(self, "recurrent", tuple((op, previous) for op, previous in entries))
        object.__setattr__(self, "concat", _checked_states("concat", self.concat, 1 + len(entries)))
        _check(self.space == type(self).space, f"`space` must be {type(self).space!r}. Received: {self.space!r}.")
        _check(isinstance(self.ops, str), f"`ops` must name an operation module. Received: {self.ops!r}.")
        ok = isinstance(self.start, str) and self.start != NONE
        _check(ok, f"`start` must name an activation. Received: {self.start!r}.")
        _check(self.carry in ("mean", "last"), f"`carry` must be 'mean' or 'last'. Received: {self.carry!r}.")

    @classmethod
    def from_numbers(cls, text):
        """Reads a cell of ENAS's corrected program for text: for every node its parent and its activation's number.

        There the activations are numbered 0 tanh, 1 relu, 2 sigmoid, 3 identity, and the output is the mean of all
        nodes.

        Raises:
            GenotypeError: if these are no pairs of a parent and an activation.
        """
        numbers, names = _integers(text), ("tanh", "relu", "sigmoid", "identity")
        ok = numbers and len(numbers) % 2 == 0 and max(numbers[1::2]) < len(names)
        _check(ok, "A recurrent cell's numbers are pairs of a parent and an activation from 0 to 3.")
        entries = tuple((names[activation], parent) for parent, activation in zip(numbers[::2], numbers[1::2]))
        return cls(entries, tuple(range(1, 1 + len(entries))))

    def operations(self):
        """The set of operations of its module that it uses."""
        return {op for op, _ in self.recurrent} | {self.start} - {RecurrentGenotype.start}

    def skip_connections(self):
        """Number of `identity`, which leaves a state as it is but for its matrix product."""
        return sum(op == "identity" for op in (self.start, *(op for op, _ in self.recurrent)))

    def to_dict(self):
        entries = [list(entry) for entry in self.recurrent]
        known = {"version": VERSION, "space": self.space, "ops": self.ops, "recurrent": entries}
        names = {name: getattr(self, name) for name in ("start", "carry")}
        special = {name: value for name, value in names.items() if value != getattr(RecurrentGenotype, name)}
        return known | {"concat": list(self.concat)} | special

    to_json = Genotype.to_json
    with_module = Genotype.with_module


@dataclasses.dataclass(frozen=True)
class ReNetGenotype(RecurrentGenotype):
    """A recurrent cell that sweeps images (DartsReNet, arXiv:2304.05838).

    Attributes:
        recurrent, concat, ops: as in `RecurrentGenotype`.
        space: `"renet"`.
        cell: how it reads its input, one of `RENET_CELLS`.
    """

    space: str = "renet"
    cell: str = dataclasses.field(kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        _check(self.cell in RENET_CELLS, f"`cell` must be one of {', '.join(RENET_CELLS)}. Received: {self.cell!r}.")
        ok = (self.start, self.carry) == (RecurrentGenotype.start, RecurrentGenotype.carry)
        _check(ok, "A cell that sweeps images takes no `start` and no `carry`; leave them out.")

    def to_dict(self):
        return super().to_dict() | {"cell": self.cell}


@dataclasses.dataclass(frozen=True)
class MacroGenotype:
    """A whole convolutional network, layer by layer (ENAS, arXiv:1802.03268, section 2.3).

    Attributes:
        layers: tuple of `(op, skips)`: one of `MACRO_OPS`, and what the layer takes beside its predecessor, as entries
            of the layer list in rising order. Entry 0 is the stem, entry q layer q - 1; layer l can take 0 to l - 1.
        space: `"macro"`.

    Raises:
        GenotypeError: if a layer is malformed or takes an entry that does not exist yet.
    """

    layers: tuple
    space: str = "macro"

    def __post_init__(self):
        layers = self.layers
        _check(isinstance(layers, (list, tuple)) and len(layers) > 0, "`layers` must be a list of [op, skips].")
        for k, layer in enumerate(layers):
            ok = isinstance(layer, (list, tuple)) and len(layer) == 2 and isinstance(layer[1], (list, tuple))
            _check(ok, f"`layers[{k}]` must be [op, skips]. Received: {layer!r}.")
            op, skips = layer
            _check(op in MACRO_OPS, f"`layers[{k}]` must use one of {', '.join(MACRO_OPS)}. Received: {op!r}.")
            ok = all(type(q) is int and 0 <= q < k for q in skips) and list(skips) == sorted(set(skips))
            can = f"different entries from 0 to {k - 1}, in rising order" if k else "no entry beside the stem"
            _check(ok, f"`layers[{k}]` can take {can}. Received: {skips!r}.")
        object.__setattr__(self, "layers", tuple((op, tuple(skips)) for op, skips in layers))
        _check(self.space == "macro", f"`space` must be 'macro'. Received: {self.space!r}.")

    @classmethod
    def from_arc(cls, arc):
        """Builds it from arrays `(ops, skips)`: numbers of operations, `(layers,)`, and bits, `(layers, layers)`."""
        ops, skips = arc
        return cls(
            tuple((MACRO_OPS[op], tuple(q for q in range(layer) if skips[layer][q])) for layer, op in enumerate(ops))
        )

    @classmethod
    def from_numbers(cls, text):
        """Reads the authors' form: for layer l the number of its operation, then l bits, all separated by blanks."""
        numbers, layers = _integers(text), []
        while numbers:
            op, *bits = numbers[: 1 + len(layers)]
            message = f"Layer {len(layers)} needs {len(layers)} bits behind its operation. Received: {bits}."
            _check(len(bits) == len(layers) and set(bits) <= {0, 1}, message)
            message = f"Operations have the numbers 0 to {len(MACRO_OPS) - 1}. Received: {op}."
            _check(0 <= op < len(MACRO_OPS), message)
            layers.append((MACRO_OPS[op], tuple(q for q, bit in enumerate(bits) if bit)))
            numbers = numbers[len(layers) :]
        return cls(tuple(layers))

    def with_module(self, ops):
        """Raises GenotypeError: its operations are not a module's."""
        raise GenotypeError(f"--ops {ops} is of no use here: the operations of space {self.space!r} are fixed.")

    def operations(self):
        """The set of operations that it uses."""
        return {op for op, _ in self.layers}

    def skip_connections(self):
        """Number of entries that layers take beside their predecessors."""
        return sum(len(skips) for _, skips in self.layers)

    def to_dict(self):
        layers = [[op, list(skips)] for op, skips in self.layers]
        return {"version": VERSION, "space": self.space, "layers": layers}

    to_json = Genotype.to_json


@dataclasses.dataclass(frozen=True)
class MicroGenotype:
    """A pair of convolutional cells of ENAS (Pham et al. 2018, arXiv:1802.03268, section 2.4).

    The output of a cell is the concatenation of its loose ends: the states, inputs among them, that no node reads.

    Attributes:
        normal, reduce: tuples of `(op, source)` as in `Genotype`, with operations of `MICRO_OPS`; both entries of a
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
            edges = _checked_edges(name, getattr(self, name))
            for k, edge in enumerate(edges):
                ok = len(edge) == 2 and edge[0] in MICRO_OPS
                message = f"`{name}[{k}]` must be [op, source], op one of {', '.join(MICRO_OPS)}. Received: {edge!r}."
                _check(ok, message)
            object.__setattr__(self, name, edges)
        _check(self.space == "micro", f"`space` must be 'micro'. Received: {self.space!r}.")

    @classmethod
    def from_arc(cls, arc):
        """From numbers `(2, blocks, 4)`: index_1, op_1, index_2, op_2 of each node of the normal, then the other cell.

        Raises:
            GenotypeError: if an operation or a state does not exist.
        """
        cells = [[(int(op), int(index)) for node in cell for index, op in (node[:2], node[2:])] for cell in arc]
        for op, _ in cells[0] + cells[1]:
            _check(op in range(len(MICRO_OPS)), f"Operations have numbers 0 to {len(MICRO_OPS) - 1}. Received: {op}.")
        return cls(*([(MICRO_OPS[op], index) for op, index in cell] for cell in cells))

    @classmethod
    def from_numbers(cls, text):
        """From the numbers of an arc as ENAS's scripts have them: in one text, separated by blanks.

        Raises:
            GenotypeError: if these are no two cells of as many nodes each.
        """
        numbers = _integers(text)
        message = f"Two micro cells take 8 numbers per node, 4 for either cell. Received: {len(numbers)} numbers."
        _check(numbers and len(numbers) % 8 == 0, message)
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

    edges = Genotype.edges
    skip_connections = Genotype.skip_connections
    with_module = MacroGenotype.with_module
    to_json = Genotype.to_json


SPACES = {
    "conv": Genotype,
    "recurrent": RecurrentGenotype,
    "renet": ReNetGenotype,
    "macro": MacroGenotype,
    "micro": MicroGenotype,
}


def same_module(one, other):
    """Whether two names of operation modules mean the same one: a user's file or dotted path may have moved."""
    own = "." in one and "." in other  # the modules of `ops/` are named without
    return one == other or (own and _last_name(one) == _last_name(other))


def _last_name(module):
    return pathlib.PurePath(module.removesuffix(".py")).name.rpartition(".")[2]


def _check(condition, message):
    if not condition:
        raise GenotypeError(message)


def _integers(text):
    """The numbers, of at most three digits, in a text that holds nothing else."""
    words = text.split()
    _check(all(re.fullmatch("[0-9]{1,3}", word) for word in words), "An architecture's numbers must be small integers.")
    return [int(word) for word in words]


def _checked_edges(name, edges):
    """A field of two entries `[op, source]` or `[op, source, attention]` per node, as a tuple."""
    _check(isinstance(edges, (list, tuple)) and len(edges) > 0, f"`{name}` must be a list of [op, source].")
    _check(len(edges) % 2 == 0, f"`{name}` must hold two entries per node. Received: {len(edges)} entries.")
    for k, edge in enumerate(edges):
        ok = isinstance(edge, (list, tuple)) and len(edge) in (2, 3)
        ok = ok and isinstance(edge[0], str) and type(edge[1]) is int
        ok = ok and all(isinstance(attention, str) for attention in edge[2:])
        _check(ok, f"`{name}[{k}]` must be [op, source] or [op, source, attention]. Received: {edge!r}.")
        _check(NONE not in edge, f"`{name}[{k}]` is {NONE!r}, which connects nothing.")
        states = 2 + k // 2
        message = f"`{name}[{k}]` comes from state {edge[1]}; node {k // 2} can use states 0 to {states - 1}."
        _check(0 <= edge[1] < states, message)
    return tuple(tuple(edge[:2] if edge[-1] == "" else edge) for edge in edges)


def _checked_states(name, states, count):
    """A field that lists some of `count` states, as a tuple."""
    ok = isinstance(states, (list, tuple)) and len(states) > 0 and all(type(i) is int for i in states)
    ok = ok and all(0 <= i < count for i in states)
    _check(ok, f"`{name}` must list states from 0 to {count - 1}. Received: {states!r}.")
    return tuple(states)


def from_dict(data):
    """Builds the genotype of the space that parsed JSON names. Raises GenotypeError if it is not one."""
    _check(isinstance(data, dict), "A genotype file must hold one JSON object.")
    version = data.get("version", VERSION)
    _check(version == VERSION, f"This program reads genotypes of version {VERSION}. Received: {version!r}.")
    space = data.get("space", "recurrent" if "recurrent" in data else "conv")
    _check(space in tuple(SPACES), f"`space` must be one of {', '.join(SPACES)}. Received: {space!r}.")
    fields = {field.name: field for field in dataclasses.fields(SPACES[space])}
    missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in data]
    _check(not missing, f"The genotype lacks {', '.join(missing)}.")
    unknown = sorted(set(data) - {"version", *fields})
    _check(not unknown, f"The genotype has unknown fields: {', '.join(unknown)}.")
    return SPACES[space](**{name: value for name, value in data.items() if name != "version"})


def from_text(text):
    """Parses `Genotype(normal=[...], normal_concat=range(2, 6), ...)` as DARTS, P-DARTS and PC-DARTS print it.

    `Genotype(recurrent=[...], concat=range(1, 9))`, DARTS's recurrent cell, likewise.

    The last such expression in the text counts, so that a whole log can be given.
    """
    calls = [match.start() for match in re.finditer(r"Genotype\(", text)]
    _check(calls, "Found neither JSON nor `Genotype(...)`.")
    start = calls[-1]
    end = _closing_parenthesis(text, start)
    try:
        call = ast.parse(text[start:end], mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise GenotypeError("`Genotype(...)` is not well formed.") from None
    _check(isinstance(call, ast.Call) and not call.args, "`Genotype(...)` must name its fields.")
    return from_dict({keyword.arg: _value(keyword.value) for keyword in call.keywords})


def _closing_parenthesis(text, start):
    depth = 0
    for i in range(start, min(len(text), start + 100_000)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0 and text[i] == ")":
            return i + 1
    raise GenotypeError("`Genotype(...)` is not closed.")


def _value(node):
    """A literal, `range(a, b)` or `list(range(a, b))`; nothing else is understood."""
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
    if name == "list" and len(node.args) == 1:
        return _value(node.args[0])
    try:
        if name == "range" and 1 <= len(node.args) <= 2:
            bounds = [ast.literal_eval(arg) for arg in node.args]
            if all(type(b) is int and 0 <= b <= 1000 for b in bounds):
                return list(range(*bounds))
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise GenotypeError("`Genotype(...)` may hold literals and `range(a, b)` only.") from None


def names(space="conv"):
    """Names of the genotypes that ship with the program."""
    return sorted(path.stem for path in (GENOTYPES / space).glob("*.json"))


def load(source, space="conv"):
    """Reads a genotype: a name shipped for `space`, a JSON file, or a text file that holds `Genotype(...)`.

    In ENAS's spaces a text file may hold its scripts' numbers instead.

    Raises:
        GenotypeError: with a sentence that says what is wrong.
    """
    path = pathlib.Path(source)
    shipped = GENOTYPES / space / f"{ALIASES.get(str(source), source)}.json"
    if shipped.parent == GENOTYPES / space and shipped.is_file():
        path = shipped
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise GenotypeError(
            f"Cannot read a genotype from {str(source)!r} ({error.__class__.__name__}); "
            f"give a file or one of {', '.join(names(space))}."
        ) from None
    try:
        if space in ("recurrent", "macro", "micro") and re.fullmatch(r"[0-9\s]+", text):
            return SPACES[space].from_numbers(text)
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            return from_text(text)
        return from_dict(data)
    except GenotypeError as error:
        raise GenotypeError(f"{source}: {error}") from None
