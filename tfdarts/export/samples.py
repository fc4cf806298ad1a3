"""What a written file is compared on, and what an integer file takes its ranges from."""

import numpy as np

from tfdarts import tasks
from tfdarts.errors import UserError
from tfdarts.export import signature

COMPARED = 200  # images, or words in segments
SEGMENT = 10  # words
RANGES = 300  # training images, or words


def read(network, data, data_dir):
    """The data that a network was trained on, or other data with the same classes or words.

    Args:
        network: what `tasks.<task>.load_for` takes.
        data: name of a data set, or folder of a text; None for what it was trained on.
        data_dir: of images, as the option.

    Raises:
        UserError: if it cannot be read, with the way to do without.
    """
    where = tasks.load(network.task)
    try:
        if network.task == "images":
            return where.load_for(network, data, data_dir)
        if data_dir is not None:
            raise UserError("a language model takes no --data_dir; leave it out")
        return where.load_for(network, data)
    except UserError as error:
        raise UserError(f"{error} (--random_inputs compares on noise; it cannot be used with int8)") from error


def inputs(network, data, raw):
    """Inputs to compare on, as `check.outputs` takes them: test data, or noise where `data` is None."""
    if network.task == "text":
        if data is None:
            stream = np.random.default_rng(0).integers(0, network.words, COMPARED)
        else:
            stream = data.corpus.test
        return _text(network, stream, COMPARED)
    if data is not None:
        return _images(network, data.test, COMPARED, raw)
    shape = (COMPARED, *signature.image_shape(network))
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    if raw and network.options["preprocessing"] is None:
        return {"image": (pixels / 64.0 - 2.0).astype(np.float32)}
    return {"image": network.preprocess(pixels).numpy() if raw else pixels}


def ranges(network, data, raw):
    """Inputs of training data, in the same form."""
    if network.task == "text":
        return _text(network, data.corpus.train, RANGES)
    return _images(network, data.train, RANGES, raw)


def _images(network, images, count, raw):
    chosen = np.linspace(0, len(images) - 1, min(count, len(images))).astype(int)  # from all of it: it may be sorted
    pixels = images.fetch(chosen)[0].numpy()
    return {"image": network.preprocess(pixels).numpy() if raw else pixels}


def _text(network, stream, count):
    length = min(SEGMENT, len(stream))
    segments = min(count, len(stream)) // length
    tokens = np.asarray(stream[: segments * length], np.int32).reshape(segments, length)
    return {"tokens": tokens, "state": np.zeros((1, network.units), np.float32)}


def calls(run, inputs):
    """The inputs one call at a time, of batch size 1; of text with the states that the network `run` comes to."""
    if "image" in inputs:
        return [{"image": image[None]} for image in inputs["image"]]
    result, state = [], inputs["state"]
    for tokens in inputs["tokens"]:
        result.append({"tokens": tokens[:, None], "state": state})
        state = run(**result[-1])["next_state"]
    return result
