"""What an exported file computes: named inputs to named outputs, with preprocessing and softmax inside."""

import typing

import tensorflow as tf

from tfdarts.errors import UserError

STATES = ("state", "next_state")  # of a language model, without an axis for the time


class Signature(typing.NamedTuple):
    """The function that is exported.

    Attributes:
        function: of the inputs, by name; gives a dictionary of outputs.
        inputs: tuple of named `tf.TensorSpec`.
    """

    function: typing.Callable
    inputs: tuple


def image_shape(network):
    """`(height, width, channels)` of the images that a built or loaded network takes."""
    return tuple(network.get_build_config()["input_shape"][1:])


def of(network, raw=False, batch=None):
    """The function of a trained network that is exported.

    Of images: `image`, uint8 from 0 to 255 `(batch, height, width, channels)`, or with `raw` the normalised float32
    values, to `logits` and `probabilities`, `(batch, classes)`. Of text: `tokens`, int32 `(time, batch)`, and `state`,
    float32 `(batch, units)`, zeros where a text begins, to `logits` and `probabilities`, `(time, batch, words)`, and
    `next_state`.

    Args:
        network: a `TrainedNetwork` or an `EvaluationLanguageModel`, built.
        raw: whether to leave the preprocessing of images out.
        batch: int, the only batch size; None for any.

    Raises:
        UserError: if the network lacks what is asked for.
    """
    if network.task == "text":
        if raw:
            raise UserError("--raw leaves out the preprocessing of images; a language model has none")

        def read(tokens, state):
            logits, state, *_ = network(tokens, state, training=False)
            return {"logits": logits, "probabilities": tf.nn.softmax(logits), "next_state": state}

        specs = tf.TensorSpec((None, batch), tf.int32, "tokens"), tf.TensorSpec((batch, network.units), name="state")
        return Signature(read, specs)
    if not raw and network.options["preprocessing"] is None:
        raise UserError(
            "the network does not know how its images were normalised, so that cannot go into the file; give --raw"
        )

    def classify(image):
        logits = network(image if raw else network.preprocess(image), training=False)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    spec = tf.TensorSpec((batch, *image_shape(network)), tf.float32 if raw else tf.uint8, "image")
    return Signature(classify, (spec,))
