"""Training of the evaluation network (DARTS, arXiv:1806.09055, section 3.2)."""

import keras
import tensorflow as tf

from tfdarts.layers.network import dropout_factors
from tfdarts.training import optimizers
from tfdarts.training.learner import Learner


class Training(Learner):
    """Trains a `TrainedNetwork` by `fit` on `(images, labels)`, and tests it by `evaluate`.

    Args:
        network: built `TrainedNetwork`; with `drop_path_prob` a `CellNetwork`.
        learning_rate: of the first step; a callback sets `self.learning_rate` later on.
        momentum, weight_decay, grad_clip, nesterov: of SGD.
        auxiliary_weight: weight of the auxiliary classifier's loss.
        label_smooth: share of the target that is spread over all classes, in training.
        drop_path_prob: probability that an edge is dropped in the end; it rises linearly from 0.
        epochs: int, over which it rises.
        steps: int, over which it rises from step to step instead of from epoch to epoch; None for the latter.
        dropout: probability that a pooled feature is dropped.
        seed: int.
    """

    def __init__(
        self,
        network,
        learning_rate=0.025,
        momentum=0.9,
        weight_decay=3e-4,
        grad_clip=5.0,
        auxiliary_weight=0.4,
        label_smooth=0.0,
        drop_path_prob=0.2,
        epochs=600,
        steps=None,
        dropout=0.0,
        nesterov=False,
        seed=0,
        **kwargs,
    ):
        super().__init__(network, learning_rate, momentum, weight_decay, grad_clip, nesterov, **kwargs)
        self.auxiliary_weight, self.label_smooth = auxiliary_weight, label_smooth
        self.drop_path_prob, self.epochs, self.steps = drop_path_prob, epochs, steps
        self.dropout, self.seed = dropout, seed
        self.epoch = self.add_weight(name="epoch", shape=(), initializer="zeros", trainable=False)
        self.top5_metric = keras.metrics.Mean(name="top5")
        self.built = True

    def _cross_entropy(self, labels, logits):
        target = tf.one_hot(labels, logits.shape[-1])
        target = (1 - self.label_smooth) * target + self.label_smooth / logits.shape[-1]
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))

    def train_step(self, data):
        images, labels = data
        self.step.assign_add(1)
        options, variables = self._dropped(tf.shape(images)[0]), self.network.trainable_variables
        with tf.GradientTape() as tape:
            results = self.network(images, training=True, **options)
            logits, *auxiliary = results if isinstance(results, (tuple, list)) else (results,)
            loss = self._cross_entropy(labels, logits)
            total = loss + self.auxiliary_weight * sum(self._cross_entropy(labels, y) for y in auxiliary)
        gradients = tape.gradient(total, [v.value for v in variables], unconnected_gradients="zero")
        self.descend(optimizers.flatten(variables), optimizers.flatten(gradients))
        return self.update_metrics(loss, logits, labels)

    def _dropped(self, batch):
        """What the network is to drop in this step: factors, by the name of its argument."""
        draw, network, options = tf.stack([tf.constant(self.seed, tf.int64), self.step.value]), self.network, {}
        if self.drop_path_prob:
            progress = self.epoch.value / self.epochs
            if self.steps is not None:
                progress = tf.minimum(1.0, tf.cast(self.step.value, tf.float32) / self.steps)
            probability = self.drop_path_prob * progress * tf.reshape(network.drop_path_share, [-1, 1, 1])
            options["drop_path"] = dropout_factors((*network.drop_path_shape, batch), probability, draw)
        if self.dropout:
            draw = draw + tf.constant([1 << 32, 0], tf.int64)  # numbers of their own
            options["dropout"] = dropout_factors((batch, network.features), self.dropout, draw)
        return options

    def test_step(self, data):
        images, labels = data
        logits = self.network(images, training=False)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        return self.update_metrics(loss, logits, labels)

    def update_metrics(self, loss, logits, labels):
        hits = tf.math.in_top_k(labels, logits, min(5, logits.shape[-1]))
        self.top5_metric.update_state(tf.cast(hits, loss.dtype))
        return super().update_metrics(loss, logits, labels) | {"top5": self.top5_metric.result()}
