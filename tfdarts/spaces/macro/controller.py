"""The controller that draws architectures of the macro space (ENAS)."""

import numpy as np
import tensorflow as tf

from tfdarts.layers.choices import alike
from tfdarts.layers.controllers import AttentionController
from tfdarts.spaces.macro.genotype import MACRO_OPS


class MacroController(AttentionController):
    """Draws a whole network: for every layer an operation and the earlier layers it is connected to (section 2.3).

    Args:
        layers: int.
        units: int.
        tanh_constant: largest magnitude of logits.
        skip_target: share of skip connections that the penalty pulls towards.

    Decisions: for each layer its operation, then the bits of all its skip connections.
    """

    outcome_entropy = True

    def __init__(self, layers=12, units=64, tanh_constant=1.5, skip_target=0.4, **kwargs):
        super().__init__(MACRO_OPS, units, tanh_constant, **kwargs)
        self.layers, self.skip_target = layers, skip_target

    def decide(self, decisions, training):
        x, state = tf.convert_to_tensor(self.first), self.zero_state()
        embedding, key = tf.convert_to_tensor(self.embedding), tf.convert_to_tensor(self.key)
        target = tf.constant([1 - self.skip_target, self.skip_target], x.dtype)
        ops, skips, anchors, keys, penalties = [], [tf.zeros((self.layers,), tf.bool)], [], [], []
        for layer in range(self.layers):
            h, state = self.remember(x, state)
            ops.append(decisions(self.tanh_constant * tf.tanh(tf.matmul(h, self.softmax)[0])))
            h, state = self.remember(tf.gather(embedding, ops[-1]), state)
            x = tf.convert_to_tensor(self.first)
            if layer:
                score = self.attend(tf.concat(keys, 0), h)
                logits = self.tanh_constant * tf.tanh(tf.stack([-score, score], 1))
                bits = decisions(logits)
                shares = tf.sigmoid(logits)
                penalties.append(tf.reduce_sum(shares * tf.math.log(shares / target)))
                chosen = tf.cast(bits, x.dtype)
                x = tf.linalg.matvec(tf.concat(anchors, 0), chosen, transpose_a=True) / (1 + tf.reduce_sum(chosen))
                skips.append(tf.pad(bits > 0, [[0, self.layers - layer]]))
            anchors.append(h)
            keys.append(tf.matmul(h, key))
        return (tf.stack(ops), tf.stack(skips)), tf.add_n(penalties) / len(penalties)

    @property
    def choices(self):
        """The choices of `table_values`: table to a tuple of `Choice`."""
        layers = tuple(f"layer {layer}" for layer in range(self.layers))
        pairs = tuple(f"{entry} to {layer}" for layer in range(self.layers) for entry in range(layer))
        return {"operation": alike(layers, MACRO_OPS), "skip": alike(pairs, ("none", "connected"))}

    def table_values(self, arc):
        """An architecture, as numpy arrays, in tables of zeros and ones."""
        ops, skips = arc
        bits = np.asarray(skips)[np.tril_indices(self.layers, -1)].astype(int)
        return {"operation": np.eye(len(MACRO_OPS))[ops], "skip": np.eye(2)[bits]}
