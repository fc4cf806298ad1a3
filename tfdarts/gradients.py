"""Functions with gradients of their own, which TensorFlow does not keep beyond their use.

`tf.custom_gradient` enters each call within a graph in a table of TensorFlow's, for as long as the process lives, and
an entry keeps the whole graph. The decorator here remembers its entries, and `forget` removes them.
"""

import functools

import tensorflow as tf
from tensorflow.python.framework import ops  # no public name leads to the table

_entries = []


def custom_gradient(function):
    """The decorator `tf.custom_gradient`, for functions of positional arguments."""
    differentiable = tf.custom_gradient(function)

    @functools.wraps(function)
    def call(*arguments):
        table = ops.gradient_registry._registry
        before = len(table)
        result = differentiable(*arguments)
        _entries.extend(list(table)[before:])  # a copy, for another thread may trace meanwhile
        return result

    return call


def forget():
    """Lets go of the graphs of all calls so far.

    What was traced together with its gradient still runs. A function that was traced without one must be traced anew
    before it can be differentiated.
    """
    for name in _entries:
        ops.gradient_registry._registry.pop(name, None)
    _entries.clear()
