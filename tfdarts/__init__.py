"""Neural architecture search in TensorFlow and Keras. See README.md.

Importing it registers the network's class, so that `keras.saving.load_model` opens a saved `model.keras`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded: no start-up messages

from tfdarts.evalnet import EvaluationNetwork  # noqa: E402

__all__ = ["EvaluationNetwork"]
