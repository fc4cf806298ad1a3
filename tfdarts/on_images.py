"""What the command lines do on images, from options: data; networks and learners of all spaces but the recurrent one.

Searches by a controller are in `on_enas`.
"""

import functools
import math

import tensorflow as tf

from tfdarts import cost
from tfdarts import operations as space
from tfdarts.data import images
from tfdarts.errors import UserError
from tfdarts.runs import run
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.spaces.macro.network import MacroNetwork
from tfdarts.spaces.micro.network import MicroNetwork
from tfdarts.spaces.renet.network import ReNetNetwork, ReNetSupernet
from tfdarts.strategies.darts import Darts
from tfdarts.training import optimizers
from tfdarts.training.trainer import Training


def load(options):
    """Training, validation and test images; what a run must remember of them goes into `options.seen`.

    Raises:
        UserError: if they cannot be read, or are not the ones that a resumed run began with.
    """
    parts = images.load(
        options.dataset,
        options.data_dir,
        options.seed,
        options.image_size,
        options.augmentation,
        options.flip,
        getattr(options, "use_extra", False),
        options.seen,
    )
    now = parts[0].statistics | {"images": len(parts[0])}
    if options.seen not in (None, now):
        was = options.seen["images"]
        raise UserError(
            f"{options.dataset} has changed since the run began ({was} training images, now {now['images']})"
        )
    options.seen = now
    return parts


def supernet(options, shape, classes):
    """The network that is searched, built for images of `shape`."""
    if options.space == "renet":
        operations = space.load(options.ops, recurrent=True)
        parts = (options.nhid, options.layers, options.rnn_cell, options.nodes, options.classifier_range)
        network = ReNetSupernet(operations, classes, *parts)
    else:
        parts = (options.init_channels, options.layers, options.nodes, options.multiplier, options.stem_multiplier)
        operations = space.load(options.ops, space.given(options), location=options.location)
        network = Supernet(operations, classes, *parts)
    network.build((None, *shape))
    return network


def search(options):
    """The search as a `run.Job`."""
    train, valid, _ = load(options)
    train, valid = images.search_halves(train, valid, options.train_portion, options.use_validation, options.seed)
    for half in (train, valid):
        images.check_batch_size(half, options.batch_size)
    darts = Darts(
        supernet(options, train.shape, train.classes),
        order="second" if options.unrolled else "first",
        arch_learning_rate=options.arch_learning_rate,
        arch_weight_decay=options.arch_weight_decay,
        learning_rate=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        grad_clip=options.grad_clip,
        # The authors clip in the virtual step of recurrent cells only.
        unrolled_clip=options.grad_clip if options.space == "renet" else math.inf,
        seed=options.seed,
    )
    darts.compile(jit_compile=options.jit_compile)
    length = options.cutout_length if options.cutout else 0

    def batches(step):
        halves = ((train, options.seed), (valid, options.seed + 1))
        return images.pairs(*(images.train_batches(x, options.batch_size, seed, length, step) for x, seed in halves))

    return run.Job(
        darts,
        batches,
        images.steps_per_epoch(train, options.batch_size),
        optimizers.cosine(options.learning_rate, options.learning_rate_min, options.epochs),
        images.test_batches(valid, options.batch_size),
    )


def search_costs(options):
    """What the network that is searched costs, as a dictionary."""
    shape, classes = images.info(options.dataset, options.data_dir, options.image_size)
    network = supernet(options, shape, classes)
    mixing = {name: tf.fill((len(rows), len(names)), 1 / len(names)) for name, (rows, names) in network.tables.items()}
    forward = functools.partial(network, mixing=mixing)
    return search_report(options, network, shape, classes, forward)


def search_report(options, network, shape, classes, forward):
    """What a network that is searched costs, as a dictionary; `forward(images, training=...)` runs it."""
    parameters = cost.count_parameters([network])
    return {
        "parameters": parameters,
        "parameters_auxiliary": 0,
        "multiply_adds": cost.multiply_adds(lambda x: forward(x, training=False), shape),
        "input_shape": shape,
        "classes": classes,
        "peak_memory_estimate_bytes": cost.peak_memory(
            lambda x: forward(x, training=True), options.batch_size, shape, parameters, 0.69, 130e3
        ),
    }


def network(options, cells, shape, classes):
    """The network of a genotype, or of `--rnn_cell lstm` or `gru`, built for images of `shape`."""
    preprocessing = None
    if options.seen:
        names = ("dataset", "seed", "image_size", "augmentation")
        preprocessing = options.seen | {name: getattr(options, name) for name in names}
    if options.space == "renet":
        parts = (options.nhid, options.layers, options.classifier_range, preprocessing)
        result = ReNetNetwork(cells or options.rnn_cell, classes, *parts)
    elif options.space == "macro":
        result = MacroNetwork(cells, classes, options.init_channels, preprocessing)
    elif options.space == "micro":
        parts = (options.init_channels, options.layers, options.auxiliary, preprocessing)
        result = MicroNetwork(cells, classes, *parts)
    else:
        parts = (options.init_channels, options.layers, options.auxiliary, options.network, options.stem_multiplier)
        result = EvaluationNetwork(cells, classes, *parts, preprocessing, space.given(options))
    result.build((None, *shape))
    return result


def training(options, cells, data):
    """The training of a genotype's network as a `run.Job`.

    Args:
        cells: the genotype; None for `--rnn_cell lstm` or `gru`.
        data: what `load` gave.
    """
    train, _, _ = data
    images.check_batch_size(train, options.batch_size)
    steps, by_space = images.steps_per_epoch(train, options.batch_size), {"drop_path_prob": 0.0}
    if options.space in ("conv", "micro"):
        by_space = {"drop_path_prob": options.drop_path_prob, "auxiliary_weight": options.auxiliary_weight}
    if options.space in ("macro", "micro"):
        by_space |= {"dropout": options.dropout, "nesterov": True, "steps": options.epochs * steps}
    learner = Training(
        network(options, cells, train.shape, train.classes),
        options.learning_rate,
        options.momentum,
        options.weight_decay,
        getattr(options, "grad_clip", math.inf),  # ENAS does not clip
        label_smooth=options.label_smooth,
        epochs=options.epochs,
        seed=options.seed,
        **by_space,
    )
    learner.compile(jit_compile=options.jit_compile)
    schedule = optimizers.cosine(options.learning_rate, options.learning_rate_min, options.epochs)
    if options.schedule == "exponential":
        schedule = optimizers.exponential(options.learning_rate, options.gamma)
    if options.schedule == "restarts":
        rates = (options.learning_rate, options.learning_rate_min)
        schedule = optimizers.restarts(*rates, options.restart_epochs, options.restart_factor)
    length = options.cutout_length if options.cutout else 0
    return run.Job(
        learner,
        lambda step: images.train_batches(train, options.batch_size, options.seed, length, step),
        steps,
        schedule,
    )


def costs(network, shape):
    """Parameters without and with the auxiliary head, multiply-adds per image."""
    head = getattr(network, "auxiliary_head", None)
    auxiliary = cost.count_parameters([head] if head else [])
    total = cost.count_parameters([network])
    return {
        "parameters": total - auxiliary,
        "parameters_auxiliary": auxiliary,
        "multiply_adds": cost.multiply_adds(lambda x: network(x, training=False), shape),
    }


def training_costs(options, cells):
    """What training a genotype costs, as a dictionary."""
    shape, classes = images.info(options.dataset, options.data_dir, options.image_size)
    built = network(options, cells, shape, classes)
    report = costs(built, shape) | {"input_shape": shape, "classes": classes}
    parameters = report["parameters"] + report["parameters_auxiliary"]
    report["peak_memory_estimate_bytes"] = cost.peak_memory(
        lambda x: built(x, training=True), options.batch_size, shape, parameters, 0.57, 58e3
    )
    return report


def test(learner, data, batch_size):
    """Test error, accuracy and top-5 accuracy of a learner's network, in percent."""
    result = learner.evaluate(images.test_batches(data[2], batch_size), return_dict=True, verbose=0)
    return {
        "test_error_percent": 100 * (1 - result["accuracy"]),
        "test_accuracy_percent": 100 * result["accuracy"],
        "top5_accuracy_percent": 100 * result["top5"],
    }


def results(learner, options, data):
    """What a trained network reached, and what it costs."""
    return test(learner, data, options.batch_size) | costs(learner.network, data[0].shape)


def load_for(network, source, data_dir):
    """The images for a saved network, as `load` gives them.

    Args:
        source: name of a data set with the same classes; None for the one that it was trained on.
        data_dir: as for training.

    Raises:
        UserError: if the network does not know what images it takes, or the data set is another.
    """
    known = network.options["preprocessing"]
    if known is None:
        raise UserError("the model does not know what images it was trained on; train.py saves that with a model")
    return images.load(
        source or known["dataset"],
        data_dir,
        known["seed"],
        known["image_size"],
        known["augmentation"],
        statistics=known,
    )


def tester(network):
    """A learner that only tests a network."""
    learner = Training(network)
    learner.compile(jit_compile=False)
    return learner


def evaluate(network, source, data_dir, batch_size):
    """Tests a saved network; arguments as in `load_for`, and images per step (None for 96)."""
    return test(tester(network), load_for(network, source, data_dir), batch_size or 96)
