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

    Call arguments and results: as `LanguageSupernet`, without the mixing weights.
    """

    def __init__(self, genotype, words, units=850, corpus=None, **kwargs):
        self.genotype = RecurrentGenotype.from_dict(genotype) if isinstance(genotype, dict) else genotype
        super().__init__(words, units, len(self.genotype.recurrent), **kwargs)
        self.operations = operations.load(self.genotype.ops, recurrent=True)
        self.operations.check(self.genotype)
        self.corpus = corpus

    def call(self, tokens, hidden, masks=None, training=None):
        genotype, kernels = self.genotype, tf.unstack(tf.convert_to_tensor(self.kernels))
        node = recurrent.FixedNodes(genotype.recurrent, self.operations.ops)
        start = tf.tanh if genotype.start == "tanh" else self.operations.ops[genotype.start]

        def cell(h, gates, mask):
            states, _ = recurrent.cell_states(h, gates, kernels, node, mask=mask, start=start)
            output = recurrent.mean(states, genotype.concat)
            return output, recurrent.bounded(states[-1]) if genotype.carry == "last" else output, None

        *results, _ = self.read(tokens, hidden, cell, masks)
        return results

    def get_config(self):
        options = {"words": self.words, "units": self.units, "corpus": self.corpus}
        return {"genotype": self.genotype.to_dict(), **options}
