"""Keras's default precision for as long as something is built in it."""

import contextlib

import keras


@contextlib.contextmanager
def floatx(name):
    """Makes `name`, "float32" or "float64", the precision of what is built within; single precision afterwards."""
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)
    try:
        yield name
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
