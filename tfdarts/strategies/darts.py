"""DARTS: architecture parameters by gradient descent (Liu et al. 2019, arXiv:1806.09055, algorithm 1)."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfdarts.strategies import hypergradient
from tfdarts.training import optimizers
from tfdarts.training.learner import Learner

ORDERS = ("weights", "first", "second")


class Darts(Learner):
    """Searches a supernet: at each step one step of the architecture, then one of the weights.

    Trained by `fit` on a data set of `((images, labels), (images, labels))`, a training and a validation batch.

    Args:
        supernet: built `Supernet`.
        order: `"second"`, `"first"`, or `"weights"` to leave the architecture alone.
        arch_learning_rate, arch_betas, arch_weight_decay: of the architecture's Adam.
        learning_rate: of the first step of the weights; a callback sets `self.learning_rate` later on.
        momentum, weight_decay, grad_clip: of the weights' SGD.
        unrolled_clip: largest norm of the gradients in the virtual step of the second order.
        seed: of the architecture parameters' start, 1e-3 * N(0, 1).
    """

    def __init__(
        self,
        supernet,
        order="second",
        arch_learning_rate=3e-4,
        arch_betas=(0.5, 0.999),
        arch_weight_decay=1e-3,
        learning_rate=0.025,
        momentum=0.9,
        weight_decay=3e-4,
        grad_clip=5.0,
        unrolled_clip=math.inf,
        seed=0,
        **kwargs,
    ):
        super().__init__(supernet, learning_rate, momentum, weight_decay, grad_clip, **kwargs)
        if order not in ORDERS:
            raise ValueError(f"`order` must be one of {', '.join(ORDERS)}. Received: {order!r}.")
        self.order, self.unrolled_clip = order, unrolled_clip
        self.arch_hyper = (arch_learning_rate, arch_betas, arch_weight_decay)
        self.shapes = {name: (len(rows), len(columns)) for name, (rows, columns) in supernet.tables.items()}
        shape = (sum(math.prod(shape) for shape in self.shapes.values()),)  # all tables as one vector
        start = keras.initializers.RandomNormal(0.0, 1e-3, seed=seed)
        self.alphas = self.add_weight(name="alphas", shape=shape, initializer=start)
        self.first = self.add_weight(name="adam_first", shape=shape, initializer="zeros", trainable=False)
        self.second = self.add_weight(name="adam_second", shape=shape, initializer="zeros", trainable=False)
        self.valid_loss_metric = keras.metrics.Mean(name="arch_loss")
        self.built = True
        # Not inlined: a function that is called three times is instantiated once, not copied into the step.
        options = {"autograph": False, "experimental_attributes": {"_noinline": True}}
        self._both = tf.function(self._both_gradients, **options)
        self._architecture = tf.function(self._architecture_gradient, **options)

    def _loss(self, weights, alphas, batch, training=True):
        images, labels = batch
        logits, state = self.supernet.stateless_call(
            optimizers.unflatten(weights, self.supernet.trainable_variables),
            [v.value for v in self.supernet.non_trainable_variables],
            images,
            self._softmax(alphas),
            training=training,
        )
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        return loss, logits, state

    def _both_gradients(self, weights, alphas, batch):
        with tf.GradientTape() as tape:
            tape.watch([weights, alphas])
            loss, logits, state = self._loss(weights, alphas, batch)
        gradients = tape.gradient(loss, [weights, alphas])
        return *gradients, (loss, logits, state)

    def _architecture_gradient(self, weights, alphas, batch):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(alphas)
            loss, *beside = self._loss(weights, alphas, batch)
        return tape.gradient(loss, alphas), self._validated(loss, *beside)

    def _validated(self, loss, logits, state):
        """What the search step keeps of a pass on the validation batch, whose gradient the architecture follows."""
        return loss

    @property
    def supernet(self):
        """The network that is searched."""
        return self.network

    @property
    def tables(self):
        """Names of the rows and columns of the tables of `mixing`."""
        return self.supernet.tables

    def hypergradient(self, weights, train, valid, scale=1.0):
        """Gradient for the architecture parameters, and the loss on the validation batch that it came from.

        `scale` is the learning rate's, as in `descend`.
        """
        alphas = self.alphas.value
        if self.order == "first":
            return self._architecture(weights, alphas, valid)
        result = hypergradient.second_order(
            self._both,
            lambda *arguments: self._architecture(*arguments)[0],
            weights,
            alphas,
            self.buffer.value,
            train,
            valid,
            self.learning_rate.value * scale,
            self.momentum,
            self.weight_decay,
            self.unrolled_clip,
        )
        return result.value, self._validated(*result.valid)

    def step_architecture(self, gradient):
        """One step of Adam for the architecture parameters."""
        learning_rate, betas, decay = self.arch_hyper
        alphas, first, second = optimizers.adam(
            self.alphas.value, gradient, self.first.value, self.second.value, self.step.value,
            learning_rate, betas, decay,
        )  # fmt: skip
        for variable, value in ((self.alphas, alphas), (self.first, first), (self.second, second)):
            variable.assign(value)

    def train_step(self, data):
        train, valid = data
        self.step.assign_add(1)
        weights = optimizers.flatten(self.supernet.trainable_variables)
        if self.order != "weights":
            gradient, valid_loss = self.hypergradient(weights, train, valid)
            self.valid_loss_metric.update_state(valid_loss)
            self.step_architecture(gradient)
        gradient, _, (loss, logits, state) = self._both(weights, self.alphas.value, train)
        self.descend(weights, gradient)
        for variable, value in zip(self.supernet.non_trainable_variables, state):
            variable.assign(value)
        result = self.update_metrics(loss, logits, train[1])
        if self.order != "weights":
            result["arch_loss"] = self.valid_loss_metric.result()
        return result

    def test_step(self, data):
        weights = optimizers.flatten(self.supernet.trainable_variables)
        # Moving statistics that no state fits would say nothing; the batch's take their place, and are forgotten.
        loss, logits, _ = self._loss(weights, self.alphas.value, data, training=self.supernet.shares_statistics)
        return self.update_metrics(loss, logits, data[1])

    def _softmax(self, alphas):
        parts = tf.split(alphas, [math.prod(shape) for shape in self.shapes.values()])
        return {name: tf.nn.softmax(tf.reshape(part, shape)) for (name, shape), part in zip(self.shapes.items(), parts)}

    def mixing(self):
        """The mixing weights by table: the softmax of each row of architecture parameters."""
        return self._softmax(self.alphas.value)

    def genotype(self):
        """The genotype that the architecture parameters stand for now (section 2.4)."""
        return self.supernet.genotype({name: np.asarray(table) for name, table in self.mixing().items()})
