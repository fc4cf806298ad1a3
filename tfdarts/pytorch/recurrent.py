"""DARTS's language model around one recurrent cell (arXiv:1806.09055): `rnn/model.py`, tied weights."""

import re
import typing

from tfdarts.pytorch.layouts import Entry, Part, numbered, size
from tfdarts.spaces.base import TextInputs

space = "recurrent"
_NODES = re.compile(r"rnns\.0\._Ws\.(\d+)$")


class Sizes(typing.NamedTuple):
    """What a model's shapes tell; `nodes` are those of the cell."""

    words: int
    units: int
    nodes: int


def fits(tensors):
    """Whether keys are of this kind."""
    return "rnns.0._W0" in tensors


def sizes(tensors):
    """`Sizes` of a file's tensors."""
    words, units = (size(tensors, "encoder.weight", axis, 2) for axis in (0, 1))
    return Sizes(words, units, numbered(tensors, _NODES))


def options(sizes):
    """The options of training that the sizes are."""
    return {name: sizes.units for name in ("nhid", "emsize", "nhidlast")}


def inputs(sizes, known):
    """`TextInputs`; `known` is what the model remembers of its text, or None."""
    return TextInputs(sizes.words, known)


def parts(genotype, sizes):
    """The model's `Part`s in the authors' order."""
    words, units, nodes = sizes.words, sizes.units, len(genotype.recurrent)
    tied = [Entry(f"{key}.weight", "embedding", "plain", (words, units)) for key in ("encoder", "decoder")]
    bias = Entry("decoder.bias", "bias", "plain", (words,))
    cell = [Entry("rnns.0._W0", "start", "plain", (2 * units, 2 * units))]
    cell += [Entry(f"rnns.0._Ws.{i}", f"kernels/{i}", "plain", (units, 2 * units)) for i in range(nodes)]
    return [Part("encoder", "", tied[:1]), Part("rnns", "", cell), Part("decoder", "", [tied[1], bias])]


def named(model):
    """A model's variables by the entries' names: `{name: (variable, index)}`."""
    result = {name: (getattr(model, name), ...) for name in ("embedding", "bias", "start")}
    return result | {f"kernels/{i}": (model.kernels, i) for i in range(model.nodes)}
