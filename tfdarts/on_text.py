"""What the command lines do on text: data, language models and learners of the space `recurrent`, from options."""

import math

import tensorflow as tf

from tfdarts import cost
from tfdarts import operations as space
from tfdarts.data import text
from tfdarts.errors import UserError
from tfdarts.runs import run
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel, LanguageSupernet
from tfdarts.strategies.language import LanguageDarts
from tfdarts.tasks.text import FinishEpoch, LanguageTraining

VALID_COLUMNS, TEST_COLUMNS = 10, 1  # of evaluation, as the papers report it
PTB_WORDS = 10_000
_DROPOUT = ("dropout", "dropouth", "dropoutx", "dropouti", "dropoute")


def load(options):
    """The corpus; what a run must remember of it goes into `options.seen`.

    Raises:
        UserError: if it cannot be read, or is not the one that a resumed run began with.
    """
    if not options.data:
        raise UserError(
            "give --data FOLDER with train.txt, valid.txt and test.txt (Penn Treebank, WikiText-2, your own); "
            "`--recipe topics` needs no data"
        )
    corpus = text.load(options.data)
    now = {"words": len(corpus.words), "sha256": corpus.sha256}
    if options.seen not in (None, now):
        raise UserError(f"the text {options.data} has changed since the run began")
    options.seen = now
    return corpus


def common(options):
    """Arguments that search and training share."""
    return {
        "batch_size": options.batch_size,
        "bptt": options.bptt,
        "rates": {name: getattr(options, name) for name in _DROPOUT},
        "alpha": options.alpha,
        "beta": options.beta,
        "learning_rate": options.learning_rate,
        "weight_decay": options.wdecay,
        "grad_clip": options.grad_clip,
        "seed": options.seed,
    }


def supernet(options, words):
    """The language model that is searched."""
    network = LanguageSupernet(space.load(options.ops, recurrent=True), words, options.nhid, options.nodes)
    network.build()
    return network


def search(options):
    """The search as a `run.Job`."""
    corpus = load(options)
    train = text.batchify(corpus.train, options.batch_size, "training")
    valid = text.batchify(corpus.valid, options.batch_size, "validation")
    darts = LanguageDarts(
        supernet(options, len(corpus.words)),
        order="second" if options.unrolled else "first",
        arch_learning_rate=options.arch_learning_rate,
        arch_weight_decay=options.arch_weight_decay,
        **common(options),
    )
    darts.compile(jit_compile=options.jit_compile)
    return run.Job(
        darts,
        lambda step: text.search_batches(train, valid, options.bptt, options.seed, step),
        text.steps_per_epoch(train, options.bptt, options.seed, gaussian=False),
        lambda epoch: options.learning_rate,
        text.whole(valid),
    )


def network(options, cells, words):
    """The language model of a genotype."""
    known = {"data": options.data, "bptt": options.bptt} | options.seen if options.seen else None
    result = EvaluationLanguageModel(cells, words, options.nhid, known)
    result.build()
    return result


def training(options, cells, corpus):
    """The training of a genotype's language model as a `run.Job`."""
    train = text.batchify(corpus.train, options.batch_size, "training")
    learner = LanguageTraining(network(options, cells, len(corpus.words)), nonmono=options.nonmono, **common(options))
    learner.compile(jit_compile=options.jit_compile)
    return run.Job(
        learner,
        lambda step: text.train_batches(train, options.bptt, options.seed, step),
        text.steps_per_epoch(train, options.bptt, options.seed, gaussian=True),
        lambda epoch: options.learning_rate,
        text.whole(text.batchify(corpus.valid, VALID_COLUMNS, "validation")),
        (FinishEpoch(),),
    )


def test(learner, corpus):
    """Perplexities of a learner's network, with that of the training text's word frequencies to compare with."""
    rows = text.batchify(corpus.test, TEST_COLUMNS, "test")
    result = learner.evaluate(text.whole(rows), return_dict=True, verbose=0)
    return {
        "test_perplexity": result["perplexity"],
        "unigram_perplexity": text.unigram_perplexity(corpus.train),
    }


def results(learner, options, corpus):
    """What a trained network reached with the weights of its best epoch, and what it costs."""
    learner.take_best()
    best = {"valid_perplexity": math.exp(float(learner.best_loss.numpy()))}
    return test(learner, corpus) | best | costs(learner.network)


def costs(network):
    """Parameters, and multiply-adds of one word."""
    return {
        "parameters": cost.count_parameters([network]),
        "parameters_auxiliary": 0,
        "multiply_adds": network.multiply_adds(),
    }


def report(network, forward, time, batch_size):
    """What a language model costs, as a dictionary; `forward` maps tokens and hidden state to logits, in training."""
    report = costs(network) | {"words": network.words, "units": network.units}
    size = (time, batch_size, network.units)
    report["peak_memory_estimate_bytes"] = cost.peak_memory_of_text(forward, *size, report["parameters"])
    return report


def words(options):
    """Size of the vocabulary: of the run's text, or without one of Penn Treebank's."""
    return len(load(options).words) if options.data else PTB_WORDS


def search_costs(options):
    """What the model that is searched costs, as a dictionary; for Penn Treebank's 10,000 words without `--data`."""
    network = supernet(options, words(options))
    rows, columns = network.tables["recurrent"]
    mixing = {"recurrent": tf.fill((len(rows), len(columns)), 1 / len(columns))}
    size = (options.bptt, options.batch_size)
    return report(network, lambda tokens, hidden: network(tokens, hidden, mixing, training=True)[0], *size)


def training_costs(options, cells):
    """What training a genotype costs, as a dictionary; for Penn Treebank's 10,000 words without `--data`."""
    built = network(options, cells, words(options))
    size = (options.bptt + text.LONGER, options.batch_size)  # the longest batch there may be
    return report(built, lambda tokens, hidden: built(tokens, hidden, training=True)[0], *size)


def evaluate(network, source, data_dir, batch_size):
    """Tests a saved language model.

    Args:
        source: folder of the text that it was trained on, or `topics`; None for where it was.
        data_dir, batch_size: not for text; None.

    Raises:
        UserError: if it is another text, or an option is not for text.
    """
    known = network.corpus
    if known is None:
        raise UserError("the model does not know what text it was trained on; train.py saves that with a model")
    if data_dir is not None or batch_size is not None:
        raise UserError("a language model takes no --data_dir and no --batch_size; leave them out")
    corpus = text.load(source or known["data"])
    if corpus.sha256 != known["sha256"]:
        raise UserError(f"{source or known['data']} is not the text that the model was trained on")
    learner = LanguageTraining(network, bptt=known["bptt"])
    learner.compile(jit_compile=False)
    return test(learner, corpus)
