"""A trained network tested and trained on under approximate multipliers (TFApprox, arXiv:2002.09481)."""

import dataclasses
import json
import re

import keras
import tensorflow as tf

from tfdarts import optimizers
from tfdarts.data import images
from tfdarts.errors import UserError
from tfdarts.ops import multipliers
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.tasks.images import ImageTask
from tfdarts.training.trainer import Trainer, tester

OBSERVED = 50  # training batches that statistics are estimated on; 0.9^50 of the old ones is left


def report(network, data, tables, approx_range, batch_size, epochs, learning_rate, path):
    """Tests the network under each multiplier, each time from the saved weights.

    First as it is, then with its statistics (BatchNorm's, and the ranges of quantisation) estimated anew on training
    batches under the multiplier, whose errors shift the maps, then after fine-tuning.

    Args:
        network: `EvaluationNetwork`.
        data: `tasks.image_data.ImageData`.
        tables: names of multipliers, separated by commas.
        approx_range: range of the inputs in testing; None for the network's own.
        batch_size: int.
        epochs, learning_rate: of the fine-tuning, whose learning rate falls along a cosine; no epochs for none.
        path: of the JSON file with the results.
    """
    train = data.train
    names = re.split(r",(?!\d+(?:,|$))", tables)  # not at the comma in broken_array:2,6
    lines = [{"multiplier": name, **multipliers.statistics(load_table(name))} for name in names]
    options = network.options["ops_options"] | ({"approx_range": approx_range} if approx_range else {})

    def accuracy(of):
        return data.test_results(tester(of, data.test_task(of)), batch_size=batch_size)["test_accuracy_percent"]

    columns = ("error of products", "test accuracy", "new statistics", "fine-tuned")
    print(f"{'multiplier':<24}", *columns)
    for name, line in zip(names, lines):
        try:
            other, new = with_operations(network, train.shape, "approximate", options | {"mul_table": name})
        except ValueError as error:
            raise UserError(str(error)) from error
        batches = images.train_batches(train, batch_size, network.options["preprocessing"]["seed"])
        steps = images.steps_per_epoch(train, batch_size)
        if new:  # a network trained without quantisation does not know its ranges
            observe(other, new, batches.take(OBSERVED))
        line["test_accuracy_percent"], tuned = accuracy(other), ""
        observe(other, other.non_trainable_variables, batches.take(OBSERVED))
        line["new_statistics_accuracy_percent"] = accuracy(other)
        if epochs:
            finetune(other, batches, steps, epochs, learning_rate)
            line["finetuned_accuracy_percent"] = accuracy(other)
            tuned = f"{line['finetuned_accuracy_percent']:.2f}%"
        error, before = 100 * line["mean_relative_error"], line["test_accuracy_percent"]
        observed = line["new_statistics_accuracy_percent"]
        print(f"{name:<24} {error:16.2f}% {before:12.2f}% {observed:13.2f}% {tuned:>10}", flush=True)
    settings = {"finetune_epochs": epochs, "finetune_learning_rate": learning_rate}
    try:
        path.write_text(json.dumps(settings | {"results": lines}, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    print(f"written to {path}")


def load_table(name):
    """The multiplier's table that a name stands for, `(256, 256)`; see `ops.multipliers.load`. Raises UserError."""
    try:
        return multipliers.load(name)
    except ValueError as error:
        raise UserError(str(error)) from None


def finetune(network, batches, steps, epochs, learning_rate):
    """Trains the network a little, without drop-path, the learning rate falling along a cosine."""
    sgd = optimizers.Sgd(learning_rate, momentum=0.9, weight_decay=3e-4, grad_clip=5.0)
    training = Trainer(network, ImageTask(label_smooth=0.0, auxiliary_weight=0.4), sgd)
    training.compile(jit_compile=False)
    schedule = optimizers.cosine(learning_rate, 0.0, epochs)
    rate = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, _: training.learning_rate.assign(schedule(epoch))
    )
    training.fit(batches, epochs=epochs, steps_per_epoch=steps, callbacks=[rate], verbose=0, shuffle=False)


def with_operations(network, shape, ops, ops_options):
    """The same trained network, its operations taken from another module with the same variables, or other options.

    Args:
        network: built `EvaluationNetwork`.
        shape: `(height, width, channels_in)` of the images.
        ops: name of an operation module.
        ops_options: dictionary of its options.

    Returns:
        An `EvaluationNetwork` with the values of the first, and a list of those of its variables that the first lacks.

    Raises:
        ValueError: if the other module's operations have other variables.
    """
    options = network.options | {"ops_options": ops_options}
    other = EvaluationNetwork(dataclasses.replace(network.genotype, ops=ops), **options)
    other.build((None, *shape))
    values, new = list(reversed(network.variables)), []
    for variable in other.variables:
        if values and (values[-1].name, values[-1].shape) == (variable.name, variable.shape):
            variable.assign(values.pop().value)
        else:
            new.append(variable)
    if values:
        raise ValueError(f"operation module {ops!r} has other variables than {network.genotype.ops!r}")
    return other, new


def observe(network, variables, batches):
    """Lets some variables learn from training passes over batches of images; all others keep their values.

    Args:
        network: built `EvaluationNetwork`.
        variables: a list of its non-trainable ones, such as the moving ranges of quantised convolutions.
        batches: of `(images, labels)`.
    """
    chosen = {id(variable) for variable in variables}
    kept = [(variable, variable.numpy()) for variable in network.variables if id(variable) not in chosen]
    forward = tf.function(lambda x: network(x, training=True), autograph=False, reduce_retracing=True)
    for pixels, _ in batches:
        forward(pixels)
    for variable, value in kept:
        variable.assign(value)
