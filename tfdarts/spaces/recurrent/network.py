"""The language model of a genotype."""

import keras
import tensorflow as tf

from tfdarts import operations
from tfdarts.layers import recurrent
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype
from tfdarts.spaces.recurrent.model import LanguageModel


@keras.saving.register_keras_serializable("tfdarts")
class EvaluationLanguageModel(LanguageModel):
    """The language model of a genotype.

    Args:
        genotype: `RecurrentGenotype`, or its dictionary form.
        words, units: as in `LanguageModel`.
        corpus: dictionary that describes the text it was trained on (`data`, `sha256`, `words`, `bptt`); None if
            unknown.
        offset: whether the initial state has biases, as in ENAS's cells.

    Call arguments and results: as `LanguageSupernet`, without the mixing weights.
    """

    def __init__(self, genotype, words, units=850, corpus=None, offset=False, **kwargs):
        self.genotype = RecurrentGenotype.from_dict(genotype) if isinstance(genotype, dict) else genotype
        super().__init__(words, units, len(self.genotype.recurrent), **kwargs)
        self.operations = operations.load(self.genotype.ops, recurrent=True)
        self.operations.check(self.genotype)
        self.corpus, self.has_offset = corpus, offset

    def build(self):
        super().build()
        if self.has_offset:
            self.offset = self.add_uniform("offset", (2 * self.units,))

    def call(self, tokens, hidden, masks=None, training=None):
        genotype = self.genotype
        products = recurrent.products_with(tf.convert_to_tensor(self.kernels), training)
        node = recurrent.FixedNodes(genotype.recurrent, self.operations.ops)
        start = tf.tanh if genotype.start == "tanh" else self.operations.ops[genotype.start]

        offset = tf.convert_to_tensor(self.offset) if self.has_offset else None

        def cell(h, gates, mask):
            gates = gates if offset is None else gates + offset
            states, _ = recurrent.cell_states(h, gates, products, node, mask=mask, start=start)
            output = recurrent.mean(states, genotype.concat)
            return output, recurrent.bounded(states[-1]) if genotype.carry == "last" else output, None

        *results, _ = self.read(tokens, hidden, cell, masks, training=training)
        return results

    def get_config(self):
        options = {"words": self.words, "units": self.units, "corpus": self.corpus, "offset": self.has_offset}
        return {"genotype": self.genotype.to_dict(), **options}
