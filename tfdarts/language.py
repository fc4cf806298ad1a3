"""Language models around one recurrent cell: the one that is searched, and the one built from a genotype.

DARTS (Liu et al. 2019, arXiv:1806.09055, sections 3.1.2 and 3.2), after AWD-LSTM (Merity et al. 2018,
arXiv:1708.02182). Sequences are `(time, batch, units)`.
"""

import keras
import tensorflow as tf

from tfdarts import genotype as genotypes
from tfdarts import recurrent
from tfdarts import space as spaces

RANGE = 0.04  # of the weights' uniform start


def dropout_masks(rates, words, batch, units, seed, dtype):
    """Factors for the five kinds of dropout: 0 or 1 / (1 - rate), each drawn once for all time steps.

    Args:
        rates: dictionary with the probabilities `dropoute` (a word's whole embedding; Gal and Ghahramani 2016,
            arXiv:1512.05287), `dropouti` (the cell's input, locked dropout), `dropoutx` and `dropouth` (input and
            states in the cell's matrix products), `dropout` (the cell's output, locked dropout).
        words, batch, units: ints.
        seed: two integers.

    Returns:
        A dictionary by the same names, without those whose rate is 0: `(words, 1)` for `dropoute`, else
        `(batch, units)`.
    """
    masks = {}
    for index, (name, rate) in enumerate(sorted(rates.items())):
        if rate:
            shape = (words, 1) if name == "dropoute" else (batch, units)
            draw = tf.random.stateless_uniform(shape, tf.stack([seed[0], seed[1] + (index << 40)]), dtype=dtype)
            masks[name] = tf.floor(draw + (1 - rate)) / (1 - rate)
    return masks


class LanguageModel(keras.Model):
    """Embedding, one recurrent cell, a decoder whose matrix is the embedding.

    Args:
        words: int, size of the vocabulary.
        units: int, of embedding and hidden state.
        nodes: int, nodes of the cell.
        concat: the states whose mean is the cell's output.
    """

    def __init__(self, words, units, nodes, concat, **kwargs):
        super().__init__(**kwargs)
        self.words, self.units, self.nodes, self.concat = words, units, nodes, tuple(concat)

    def build(self):
        def uniform(name, shape):
            start = keras.initializers.RandomUniform(-RANGE, RANGE)  # a new one each: one instance repeats its values
            return self.add_weight(name=name, shape=shape, initializer=start)

        self.embedding = uniform("embedding", (self.words, self.units))
        self.bias = self.add_weight(name="bias", shape=(self.words,), initializer="zeros")
        self.start = uniform("start", (2 * self.units, 2 * self.units))
        self.kernels = uniform("kernels", (self.nodes, self.units, 2 * self.units))
        self.built = True

    @property
    def products(self):
        """Number of the nodes' matrix products in one step: one for each pair of a node and a state that it uses."""
        return self.nodes

    def multiply_adds(self):
        """Multiply-adds of one word: the cell's matrix products and the decoder."""
        return (2 + self.products) * 2 * self.units**2 + self.words * self.units

    def read(self, tokens, hidden, node, masks=None, normalize=None, statistics=()):
        """Runs the cell over tokens.

        Args:
            tokens: `(time, batch)`, int; the number of time steps may vary without a new trace.
            hidden: `(batch, units)`.
            node: `FixedNodes` or `MixedNodes`.
            masks: of `dropout_masks`; None for none.
            normalize: of `recurrent.step`.
            statistics: the normalisation's moving statistics, a tuple of one tensor where they are to be updated.

        Returns:
            Logits `(time, batch, words)`; the last hidden state; the cell's outputs before and after output dropout,
            `(time, batch, units)`; `statistics`.
        """
        masks = masks or {}
        embedding = tf.convert_to_tensor(self.embedding)
        x = tf.gather(embedding, tokens)
        if "dropoute" in masks:
            x = x * tf.gather(masks["dropoute"], tokens)
        for name in ("dropouti", "dropoutx"):
            if name in masks:
                x = x * masks[name]
        from_input, from_hidden = tf.split(tf.convert_to_tensor(self.start), 2)
        kernels, mask = tf.unstack(tf.convert_to_tensor(self.kernels)), masks.get("dropouth")

        def cell(gates, state):
            h, *statistics = state
            gates = gates + tf.matmul(h if mask is None else h * mask, from_hidden)
            h, moments = recurrent.step(h, gates, kernels, node, self.concat, normalize, mask)
            return h, (h, *(recurrent.moving(old, moments) for old in statistics))

        time, batch = tf.shape(tokens)[0], tokens.shape[1] or tf.shape(tokens)[1]
        gates = tf.matmul(tf.reshape(x, [-1, self.units]), from_input)  # of all time steps at once
        gates = tf.reshape(gates, [time, batch, 2 * self.units])
        raw, (hidden, *statistics) = recurrent.unroll(cell, gates, (hidden, *statistics))
        dropped = raw * masks["dropout"] if "dropout" in masks else raw
        logits = tf.matmul(tf.reshape(dropped, [-1, self.units]), embedding, transpose_b=True) + self.bias
        return tf.reshape(logits, [time, batch, self.words]), hidden, raw, dropped, statistics


class LanguageSupernet(LanguageModel):
    """The language model whose cell mixes all activations on all earlier states.

    Its cell normalises every state; all of them share one pair of moving statistics. It owns no architecture
    parameters: whoever runs it hands in the mixing weights.

    Args:
        space: `Space` of activations.
        words, units, nodes: as in `LanguageModel`.

    Call arguments:
        tokens: `(time, batch)`.
        hidden: `(batch, units)`.
        mixing: dictionary with the table `recurrent`, `(nodes * (nodes + 1) / 2, operations)`.
        masks: of `dropout_masks`.

    Returns:
        Logits, hidden state, outputs before and after output dropout, as `LanguageModel.read`.
    """

    def __init__(self, space, words, units=300, nodes=8, **kwargs):
        super().__init__(words, units, nodes, range(1, nodes + 1), **kwargs)
        self.space = space

    def build(self):
        super().build()
        start = keras.initializers.Constant([[0.0], [1.0]])
        self.statistics = self.add_weight(name="statistics", shape=(2, self.units), initializer=start, trainable=False)

    @property
    def tables(self):
        """The table of mixing weights that it takes: name to the names of rows (edges) and columns (activations)."""
        return {"recurrent": (recurrent.edge_names(self.nodes), self.space.searched)}

    @property
    def products(self):
        return self.nodes * (self.nodes + 1) // 2

    def call(self, tokens, hidden, mixing, masks=None, training=None):
        node = recurrent.MixedNodes(mixing["recurrent"], self.space.searched, self.space.ops)
        statistics = tf.convert_to_tensor(self.statistics)

        def normalize(index, state):
            return recurrent.batch_norm(state, statistics, training)

        updated = (statistics,) if training else ()
        *results, updated = self.read(tokens, hidden, node, masks, normalize, updated)
        for value in updated:
            self.statistics.assign(value)
        return results

    def genotype(self, mixing):
        """The `RecurrentGenotype` that mixing weights stand for."""
        entries = recurrent.strongest(mixing["recurrent"], self.space.searched, self.nodes)
        return genotypes.RecurrentGenotype(entries, self.concat, ops=self.space.name)


@keras.saving.register_keras_serializable("tfdarts")
class EvaluationLanguageModel(LanguageModel):
    """The language model of a genotype.

    Args:
        genotype: `RecurrentGenotype`, or its dictionary form.
        words, units: as in `LanguageModel`.

    Call arguments and results: as `LanguageSupernet`, without the mixing weights.
    """

    def __init__(self, genotype, words, units=850, **kwargs):
        self.genotype = genotypes.from_dict(genotype) if isinstance(genotype, dict) else genotype
        super().__init__(words, units, len(self.genotype.recurrent), self.genotype.concat, **kwargs)
        self.space = spaces.load(self.genotype.ops, recurrent=True)
        self.space.check(self.genotype)

    def call(self, tokens, hidden, masks=None, training=None):
        node = recurrent.FixedNodes(self.genotype.recurrent, self.space.ops)
        *results, _ = self.read(tokens, hidden, node, masks)
        return results

    def get_config(self):
        return {"genotype": self.genotype.to_dict(), "words": self.words, "units": self.units}
