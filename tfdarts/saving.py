"""Loads what `train.py` saved, whatever its space; nothing is unpickled, and no code of the file's is run."""

import keras

from tfdarts import genotype
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.macro.network import MacroNetwork
from tfdarts.spaces.micro.network import MicroNetwork
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel
from tfdarts.spaces.renet.network import ReNetNetwork

KINDS = (EvaluationNetwork, ReNetNetwork, MacroNetwork, MicroNetwork, EvaluationLanguageModel)


def load(path, ops=None):
    """Loads a saved network, in Keras's safe mode.

    Args:
        path: of the file.
        ops: name of the operation module, if it lies elsewhere than it did; None for the name that was saved.

    Raises:
        ValueError: if the file is damaged or holds something else, or `ops` names another module.
    """
    try:
        with keras.saving.custom_object_scope({f"tfdarts>{kind.__name__}": _moved(kind, ops) for kind in KINDS}):
            network = keras.saving.load_model(path)
    except Exception as error:  # Keras raises many kinds for a damaged or foreign file
        raise ValueError(str(error).splitlines()[0]) from error
    if not isinstance(network, KINDS):
        raise ValueError("it holds no network of this program")
    return network


def _moved(kind, ops):
    """The kind of network, made from a configuration whose genotype has its operation module elsewhere."""

    class Moved(kind):
        @classmethod
        def from_config(cls, config):
            cells = genotype.from_dict(config["genotype"])
            return kind(**config | {"genotype": cells.with_module(ops or cells.ops)})

    return Moved if ops else kind
