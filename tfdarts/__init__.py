"""Neural architecture search in TensorFlow and Keras. See README.md.

Importing it registers the network's class, so that `keras.saving.load_model` opens a saved `model.keras`.
"""

from tfdarts.quiet import quiet

with quiet():
    import tensorflow as tf

    tf.config.list_physical_devices("GPU")  # where there is none, the first look for one complains

    from tfdarts.evalnet import EvaluationNetwork

__all__ = ["EvaluationNetwork"]
