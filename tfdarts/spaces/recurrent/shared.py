"""The language model whose weights all cells share (ENAS)."""

import tensorflow as tf

from tfdarts import operations
from tfdarts.layers import recurrent
from tfdarts.layers.choose import choose
from tfdarts.spaces.recurrent.genotype import ENAS_ACTIVATIONS, RecurrentGenotype
from tfdarts.spaces.recurrent.model import LanguageModel


class SharedLanguageModel(LanguageModel):
    """The language model whose weights all recurrent cells of ENAS's space share.

    Pham et al. 2018, arXiv:1802.03268, section 2.1, with the details of its PyTorch program. Node 0 is made from the
    input and the hidden state, with biases; every other node from an earlier one, by a kernel that belongs to this pair
    of nodes whatever the activation. The output is the mean of the leaves, the nodes that no other is made from. The
    last node's state is carried on, see `recurrent.bounded`.

    Args:
        words, units: as in `LanguageModel`.
        nodes: int, at least 2; node 0 counts.

    Call arguments:
        tokens: `(time, batch)`.
        hidden: `(batch, units)`.
        arc: `(activations, previous)`: the nodes' places in `ENAS_ACTIVATIONS`, `(nodes,)`, and the parents of the
            nodes from 1 on, `(nodes - 1,)`. As int tensors one trace serves all cells, and computes only what is
            chosen; as tuples of ints, given by name, the trace is of this cell alone.
        masks: of `dropout_masks`.
        training: bool; only in training the output is normalised, over the batch.

    Returns:
        Logits, hidden state, outputs before and after output dropout, as `LanguageModel.read`.
    """

    start_range = 0.025

    def __init__(self, words, units=200, nodes=12, **kwargs):
        super().__init__(words, units, nodes, **kwargs)
        self.operations = operations.load("recurrent", recurrent=True)

    def build(self):
        super().build()
        self.offset = self.add_uniform("offset", (2 * self.units,))
        self.gamma = self.add_uniform("gamma", (self.units,))
        self.beta = self.add_uniform("beta", (self.units,))
        self.statistics = self.add_statistics()

    @property
    def matrices(self):
        return self.nodes * (self.nodes - 1) // 2

    @property
    def products(self):
        return self.nodes - 1

    def call(self, tokens, hidden, arc, masks=None, training=None):
        activations, previous = (tf.unstack(part) if tf.is_tensor(part) else part for part in arc)
        pairs = [node * (node - 1) // 2 + parent for node, parent in enumerate(previous, 1)]
        products = recurrent.products_with(tf.gather(tf.convert_to_tensor(self.kernels), pairs), training)
        offset, gamma, beta, statistics = (
            tf.convert_to_tensor(v) for v in (self.offset, self.gamma, self.beta, self.statistics)
        )
        leaves = 1 - tf.reduce_max(tf.one_hot(previous, self.nodes, dtype=self.compute_dtype), 0)
        leaves /= tf.reduce_sum(leaves)
        functions = [self._activation(index) for index in activations]

        def cell(h, gates, mask):
            states = recurrent.sampled_states(h, gates + offset, products, functions, previous, mask)
            output, moments = tf.tensordot(leaves, states, 1), None
            if training:
                output, moments = recurrent.normalized(output, statistics, training)
                output, moments = output * gamma + beta, moments[None]
            return output, recurrent.bounded(states[-1]), moments

        *results, updated = self.read(tokens, hidden, cell, masks, (statistics,) if training else (), training)
        for value in updated:
            self.statistics.assign(value)
        return results

    def _activation(self, index):
        """The function of a tensor that `index`, a tensor or an int, chooses."""
        functions = [self.operations.ops[name] for name in ENAS_ACTIVATIONS]
        return lambda a: choose(index, [lambda f=f: f(a) for f in functions])

    def genotype(self, arc):
        """The `RecurrentGenotype` of an architecture, arrays or tuples."""
        return RecurrentGenotype.from_arc(arc)
