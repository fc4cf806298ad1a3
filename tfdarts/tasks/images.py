"""Classification of images: how a batch becomes a loss."""

import tensorflow as tf

from tfdarts.layers.dropout import dropout_factors
from tfdarts.tasks.base import TRAIN, Pass, Task, cross_entropy

_SKIPS_STREAM = 1 << 36  # added to the draw's first number by the dropout behind skip connections


class ImageTask(Task):
    """Batches are `(images, labels)`; nothing is carried from one to the next.

    Args:
        label_smooth: share of the target that is spread over all classes, in training; None for plain labels.
        auxiliary_weight: weight of the auxiliary classifier's loss.
        drop_path_prob: probability that an edge is dropped in the end; it rises linearly from 0.
        dropout: probability that a pooled feature is dropped.
        skip_dropout: function of how much of a search is done, the probability that an element behind a skip connection
            is dropped; None for no dropout.
        top5: whether the share of labels among the five likeliest classes is a score too.
    """

    dropout_stream = 1  # 0 is drop-path's
    axes = (0, 0, {"drop_path": 2, "dropout": 0, "skip_dropout": None})

    def __init__(
        self,
        label_smooth=None,
        auxiliary_weight=0.0,
        drop_path_prob=0.0,
        dropout=0.0,
        top5=False,
        skip_dropout=None,
    ):
        super().__init__(name="images")
        self.label_smooth, self.auxiliary_weight = label_smooth, auxiliary_weight
        self.drop_path_prob, self.dropout, self.skip_dropout = drop_path_prob, dropout, skip_dropout
        self.scores = ("accuracy", "top5") if top5 else ("accuracy",)

    def draw(self, seed, step, part=TRAIN):
        return tf.stack([tf.constant(seed, tf.int64), step])

    def inputs(self, network, batch, draw, part=TRAIN, progress=None, penalized=True, restart=False):
        images, labels = batch
        dropped = {}
        if self.drop_path_prob and draw:
            probability = self.drop_path_prob * progress() * tf.reshape(network.drop_path_share, [-1, 1, 1])
            shape = (*network.drop_path_shape, tf.shape(images)[0])
            dropped["drop_path"] = dropout_factors(shape, probability, draw())
        if self.dropout and draw:
            seed = draw() + tf.constant([self.dropout_stream << 32, 0], tf.int64)  # numbers of their own
            dropped["dropout"] = dropout_factors((tf.shape(images)[0], network.features), self.dropout, seed)
        if self.skip_dropout and draw:
            seed = draw() + tf.constant([_SKIPS_STREAM * (1 + part), 0], tf.int64)
            dropped["skip_dropout"] = seed, self.skip_dropout(progress())
        return images, labels, dropped

    def loss(self, call, inputs, training=True):
        images, labels, dropped = inputs
        if not training:
            dropped = {}
        results = call(images, training=training or call.network.shares_statistics, **dropped)
        logits, *auxiliary = results if isinstance(results, (tuple, list)) else (results,)
        loss = total = self._cross_entropy(labels, logits)
        if auxiliary:
            total = loss + self.auxiliary_weight * sum(self._cross_entropy(labels, y) for y in auxiliary)
        return total, Pass(loss, logits, labels)

    def _cross_entropy(self, labels, logits):
        if self.label_smooth is None:
            return cross_entropy(logits, labels)
        target = tf.one_hot(labels, logits.shape[-1])
        target = (1 - self.label_smooth) * target + self.label_smooth / logits.shape[-1]
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))

    def test(self, call, batch, update):
        images, labels = batch
        # Moving statistics that no state fits would say nothing; the batch's take their place, and are forgotten.
        logits = call(images, training=call.network.shares_statistics)
        update(Pass(cross_entropy(logits, labels), logits, labels))

    def reward(self, call, inputs):
        """The accuracy on a batch (ENAS, section 3.2)."""
        images, labels, _ = inputs
        hits = tf.equal(tf.argmax(call(images, training=False), -1, output_type=labels.dtype), labels)
        return tf.reduce_mean(tf.cast(hits, tf.float32)), ()

    def scored(self, result):
        if "top5" not in self.scores:
            return super().scored(result)
        hits = tf.math.in_top_k(result.labels, result.logits, min(5, result.logits.shape[-1]))
        return (*super().scored(result), tf.cast(hits, result.loss.dtype))
