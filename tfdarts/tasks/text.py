"""Language modelling: how a batch of text becomes a loss (AWD-LSTM, Merity et al. 2018, arXiv:1708.02182)."""

import tensorflow as tf

from tfdarts.spaces.recurrent.model import MASKS, dropout_masks
from tfdarts.tasks.base import TRAIN, Pass, Task, cross_entropy


class TextTask(Task):
    """Batches are `(tokens, targets, scale, first)`; the hidden state is carried from one to the next.

    `scale` is the learning rate's, `first` tells whether the text begins.

    All passes over one batch have the same dropout, so that the virtual step of the second order is the weight step and
    the difference quotient compares like with like.

    Args:
        units: int, of the hidden state.
        batch_size: int, columns of the text.
        bptt: int, time steps of a segment in evaluation.
        rates: dictionary of dropout probabilities, see `dropout_masks`.
        alpha, beta: of activation and temporal activation regularisation (Merity et al. 2017, arXiv:1708.01009), which
            are penalties of the weights.
        searches: whether there is a hidden state for validation text too.
        reward_scale: the reward is this over the perplexity (ENAS, section 3.1).
        reward_square: whether it is over the squared perplexity.
    """

    axes = (1, 1, 0, {name: 0 for name in MASKS} | {"dropoute": None, "wdrop": None}, None)
    overflowing = ("perplexity",)  # of a loss above 88, which is finite itself: early on it may be so high

    def __init__(
        self,
        units,
        batch_size,
        bptt,
        rates=None,
        alpha=0.0,
        beta=0.0,
        searches=False,
        reward_scale=80.0,
        reward_square=False,
    ):
        super().__init__(name="text")
        self.bptt, self.rates, self.alpha, self.beta = bptt, dict(rates or {}), alpha, beta
        self.reward_scale, self.reward_power = reward_scale, 2 if reward_square else 1
        names = ("hidden", "hidden_valid") if searches else ("hidden",)
        self.hidden = tuple(
            self.add_weight(name=name, shape=(batch_size, units), initializer="zeros", trainable=False)
            for name in names
        )

    def draw(self, seed, step, part=TRAIN):
        return tf.stack([tf.constant(seed, tf.int64), 2 * step + part])

    def inputs(self, network, batch, draw, part=TRAIN, progress=None, penalized=True, restart=False):
        tokens, targets, _, first = batch
        hidden = self.hidden[part].value
        hidden = tf.where(tf.logical_or(first, restart), tf.zeros_like(hidden), hidden)
        masks = dropout_masks(self.rates, network.words, *hidden.shape, draw(), hidden.dtype) if draw else {}
        return tokens, targets, hidden, masks, tf.ones(()) if penalized else tf.zeros(())

    def loss(self, call, inputs, training=True):
        tokens, targets, hidden, masks, factor = inputs
        logits, hidden, raw, dropped = call(tokens, hidden, masks=masks if training else None, training=True)
        loss = cross_entropy(logits, targets)
        raw, dropped = tf.cast(raw, loss.dtype), tf.cast(dropped, loss.dtype)
        penalty = tf.zeros_like(loss)
        if self.beta:
            penalty += self.beta * tf.reduce_mean(tf.square(raw[1:] - raw[:-1]))
        if self.alpha:
            penalty += self.alpha * tf.reduce_mean(tf.square(dropped))
        return loss + tf.cast(factor, loss.dtype) * penalty, Pass(loss, logits, targets, (hidden,))

    def keep(self, carried, part=TRAIN):
        (hidden,) = carried
        self.hidden[part].assign(hidden)

    def rate_scale(self, batch):
        return batch[2]

    def test(self, call, batch, update):
        """Reads a whole text `(rows, columns)` in segments of `bptt`, the hidden state carried from one to the next.

        Nothing is dropped. A search's cell is normalised by the columns, as in training, since its moving statistics,
        which all states share, fit none of them; an evaluation network has no normalisation.
        """
        rows, last = batch, tf.shape(batch)[0] - 1

        def segment(row, hidden):
            end = tf.minimum(row + self.bptt, last)
            logits, hidden, *_ = call(rows[row:end], hidden, training=True)
            targets = rows[row + 1 : end + 1]
            update(Pass(cross_entropy(logits, targets), logits, targets))
            return end, hidden

        hidden = tf.zeros((rows.shape[1] or tf.shape(rows)[1], call.network.units), call.network.compute_dtype)
        tf.while_loop(lambda row, _: row < last, segment, (0, hidden))

    def reward(self, call, inputs):
        """The reward scale over the perplexity that the shared weights have without dropout (ENAS, section 3.1)."""
        tokens, targets, hidden, *_ = inputs
        logits, hidden, *_ = call(tokens, hidden, training=True)
        return self.reward_scale / tf.exp(cross_entropy(logits, targets)) ** self.reward_power, (hidden,)

    def with_derived(self, values):
        return {"loss": values["loss"], "perplexity": tf.exp(values["loss"])} | values
