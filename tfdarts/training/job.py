"""What is fitted, and on what."""

import typing

import keras
import tensorflow as tf


class Job(typing.NamedTuple):
    """A search or a training, ready for `runs.fit`.

    Attributes:
        model: compiled `Learner`.
        batches: `step -> tf.data.Dataset`, the endless batches from a global step on.
        steps: batches in an epoch.
        schedule: `epoch -> learning rate`.
        validation: data set for the end of an epoch, or None.
        callbacks: Keras callbacks that run before the epoch's checkpoint.
        further_epochs: epochs behind those that were asked for.
        states: what keeps states that the run may go back to, and is to know its folder; or None.
    """

    model: keras.Model
    batches: typing.Callable
    steps: int
    schedule: typing.Callable
    validation: tf.data.Dataset | None = None
    callbacks: tuple = ()
    further_epochs: int = 0
    states: typing.Any = None
