"""The genotype of a recurrent cell."""

import dataclasses

from tfdarts.genotype import NONE, VERSION, Genotype, call_text, check, check_fixed, checked_states, integers

ENAS_ACTIVATIONS = ("tanh", "relu", "identity", "sigmoid")  # in the order of ENAS's numbers


@dataclasses.dataclass(frozen=True)
class RecurrentGenotype(Genotype):
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
        check(isinstance(entries, (list, tuple)) and len(entries) > 0, message)
        for k, entry in enumerate(entries):
            ok = isinstance(entry, (list, tuple)) and len(entry) == 2
            ok = ok and isinstance(entry[0], str) and type(entry[1]) is int
            check(ok, f"`recurrent[{k}]` must be [activation, previous]. Received: {entry!r}.")
            check(entry[0] != NONE, f"`recurrent[{k}]` is {NONE!r}, which connects nothing.")
            message = f"`recurrent[{k}]` comes from state {entry[1]}; it can use states 0 to {k}."
            check(0 <= entry[1] <= k, message)
        object.__setattr__(self, "recurrent", tuple((op, previous) for op, previous in entries))
        object.__setattr__(self, "concat", checked_states("concat", self.concat, 1 + len(entries)))
        check_fixed(self, "space")
        check(isinstance(self.ops, str), f"`ops` must name an operation module. Received: {self.ops!r}.")
        ok = isinstance(self.start, str) and self.start != NONE
        check(ok, f"`start` must name an activation. Received: {self.start!r}.")
        check(self.carry in ("mean", "last"), f"`carry` must be 'mean' or 'last'. Received: {self.carry!r}.")

    @classmethod
    def from_numbers(cls, text):
        """Reads a cell of ENAS's corrected program for text: for every node its parent and its activation's number.

        There the activations are numbered 0 tanh, 1 relu, 2 sigmoid, 3 identity, and the output is the mean of all
        nodes.

        Raises:
            GenotypeError: if these are no pairs of a parent and an activation.
        """
        numbers, names = integers(text), ("tanh", "relu", "sigmoid", "identity")
        ok = numbers and len(numbers) % 2 == 0 and max(numbers[1::2]) < len(names)
        check(ok, "A recurrent cell's numbers are pairs of a parent and an activation from 0 to 3.")
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

    def to_text(self):
        """`Genotype(recurrent=[...], concat=[...])`."""
        known = {"recurrent": list(self.recurrent), "concat": list(self.concat)}
        rest = {name: value for name, value in self.to_dict().items() if name not in ("version", *known)}
        usual = {"space": RecurrentGenotype.space, "ops": RecurrentGenotype.ops}
        return call_text(known, {name: value for name, value in rest.items() if usual.get(name) != value})
