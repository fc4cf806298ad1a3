"""A choice that is made while a graph runs, so that one trace serves every architecture."""

import tensorflow as tf


def choose(index, branches):
    """Runs one of several functions without arguments, and no other.

    Args:
        index: scalar int tensor, for a choice while the graph runs; or an int, for one while it is traced.
        branches: list of functions whose results have the same structure, types and shapes. They should read no
            trainable variable: what is read before enters a branch as a tensor.

    Returns:
        What branch `index` returns.
    """
    return tf.switch_case(index, branches) if tf.is_tensor(index) else branches[index]()
