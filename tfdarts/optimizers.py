"""The papers' optimizers, in PyTorch's form: pure functions, and small layers that hold their variables.

Keras's own decouple weight decay from the gradient, keep the learning rate inside the velocity and put Adam's epsilon
inside the bias correction: other numbers after two steps. All tensors may have any shape; the networks' weights come
as one flat vector (`flatten`), so that an update is a handful of kernels whatever the number of variables.
"""

import math

import keras
import tensorflow as tf


def flatten(tensors):
    """Concatenates tensors or variables of any shapes into one vector."""
    tensors = [tf.convert_to_tensor(t) for t in tensors]
    return tf.concat([t if t.shape.rank == 1 else tf.reshape(t, [-1]) for t in tensors], 0)


def unflatten(vector, like):
    """Cuts a vector into tensors with the shapes of `like`."""
    parts = tf.split(vector, [math.prod(t.shape) for t in like])
    return [part if t.shape.rank == 1 else tf.reshape(part, t.shape) for part, t in zip(parts, like)]


def clip_factor(norm, max_norm):
    """What a gradient of that norm is multiplied by to be no longer than `max_norm` (PyTorch's rule, with its 1e-6)."""
    return tf.minimum(max_norm / (norm + 1e-6), 1.0)


def clip(gradient, max_norm):
    """Scales a vector to norm `max_norm` if it is longer.

    Returns:
        The vector and the norm it had.
    """
    norm = tf.norm(gradient)
    return gradient * clip_factor(norm, max_norm), norm


def sgd(w, gradient, buffer, learning_rate, momentum, weight_decay, nesterov=False):
    """`buffer' = momentum * buffer + g` with `g = gradient + weight_decay * w`; `w' = w - learning_rate * buffer'`.

    Args:
        nesterov: whether the step is along `momentum * buffer' + g` instead (Sutskever et al. 2013).

    Returns:
        `w'` and `buffer'`.
    """
    gradient = gradient + weight_decay * w
    buffer = momentum * buffer + gradient
    return w - learning_rate * (momentum * buffer + gradient if nesterov else buffer), buffer


def adam(w, gradient, first, second, step, learning_rate, betas, weight_decay, epsilon=1e-8):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980), the decay added to the gradient, epsilon outside the correction.

    Args:
        first, second: moments of the gradient, shaped like `w`.
        step: number of this step, from 1.

    Returns:
        The new `w`, `first` and `second`.
    """
    gradient = gradient + weight_decay * w
    first = betas[0] * first + (1 - betas[0]) * gradient
    second = betas[1] * second + (1 - betas[1]) * gradient * gradient
    step = tf.cast(step, w.dtype)
    first_hat = first / (1 - tf.pow(tf.constant(betas[0], w.dtype), step))
    second_hat = second / (1 - tf.pow(tf.constant(betas[1], w.dtype), step))
    return w - learning_rate * first_hat / (tf.sqrt(second_hat) + epsilon), first, second


def exponential(start, gamma):
    """Learning rate of an epoch, counted from 0: `start` times `gamma` each epoch (PyTorch's ExponentialLR)."""
    return lambda epoch: start * gamma**epoch


def cosine(start, end, epochs):
    """Learning rate of an epoch, counted from 0: half a cosine from `start` to `end` (PyTorch's CosineAnnealingLR)."""
    return lambda epoch: end + 0.5 * (start - end) * (1 + math.cos(math.pi * epoch / epochs))


def linear(start, end, epochs):
    """Learning rate of an epoch, counted from 0: on a line from `start`, to reach `end` after the last epoch."""
    return lambda epoch: start + (end - start) * epoch / epochs


def warmed_up(rate, start, epochs):
    """A schedule that rises in equal steps to `start` in its first epochs (Goyal et al. 2017, arXiv:1706.02677)."""
    return lambda epoch: start * (epoch + 1) / epochs if epoch < epochs else rate(epoch)


def restarts(start, end, period, factor):
    """Learning rate of an epoch, counted from 0: cosines from `start` to `end`, each begun anew where the last ended.

    SGDR (Loshchilov and Hutter 2017, arXiv:1608.03983). The first lasts `period` epochs, every further one `factor`
    times as long as the one before it.
    """

    def rate(epoch):
        length = period
        while epoch >= length:
            epoch, length = epoch - length, length * factor
        return cosine(start, end, length)(epoch)

    return rate


def schedule(
    *,
    epochs,
    learning_rate,
    learning_rate_min=None,
    schedule="cosine",
    gamma=None,
    restart_epochs=None,
    restart_factor=None,
    warmup_epochs=0,
):
    """The learning rate by options, as a function of the epoch; constant where no end of it is given (text)."""
    course = _course(epochs, learning_rate, learning_rate_min, schedule, gamma, restart_epochs, restart_factor)
    return warmed_up(course, learning_rate, warmup_epochs) if warmup_epochs else course


def _course(epochs, learning_rate, learning_rate_min, schedule, gamma, restart_epochs, restart_factor):
    if schedule == "exponential":
        return exponential(learning_rate, gamma)
    if schedule == "restarts":
        return restarts(learning_rate, learning_rate_min, restart_epochs, restart_factor)
    if learning_rate_min is None:
        return lambda epoch: learning_rate
    if schedule == "linear":
        return linear(learning_rate, learning_rate_min, epochs)
    return cosine(learning_rate, learning_rate_min, epochs)


def averaged(average, w, count):
    """Running average of averaged SGD (Polyak and Juditsky 1992), as PyTorch's ASGD with `t0 = 0` keeps it.

    Args:
        average, w: the average so far and the newest weights.
        count: number of this weight step since the averaging began, from 1; the second replaces the first.

    Returns:
        The new average: the mean of the weights after steps 2 to `count`.
    """
    share = 1 / tf.cast(tf.maximum(count - 1, 1), w.dtype)
    return (1 - share) * average + share * w


class Sgd(keras.layers.Layer):
    """SGD of one vector of weights, with its momentum buffer as a variable; `sgd` has the formula.

    Args:
        learning_rate: of the first step; whoever steps hands in the rate that holds then.
        momentum, weight_decay, nesterov: as in `sgd`.
        grad_clip: largest norm of the gradient.
        decay_varies: whether the weight decay is a variable, which may be assigned to.
    """

    def __init__(
        self,
        learning_rate,
        momentum=0.0,
        weight_decay=0.0,
        grad_clip=math.inf,
        nesterov=False,
        decay_varies=False,
        name="sgd",
    ):
        super().__init__(name=name)
        self.decay_varies = decay_varies
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.grad_clip, self.nesterov = grad_clip, nesterov

    def build(self, size):
        """Makes the buffer for weights `(size,)`."""
        self.buffer = self.add_weight(name="momentum", shape=(size,), initializer="zeros", trainable=False)
        if self.decay_varies:
            start = keras.initializers.Constant(self.weight_decay)
            self.weight_decay = self.add_weight(name="weight_decay", shape=(), initializer=start, trainable=False)
        self.built = True

    def update(self, weights, gradient, rate, count):
        """One step.

        Args:
            weights, gradient: vectors.
            rate: learning rate.
            count: number of this step, from 1; SGD does not depend on it, `Adam` does.

        Returns:
            The new weights.
        """
        gradient, _ = clip(gradient, self.grad_clip)
        weights, buffer = sgd(
            weights, gradient, self.buffer.value, rate, self.momentum, self.weight_decay, self.nesterov
        )
        self.buffer.assign(buffer)
        return weights


class Adam(keras.layers.Layer):
    """Adam of one vector, with its moments as variables; `adam` has the formula.

    Args:
        learning_rate, weight_decay, grad_clip: as in `Sgd`.
        betas: as in `adam`.
        epsilon: as in `adam`.
        epsilon_before_correction: whether epsilon is added before the second moment is corrected, as TensorFlow 1 does.
    """

    def __init__(
        self,
        learning_rate,
        betas=(0.9, 0.999),
        weight_decay=0.0,
        grad_clip=math.inf,
        epsilon=1e-8,
        epsilon_before_correction=False,
        name="adam",
    ):
        super().__init__(name=name)
        self.learning_rate, self.betas, self.weight_decay = learning_rate, betas, weight_decay
        self.grad_clip, self.epsilon, self.epsilon_before_correction = grad_clip, epsilon, epsilon_before_correction

    def build(self, size):
        """Makes the moments for weights `(size,)`."""
        self.m = self.add_weight(name="m", shape=(size,), initializer="zeros", trainable=False)
        self.v = self.add_weight(name="v", shape=(size,), initializer="zeros", trainable=False)
        self.built = True

    def update(self, weights, gradient, rate, count):
        """One step; arguments and result as in `Sgd.update`."""
        if self.grad_clip != math.inf:
            gradient, _ = clip(gradient, self.grad_clip)
        epsilon = self.epsilon
        if self.epsilon_before_correction:
            epsilon = epsilon / tf.sqrt(1 - tf.pow(self.betas[1], tf.cast(count, weights.dtype)))
        weights, m, v = adam(
            weights, gradient, self.m.value, self.v.value, count, rate, self.betas, self.weight_decay, epsilon
        )
        self.m.assign(m)
        self.v.assign(v)
        return weights
