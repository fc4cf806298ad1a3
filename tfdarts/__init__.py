"""Neural architecture search in TensorFlow and Keras. See README.md.

Importing it registers the networks' classes, so that `keras.saving.load_model` opens a saved `model.keras`.
"""

import os

from tfdarts.quiet import quiet

# TensorFlow leaves its oneDNN kernels off on processors without AVX-512 VNNI, where they are faster too: a search step
# took 5.3 s instead of 7.6 s on an AMD Zen 3. It reads this before its first operation; a user's own value stays.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

with quiet():
    import tensorflow as tf

    tf.config.list_physical_devices("GPU")  # where there is none, the first look for one complains

    from tfdarts.evalnet import EvaluationNetwork
    from tfdarts.language import EvaluationLanguageModel
    from tfdarts.macro import MacroNetwork
    from tfdarts.micro import MicroNetwork
    from tfdarts.renet import ReNetNetwork

__all__ = ["EvaluationLanguageModel", "EvaluationNetwork", "MacroNetwork", "MicroNetwork", "ReNetNetwork"]
