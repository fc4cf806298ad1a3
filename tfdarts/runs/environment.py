"""What is set for the whole process: commands and the API do it, importing the package does not."""

import keras
import tensorflow as tf


def configure(seed=0, deterministic=None):
    """Sets the process up: Grappler off (half of the first step's time, no gain measured), determinism, the seed.

    Args:
        seed: int.
        deterministic: whether kernels must give the same bits twice; None for yes without a GPU, no with one.
    """
    keras.utils.set_random_seed(seed)
    # Exact second derivatives in a tf.function come out wrong with this setting (TensorFlow 2.21; seen with max
    # pooling). First derivatives, all that the library takes, are the same; do not add an exact Hessian under it.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if deterministic is None:
        deterministic = not tf.config.list_physical_devices("GPU")
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def exact_float32():
    """Turns TensorFloat-32 off, which on a GPU would round what must be exact."""
    tf.config.experimental.enable_tensor_float_32_execution(False)


def forget(seed):
    """Frees what Keras remembers of networks before, and begins its random numbers anew."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
