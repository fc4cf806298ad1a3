"""The second-order architecture gradient as pure formulas (DARTS, Liu et al. 2019, arXiv:1806.09055, section 2.3).

`w` is the vector of all weights, `alphas` the architecture parameters; the functions handed in compute gradients of
the network's loss at the `w` they are given. Nothing is changed in place.
"""

import math
import typing

import tensorflow as tf

from tfdarts import optimizers


class SecondOrder(typing.NamedTuple):
    """The second-order gradient and what it is made of."""

    value: tf.Tensor  # direct - learning_rate * clip factor * implicit
    direct: tf.Tensor  # gradient of L_valid(w') for the architecture
    implicit: tf.Tensor  # Hessian-vector product
    unrolled: tf.Tensor  # w', the weights after the virtual step
    vector: tf.Tensor  # v, gradient of L_valid(w') for the weights, clipped
    valid: typing.Any  # what the pass on the validation batch at w' returned beside its gradients


def hessian_vector(gradient, w, vector, radius=0.01):
    """`(gradient(w + R v) - gradient(w - R v)) / (2 R)` with `R = radius / |v|` (equation 8 and footnote 2).

    Args:
        gradient: function of the weights; the gradient whose derivative along `vector` is wanted.
        w, vector: tensors of one shape.

    Returns:
        A tensor shaped like `gradient`'s result.
    """
    r = radius / tf.norm(vector)
    plus = gradient(w + r * vector)
    with tf.control_dependencies([plus]):  # one after the other: both passes' maps together would double the memory
        minus = gradient(w - r * vector)
    return (plus - minus) / (2 * r)


def second_order(
    both, architecture, w, alphas, buffer, train, valid, learning_rate, momentum, weight_decay, max_norm=math.inf
):
    """Gradient of `L_valid(w'(alphas), alphas)` for alphas, `w'` being one SGD step away (equation 7).

    Where the weights' gradient is clipped, as in recurrent networks, its factor scales the implicit part too.

    Args:
        both: `(w, alphas, batch) -> (gradient for w, gradient for alphas, anything)`.
        architecture: `(w, alphas, batch) -> gradient for alphas`.
        buffer: momentum buffer of the weights' SGD, shaped like `w`.
        train, valid: batches.
        max_norm: of the virtual step's gradient, and of v.

    Returns:
        `SecondOrder`.
    """
    gradient, _, _ = both(w, alphas, train)
    gradient, norm = optimizers.clip(gradient, max_norm)
    unrolled, _ = optimizers.sgd(w, gradient, buffer, learning_rate, momentum, weight_decay)
    vector, direct, aside = both(unrolled, alphas, valid)
    vector, _ = optimizers.clip(vector, max_norm)
    implicit = hessian_vector(lambda weights: architecture(weights, alphas, train), w, vector)
    value = direct - learning_rate * optimizers.clip_factor(norm, max_norm) * implicit
    return SecondOrder(value, direct, implicit, unrolled, vector, aside)
