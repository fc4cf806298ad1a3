"""DARTS on language models (Liu et al. 2019, arXiv:1806.09055, section 3.1.2)."""

import tensorflow as tf

from tfdarts.strategies.darts import Darts
from tfdarts.tasks.text import Reading
from tfdarts.training import optimizers


class LanguageDarts(Reading, Darts):
    """Searches a `LanguageSupernet` by `fit` on `data.text.search_batches`.

    The architecture follows the loss without regularisers. All passes over one batch have the same dropout, so that the
    virtual step is the weight step and the difference quotient compares like with like.

    Args:
        supernet: built `LanguageSupernet`.
        batch_size, bptt, rates, alpha, beta: as in `LanguageTraining`.
        order, learning_rate, ...: as in `Darts`.
        seed: of the architecture parameters' start and the dropout.
    """

    def __init__(
        self,
        supernet,
        batch_size=256,
        bptt=35,
        rates=(),
        alpha=0.0,
        beta=1e-3,
        order="second",
        arch_learning_rate=3e-3,
        arch_betas=(0.9, 0.999),
        arch_weight_decay=1e-3,
        learning_rate=20.0,
        weight_decay=5e-7,
        grad_clip=0.25,
        seed=0,
        **kwargs,
    ):
        adam = (arch_learning_rate, arch_betas, arch_weight_decay)
        super().__init__(supernet, order, *adam, learning_rate, 0.0, weight_decay, grad_clip, grad_clip, seed, **kwargs)
        self.set_reading(batch_size, bptt, dict(rates), alpha, beta, seed)
        self.hidden_valid = self.add_hidden("hidden_valid")

    def _loss(self, weights, alphas, batch):
        return self.sequence_loss(weights, batch, self._softmax(alphas))

    def _validated(self, loss, beside, state):
        return loss, beside[2]

    def train_step(self, data):
        (tokens, targets, scale, first), valid = data
        self.step.assign_add(1)
        weights = optimizers.flatten(self.supernet.trainable_variables)
        train = (tokens, targets, self.begin(self.hidden.value, first), self.draw(0))
        if self.order != "weights":
            valid = (*valid, self.begin(self.hidden_valid.value, first), self.draw(1), tf.zeros(()))
            gradient, (valid_loss, hidden) = self.hypergradient(weights, (*train, tf.zeros(())), valid, scale)
            self.valid_loss_metric.update_state(valid_loss)
            self.hidden_valid.assign(hidden)
            self.step_architecture(gradient)
        gradient, _, (_, (loss, logits, hidden), state) = self._both(weights, self.alphas.value, (*train, tf.ones(())))
        self.descend(weights, gradient, scale)
        self.hidden.assign(hidden)
        for variable, value in zip(self.supernet.non_trainable_variables, state):
            variable.assign(value)
        result = self.update_metrics(loss, logits, targets)
        if self.order != "weights":
            result["arch_loss"] = self.valid_loss_metric.result()
        return result

    def evaluated(self):
        return optimizers.flatten(self.supernet.trainable_variables), self.mixing()
