"""The controller that draws architectures of the micro space (ENAS)."""

import keras
import numpy as np
import tensorflow as tf

from tfdarts.layers.choices import alike
from tfdarts.layers.controllers import AttentionController
from tfdarts.spaces.micro.genotype import MICRO_OPS

KINDS = ("normal", "reduce")


class MicroController(AttentionController):
    """Draws a normal and a reduction cell: for every block two earlier states and an operation on each (section 2.4).

    Args:
        blocks: int.
        units: int.
        tanh_constant: largest magnitude of the logits of states.
        op_tanh_reduce: that of the logits of operations is this many times smaller.
        candidates: dictionary from kind of cell (`"normal"`, `"reduce"`) to the operations of each block; None for all.

    Decisions: for each block of the normal, then of the reduction cell both states, then both operations.
    """

    def __init__(self, blocks=5, units=64, tanh_constant=1.1, op_tanh_reduce=2.5, candidates=None, **kwargs):
        super().__init__(MICRO_OPS, units, tanh_constant, **kwargs)
        self.allowed = (None, None)
        if candidates is not None:
            rows = (candidates[kind] for kind in KINDS)
            self.allowed = tuple([[op in names for op in MICRO_OPS] for names in cell] for cell in rows)
        self.blocks, self.op_tanh_constant = blocks, tanh_constant / op_tanh_reduce

    def build(self):
        super().build()
        # The authors favour the separable convolutions: by a bias at the start, in the normal cell for good too.
        favoured = keras.initializers.Constant([10.0, 10.0, 0.0, 0.0, 0.0])
        self.bias = self.add_weight(name="bias", shape=(len(MICRO_OPS),), initializer=favoured)

    def decide(self, decisions, training):
        state, cells = self.zero_state(), []
        for favour, allowed in zip((0.25, 0.0), self.allowed):
            cell, state = self._cell(decisions, state, favour, allowed or [None] * self.blocks)
            cells.append(cell)
        return tf.stack(cells), None

    def _cell(self, decisions, state, favour, allowed):
        first, embedding, key = (tf.convert_to_tensor(v) for v in (self.first, self.embedding, self.key))
        favour = tf.constant(favour, first.dtype) * tf.constant([1, 1, -1, -1, -1], first.dtype)
        anchors, keys = [tf.zeros_like(first[None])] * 2, []
        for _ in range(2):
            h, state = self.remember(first, state)
            keys.append(tf.matmul(h, key))
        blocks = []
        for names in allowed:
            x, indices, ops = first, [], []
            for _ in range(2):
                h, state = self.remember(x, state)
                logits = self.tanh_constant * tf.tanh(self.attend(tf.concat(keys, 0), h))
                indices.append(decisions(logits))
                x = tf.gather(tf.concat(anchors, 0), indices[-1])
            for _ in range(2):
                h, state = self.remember(x, state)
                logits = tf.matmul(h, self.softmax)[0] + self.bias
                ops.append(decisions(self.op_tanh_constant * tf.tanh(logits) + favour, names))
                x = tf.gather(embedding, ops[-1])
            h, state = self.remember(x, state)
            anchors.append(h)
            keys.append(tf.matmul(h, key))
            blocks.append(tf.stack([indices[0], ops[0], indices[1], ops[1]]))
        return tf.stack(blocks), state

    @property
    def choices(self):
        """The choices of `table_values`: table to a tuple of `Choice`."""
        inputs = tuple(f"block {block}, input {side}" for block in range(self.blocks) for side in (1, 2))
        states = ("c_{k-2}", "c_{k-1}", *map(str, range(self.blocks - 1)))
        candidates = {"state": states, "operation": MICRO_OPS}
        return {f"{kind}_{what}": alike(inputs, names) for kind in KINDS for what, names in candidates.items()}

    def table_values(self, arc):
        """An architecture, as numpy arrays, in tables of zeros and ones."""
        values = {}
        for kind, cell in zip(KINDS, np.asarray(arc)):
            values[f"{kind}_state"] = np.eye(self.blocks + 1)[cell[:, ::2].ravel()]
            values[f"{kind}_operation"] = np.eye(len(MICRO_OPS))[cell[:, 1::2].ravel()]
        return values
