"""DARTS in about 100 lines: the whole algorithm in one file, with the layers and formulas of this library.

    python3 examples/darts_from_scratch.py

It searches a cell on handwritten digits, second order, and prints it. It uses no strategy, no options and no run
folder: what is left is algorithm 1 of the paper (Liu et al. 2019, arXiv:1806.09055). `tfdarts.search` takes the same
steps, and adds augmentation, validation, checkpoints, parts and other spaces.
"""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from tfdarts import operations
from tfdarts.layers import choices
from tfdarts.optimizers import adam, clip, cosine, flatten, sgd, unflatten
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.strategies import hypergradient

MOMENTUM, WEIGHT_DECAY, GRAD_CLIP = 0.9, 3e-4, 5.0  # of the weights' SGD
ARCH_RATE, ARCH_BETAS, ARCH_DECAY = 3e-3, (0.5, 0.999), 1e-3  # of the architecture's Adam


class Searcher:
    """A supernet with its weights `w` and its architecture parameters `alphas`, each one flat vector.

    Args:
        supernet: built network, called with images and mixing weights.
        seed: of the architecture parameters' start.
    """

    def __init__(self, supernet, seed=0):
        self.net = supernet
        self.shapes = {name: choices.shape(table) for name, table in supernet.choices.items()}
        self.sizes = [rows * columns for rows, columns in self.shapes.values()]
        w = flatten(supernet.trainable_variables)
        alphas = 1e-3 * tf.random.stateless_normal([sum(self.sizes)], [seed, 0], dtype=w.dtype)
        self.w, self.velocity = tf.Variable(w), tf.Variable(tf.zeros_like(w))
        self.alphas, self.steps = tf.Variable(alphas), tf.Variable(0)
        self.moments = [tf.Variable(tf.zeros_like(alphas)) for _ in range(2)]  # of Adam

    def mixing(self, alphas):
        """The continuous relaxation (equation 2): for each edge, a softmax over its operations."""
        tables = zip(self.shapes.items(), tf.split(alphas, self.sizes))
        return {name: tf.nn.softmax(tf.reshape(part, shape)) for (name, shape), part in tables}

    def loss(self, w, alphas, batch):
        """The loss of a batch for given weights and architecture, and the new moving statistics. Changes nothing."""
        images, labels = batch
        weights = unflatten(w, self.net.trainable_variables)
        statistics = [variable.value for variable in self.net.non_trainable_variables]
        logits, statistics = self.net.stateless_call(weights, statistics, images, self.mixing(alphas), training=True)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)), statistics

    def gradients(self, w, alphas, batch):
        """Gradients of the loss for the weights and for the architecture, then the loss and the statistics."""
        with tf.GradientTape() as tape:
            tape.watch([w, alphas])
            loss, statistics = self.loss(w, alphas, batch)
        return *tape.gradient(loss, [w, alphas]), (loss, statistics)

    @tf.function
    def step(self, train, valid, rate):
        """Algorithm 1: one step of the architecture on a validation batch, then one of the weights on a training batch.

        Returns:
            The training loss before the step of the weights.
        """
        w, velocity, alphas, *moments = map(tf.identity, (self.w, self.velocity, self.alphas, *self.moments))
        # 1. The architecture: the gradient of the validation loss at the weights that one more step of the weights
        # would give, of which the architecture is a part too (equations 7 and 8). Nothing is changed meanwhile.
        gradient = hypergradient.second_order(
            both=self.gradients,
            architecture=lambda *arguments: self.gradients(*arguments)[1],
            w=w,
            alphas=alphas,
            buffer=velocity,
            train=train,
            valid=valid,
            learning_rate=rate,
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
        ).value
        count = self.steps.assign_add(1)
        alphas, *moments = adam(alphas, gradient, *moments, count, ARCH_RATE, ARCH_BETAS, ARCH_DECAY)
        # 2. The weights, under the new architecture.
        gradient, _, (loss, statistics) = self.gradients(w, alphas, train)
        gradient, _ = clip(gradient, GRAD_CLIP)
        w, velocity = sgd(w, gradient, velocity, rate, MOMENTUM, WEIGHT_DECAY)
        variables = [self.w, self.velocity, self.alphas, *self.moments, *self.net.non_trainable_variables]
        for variable, value in zip(variables, [w, velocity, alphas, *moments, *statistics]):
            variable.assign(value)
        return loss

    def genotype(self):
        """The cells that `alphas` stand for: each node keeps its two heaviest edges (section 2.4)."""
        return self.net.genotype({name: table.numpy() for name, table in self.mixing(self.alphas).items()})


def search(epochs=10, batch=32, channels=4, layers=3, nodes=4, images=None, seed=0):
    """Searches on scikit-learn's digits; returns the `Searcher` and the mean training loss of each epoch."""
    x, y = load_digits(return_X_y=True)
    x, y = x[:images].reshape(-1, 8, 8, 1).astype("float32") / 16 - 0.5, y[:images].astype("int32")
    keras.utils.set_random_seed(seed)  # of the weights
    generator = np.random.default_rng(seed)
    halves = np.array_split(generator.permutation(len(y)), 2)  # one for the weights, one for the architecture
    net = Supernet(operations.load("regular"), 10, channels, layers, nodes=nodes, multiplier=nodes)
    net.build((None, 8, 8, 1))
    searcher, rate, losses = Searcher(net, seed), cosine(0.025, 0.001, epochs), []
    for epoch in range(epochs):
        shuffled = [generator.permutation(half) for half in halves]
        steps = []
        for start in range(0, min(map(len, shuffled)) - batch + 1, batch):
            train, valid = ((x[half[start : start + batch]], y[half[start : start + batch]]) for half in shuffled)
            steps.append(searcher.step(train, valid, tf.constant(rate(epoch))))
        losses.append(float(tf.reduce_mean(steps)))
        print(f"epoch {epoch + 1} of {epochs}: training loss {losses[-1]:.3f}")
    return searcher, losses


if __name__ == "__main__":
    found, _ = search()
    print(found.genotype().to_json())
