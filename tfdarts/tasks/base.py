"""What a task is: how a batch becomes a loss, and a result a score."""

import typing

import keras
import tensorflow as tf

from tfdarts.backend import on_cpu
from tfdarts.gradients import custom_gradient

TRAIN, VALID = 0, 1  # which of a search's two batches a pass is on


class Pass(typing.NamedTuple):
    """What a run of the network on a batch gave.

    Attributes:
        loss: scalar, without penalties.
        logits: `(..., classes)`.
        labels: `(...)`, of the same first axes.
        carry: what the next batch goes on from, a tuple of tensors.
    """

    loss: tf.Tensor
    logits: tf.Tensor
    labels: tf.Tensor
    carry: tuple = ()


class Task(keras.layers.Layer):
    """Base class of tasks; its variables, if any, are what is carried from batch to batch.

    Attributes:
        scores: names of what `scored` measures.
        overflowing: names of metrics that may be infinite in a sound run.
        axes: of what `inputs` gives, which axis of each tensor is the batch's, None for none; for a dictionary, of all
            names that it may have. Where several devices share a step, each gets a piece along it.
        dropout_stream: added to a draw's first number by the dropout that every task has.
    """

    scores = ("accuracy",)
    overflowing = ()
    dropout_stream = 0

    def draw(self, seed, step, part=TRAIN):
        """Seed of a pass's random numbers, two integers.

        Args:
            seed: int, the run's.
            step: number of the step.
            part: `TRAIN` or `VALID`.
        """
        raise NotImplementedError

    def inputs(self, network, batch, draw, part=TRAIN, progress=None, penalized=True, restart=False):
        """What a pass runs on, made of a batch: tensors, the same structure for both parts; the second are the labels.

        Args:
            network: the model that is going to run.
            batch: as the data set gives it.
            draw: function without arguments, the seed of the random numbers, two integers; None to drop nothing.
            part: `TRAIN` or `VALID`.
            progress: likewise, how much of the run is done, from 0 to 1.
            penalized: whether the loss has the weights' penalties.
            restart: whether nothing is to be carried over from the batch before.
        """
        raise NotImplementedError

    def loss(self, call, inputs, training=True):
        """Runs the network.

        Args:
            call: `training.learner.Call`.
            inputs: what `inputs` gave.
            training: False to drop nothing, and to normalise as a test does.

        Returns:
            The loss that is differentiated, and the `Pass`.
        """
        raise NotImplementedError

    def keep(self, carried, part=TRAIN):
        """Keeps what a pass carries on to the next batch of its part, `Pass.carry`."""

    def rate_scale(self, batch):
        """What the learning rate is multiplied by for a batch."""
        return 1.0

    def test(self, call, batch, update):
        """Runs the network on a batch of validation or test data, as trained; `update` is given every `Pass`."""
        raise NotImplementedError

    def reward(self, call, inputs):
        """What an architecture is worth on validation data (ENAS).

        Args:
            call, inputs: as in `loss`.

        Returns:
            The reward, and what is carried on, for `keep`.
        """
        raise NotImplementedError

    def scored(self, result):
        """The values of a `Pass` whose means are the scores, one tensor each."""
        labels = result.labels
        hits = tf.equal(tf.argmax(result.logits, -1, output_type=labels.dtype), labels)
        return (tf.cast(hits, result.loss.dtype),)

    def with_derived(self, values):
        """The metrics, and what follows from them."""
        return values


def cross_entropy(logits, labels):
    """Mean negative log likelihood of labels `(...)` under logits `(..., classes)`."""
    if on_cpu():
        losses = _losses_on_cpu(tf.reshape(logits, [-1, logits.shape[-1]]), tf.reshape(labels, [-1]))
    else:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses)


@custom_gradient
def _losses_on_cpu(logits, labels):
    """Negative log likelihoods `(batch,)`; with a vocabulary of words, in half the time of TensorFlow's fused kernel.

    The label's probability may round to 0, so its logarithm is not taken. That of the likeliest class is 1 / classes at
    least: the loss is the largest logit, less the label's, less the logarithm of the largest probability.
    """
    probabilities = tf.nn.softmax(logits)
    likeliest = tf.argmax(probabilities, -1, output_type=labels.dtype)
    highest, own = tf.unstack(tf.gather(logits, tf.stack([likeliest, labels], -1), batch_dims=1), axis=-1)
    probability = tf.gather(probabilities, likeliest, batch_dims=1)

    def gradient(upstream):
        at = tf.stack([tf.range(tf.size(labels)), tf.cast(labels, tf.int32)], -1)
        difference = tf.tensor_scatter_nd_sub(probabilities, at, tf.ones_like(own))
        return difference * upstream[:, None], None

    return highest - own - tf.math.log(probability), gradient
