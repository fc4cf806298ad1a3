"""Texts as search and training take them: in batches, with what models and runs must know of them."""

import functools
import math

from tfdarts import cost
from tfdarts.data import text
from tfdarts.errors import UserError
from tfdarts.spaces.base import TextInputs
from tfdarts.tasks.image_data import SharedStream, Stream
from tfdarts.tasks.text import TextTask
from tfdarts.version import __version__

SOURCE = "data"  # the option that names the text; None for a text in memory
VALID_COLUMNS, TEST_COLUMNS = 10, 1  # of evaluation, as the papers report it
PTB_WORDS = 10_000


class TextData:
    """A text in three parts.

    Args:
        corpus: `data.text.Corpus`.
        origin: dictionary of what names the text: `data`, `bptt`.
    """

    def __init__(self, corpus, origin):
        self.corpus, self.origin = corpus, origin

    @property
    def remembered(self):
        """What a run must remember of its text, as a dictionary: the number of words, the text's hash."""
        return {"words": len(self.corpus.words), "sha256": self.corpus.sha256}

    @property
    def inputs(self):
        """`TextInputs` for models, which remember the program's version too."""
        return TextInputs(len(self.corpus.words), self.origin | self.remembered | {"tfdarts": __version__})

    def _columns(self, batch_size):
        train = text.batchify(self.corpus.train, batch_size, "training")
        return train, text.batchify(self.corpus.valid, batch_size, "validation")

    def search(self, *, batch_size, bptt, seed):
        """Pairs of a training and a validation batch, as a `Stream`."""
        train, valid = self._columns(batch_size)
        return Stream(
            lambda step: text.search_batches(train, valid, bptt, seed, step),
            text.steps_per_epoch(train, bptt, seed, gaussian=False),
            text.whole(valid),
        )

    def shared(self, *, batch_size, bptt):
        """Batches for shared weights and for the controller, as a `SharedStream`."""
        train, valid = self._columns(batch_size)
        parts = (functools.partial(text.even_batches, rows, bptt) for rows in (train, valid))
        return SharedStream(*parts, text.even_steps(train, bptt), next(iter(text.even_batches(valid, bptt))))

    def training(self, *, batch_size, bptt, seed):
        """Training batches, and the validation text, as a `Stream`."""
        train = text.batchify(self.corpus.train, batch_size, "training")
        self._test_rows()  # a text too short to test on is noticed before training
        return Stream(
            lambda step: text.train_batches(train, bptt, seed, step),
            text.steps_per_epoch(train, bptt, seed, gaussian=True),
            text.whole(text.batchify(self.corpus.valid, VALID_COLUMNS, "validation", None)),
        )

    def _test_rows(self):
        return text.batchify(self.corpus.test, TEST_COLUMNS, "test", None)

    def search_task(self, network, *, batch_size, bptt, dropout, dropouth, dropoutx, dropouti, dropoute, alpha, beta):
        """The task of a search by DARTS."""
        rates = _rates(dropout, dropouth, dropoutx, dropouti, dropoute)
        return TextTask(network.units, batch_size, bptt, rates, alpha, beta, searches=True)

    def shared_task(self, network, *, batch_size, bptt, dropout, dropouti, dropoute, wdrop, reward_c, ppl_square):
        """The task of a search with shared weights."""
        rates = {"dropout": dropout, "dropouti": dropouti, "dropoute": dropoute, "wdrop": wdrop}
        return TextTask(
            network.units,
            batch_size,
            bptt,
            rates,
            searches=True,
            reward_scale=reward_c,
            reward_square=ppl_square,
        )

    def training_task(self, network, *, batch_size, bptt, dropout, dropouth, dropoutx, dropouti, dropoute, alpha, beta):
        """The task of training the language model of a genotype."""
        rates = _rates(dropout, dropouth, dropoutx, dropouti, dropoute)
        return TextTask(network.units, batch_size, bptt, rates, alpha, beta)

    def test_task(self, network):
        """The task of testing a language model."""
        return TextTask(network.units, TEST_COLUMNS, self.origin["bptt"])

    def test_results(self, learner):
        """Perplexities of a learner's model, with that of the training text's word frequencies to compare with."""
        result = learner.evaluate(text.whole(self._test_rows()), return_dict=True, verbose=0)
        return {
            "test_perplexity": result["perplexity"],
            "unigram_perplexity": text.unigram_perplexity(self.corpus.train),
        }

    def results(self, learner):
        """What a trained model reached with the weights of its best epoch, and what it costs."""
        best = {"valid_perplexity": math.exp(float(learner.best_loss.numpy()))}
        return self.test_results(learner) | best | model_costs(learner.network)


def _rates(dropout, dropouth, dropoutx, dropouti, dropoute):
    names = ("dropout", "dropouth", "dropoutx", "dropouti", "dropoute")
    return dict(zip(names, (dropout, dropouth, dropoutx, dropouti, dropoute)))


def load(*, data, bptt, remembered=None):
    """Reads a text.

    Args:
        data, bptt: options.
        remembered: `TextData.remembered` of a run that is resumed; None for a new one.

    Raises:
        UserError: if it cannot be read, or is not the one that a resumed run began with.
    """
    if data is None:
        raise UserError("this run is on a text in memory, which a command does not have; start a new one from Python")
    if not data:
        raise UserError(
            "give --data FOLDER with train.txt, valid.txt and test.txt (Penn Treebank, WikiText-2, your own); "
            "`--recipe topics` needs no data"
        )
    result = TextData(text.load(data), {"data": data, "bptt": bptt})
    if remembered not in (None, result.remembered):
        raise UserError(f"the text {data} has changed since the run began")
    return result


def from_memory(data, test=None, *, bptt):
    """A text that is given as a dictionary from `"train"`, `"valid"` and `"test"` to strings.

    Raises:
        UserError: if it is something else, or a part is missing or empty.
    """
    parts = ", ".join(text.PARTS)
    if test is not None or not isinstance(data, dict) or set(data) != set(text.PARTS):
        raise UserError(f"a text is a folder, 'topics', or a dictionary with {parts}, the texts themselves")
    if not all(isinstance(part, str) and part.strip() for part in data.values()):
        raise UserError(f"each of {parts} must be a text with words in it")
    return TextData(text.corpus(data), {"data": None, "bptt": bptt})


def load_for(network, data=None):
    """The text for a saved language model.

    Args:
        network: `EvaluationLanguageModel`.
        data: folder of the text that it was trained on, or `topics`; None for where it was.

    Raises:
        UserError: if the model does not know its text, or it is another.
    """
    known = network.corpus
    if known is None:
        raise UserError("the model does not know what text it was trained on; train.py saves that with a model")
    if not data and not known["data"]:
        raise UserError("the model does not know where its text is; give --data FOLDER")
    corpus = text.load(data or known["data"], known.get("vocabulary", "train"))
    if len(corpus.words) != network.words:
        words = f"{len(corpus.words)} words, the model knows {network.words}"
        raise UserError(f"{data or known['data']} is not the text that the model was trained on: it has {words}")
    if known["sha256"] not in (None, corpus.sha256):  # None where a model comes from a file that does not tell
        raise UserError(f"{data or known['data']} is not the text that the model was trained on")
    return TextData(corpus, {"data": data or known["data"], "bptt": known["bptt"]})


def known_inputs(*, data):
    """`TextInputs` of a text; without one, Penn Treebank's number of words."""
    return TextInputs(len(text.load(data).words) if data else PTB_WORDS)


def model_costs(model):
    """Parameters, and multiply-adds of one word, as a dictionary."""
    return {
        "parameters": cost.count_parameters([model]),
        "parameters_auxiliary": 0,
        "multiply_adds": model.multiply_adds(),
    }


def costs(model, inputs, memory, architecture=None, *, batch_size, bptt):
    """What searching or training a language model costs, as a dictionary.

    Args:
        model: built.
        inputs: `TextInputs`.
        memory: `search_memory` or `train_memory` of its space.
        architecture: dictionary of what the model takes beside tokens and state, `mixing` or `arc`; None for nothing.
    """
    report = model_costs(model) | {"words": model.words, "units": model.units}

    def forward(tokens, hidden):
        return model(tokens, hidden, **(architecture or {}), training=True)[0]

    time = bptt + memory["longer"]
    report["peak_memory_estimate_bytes"] = cost.peak_memory_of_text(
        forward, time, batch_size, model.units, report["parameters"]
    )
    return report
