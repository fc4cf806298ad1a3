"""What `search_cell.py` does for `--strategy enas` and `random_ws`: shared networks, controllers, learners."""

import functools
import math

import numpy as np
import tensorflow as tf

from tfdarts import on_images, on_text
from tfdarts.data import images, text
from tfdarts.genotype import SPACES
from tfdarts.layers import controllers
from tfdarts.runs import run
from tfdarts.spaces.macro.network import MacroSupernet
from tfdarts.spaces.micro.network import MicroSupernet
from tfdarts.spaces.recurrent.network import SharedLanguageModel
from tfdarts.strategies.enas import Derive, EnasOnImages, EnasOnText, Policy
from tfdarts.training import optimizers

_TEXT_RATES = ("dropout", "dropouti", "dropoute", "wdrop")


def controller(options):
    """The controller of a space."""
    if options.space == "recurrent":
        parts = (options.nodes, options.controller_hid, options.softmax_temperature, options.tanh_c)
        result = controllers.RecurrentController(*parts)
    elif options.space == "macro":
        parts = (options.layers, options.controller_hid, options.tanh_c, options.skip_target)
        result = controllers.MacroController(*parts)
    else:
        parts = (options.nodes, options.controller_hid, options.tanh_c, options.op_tanh_reduce)
        result = controllers.MicroController(*parts)
    result.build()
    return result


def policy(options, one_pass):
    """How the controller is trained; `one_pass` is the number of training batches."""
    adam = {"epsilon": 1e-3, "betas": (0.0, 0.999)} if options.space != "recurrent" else {}
    return Policy(
        options.shared_max_step or one_pass,
        options.controller_max_step if options.strategy == "enas" else 0,
        getattr(options, "controller_num_aggregate", 1),
        _controller_rate(options),
        options.controller_optim,
        entropy_weight=options.entropy_coeff,
        baseline_decay=options.ema_baseline_decay,
        penalty_weight=getattr(options, "skip_weight", 0.0),
        derived=options.derive_num_sample,
        **adam,
    )


def _controller_rate(options):
    if not options.controller_lr_cosine:
        return lambda epoch: options.controller_lr
    high, low = options.controller_lr_max, options.controller_lr_min
    return lambda epoch: low + 0.5 * (high - low) * (1 + tf.cos(math.pi * epoch / options.epochs))


def alternate(train, valid, policy, step):
    """The batches from a global step on: of every epoch the first from `train`, the controller's from `valid`.

    Args:
        train, valid: `start -> tf.data.Dataset`, endless from the batch of that number on.
        policy: `Policy`.
        step: int.
    """
    if not policy.updates:
        return train(step)
    epochs, position = divmod(step, policy.steps)
    shared = min(position, policy.shared_steps)
    others = epochs * (policy.steps - policy.shared_steps) + position - shared
    numbers = tf.data.Dataset.range(step, np.iinfo(np.int64).max)
    which = numbers.map(lambda number: tf.cast(number % policy.steps >= policy.shared_steps, tf.int64))
    return tf.data.Dataset.choose_from_datasets([train(epochs * policy.shared_steps + shared), valid(others)], which)


def search(options):
    """The search as a `run.Job`."""
    learner, batches, schedule = (_on_text if options.space == "recurrent" else _on_images)(options)
    learner.compile(jit_compile=False)  # XLA has no lists of a length that is drawn
    return run.Job(learner, batches, learner.policy.steps, schedule, callbacks=(Derive(),))


def _on_images(options):
    train, valid, _ = on_images.load(options)
    train, valid = images.search_halves(train, valid, options.train_portion, options.use_validation, options.seed)
    for part in (train, valid):
        images.check_batch_size(part, options.batch_size)
    how = policy(options, images.steps_per_epoch(train, options.batch_size))
    learner = EnasOnImages(
        supernet(options, train.shape, train.classes),
        controller(options),
        how,
        next(iter(images.test_batches(valid, options.batch_size))),
        options.shared_optim,
        options.seed,
        dropout=options.dropout,
        learning_rate=options.shared_lr,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        grad_clip=math.inf,
        nesterov=True,
    )
    length = options.cutout_length if options.cutout else 0

    def batches(step):
        def of_train(start):
            return images.train_batches(train, options.batch_size, options.seed, length, start)

        def of_valid(start):
            return images.train_batches(valid, options.batch_size, options.seed + 1, start=start, augmented=False)

        return alternate(of_train, of_valid, how, step)

    rates = (options.shared_lr, options.shared_lr_min, options.restart_epochs, options.restart_factor)
    return learner, batches, optimizers.restarts(*rates)


def _on_text(options):
    corpus = on_text.load(options)
    train = text.batchify(corpus.train, options.batch_size, "training")
    valid = text.batchify(corpus.valid, options.batch_size, "validation")
    how = policy(options, text.even_steps(train, options.bptt))
    learner = EnasOnText(
        shared_language_model(options, len(corpus.words)),
        controller(options),
        how,
        next(iter(text.even_batches(valid, options.bptt))),
        options.shared_optim,
        options.seed,
        batch_size=options.batch_size,
        bptt=options.bptt,
        rates={name: getattr(options, name) for name in _TEXT_RATES},
        scale=options.reward_c,
        square=options.ppl_square,
        learning_rate=options.shared_lr,
        momentum=0.0,
        weight_decay=options.shared_l2_reg,
        grad_clip=options.shared_grad_clip,
    )

    def batches(step):
        parts = (functools.partial(text.even_batches, rows, options.bptt) for rows in (train, valid))
        return alternate(*parts, how, step)

    def schedule(epoch):
        return options.shared_lr * options.shared_lr_decay ** max(0, epoch - options.shared_decay_after + 1)

    return learner, batches, schedule


def supernet(options, shape, classes):
    """The shared network of a convolutional space, built for images of `shape`."""
    if options.space == "macro":
        network = MacroSupernet(classes, options.layers, options.init_channels)
    else:
        network = MicroSupernet(classes, options.layers, options.init_channels, options.nodes)
    network.build((None, *shape))
    return network


def shared_language_model(options, words):
    """The shared language model."""
    network = SharedLanguageModel(words, options.nhid, options.nodes)
    network.build()
    return network


def architectures(options, count):
    """Architectures drawn uniformly, as nested lists."""
    drawing = controller(options)
    arcs = (drawing(seed=(options.seed, number), uniform=True).arc for number in range(count))
    return [tf.nest.map_structure(lambda x: x.numpy().tolist(), arc) for arc in arcs]


def drawn(options):
    """The genotypes that `--strategy random` draws."""
    return [SPACES[options.space].from_arc(arc) for arc in architectures(options, options.samples)]


def search_costs(options):
    """What the shared network costs, as a dictionary: all parameters, multiply-adds and memory of one architecture."""
    (arc,) = architectures(options, 1)
    if options.space == "recurrent":
        network = shared_language_model(options, on_text.words(options))

        def forward(tokens, hidden):
            return network(tokens, hidden, arc=arc, training=True)[0]

        return on_text.report(network, forward, options.bptt, options.batch_size)
    shape, classes = images.info(options.dataset, options.data_dir, options.image_size)
    network = supernet(options, shape, classes)
    return on_images.search_report(options, network, shape, classes, functools.partial(network, arc=arc))
