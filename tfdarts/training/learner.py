"""What search and training have in common: the weights' clipped SGD, its state, the metrics."""

import math

import keras
import tensorflow as tf

from tfdarts.training import optimizers


class Learner(keras.Model):
    """A model that steps a network's weights by SGD with momentum, trained by `fit`.

    Its variables are all of its state: with them, and the data of the same step, it goes on as if never stopped.

    Args:
        network: built model, whose trainable variables are stepped.
        learning_rate: of the first step; a callback sets `self.learning_rate` later on.
        momentum, weight_decay, grad_clip, nesterov: of SGD.
    """

    def __init__(self, network, learning_rate, momentum, weight_decay, grad_clip, nesterov=False, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.momentum, self.weight_decay, self.grad_clip = momentum, weight_decay, grad_clip
        self.nesterov = nesterov
        size = (sum(math.prod(v.shape) for v in network.trainable_variables),)
        self.buffer = self.add_weight(name="momentum", shape=size, initializer="zeros", trainable=False)
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)
        self.learning_rate = self.add_weight(
            name="learning_rate",
            shape=(),
            initializer=keras.initializers.Constant(learning_rate),
            trainable=False,
        )
        self.loss_metric = keras.metrics.Mean(name="loss")
        self.accuracy_metric = keras.metrics.Mean(name="accuracy")

    def descend(self, weights, gradient, scale=1.0):
        """One step of SGD, from the weights as one vector and the gradient for it; `scale` is the learning rate's.

        Returns:
            The new weights.
        """
        gradient, _ = optimizers.clip(gradient, self.grad_clip)
        rate = self.learning_rate.value * scale
        hyper = (rate, self.momentum, self.weight_decay, self.nesterov)
        weights, buffer = optimizers.sgd(weights, gradient, self.buffer.value, *hyper)
        self.buffer.assign(buffer)
        self.set_weights_vector(weights)
        return weights

    def set_weights_vector(self, weights):
        """Sets the network's trainable variables from one vector."""
        variables = self.network.trainable_variables
        for variable, value in zip(variables, optimizers.unflatten(weights, variables)):
            variable.assign(value)

    def update_metrics(self, loss, logits, labels):
        """Adds a batch to loss and accuracy, and returns them."""
        hits = tf.equal(tf.argmax(logits, -1, output_type=labels.dtype), labels)
        self.loss_metric.update_state(loss, sample_weight=tf.size(labels))
        self.accuracy_metric.update_state(tf.cast(hits, loss.dtype))
        return {metric.name: metric.result() for metric in (self.loss_metric, self.accuracy_metric)}

    def state(self):
        """Every variable, in an order that depends on the program alone: the network's, the optimizers', metrics."""
        variables = {id(v): v for v in self.variables}
        variables |= {id(v): v for metric in self.metrics for v in metric.variables}
        return list(variables.values())
