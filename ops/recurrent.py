"""Activations of a recurrent cell (DARTS, Liu et al. 2019, arXiv:1806.09055, section 3.1.2).

A recurrent operation is a function from a tensor to a tensor of its shape. `none`, no connection, is no function: in a
search it only takes its share of the mixture.
"""

import tensorflow as tf

OPS = {"tanh": tf.tanh, "relu": tf.nn.relu, "sigmoid": tf.sigmoid, "identity": tf.identity}
SEARCHED = ("none", *OPS)
