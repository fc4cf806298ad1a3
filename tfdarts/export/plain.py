"""Traces networks with the few operations that LiteRT's converter treats well.

Seen with TensorFlow 2.21: `AddN` stays in float between integers and makes the bytes of an integer file differ from
conversion to conversion; a list that a loop fills cannot be converted, or not run, where the batch size is open.
"""

import contextlib
from unittest import mock

import numpy as np
import tensorflow as tf


@contextlib.contextmanager
def plain_operations():
    """What is traced within has sums of two in place of `tf.add_n`, and loops of known length are unrolled.

    It replaces functions of TensorFlow for as long as it lasts, so that operations of the user's own are treated too;
    nothing else may be traced meanwhile. The numbers are the same, for `AddN` adds in the same order.
    """
    loop, array = tf.while_loop, tf.TensorArray

    def while_loop(cond, body, loop_vars, maximum_iterations=None, **options):
        state = (0, *loop_vars[1:])
        first = tf.get_static_value(loop_vars[0]) if tf.is_tensor(loop_vars[0]) else loop_vars[0]
        counts = isinstance(maximum_iterations, int) and isinstance(first, (int, np.integer, np.ndarray)) and first == 0
        while counts and cond(*state) is True:  # the first variable counts rounds, and nothing else ends the loop
            state = tuple(body(*state))
        if counts and cond(*state) is False:
            return state
        return loop(cond, body, loop_vars, maximum_iterations=maximum_iterations, **options)

    def tensor_array(dtype, size=None, **options):
        return Items([None] * size) if isinstance(size, int) else array(dtype, size, **options)

    with (
        mock.patch.object(tf, "add_n", add_up),
        mock.patch.object(tf, "while_loop", while_loop),
        mock.patch.object(tf, "TensorArray", tensor_array),
    ):
        yield


def add_up(tensors):
    """The sum of tensors, one after the other."""
    total, *rest = tensors
    for tensor in rest:
        total = tf.add(total, tensor)
    return tf.identity(total)


class Items:
    """A list with the methods of `tf.TensorArray`, for loops whose rounds are numbered while they are traced."""

    def __init__(self, items):
        self.items = items

    def unstack(self, tensor):
        return Items(tf.unstack(tensor))

    def read(self, index):
        return self.items[index]

    def write(self, index, tensor):
        return Items([*self.items[:index], tensor, *self.items[index + 1 :]])

    def stack(self):
        return tf.stack(self.items)
