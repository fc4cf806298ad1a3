"""What is set for the whole process: commands and the API do it, importing the package does not."""

import keras
import tensorflow as tf

from tfdarts.errors import UserError


def configure(*, seed=0, deterministic=None, jit_compile=False):
    """Sets the process up: Grappler off (half of the first step's time, no gain measured), determinism, the seed.

    Args:
        seed: int.
        deterministic: whether kernels must give the same bits twice; None for yes without a GPU and without XLA.
        jit_compile: whether XLA will compile cells.

    Raises:
        UserError: if XLA is to be deterministic.
    """
    if jit_compile and deterministic:
        raise UserError(
            "--jit_compile does not go with --deterministic: XLA has no such gradient of the maximum pooling; leave "
            "one of them out"
        )
    keras.utils.set_random_seed(seed)
    # Exact second derivatives in a tf.function come out wrong with this setting (TensorFlow 2.21; seen with max
    # pooling). First derivatives, all that the library takes, are the same; do not add an exact Hessian under it.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if deterministic is None:
        deterministic = not (jit_compile or tf.config.list_physical_devices("GPU"))
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def exact_float32():
    """Turns TensorFloat-32 off, which on a GPU would round what must be exact."""
    tf.config.experimental.enable_tensor_float_32_execution(False)


def forget(seed):
    """Frees what Keras remembers of networks before, and begins its random numbers anew."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
