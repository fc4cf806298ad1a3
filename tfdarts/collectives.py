"""Sums over devices that run the same pass at the same time, each on a piece of the batch."""

import contextlib
import contextvars
import itertools

import tensorflow as tf

from tfdarts.gradients import custom_gradient

GRADIENTS, STATISTICS = GROUPS = "gradients", "statistics"  # summed by one device of each machine, or by all
_KEYS = itertools.count(1)  # every machine traces the same sums in the same order, so that theirs have the same keys
_REPLICAS = contextvars.ContextVar("replicas", default=1)
_SHARE = contextvars.ContextVar("share", default=None)


@contextlib.contextmanager
def tracing(share, replicas):
    """The context in which a pass on a piece of a batch is traced.

    Args:
        share: scalar, which share of the whole batch the piece is.
        replicas: int, how many devices BatchNorm normalises over.
    """
    tokens = _SHARE.set(share), _REPLICAS.set(replicas)
    try:
        yield
    finally:
        for variable, token in zip((_SHARE, _REPLICAS), tokens):
            variable.reset(token)


def share():
    """Which share of the whole batch this device's piece is, by which its loss counts; None for the whole batch."""
    return _SHARE.get()


def replicas():
    """How many devices the batch of a normalisation lies on; 1 if each normalises by what it has itself."""
    return _REPLICAS.get()


def all_sum(x, members, group):
    """The sum of the `x` of all members of a group, the same on each; differentiable as often as one likes.

    All must run it, or those that do wait. The gradient of one member's `x` is that of the sum of all members' losses.

    Args:
        x: floating tensor, of one shape on all members.
        members: int, how many devices belong to the group.
        group: one of `GROUPS`.
    """

    @custom_gradient
    def summed(x):
        total = tf.raw_ops.CollectiveReduceV2(
            input=x,
            group_size=members,
            group_key=len(GROUPS) * members + GROUPS.index(group),  # another size is another group
            instance_key=next(_KEYS),
            ordering_token=[],
            merge_op="Add",
            final_op="Id",
        )
        return total, lambda dy: all_sum(dy, members, group)

    return summed(x)


def moments(x, axes):
    """Mean and biased variance of a batch that lies on all `replicas`, and how many values each is of.

    Args:
        x: this device's piece.
        axes: list of ints, over which the mean is taken; they stay, with size 1.
    """
    count = tf.cast(tf.reduce_prod(tf.gather(tf.shape(x), axes)), x.dtype)

    def total(values):
        values = tf.reduce_sum(values, axes, keepdims=True)
        flat = tf.concat([tf.reshape(values, [-1]), [count]], 0)
        *flat, number = tf.split(all_sum(flat, replicas(), STATISTICS), [tf.size(values), 1])
        return tf.reshape(flat[0], tf.shape(values)) / number, number[0]

    mean, number = total(x)
    variance, _ = total(tf.square(x - mean))
    return mean, variance, number
