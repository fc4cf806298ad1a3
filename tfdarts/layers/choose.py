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
    return tf.switch_case(index, [*map(_pooling_again, branches)]) if tf.is_tensor(index) else branches[index]()


def _pooling_again(branch):
    """The branch, where the gradient of maximum pooling pools again.

    The gradient of a branch runs in a function of its own. oneDNN's gradient, more than ten times as fast as the other,
    needs the pooling in its graph. A gradient by `tf.custom_gradient` would do this too, but not in a branch in a loop.
    """

    def run():
        with tf.compat.v1.get_default_graph().gradient_override_map({"MaxPool": "tfdarts>MaxPoolAgain"}):
            return branch()

    return run


@tf.RegisterGradient("tfdarts>MaxPoolAgain")
def _max_pool_again(op, upstream):
    options = {name: op.get_attr(name) for name in ("ksize", "strides")}
    options["padding"] = op.get_attr("padding").decode()
    again = tf.raw_ops.MaxPool(input=op.inputs[0], **options)
    return tf.raw_ops.MaxPoolGrad(orig_input=op.inputs[0], orig_output=again, grad=upstream, **options)
