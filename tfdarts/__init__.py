"""Neural architecture search in TensorFlow and Keras. See README.md.

Importing it registers the networks' classes, so that `keras.saving.load_model` opens a saved `model.keras`. It sets
nothing for the process but what TensorFlow and Keras must know before they are loaded.
"""

import pathlib

# In a clone the operation modules are in `ops/`, beside this folder; a package has them within, as `tfdarts/ops/`.
if not (pathlib.Path(__file__).parent / "ops").exists():
    __path__.append(str(pathlib.Path(__file__).parent.parent))

from tfdarts.backend import prepare

prepare()  # before anything below imports Keras

from tfdarts.api import Search, build, evaluate, list_genotypes, load, random_genotypes, search, train
from tfdarts.classifier import Classifier
from tfdarts.errors import UserError
from tfdarts.genotype import Genotype
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.macro.network import MacroNetwork
from tfdarts.spaces.micro.network import MicroNetwork
from tfdarts.spaces.nb201.network import Nb201Network
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel
from tfdarts.spaces.renet.network import ReNetNetwork
from tfdarts.strategies.parts import Part
from tfdarts.version import __version__

__all__ = [
    "Classifier",
    "EvaluationLanguageModel",
    "EvaluationNetwork",
    "Genotype",
    "MacroNetwork",
    "MicroNetwork",
    "Nb201Network",
    "Part",
    "ReNetNetwork",
    "Search",
    "UserError",
    "__version__",
    "build",
    "evaluate",
    "list_genotypes",
    "load",
    "random_genotypes",
    "search",
    "train",
]
