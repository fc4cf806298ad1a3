"""The controller that draws architectures of the recurrent space (ENAS)."""

import numpy as np
import tensorflow as tf

from tfdarts.layers.choices import alike
from tfdarts.layers.controllers import Controller
from tfdarts.spaces.recurrent.genotype import ENAS_ACTIVATIONS


class RecurrentController(Controller):
    """Draws a recurrent cell: for every node an activation, and but for the first an earlier node (section 2.1).

    Args:
        nodes: int.
        units: int.
        temperature: what logits are divided by.
        tanh_constant: largest magnitude of logits in training.

    Decisions: activation of node 0, then for each node its parent and its activation.
    """

    def __init__(self, nodes=12, units=100, temperature=5.0, tanh_constant=2.5, **kwargs):
        super().__init__(units, use_bias=True, **kwargs)
        self.nodes, self.temperature, self.tanh_constant = nodes, temperature, tanh_constant

    def build(self):
        self.embedding = self.add("embedding", len(ENAS_ACTIVATIONS) + self.nodes - 1, self.units)
        self.decoders = []
        for decision in range(2 * self.nodes - 1):
            choices = (decision + 1) // 2 if decision % 2 else len(ENAS_ACTIVATIONS)
            bias = self.add_weight(name=f"bias_{decision}", shape=(choices,), initializer="zeros")
            self.decoders.append((self.add(f"kernel_{decision}", self.units, choices), bias))

    def decide(self, decisions, training):
        embedding = tf.convert_to_tensor(self.embedding)
        x, state, chosen = tf.zeros_like(embedding[0]), self.zero_state(), []
        for number, (kernel, bias) in enumerate(self.decoders):
            h, state = self.remember(x, state)
            logits = (tf.matmul(h, tf.convert_to_tensor(kernel))[0] + bias) / self.temperature
            chosen.append(decisions(self.tanh_constant * tf.tanh(logits) if training else logits))
            x = tf.gather(embedding, chosen[-1] + (len(ENAS_ACTIVATIONS) if number % 2 else 0))
        return (tf.stack(chosen[::2]), tf.stack(chosen[1::2])), None

    @property
    def choices(self):
        """The choices of `table_values`: table to a tuple of `Choice`."""
        nodes = tuple(map(str, range(self.nodes)))
        return {"activation": alike(nodes, ENAS_ACTIVATIONS), "previous": alike(nodes[1:], nodes[:-1])}

    def table_values(self, arc):
        """An architecture, as numpy arrays, in tables of zeros and ones."""
        activations, previous = arc
        return {
            "activation": np.eye(len(ENAS_ACTIVATIONS))[activations],
            "previous": np.eye(self.nodes - 1)[previous],
        }
