"""Language models around one recurrent cell: those that are searched, and the one built from a genotype.

DARTS (Liu et al. 2019, arXiv:1806.09055, sections 3.1.2 and 3.2), after AWD-LSTM (Merity et al. 2018,
arXiv:1708.02182), and ENAS (Pham et al. 2018, arXiv:1802.03268, section 2.1). Sequences are `(time, batch, units)`.
"""

import keras
import tensorflow as tf

from tfdarts import genotype as genotypes
from tfdarts import operations as spaces
from tfdarts.layers import recurrent
from tfdarts.layers.choose import choose
from tfdarts.layers.network import dropout_factors


def dropout_masks(rates, words, batch, units, seed, dtype):
    """Factors for the six kinds of dropout: 0 or 1 / (1 - rate), each drawn once for all time steps.

    Args:
        rates: dictionary with the probabilities `dropoute` (a word's whole embedding; Gal and Ghahramani 2016,
            arXiv:1512.05287), `dropouti` (the cell's input, locked dropout), `dropoutx` and `dropouth` (input and
            states in the cell's matrix products), `dropout` (the cell's output, locked dropout), `wdrop` (single
            weights of the hidden state's part of the initial state's kernel; DropConnect, Wan et al. 2013).
        words, batch, units: ints.
        seed: two integers.

    Returns:
        A dictionary by the same names, without those whose rate is 0: `(words, 1)` for `dropoute`,
        `(units, 2 * units)` for `wdrop`, else `(batch, units)`.
    """
    masks, shapes = {}, {"dropoute": (words, 1), "wdrop": (units, 2 * units)}
    for index, (name, rate) in enumerate(sorted(rates.items())):
        if rate:
            draw = tf.stack([seed[0], seed[1] + (index << 40)])
            masks[name] = dropout_factors(shapes.get(name, (batch, units)), rate, draw, dtype)
    return masks


class LanguageModel(keras.Model):
    """Embedding, one recurrent cell, a decoder whose matrix is the embedding.

    Args:
        words: int, size of the vocabulary.
        units: int, of embedding and hidden state.
        nodes: int, nodes of the cell.
    """

    start_range = 0.04  # of the weights' uniform start

    def __init__(self, words, units, nodes, **kwargs):
        super().__init__(**kwargs)
        self.words, self.units, self.nodes = words, units, nodes

    def build(self):
        self.embedding = self.add_uniform("embedding", (self.words, self.units))
        self.bias = self.add_weight(name="bias", shape=(self.words,), initializer="zeros")
        self.start = self.add_uniform("start", (2 * self.units, 2 * self.units))
        self.kernels = self.add_uniform("kernels", (self.matrices, self.units, 2 * self.units))
        self.built = True

    def add_uniform(self, name, shape):
        """Adds a weight that starts uniformly within plus and minus `start_range`."""
        ends = -self.start_range, self.start_range
        start = keras.initializers.RandomUniform(*ends)  # a new one each: one instance repeats its values
        return self.add_weight(name=name, shape=shape, initializer=start)

    def add_statistics(self):
        """Adds moving statistics of a normalisation, `(2, units)`: zeros and ones."""
        start = keras.initializers.Constant([[0.0], [1.0]])
        return self.add_weight(name="statistics", shape=(2, self.units), initializer=start, trainable=False)

    @property
    def matrices(self):
        """Number of the nodes' kernels."""
        return self.nodes

    @property
    def products(self):
        """Number of the nodes' matrix products in one step: one for each pair of a node and a state that it uses."""
        return self.nodes

    def multiply_adds(self):
        """Multiply-adds of one word: the cell's matrix products and the decoder."""
        return (2 + self.products) * 2 * self.units**2 + self.words * self.units

    def read(self, tokens, hidden, cell, masks=None, statistics=()):
        """Runs a cell over tokens.

        Args:
            tokens: `(time, batch)`, int; the number of time steps may vary without a new trace.
            hidden: `(batch, units)`.
            cell: `(h, gates, mask) -> (output, next h, moments)`, with `h`, `gates` and `mask` as in
                `recurrent.cell_states`; the moments, `(updates, 2, units)`, are for `statistics`, None without.
            masks: of `dropout_masks`; None for none.
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
        if "wdrop" in masks:
            from_hidden = from_hidden * masks["wdrop"]
        mask = masks.get("dropouth")

        def step(gates, state):
            h, *statistics = state
            gates = gates + tf.matmul(h if mask is None else h * mask, from_hidden)
            output, h, moments = cell(h, gates, mask)
            return output, (h, *(recurrent.moving(old, moments) for old in statistics))

        time, batch = tf.shape(tokens)[0], tokens.shape[1] or tf.shape(tokens)[1]
        gates = tf.matmul(tf.reshape(x, [-1, self.units]), from_input)  # of all time steps at once
        gates = tf.reshape(gates, [time, batch, 2 * self.units])
        raw, (hidden, *statistics) = recurrent.unroll(step, gates, (hidden, *statistics))
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
        super().__init__(words, units, nodes, **kwargs)
        self.space, self.concat = space, tuple(range(1, nodes + 1))

    def build(self):
        super().build()
        self.statistics = self.add_statistics()

    @property
    def tables(self):
        """The table of mixing weights that it takes: name to the names of rows (edges) and columns (activations)."""
        return {"recurrent": (recurrent.edge_names(self.nodes), self.space.searched)}

    @property
    def products(self):
        return self.nodes * (self.nodes + 1) // 2

    def call(self, tokens, hidden, mixing, masks=None, training=None):
        node = recurrent.MixedNodes(mixing["recurrent"], self.space.searched, self.space.ops)
        statistics, kernels = tf.convert_to_tensor(self.statistics), tf.unstack(tf.convert_to_tensor(self.kernels))

        def normalize(index, state):
            return recurrent.batch_norm(state, statistics, training)

        def cell(h, gates, mask):
            h, moments = recurrent.step(h, gates, kernels, node, self.concat, normalize, mask)
            return h, h, moments

        *results, updated = self.read(tokens, hidden, cell, masks, (statistics,) if training else ())
        for value in updated:
            self.statistics.assign(value)
        return results

    def genotype(self, mixing):
        """The `RecurrentGenotype` that mixing weights stand for."""
        entries = recurrent.strongest(mixing["recurrent"], self.space.searched, self.nodes)
        return genotypes.RecurrentGenotype(entries, self.concat, ops=self.space.name)


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
        self.space = spaces.load("recurrent", recurrent=True)

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
        kernels = tf.unstack(tf.gather(tf.convert_to_tensor(self.kernels), pairs))
        offset, gamma, beta, statistics = (
            tf.convert_to_tensor(v) for v in (self.offset, self.gamma, self.beta, self.statistics)
        )
        leaves = 1 - tf.reduce_max(tf.one_hot(previous, self.nodes, dtype=hidden.dtype), 0)
        leaves /= tf.reduce_sum(leaves)
        functions = [self._activation(index) for index in activations]

        def cell(h, gates, mask):
            states = recurrent.sampled_states(h, gates + offset, kernels, functions, previous, mask)
            output, moments = tf.tensordot(leaves, states, 1), None
            if training:
                output, moments = recurrent.batch_norm(output, statistics, training)
                output, moments = output * gamma + beta, moments[None]
            return output, recurrent.bounded(states[-1]), moments

        *results, updated = self.read(tokens, hidden, cell, masks, (statistics,) if training else ())
        for value in updated:
            self.statistics.assign(value)
        return results

    def _activation(self, index):
        """The function of a tensor that `index`, a tensor or an int, chooses."""
        functions = [self.space.ops[name] for name in genotypes.ENAS_ACTIVATIONS]
        return lambda a: choose(index, [lambda f=f: f(a) for f in functions])

    def genotype(self, arc):
        """The `RecurrentGenotype` of an architecture, arrays or tuples."""
        return genotypes.RecurrentGenotype.from_arc(arc)


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
        self.genotype = genotypes.from_dict(genotype) if isinstance(genotype, dict) else genotype
        super().__init__(words, units, len(self.genotype.recurrent), **kwargs)
        self.space = spaces.load(self.genotype.ops, recurrent=True)
        self.space.check(self.genotype)
        self.corpus = corpus

    def call(self, tokens, hidden, masks=None, training=None):
        cells, kernels = self.genotype, tf.unstack(tf.convert_to_tensor(self.kernels))
        node = recurrent.FixedNodes(cells.recurrent, self.space.ops)
        start = tf.tanh if cells.start == "tanh" else self.space.ops[cells.start]

        def cell(h, gates, mask):
            states, _ = recurrent.cell_states(h, gates, kernels, node, mask=mask, start=start)
            output = recurrent.mean(states, cells.concat)
            return output, recurrent.bounded(states[-1]) if cells.carry == "last" else output, None

        *results, _ = self.read(tokens, hidden, cell, masks)
        return results

    def get_config(self):
        options = {"words": self.words, "units": self.units, "corpus": self.corpus}
        return {"genotype": self.genotype.to_dict(), **options}
