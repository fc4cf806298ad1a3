"""The weights that all recurrent cells share in ENAS's PyTorch program (arXiv:1802.03268, section 2.1).

A file has a matrix for every pair of nodes, and no cell; a genotype's cell takes those of its pairs.
"""

import re
import typing

from tfdarts.errors import UserError
from tfdarts.pytorch.layouts import Entry, Part, numbered, size
from tfdarts.spaces.base import TextInputs

space = "recurrent"
SPARED = ("batch_norm.",)  # that the cells do without in a test
UNUSED = "unused/"  # what the names of pairs that a cell lacks begin with
_PAIRS = re.compile(r"_w_h\.(\d+)\.weight$")


class Sizes(typing.NamedTuple):
    """What a model's shapes tell; `nodes` are ENAS's, of which the first is the cell's initial state."""

    words: int
    units: int
    nodes: int


def fits(tensors):
    """Whether keys are of this kind."""
    return "w_xc.weight" in tensors


def sizes(tensors):
    """`Sizes` of a file's tensors."""
    words, units = (size(tensors, "encoder.weight", axis, 2) for axis in (0, 1))
    pairs, nodes = numbered(tensors, _PAIRS), 1
    while nodes * (nodes - 1) // 2 < pairs:
        nodes += 1
    if nodes * (nodes - 1) // 2 != pairs:
        raise UserError(f"it has matrices for {pairs} pairs of nodes, which no number of nodes has")
    return Sizes(words, units, nodes)


def options(sizes):
    """The options of training that the sizes are."""
    return {name: sizes.units for name in ("nhid", "emsize", "nhidlast")} | {"offset": True}


def inputs(sizes, known):
    """`TextInputs`; `known` is what the model remembers of its text, or None."""
    return TextInputs(sizes.words, known)


def parts(genotype, sizes):
    """The model's `Part`s: what belongs to no pair first, then the pairs of the genotype's cell and all others."""
    words, units, nodes = sizes.words, sizes.units, sizes.nodes
    if len(genotype.recurrent) != nodes - 1:
        raise UserError(f"the genotype has {len(genotype.recurrent) + 1} nodes, the file's cells have {nodes}")
    if genotype.carry != "last":
        raise UserError(
            'the genotype carries the mean of its states on, ENAS\'s cells the last state ("carry": "last")'
        )
    square, result = (units, units), []
    tied = [Entry(f"{key}.weight", "embedding", "plain", (words, units)) for key in ("encoder", "decoder")]
    result.append(Part("encoder", "", tied[:1]))
    result.append(Part("decoder", "", [tied[1], Entry("decoder.bias", "bias", "plain", (words,))]))
    for letter in "ch":
        start = [
            Entry(f"w_x{letter}.weight", f"start/x{letter}", "linear", square),
            Entry(f"w_x{letter}.bias", f"offset/{letter}", "plain", (units,)),
            Entry(f"w_h{letter}_raw", f"start/h{letter}", "linear", square),
        ]
        result.append(Part(f"w_{letter}", "", start))
    used = {(previous, node): node for node, (_, previous) in enumerate(genotype.recurrent, 1)}
    pairs = [(i, j) for i in range(nodes) for j in range(i + 1, nodes)]
    for letter in "ch":
        entries = []
        for number, pair in enumerate(pairs):
            name = f"kernels/{used[pair] - 1}/{letter}" if pair in used else f"{UNUSED}{number}/{letter}"
            entries.append(Entry(f"_w_{letter}.{number}.weight", name, "linear", square))
        result.append(Part(f"_w_{letter}", "", entries))
    return result


def named(model):
    """A model's variables by the entries' names: `{name: (variable, index)}`; none for the pairs that it lacks."""
    units, result = model.units, {"embedding": (model.embedding, ...), "bias": (model.bias, ...)}
    halves = {"c": slice(None, units), "h": slice(units, None)}
    for letter, columns in halves.items():
        result[f"start/x{letter}"] = (model.start, (halves["c"], columns))
        result[f"start/h{letter}"] = (model.start, (halves["h"], columns))
        result[f"offset/{letter}"] = (model.offset, columns)
        result |= {f"kernels/{i}/{letter}": (model.kernels, (i, slice(None), columns)) for i in range(model.nodes)}
    return result
