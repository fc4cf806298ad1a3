"""What the command lines do on text: data, language models and learners of the space `recurrent`, from options."""

import math

from tfdarts import cost, run, space
from tfdarts.data import text
from tfdarts.errors import UserError
from tfdarts.language import EvaluationLanguageModel, LanguageSupernet
from tfdarts.language_training import FinishEpoch, LanguageTraining
from tfdarts.strategies.language import LanguageDarts

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
        text.whole(text.batchify(corpus.valid, VALID_COLUMNS, "validation")),
    )


def training(options, cells, corpus):
    """The training of a genotype's language model as a `run.Job`."""
    train = text.batchify(corpus.train, options.batch_size, "training")
    network = EvaluationLanguageModel(cells, len(corpus.words), options.nhid, {"data": options.data} | options.seen)
    network.build()
    learner = LanguageTraining(network, nonmono=options.nonmono, **common(options))
    learner.compile(jit_compile=options.jit_compile)
    return run.Job(
        learner,
        lambda step: text.train_batches(train, options.bptt, options.seed, step),
        text.steps_per_epoch(train, options.bptt, options.seed, gaussian=True),
        lambda epoch: options.learning_rate,
        text.whole(text.batchify(corpus.valid, VALID_COLUMNS, "validation")),
        (FinishEpoch(),),
    )


def test(learner, stream, columns):
    """Perplexity of a learner's network on a text."""
    rows = text.batchify(stream, columns, "test")
    return math.exp(learner.evaluate(text.whole(rows), return_dict=True, verbose=0)["loss"])
