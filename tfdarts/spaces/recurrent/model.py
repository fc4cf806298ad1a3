"""What language models around one recurrent cell share.

DARTS (Liu et al. 2019, arXiv:1806.09055, sections 3.1.2 and 3.2), after AWD-LSTM (Merity et al. 2018,
arXiv:1708.02182), and ENAS (Pham et al. 2018, arXiv:1802.03268, section 2.1). Sequences are `(time, batch, units)`.
"""

import keras
import tensorflow as tf

from tfdarts.layers import recurrent
from tfdarts.layers.dropout import dropout_factors

MASKS = ("dropout", "dropoute", "dropouth", "dropouti", "dropoutx", "wdrop")


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

    task = "text"
    start_range = 0.04  # of the weights' uniform start
    shares_statistics = True  # all states of a cell, at all steps

    def __init__(self, words, units, nodes, **kwargs):
        super().__init__(**kwargs)
        self.words, self.units, self.nodes = words, units, nodes

    def build(self):
        self.embedding = self.add_uniform("embedding", (self.words, self.units))
        self.bias = self.add_weight(name="bias", shape=(self.words,), initializer="zeros", autocast=False)
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
        kept = {"trainable": False, "autocast": False}
        return self.add_weight(name="statistics", shape=(2, self.units), initializer=start, **kept)

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

    def read(self, tokens, hidden, cell, masks=None, statistics=(), training=None):
        """Runs a cell over tokens.

        Args:
            tokens: `(time, batch)`, int; the number of time steps may vary without a new trace.
            hidden: `(batch, units)`.
            cell: `(h, gates, mask) -> (output, next h, moments)`, with `h`, `gates` and `mask` as in
                `recurrent.cell_states`; the moments, `(updates, 2, units)`, are for `statistics`, None without.
            masks: of `dropout_masks`; None for none.
            statistics: the normalisation's moving statistics, a tuple of one tensor where they are to be updated.
            training: bool, as in `recurrent.product_with`.

        Returns:
            Logits `(time, batch, words)`; the last hidden state; the cell's outputs before and after output dropout,
            `(time, batch, units)`; `statistics`.
        """
        embedding, hidden = tf.convert_to_tensor(self.embedding), tf.cast(hidden, self.compute_dtype)
        masks = {name: tf.cast(mask, hidden.dtype) for name, mask in (masks or {}).items()}
        x = tf.gather(embedding, tokens)
        if "dropoute" in masks:
            x = x * tf.gather(masks["dropoute"], tokens)
        for name in ("dropouti", "dropoutx"):
            if name in masks:
                x = x * masks[name]
        from_input, from_hidden = tf.split(tf.convert_to_tensor(self.start), 2)
        if "wdrop" in masks:
            from_hidden = from_hidden * masks["wdrop"]
        mask, product = masks.get("dropouth"), recurrent.product_with(from_hidden, training)

        def step(gates, state):
            h, *statistics = state
            gates = gates + product(h if mask is None else h * mask)
            output, h, moments = cell(h, gates, mask)
            return output, (h, *(recurrent.moving(old, moments) for old in statistics))

        time, batch = tf.shape(tokens)[0], tokens.shape[1] or tf.shape(tokens)[1]
        gates = tf.matmul(tf.reshape(x, [-1, self.units]), from_input)  # of all time steps at once
        gates = tf.reshape(gates, [time, batch, 2 * self.units])
        raw, (hidden, *statistics) = recurrent.unroll(step, gates, (hidden, *statistics))
        dropped = raw * masks["dropout"] if "dropout" in masks else raw
        logits = tf.matmul(tf.reshape(dropped, [-1, self.units]), embedding, transpose_b=True)
        bias = tf.convert_to_tensor(self.bias)
        logits = tf.nn.bias_add(tf.cast(logits, bias.dtype), bias)  # not rounded any more, for a loss follows
        return tf.reshape(logits, [time, batch, self.words]), hidden, raw, dropped, statistics
