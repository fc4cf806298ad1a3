"""The language model that DARTS searches."""

import tensorflow as tf

from tfdarts.layers import recurrent
from tfdarts.layers.choices import alike
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype
from tfdarts.spaces.recurrent.model import LanguageModel


class LanguageSupernet(LanguageModel):
    """The language model whose cell mixes all activations on all earlier states.

    Its cell normalises every state; all of them share one pair of moving statistics. It owns no architecture
    parameters: whoever runs it hands in the mixing weights.

    Args:
        operations: `Operations` of recurrent cells.
        words, units, nodes: as in `LanguageModel`.

    Call arguments:
        tokens: `(time, batch)`.
        hidden: `(batch, units)`.
        mixing: dictionary with the table `recurrent`, `(nodes * (nodes + 1) / 2, operations)`.
        masks: of `dropout_masks`.

    Returns:
        Logits, hidden state, outputs before and after output dropout, as `LanguageModel.read`.
    """

    def __init__(self, operations, words, units=300, nodes=8, **kwargs):
        super().__init__(words, units, nodes, **kwargs)
        self.operations, self.concat = operations, tuple(range(1, nodes + 1))
        self.choices = {"recurrent": alike(recurrent.edge_names(nodes), operations.searched)}

    def build(self):
        super().build()
        self.statistics = self.add_statistics()

    @property
    def products(self):
        return self.nodes * (self.nodes + 1) // 2

    def call(self, tokens, hidden, mixing, masks=None, training=None):
        weights = tf.cast(mixing["recurrent"], self.compute_dtype)
        node = recurrent.MixedNodes(weights, self.choices["recurrent"], self.operations.ops)
        statistics = tf.convert_to_tensor(self.statistics)
        products = recurrent.products_with(tf.convert_to_tensor(self.kernels), training)

        def normalize(index, state):
            return recurrent.normalized(state, statistics, training)

        def cell(h, gates, mask):
            h, moments = recurrent.step(h, gates, products, node, self.concat, normalize, mask)
            return h, h, moments

        *results, updated = self.read(tokens, hidden, cell, masks, (statistics,) if training else (), training)
        for value in updated:
            self.statistics.assign(value)
        return results

    def genotype(self, mixing):
        """The `RecurrentGenotype` that mixing weights stand for."""
        entries = recurrent.strongest(mixing["recurrent"], self.choices["recurrent"], self.nodes)
        return RecurrentGenotype(entries, self.concat, ops=self.operations.name)
