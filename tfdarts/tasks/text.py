"""What search and training of language models share, and their training (AWD-LSTM, arXiv:1708.02182)."""

import keras
import numpy as np
import tensorflow as tf

from tfdarts.spaces.recurrent.network import dropout_masks
from tfdarts.training import optimizers
from tfdarts.training.learner import Learner


def cross_entropy(logits, targets):
    """Mean negative log likelihood over all time steps and columns."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits))


class Reading:
    """Loss, hidden state and evaluation of language models, mixed into a `Learner`.

    `rates` of dropout (`dropout_masks`), `alpha`, `beta` of activation and temporal activation regularisation (Merity
    et al. 2017, arXiv:1708.01009), `bptt`, the length of evaluation's segments, and `seed` are attributes.
    """

    def set_reading(self, batch_size, bptt, rates, alpha, beta, seed):
        """Sets them, and makes the hidden state, a variable `(batch_size, units)`."""
        self.batch_size, self.bptt, self.rates, self.alpha, self.beta = batch_size, bptt, rates, alpha, beta
        self.seed = seed
        self.hidden = self.add_hidden("hidden")

    def add_hidden(self, name):
        shape = (self.batch_size, self.network.units)
        return self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)

    def begin(self, hidden, first):
        """The hidden state of a batch: zero where a pass over the text begins."""
        return tf.where(first, tf.zeros_like(hidden), hidden)

    def draw(self, part):
        """Seed of the dropout of this step's training (0) or validation (1) batch."""
        return tf.stack([tf.constant(self.seed, tf.int64), 2 * self.step.value + part])

    def read(self, weights, tokens, hidden, *mixing, **options):
        """The network's results with weights given as one vector, and the new values of its other variables."""
        variables = self.network.trainable_variables
        others = [v.value for v in self.network.non_trainable_variables]
        values = optimizers.unflatten(weights, variables)
        return self.network.stateless_call(values, others, tokens, hidden, *mixing, **options)

    def sequence_loss(self, weights, batch, *mixing):
        """Loss of `(tokens, targets, hidden state, seed of the dropout, factor of the regularisers)`.

        Returns:
            The loss with regularisers; without, the logits and the next hidden state; the network's other variables.
        """
        tokens, targets, hidden, draw, factor = batch
        masks = dropout_masks(self.rates, self.network.words, *hidden.shape, draw, hidden.dtype)
        results, state = self.read(weights, tokens, hidden, *mixing, masks=masks, training=True)
        logits, hidden, raw, dropped = results
        loss = cross_entropy(logits, targets)
        penalty = self.beta * tf.reduce_mean(tf.square(raw[1:] - raw[:-1]))
        if self.alpha:
            penalty = penalty + self.alpha * tf.reduce_mean(tf.square(dropped))
        return loss + tf.cast(factor, loss.dtype) * penalty, (loss, logits, hidden), state

    def evaluated(self):
        """The weights, as one vector, and further arguments of the network for evaluation."""
        raise NotImplementedError

    def test_step(self, rows):
        """A whole text `(rows, columns)` in segments of `bptt`, the hidden state carried from one to the next.

        Nothing is dropped. A search's cell is normalised by the columns, as in training, since its moving statistics,
        which all states share, fit none of them; an evaluation network has no normalisation.
        """
        weights, *mixing = self.evaluated()
        last = tf.shape(rows)[0] - 1

        def segment(row, hidden):
            end = tf.minimum(row + self.bptt, last)
            (logits, hidden, *_), _ = self.read(weights, rows[row:end], hidden, *mixing, training=True)
            targets = rows[row + 1 : end + 1]
            self.update_metrics(cross_entropy(logits, targets), logits, targets)
            return end, hidden

        hidden = tf.zeros((rows.shape[1] or tf.shape(rows)[1], self.network.units), weights.dtype)
        tf.while_loop(lambda row, _: row < last, segment, (0, hidden))
        return self.results()

    def update_metrics(self, loss, logits, labels):
        super().update_metrics(loss, logits, labels)
        return self.results()

    def results(self):
        """Mean negative log likelihood per predicted word, its exponential, and the share of words predicted."""
        loss = self.loss_metric.result()
        return {"loss": loss, "perplexity": tf.exp(loss), "accuracy": self.accuracy_metric.result()}


class LanguageTraining(Reading, Learner):
    """Trains an `EvaluationLanguageModel` by `fit` on `data.text.train_batches`, and tests it by `evaluate`.

    SGD, and from the non-monotonic trigger on averaged SGD: once the validation loss is above the best one of more than
    `nonmono` epochs ago, weights are averaged, for good, and the average is what is evaluated.

    Args:
        network: built `EvaluationLanguageModel`.
        batch_size: int, columns of the training text.
        bptt: int, time steps of a segment in evaluation.
        rates: dictionary of dropout probabilities, see `dropout_masks`.
        alpha, beta: of activation and temporal activation regularisation.
        learning_rate, weight_decay, grad_clip: of SGD.
        nonmono: int.
        seed: int, of the dropout.
    """

    def __init__(
        self,
        network,
        batch_size=64,
        bptt=35,
        rates=(),
        alpha=0.0,
        beta=1e-3,
        learning_rate=20.0,
        weight_decay=8e-7,
        grad_clip=0.25,
        nonmono=5,
        seed=0,
        **kwargs,
    ):
        super().__init__(network, learning_rate, 0.0, weight_decay, grad_clip, **kwargs)
        self.set_reading(batch_size, bptt, dict(rates), alpha, beta, seed)

        def state(name, shape=(), initializer="zeros", **options):
            return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False, **options)

        infinite = keras.initializers.Constant(np.inf)
        self.average = state("average", self.buffer.shape)  # the newest weights until the averaging begins
        self.best = state("best", self.buffer.shape)
        self.best_loss = state("best_loss", initializer=infinite)
        self.averaging = state("averaging", dtype="int64")  # 0 or 1
        self.averaged_steps = state("averaged_steps", dtype="int64")
        self.last_scale = state("last_scale")
        self.older_loss = state("older_loss", initializer=infinite)  # best of more than `nonmono` epochs ago
        self.recent_losses = state("recent_losses", (nonmono,), infinite)
        for variable in (self.average, self.best):
            variable.assign(optimizers.flatten(network.trainable_variables))
        self.built = True

    def train_step(self, data):
        tokens, targets, scale, first = data
        self.step.assign_add(1)
        weights = optimizers.flatten(self.network.trainable_variables)
        batch = tokens, targets, self.begin(self.hidden.value, first), self.draw(0), tf.ones(())
        with tf.GradientTape() as tape:
            tape.watch(weights)
            total, (loss, logits, hidden), _ = self.sequence_loss(weights, batch)
        gradient = tape.gradient(total, weights)
        self.hidden.assign(hidden)
        # PyTorch's averaged SGD takes each step with the learning rate that was set for the one before.
        lagging = self.averaged_steps.value > 0
        weights = self.descend(weights, gradient, tf.where(lagging, self.last_scale.value, scale))
        self.last_scale.assign(scale)
        self.averaged_steps.assign_add(self.averaging.value)
        self.average.assign(optimizers.averaged(self.average.value, weights, self.averaged_steps.value))
        return self.update_metrics(loss, logits, targets)

    def evaluated(self):
        return (self.average.value,)

    def finish_epoch(self, loss):
        """Takes an epoch's validation loss: keeps the best weights, and begins the averaging when it is time."""
        if loss < float(self.best_loss.numpy()):
            self.best_loss.assign(loss)
            self.best.assign(self.average.value)
        if loss > float(self.older_loss.numpy()):
            self.averaging.assign(1)
        if not int(self.averaging.numpy()):
            recent = self.recent_losses.numpy()
            self.older_loss.assign(min(float(self.older_loss.numpy()), float(recent[0])))
            self.recent_losses.assign(np.append(recent[1:], loss))

    def take_best(self):
        """Sets the network, and what is evaluated, to the weights of the best epoch."""
        self.average.assign(self.best.value)
        self.set_weights_vector(self.best.value)


class FinishEpoch(keras.callbacks.Callback):
    """Tells `LanguageTraining` an epoch's validation loss."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.finish_epoch(logs["val_loss"])
