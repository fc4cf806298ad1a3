"""The genotype of a whole convolutional network."""

import dataclasses

from tfdarts.genotype import VERSION, Genotype, check, check_fixed, integers

# What ENAS chooses from, in the order of its numbers.
MACRO_OPS = ("conv_3x3", "sep_conv_3x3", "conv_5x5", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3")


@dataclasses.dataclass(frozen=True)
class MacroGenotype(Genotype):
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
        check(isinstance(layers, (list, tuple)) and len(layers) > 0, "`layers` must be a list of [op, skips].")
        for k, layer in enumerate(layers):
            ok = isinstance(layer, (list, tuple)) and len(layer) == 2 and isinstance(layer[1], (list, tuple))
            check(ok, f"`layers[{k}]` must be [op, skips]. Received: {layer!r}.")
            op, skips = layer
            check(op in MACRO_OPS, f"`layers[{k}]` must use one of {', '.join(MACRO_OPS)}. Received: {op!r}.")
            ok = all(type(q) is int and 0 <= q < k for q in skips) and list(skips) == sorted(set(skips))
            can = f"different entries from 0 to {k - 1}, in rising order" if k else "no entry beside the stem"
            check(ok, f"`layers[{k}]` can take {can}. Received: {skips!r}.")
        object.__setattr__(self, "layers", tuple((op, tuple(skips)) for op, skips in layers))
        check_fixed(self, "space")

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
        numbers, layers = integers(text), []
        while numbers:
            op, *bits = numbers[: 1 + len(layers)]
            message = f"Layer {len(layers)} needs {len(layers)} bits behind its operation. Received: {bits}."
            check(len(bits) == len(layers) and set(bits) <= {0, 1}, message)
            message = f"Operations have the numbers 0 to {len(MACRO_OPS) - 1}. Received: {op}."
            check(0 <= op < len(MACRO_OPS), message)
            layers.append((MACRO_OPS[op], tuple(q for q, bit in enumerate(bits) if bit)))
            numbers = numbers[len(layers) :]
        return cls(tuple(layers))

    def operations(self):
        """The set of operations that it uses."""
        return {op for op, _ in self.layers}

    def skip_connections(self):
        """Number of entries that layers take beside their predecessors."""
        return sum(len(skips) for _, skips in self.layers)

    def to_dict(self):
        layers = [[op, list(skips)] for op, skips in self.layers]
        return {"version": VERSION, "space": self.space, "layers": layers}

    def to_text(self):
        """The numbers of ENAS's scripts, a line for each layer."""
        lines = []
        for number, (op, skips) in enumerate(self.layers):
            bits = (int(entry in skips) for entry in range(number))
            lines.append(" ".join(map(str, (MACRO_OPS.index(op), *bits))))
        return "\n".join(lines), ()
