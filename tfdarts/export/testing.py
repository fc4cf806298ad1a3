"""Tests an exported file on the data set that its network was trained on."""

import pathlib
import types

import numpy as np
import tensorflow as tf

from tfdarts import tasks
from tfdarts.data import images, text
from tfdarts.errors import UserError
from tfdarts.export import check, formats
from tfdarts.quiet import quiet
from tfdarts.tasks.text_data import TEST_COLUMNS


def is_exported(path):
    """Whether a path is that of an exported file, or of a SavedModel's folder."""
    return pathlib.Path(path).suffix in formats.READERS or (pathlib.Path(path) / "saved_model.pb").is_file()


def evaluate(path, data=None, data_dir=None, batch_size=None):
    """Tests an exported file.

    Args:
        path: of the file or folder.
        data: name of a data set with the same classes, or folder of the text; None for what it was trained on.
        data_dir, batch_size: as in `api.evaluate`.

    Returns:
        A dictionary as of `api.evaluate`.

    Raises:
        UserError: if file or data cannot be read, or do not belong together.
    """
    model = load(path)
    known = model.metadata
    options = {"preprocessing": known["preprocessing"], "classes": len(known["labels"])}
    network = types.SimpleNamespace(options=options, corpus=known["corpus"], words=len(known["labels"]))
    where = tasks.load(known["task"])
    if known["task"] == "images":
        return classification(model, where.load_for(network, data, data_dir).test, batch_size or 96)
    if data_dir is not None or batch_size is not None:
        raise UserError("a language model takes no --data_dir and no --batch_size; leave them out")
    return perplexities(model, where.load_for(network, data))


def load(path):
    """Opens an exported file; as `check.load`, with sentences for users."""
    path = pathlib.Path(path)
    if not path.exists():
        raise UserError(f"there is no file {path}")
    formats.require(formats.READERS.get(path.suffix, "saved_model"))
    try:
        with quiet():  # LiteRT tells what it loads
            model = check.load(path)
        if model.metadata["task"] not in tasks.NAMES:
            raise ValueError(f"an unknown task, {model.metadata['task']!r}")
    except Exception as error:  # each program raises kinds of its own for a damaged or foreign file
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"cannot read {path} as a file that tfdarts exported: {reason}") from error
    return model


def classification(model, test, batch_size):
    """Error, accuracy and top-5 accuracy on `data.images.Images`, in percent."""
    hits, top5 = [], []
    for first in range(0, len(test), batch_size):
        pixels, labels = test.fetch(np.arange(first, min(first + batch_size, len(test))))
        pixels = images.normalize(pixels, test.mean, test.std) if model.metadata["raw"] else pixels
        logits = model(image=pixels.numpy())["logits"]
        hits.extend(logits.argmax(-1) == labels.numpy())
        top5.extend(tf.math.in_top_k(labels, logits, min(5, logits.shape[-1])).numpy())
    accuracy = 100 * float(np.mean(hits))
    return {
        "test_error_percent": 100 - accuracy,
        "test_accuracy_percent": accuracy,
        "top5_accuracy_percent": 100 * float(np.mean(top5)),
    }


def perplexities(model, data):
    """Perplexity on the test text of `tasks.text_data.TextData`, and that of the training text's word frequencies."""
    rows = text.batchify(data.corpus.test, TEST_COLUMNS, "test")
    state, losses, bptt = np.zeros((TEST_COLUMNS, model.metadata["units"]), np.float32), [], data.origin["bptt"]
    for first in range(0, len(rows) - 1, bptt):
        tokens, targets = rows[first : first + bptt][: len(rows) - 1 - first], rows[first + 1 : first + 1 + bptt]
        outputs = model(tokens=tokens, state=state)
        state = outputs["next_state"]
        losses.extend(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, outputs["logits"]).numpy().ravel())
    perplexity = float(np.exp(np.mean(losses)))
    return {"test_perplexity": perplexity, "unigram_perplexity": text.unigram_perplexity(data.corpus.train)}
