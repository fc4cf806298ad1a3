"""Which numbers of a network have 16 bits, and what keeps float16's gradients from vanishing.

Under one of Keras's mixed policies a network computes its maps in 16 bits, from variables that stay float32. What is
sensitive to rounding stays float32 throughout: mixing weights, normalisations' scale, offset and statistics, the last
product, loss and softmax (Micikevicius et al. 2018, arXiv:1710.03740, section 3).
"""

import contextlib

import keras
import tensorflow as tf

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


@keras.saving.register_keras_serializable("tfdarts")
class KeepsArguments(keras.DTypePolicy):
    """A mixed policy under which a layer hands on what it is given as it is, mixing weights in float32 for one."""

    def convert_input(self, x, autocast, dtype):
        return x


def of_container():
    """The policy of a layer that only hands on what it is given to others."""
    policy = keras.config.dtype_policy()
    return KeepsArguments(policy.name) if policy.compute_dtype != policy.variable_dtype else policy


@contextlib.contextmanager
def policy(name):
    """Gives all layers that are made within a policy, one of `POLICIES`; `"float32"` leaves Keras's own as it is."""
    before = keras.config.dtype_policy()
    if name != "float32":
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def mixed(layer):
    """Whether a layer computes in another type than its variables'."""
    return layer.compute_dtype != layer.variable_dtype


def make_exact(network):
    """Makes a network compute in the type of its variables from now on; what was traced before stays as it is.

    Returns:
        The layers' policies before that, for `exact`.
    """
    before = [(layer, layer.dtype_policy) for layer in network._flatten_layers() if mixed(layer)]
    for layer, kept in before:
        layer.dtype_policy = keras.DTypePolicy(kept.variable_dtype)
    return before


@contextlib.contextmanager
def exact(network):
    """Has a network compute in the type of its variables within: what is called, or traced, there."""
    before = make_exact(network)
    try:
        yield
    finally:
        for layer, kept in before:
            layer.dtype_policy = kept


def exact_type(dtype):
    """The type for sums and statistics of numbers of a type: float32 for those of 16 bits."""
    dtype = tf.as_dtype(dtype)
    return tf.float32 if dtype.size == 2 else dtype


def exactly(function, x):
    """What a function of a tensor gives, computed in `exact_type` and rounded to the tensor's own."""
    return tf.cast(function(tf.cast(x, exact_type(x.dtype))), x.dtype)


class Values(keras.StatelessScope):
    """Keras's stateless scope, in which a variable may have a value of another type, which nobody casts again.

    Args:
        mapping: pairs of variables and values.
    """

    def __init__(self, mapping):
        super().__init__()
        self.state_mapping = {id(variable): value for variable, value in mapping}


class LossScale(keras.layers.Layer):
    """The factor of the loss by which gradients in float16 neither vanish nor overflow.

    Whoever differentiates multiplies by it and divides the float32 gradient again. A gradient that has overflowed all
    the same is not used, and halves the factor; after `patience` sound ones it doubles (Micikevicius et al. 2018,
    arXiv:1710.03740, section 3.2).

    Args:
        start: float, a power of two, so that it rounds nothing.
        patience: int.
    """

    def __init__(self, start=2.0**15, patience=2000):
        super().__init__(name="loss_scale", dtype="float32")
        self.patience = patience
        initial = keras.initializers.Constant(start)
        self.factor = self.add_weight(name="factor", shape=(), initializer=initial, trainable=False)
        self.sound = self.add_weight(name="sound", shape=(), dtype="int64", initializer="zeros", trainable=False)

    def judge(self, gradient):
        """Takes note of a gradient; returns whether it may be used, a scalar bool."""
        finite = tf.reduce_all(tf.math.is_finite(gradient))
        count = tf.where(finite, self.sound.value + 1, 0)
        grows = count >= self.patience
        factor = tf.where(grows, 2.0 * self.factor.value, self.factor.value)
        self.factor.assign(tf.where(finite, factor, tf.maximum(0.5 * self.factor.value, 1.0)))
        self.sound.assign(tf.where(grows, tf.zeros_like(count), count))
        return finite
