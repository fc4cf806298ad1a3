"""The sigmoid cell as DartsReNet's program computes it, for weights that were trained with that program."""

import tensorflow as tf

from tfdarts.layers import recurrent
from tfdarts.spaces.renet.cells import SigmoidCell, both_ways


class ForwardGateCell(SigmoidCell):
    """`SigmoidCell` whose reverse gate looks at the normalised forward vector, as in the authors' program."""

    def prepare(self, x, kernel, offset, statistics, training):
        weight, gamma, beta = (tf.convert_to_tensor(v) for v in (self.gate, self.gamma_in, self.beta_in))

        def normalize(z, weighed, i):
            old = statistics[:, i : i + 1]
            return recurrent.normalized(z * tf.sigmoid(tf.matmul(weighed, weight)), old, training)

        def gates(x, h):
            forward, backward = tf.split(tf.concat([x, h], -1), 2)
            forward, first = normalize(forward, forward, 0)
            backward, second = normalize(backward, forward * gamma[0] + beta[0], 1)
            moments = tf.concat([first, second], 1) if training else None
            return tf.matmul(tf.concat([forward, backward], 0), kernel) + offset, moments

        return both_ways(x, x), statistics[..., :0], gates
