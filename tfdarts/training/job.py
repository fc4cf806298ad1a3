"""What is fitted, and on what."""

import typing

import keras
import tensorflow as tf


class Following(typing.NamedTuple):
    """The stage that follows a search, on another network.

    Attributes:
        epoch: that it begins with, counted from 0 over the whole run.
        hand_on: function without arguments, what the search has found that decides how the network is built; JSON.
        build: `(handed, model) -> Job`, of what `hand_on` gave. The model is the one that ends, or None where a run
            is gone on with that had begun the stage, whose checkpoint then has all the rest.
    """

    epoch: int
    hand_on: typing.Callable
    build: typing.Callable


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
        first: epoch of the run from which the model and the schedule count theirs.
        following: `Following`, or None if the job is the run's last.
        states: what keeps states that the run may go back to, and is to know its folder; or None.
    """

    model: keras.Model
    batches: typing.Callable
    steps: int
    schedule: typing.Callable
    validation: tf.data.Dataset | None = None
    callbacks: tuple = ()
    further_epochs: int = 0
    first: int = 0
    following: Following | None = None
    states: typing.Any = None
