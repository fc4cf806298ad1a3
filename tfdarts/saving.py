"""Loads a model saved by `train.py`, for any search space, without unpickling or executing anything in the file."""

import pathlib
import zipfile

import keras

from tfdarts import spaces
from tfdarts.classifier import network_of


def load_model(path, ops=None, space=None):
    """Loads a saved model, in Keras's safe mode.

    Args:
        path: of the file.
        ops: name of the operation module, if it lies elsewhere than it did; None for the name that was saved.
        space: name of a space of the user's own, whose network the file may hold; None for the program's spaces.

    Returns:
        A network of a space; or a `Classifier` around one, if that was saved.

    Raises:
        ValueError: if the file is damaged or holds something else, or `ops` names another module.
    """
    _check_file(pathlib.Path(path))
    known = [spaces.load(name) for name in dict.fromkeys((*spaces.NAMES, *([space] if space else ())))]
    scope = {f"tfdarts>{each.network_class.__name__}": _moved(each, ops) for each in known}
    try:
        with keras.saving.custom_object_scope(scope):
            model = keras.saving.load_model(path)
    except Exception as error:  # Keras raises many kinds for a damaged or foreign file
        raise ValueError(str(error).splitlines()[0]) from error
    network = network_of(model)
    if not isinstance(network, tuple(each.network_class for each in known)):
        raise ValueError("it is a Keras model, but not one that tfdarts saved")
    return model


def _check_file(path):
    """Raises ValueError for a file that is no `.keras` archive, of which Keras says more than a sentence."""
    wanted = "give the model.keras that train.py saved"
    if not zipfile.is_zipfile(path):
        raise ValueError(f"it is not a Keras model, or damaged; {wanted}")
    with zipfile.ZipFile(path) as archive:
        if not {"config.json", "metadata.json", "model.weights.h5"} <= set(archive.namelist()):
            raise ValueError(f"it is not a Keras model; {wanted}")
    if path.suffix != ".keras":
        raise ValueError("Keras reads models under names that end in .keras only; rename it")


def _moved(space, ops):
    """The class of a space's networks, made from a configuration whose genotype has its operation module elsewhere."""
    kind = space.network_class

    class Moved(kind):
        @classmethod
        def from_config(cls, config):
            genotype = space.genotype.from_dict(config["genotype"])
            return kind(**config | {"genotype": genotype.with_module(ops or genotype.ops)})

    return Moved if ops else kind
