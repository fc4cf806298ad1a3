"""Neural architecture search in TensorFlow and Keras. See README.md.

Importing it registers the networks' classes, so that `keras.saving.load_model` opens a saved `model.keras`.
"""

import os
import pathlib

# In a clone the operation modules are in `ops/`, beside this folder; a package has them within, as `tfdarts/ops/`.
if not (pathlib.Path(__file__).parent / "ops").exists():
    __path__.append(str(pathlib.Path(__file__).parent.parent))

from tfdarts.quiet import quiet

# TensorFlow leaves its oneDNN kernels off on processors without AVX-512 VNNI, where they are faster too: a search step
# took 5.3 s instead of 7.6 s on an AMD Zen 3. It reads this before its first operation; a user's own value stays.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

with quiet():
    import tensorflow as tf

    tf.config.list_physical_devices("GPU")  # where there is none, the first look for one complains

    from tfdarts.spaces.conv.network import EvaluationNetwork
    from tfdarts.spaces.macro.network import MacroNetwork
    from tfdarts.spaces.micro.network import MicroNetwork
    from tfdarts.spaces.recurrent.network import EvaluationLanguageModel
    from tfdarts.spaces.renet.network import ReNetNetwork

__all__ = ["EvaluationLanguageModel", "EvaluationNetwork", "MacroNetwork", "MicroNetwork", "ReNetNetwork"]
