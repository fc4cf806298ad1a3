"""Partial channels (PC-DARTS, Xu et al. 2020, arXiv:1907.05737): operations see a share of a map, the rest passes."""

import keras
import tensorflow as tf

from tfdarts.layers.edges import MixedEdges
from tfdarts.precision import of_container


class PartialEdges(keras.layers.Layer):
    """Edges whose operations work on the first `1 / share` of the channels (section 3.2).

    The other channels pass unchanged, at stride 2 through a 2x2 maximum pooling. Then the channels are shuffled, so
    that the next edge's operations see some from everywhere. The paper draws the channels; its program takes the first
    ones and shuffles, as is done here.

    Args:
        operations, candidates, channels, stride, targets, then: as `MixedEdges` takes them.
        share: int, the denominator; it divides `channels`.
        inner: class of the layers that mix the operations of that share.

    Call arguments and result: as of `MixedEdges`, where `weights` may end with one more tensor, what each edge weighs
    as a whole (edge normalisation); that multiplies the channels that pass.

    Raises:
        ValueError: if `share` does not divide the channels, at stride 2 into an even number.
    """

    def __init__(
        self, operations, candidates, channels, stride, targets, then=None, share=4, inner=MixedEdges, **kwargs
    ):
        super().__init__(dtype=of_container(), **kwargs)
        if channels % (share * stride):
            raise ValueError(
                f"`channels` must be a multiple of {share * stride} for 1/{share} of them at stride {stride}. "
                f"Received: {channels}."
            )
        self.targets, self.channels, self.stride, self.share, self.then = tuple(targets), channels, stride, share, then
        self.count = max(map(len, candidates))
        self.inner = inner(operations, candidates, channels // share, stride, targets)

    def build(self, shape):
        pass  # its layers are built when they are called, as in `Cell`

    def call(self, x, weights, training=None, **options):
        weights = tf.convert_to_tensor(weights)
        inside, behind = weights[: self.count], weights[self.count :]
        seen = self.channels // self.share
        seen, rest = tf.split(x, [seen, self.channels - seen], -1)
        mixed = self._on_all_edges(self.inner(seen, inside, training=training, **options))
        passed = self._passed(rest)
        if self.then is None:
            return [(self.targets, self._shuffled(mixed, passed, *tf.unstack(behind)))]
        return self.then(self._shuffled(mixed, passed), behind, training=training)

    def _on_all_edges(self, mixed):
        """The sum of what the operations gave, `(batch, height, width, edges * channels / share)`."""
        complete, pieces = [y for targets, y in mixed if targets == self.targets], {}
        for targets, y in mixed:
            if targets != self.targets:  # of some edges
                for target, piece in zip(targets, tf.split(y, len(targets), axis=-1)):
                    pieces.setdefault(target, []).append(piece)
        if pieces:
            nothing = [tf.zeros_like(next(iter(pieces.values()))[0])]
            complete.append(tf.concat([tf.add_n(pieces.get(target, nothing)) for target in self.targets], -1))
        return tf.add_n(complete)

    def _passed(self, rest):
        """The channels that pass, position by position: `(batch, height, width, channels / share, share - 1)`."""
        if self.stride == 2:
            rest = tf.nn.max_pool2d(rest, 2, 2, "SAME")
        rest = tf.reshape(rest, [-1, *rest.shape[1:3], self.share - 1, self.channels // self.share])
        return tf.transpose(rest, [0, 1, 2, 4, 3])

    def _shuffled(self, mixed, passed, whole=None):
        """Puts together what was mixed and what passed; channel g of each group of `share` comes from part g."""
        edges, (height, width) = len(self.targets), mixed.shape[1:3]
        mixed = tf.reshape(mixed, [-1, height, width, edges, self.channels // self.share, 1])
        passed = passed[:, :, :, None]
        if whole is None:
            passed = tf.tile(passed, [1, 1, 1, edges, 1, 1])
        else:
            passed = passed * tf.cast(tf.reshape(whole, [edges, 1, 1]), passed.dtype)
        return tf.reshape(tf.concat([mixed, passed], -1), [-1, height, width, edges * self.channels])
