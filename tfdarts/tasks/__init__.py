"""Tasks: how data of a kind becomes batches, a batch a loss, and a trained network a test result."""

import importlib

NAMES = ("images", "text")


def load(name):
    """The module that reads the data of a task: `load`, `known_inputs`, `costs`, `data_of`."""
    return importlib.import_module({"images": "tfdarts.tasks.image_data", "text": "tfdarts.tasks.text_data"}[name])
