"""Text: a vocabulary, three streams of word numbers, cut into batches as a pure function of (seed, step)."""

import collections
import dataclasses
import hashlib
import itertools
import pathlib
import re

import numpy as np
import tensorflow as tf

from tfdarts.data.sources import DataError
from tfdarts.textfiles import decoded

END, UNKNOWN = "<eos>", "<unk>"
PARTS = ("train", "valid", "test")
NAMES = ("{}.txt", "ptb.{}.txt", "wiki.{}.tokens")  # of a part's file; the latter as the papers' sets are distributed
LONGER = 20  # words that a training batch may have beyond `bptt`
RARE = 3  # words of the embedded corpus that occur less often in its training part become `<unk>`


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text in three parts.

    Attributes:
        words: the vocabulary, in the order of the words' first appearance in the training part.
        train, valid, test: `(length,)` int32, numbers of words.
        sha256: of the three parts as text, since what the numbers mean depends on them.
    """

    words: tuple
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    sha256: str


def load(source, vocabulary="train"):
    """Reads a corpus: a folder with `train.txt`, `valid.txt`, `test.txt`, or `topics`, which needs no data.

    `ptb.train.txt` and `wiki.train.tokens`, and so on, are names of files too. UTF-8, or UTF-16 with a byte-order mark.
    Words are what white space separates, each line ends with `<eos>`.

    Args:
        source: the folder, or `topics`.
        vocabulary: as in `corpus`.

    Raises:
        DataError: if a file is missing, unreadable or empty.
    """
    if source == "topics":
        return corpus(_topics(), vocabulary)
    folder = pathlib.Path(source).expanduser()
    return corpus({part: _read(folder, part) for part in PARTS}, vocabulary)


def _read(folder, part):
    """The text of a part's file; all ends of lines become newlines, as Python reads text files."""
    paths = [folder / name.format(part) for name in NAMES]
    path = next(filter(pathlib.Path.is_file, paths), paths[0])
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"Cannot read {path} ({type(error).__name__}); give a folder with train.txt, valid.txt and test.txt, or "
            "`topics`, the embedded text."
        ) from None
    try:
        text = decoded(data)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not in UTF-8: it has the byte 0x{data[error.start]:02x} at place {error.start}. Convert it, "
            "from latin-1 for example by `iconv -f latin1 -t utf-8`."
        ) from None
    if "\0" in text:
        raise DataError(f"{path} holds zero bytes, so it is no text in UTF-8; convert it, for example from UTF-16.")
    if not text.strip():
        raise DataError(f"{path} is empty.")
    return text


def corpus(texts, vocabulary="train"):
    """The `Corpus` of a dictionary from `train`, `valid` and `test` to text.

    Args:
        texts: the dictionary.
        vocabulary: `"train"`: words that the training part lacks become `<unk>`. `"all"`: the words of all three parts,
            as DARTS's program numbers them.
    """
    numbers, streams, everywhere = {}, {}, vocabulary == "all"
    for part in PARTS:
        words = [word for line in lines(texts[part]) for word in (*line.split(), END)]
        if part == "train" or everywhere:
            for word in words:
                numbers.setdefault(word, len(numbers))
        elif not numbers.keys() >= set(words):
            numbers.setdefault(UNKNOWN, len(numbers))
        streams[part] = np.array([numbers.get(word, numbers.get(UNKNOWN)) for word in words], np.int32)
    digest = hashlib.sha256("\0".join(texts[part] for part in PARTS).encode()).hexdigest()
    return Corpus(tuple(numbers), **streams, sha256=digest)


def lines(text):
    """The lines of a text, which end at a newline and nowhere else, as the authors' programs read them.

    `str.splitlines` would cut at characters such as U+2028 and U+0085 too, and give each piece an `<eos>`.
    """
    return text.removesuffix("\n").split("\n")


def _topics():
    """The language reference that Python's `help()` shows, in lower case, words and signs apart.

    Topics in alphabetical order, each line once, since topics repeat one another. Of ten blocks of 100 lines the ninth
    is for validation and the tenth for testing. The text differs between versions of Python.
    """
    from pydoc_data.topics import topics  # half a megabyte that nothing else needs

    found = (tuple(re.findall(r"\w+|[^\w\s]", line.lower())) for name in sorted(topics) for line in lines(topics[name]))
    parts = {part: [] for part in PARTS}
    for index, line in enumerate(dict.fromkeys(filter(None, found))):
        parts[{8: "valid", 9: "test"}.get(index // 100 % 10, "train")].append(line)
    counts = collections.Counter(itertools.chain.from_iterable(parts["train"]))
    kept = {word for word, count in counts.items() if count >= RARE}
    return {
        part: "".join(" ".join(word if word in kept else UNKNOWN for word in line) + "\n" for line in own)
        for part, own in parts.items()
    }


def unigram_perplexity(stream):
    """Perplexity of a text under its own word frequencies: what a model reaches that ignores the context."""
    shares = np.bincount(stream) / len(stream)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def batchify(stream, batch_size, name, option="--batch_size"):
    """Lays a stream out in `batch_size` columns: `(rows, batch_size)`, without the rest that fills no row.

    Args:
        stream: `(length,)` of word numbers.
        batch_size: int.
        name: of the text, for an error.
        option: that gives the number of columns; None where it is fixed.

    Raises:
        DataError: if it is too short for one batch of two words and their successors.
    """
    rows = len(stream) // batch_size
    if rows < 3:
        smaller = f" or a smaller {option}" if option else ""
        raise DataError(
            f"The {name} text has {len(stream)} words, too few for {batch_size} column{'s' * (batch_size > 1)} of at "
            f"least 3; give a longer text{smaller}."
        )
    return stream[: rows * batch_size].reshape(batch_size, rows).T


def segments(rows, bptt, seed, number, gaussian):
    """Where the batches of one pass over the rows begin, and how long they are (AWD-LSTM, arXiv:1708.02182, 4.1).

    The length is `bptt` with probability 0.95, else half of it; with `gaussian` a normal number around that with
    deviation 5, from 5 to `bptt` + `LONGER`.

    Args:
        rows: of `batchify`.
        seed, number: ints, the pass's number.

    Returns:
        A list of `(first row, length, drawn length)`; the drawn length goes beyond the end in the last one.
    """
    rng = np.random.default_rng([seed, number])
    result, row = [], 0
    while row < rows - 2:
        length = bptt if rng.random() < 0.95 else bptt / 2
        if gaussian:
            length = min(max(5, rng.normal(length, 5)), bptt + LONGER)
        drawn = max(1, int(length))
        result.append((row, min(drawn, rows - 1 - row), drawn))
        row += drawn
    return result


def steps_per_epoch(rows, bptt, seed, gaussian):
    """Batches in an epoch: as many as the first pass has.

    Passes differ by a few batches, epochs do not; so an epoch ends near the end of a pass, not at it.
    """
    return len(segments(len(rows), bptt, seed, 0, gaussian))


def _positions(rows, bptt, seed, gaussian, start):
    def generate():
        passes = (segments(len(rows), bptt, seed, number, gaussian) for number in itertools.count())
        yield from itertools.islice(itertools.chain.from_iterable(passes), start, None)

    spec = tf.TensorSpec((3,), tf.int32)
    return tf.data.Dataset.from_generator(generate, output_signature=spec)


def _slice(rows, first, length):
    return rows[first : first + length], rows[first + 1 : first + 1 + length]


def train_batches(rows, bptt, seed, start=0, gaussian=True):
    """Endless training batches; the n-th is a function of `seed` and n alone.

    Args:
        rows: `(rows, batch)` of `batchify`.
        bptt, seed, gaussian: as in `segments`.
        start: number of the first batch, for going on with a run.

    Returns:
        A `tf.data.Dataset` of `(tokens, targets, scale, first)`: `(time, batch)` twice, the learning rate's factor
        (drawn length / `bptt`), and whether a pass over the text begins, so that the hidden state is zero.
    """
    text = tf.constant(rows)

    def batch(position):
        row, length, drawn = tf.unstack(position)
        return *_slice(text, row, length), tf.cast(drawn / bptt, tf.float32), tf.equal(row, 0)

    return _positions(rows, bptt, seed, gaussian, start).map(batch).prefetch(4)


def search_batches(rows, valid_rows, bptt, seed, start=0):
    """Endless pairs of a training and a validation batch, both as `train_batches` has them.

    The validation batch begins at the same row, modulo the validation text's length, and has `bptt` time steps where
    the text lasts; its hidden state begins anew with the training text's.
    """
    text, valid = tf.constant(rows), tf.constant(valid_rows)
    last = len(valid_rows) - 1

    def batch(position):
        row, length, drawn = tf.unstack(position)
        scale, first = tf.cast(drawn / bptt, tf.float32), tf.equal(row, 0)
        others = _slice(valid, row % last, tf.minimum(bptt, last - row % last))
        return (*_slice(text, row, length), scale, first), (*others, scale, first)

    return _positions(rows, bptt, seed, False, start).map(batch).prefetch(4)


def even_batches(rows, bptt, start=0):
    """Endless batches of `bptt` time steps, the text from its beginning again and again, without what fills no batch.

    Args:
        rows: `(rows, batch)` of `batchify`; of a shorter text, one batch is all of it.
        bptt: int.
        start: number of the first batch.

    Returns:
        A `tf.data.Dataset` of `(tokens, targets, scale, first)`: `(bptt, batch)` twice, 1, whether the text begins.
    """
    text, length = tf.constant(rows), min(bptt, len(rows) - 1)
    count = even_steps(rows, bptt)

    def batch(number):
        row = number % count * length
        return *_slice(text, row, length), tf.ones(()), tf.equal(row, 0)

    return tf.data.Dataset.range(start, np.iinfo(np.int64).max).map(batch).prefetch(4)


def even_steps(rows, bptt):
    """Batches of `even_batches` in one pass over the text."""
    return (len(rows) - 1) // min(bptt, len(rows) - 1)


def whole(rows):
    """The text as the one element of a `tf.data.Dataset`: what validation and testing take."""
    return tf.data.Dataset.from_tensors(rows)
