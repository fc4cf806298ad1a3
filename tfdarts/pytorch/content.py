"""What a weight file holds: the weights by the authors' keys, and what it says of itself."""

import dataclasses
import re

from tfdarts.errors import UserError
from tfdarts.genotype import GenotypeError
from tfdarts.pickled import Refused, short
from tfdarts.pytorch import containers
from tfdarts.pytorch.machine import Record
from tfdarts.pytorch.tensors import Tensor
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype

_PARALLEL = "module."  # in front of all keys of a network that ran on several GPUs
_DROPOUT = {"RNNModel": ("dropout", "dropouti", "dropoute"), "DARTSCell": ("dropouth", "dropoutx")}
_MODULES = 1000  # of a whole pickled module, and how deep they may lie in one another
_DEPTH = 8
_SUPERNET = re.compile(r"cells\.\d+\.(_ops\.\d+\._ops|cell_ops)\.")  # the latter in P-DARTS


@dataclasses.dataclass(frozen=True)
class Weights:
    """The content of a weight file.

    Attributes:
        path: of the file, for sentences.
        tensors: dictionary from key to `Tensor`, in the file's order, without the counters of batches.
        genotype: that a whole pickled module names; None in all other files.
        dropout: dictionary of the dropout rates that it names; empty in all other files.
    """

    path: str
    tensors: dict
    genotype: RecurrentGenotype | None = None
    dropout: dict = dataclasses.field(default_factory=dict)


def read(path):
    """Reads a weight file.

    Raises:
        UserError: for every file that is no weight file, with one sentence.
    """
    try:
        return _weights(str(path), containers.read(path))
    except (Refused, GenotypeError) as error:
        raise UserError(f"cannot read weights from {path}: {error}") from None


def _weights(path, content):
    if isinstance(content, Record):
        return _of_module(path, content)
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if isinstance(content, Tensor):
        raise Refused("it holds a single tensor; save the model's state_dict()")
    if not isinstance(content, dict):
        raise Refused("it holds no state_dict")
    if "param_groups" in content and "state" in content:
        raise Refused("it holds an optimiser's state; the weights are in another file, such as model.pt beside it")
    if "epoch" in content and not any(isinstance(value, Tensor) for value in content.values()):
        raise Refused("it holds the progress of a training and no weights; these are in model.pt beside it")
    if not content or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        raise Refused("it holds no state_dict, a dictionary from names to tensors")
    return Weights(path, _checked(content))


def _checked(tensors):
    """The weights without the prefix `module.` and without the counters of batches."""
    if all(key.startswith(_PARALLEL) for key in tensors):
        tensors = {key.removeprefix(_PARALLEL): tensor for key, tensor in tensors.items()}
    kept = {key: tensor for key, tensor in tensors.items() if not key.endswith("num_batches_tracked")}
    if not kept:
        raise Refused("it holds no weights")
    if any(map(_SUPERNET.match, kept)):
        raise Refused("it holds the weights of a search, all operations mixed; train what the search found instead")
    for key, tensor in kept.items():
        if not tensor.real:
            raise Refused(f"{short(key)} is of whole numbers, not of real ones")
    return kept


def _of_module(path, module):
    """A whole pickled module: its parameters by name, the cell's genotype, the dropout rates."""
    tensors, genotype, dropout = {}, None, {}
    waiting, count = [("", module)], 0
    while waiting:
        prefix, each = waiting.pop()
        count += 1
        if count > _MODULES or prefix.count(".") > _DEPTH:
            raise Refused("it has more modules within modules than a recurrent network")
        parts = [each.attributes.get(name, {}) for name in ("_parameters", "_buffers", "_modules")]
        if not all(isinstance(part, dict) and all(isinstance(key, str) for key in part) for part in parts):
            raise Refused("it has a module without parameters")
        *own, modules = parts
        tensors |= {prefix + k: v for part in own for k, v in part.items() if isinstance(v, Tensor)}
        waiting += [(f"{prefix}{k}.", v) for k, v in modules.items() if isinstance(v, Record)]
        for name in _DROPOUT.get(each.name[1], ()):
            value = each.attributes.get(name)
            if type(value) in (int, float) and 0 <= value < 1:
                dropout[name] = float(value)
        if isinstance(each.attributes.get("genotype"), Record):
            genotype = _genotype(each.attributes["genotype"].arguments)
    if not tensors:
        raise Refused("it holds a module without weights")
    return Weights(path, _checked(tensors), genotype, dropout)


def _genotype(arguments):
    """The genotype of a recurrent cell from `Genotype(recurrent, concat)`."""
    if len(arguments) != 2 or not isinstance(arguments[0], (list, tuple)):
        raise Refused("it names a genotype of another form than recurrent cells have")
    entries, concat = arguments
    return RecurrentGenotype(tuple(entries), list(concat) if isinstance(concat, (range, list, tuple)) else concat)
