"""Searches and trainings on images, as tests make them: with the papers' hyperparameters unless told."""

import math

from tfdarts import optimizers
from tfdarts.layers.choices import alike
from tfdarts.strategies.darts import Darts
from tfdarts.tasks.images import ImageTask
from tfdarts.training.trainer import Trainer


def search(
    supernet,
    order="second",
    *,
    learning_rate=0.025,
    momentum=0.9,
    weight_decay=3e-4,
    grad_clip=5.0,
    arch_learning_rate=3e-4,
    arch_betas=(0.5, 0.999),
    arch_weight_decay=1e-3,
    unrolled_clip=math.inf,
    kind=Darts,
    **options,
):
    """A `Darts` on images."""
    sgd = optimizers.Sgd(learning_rate, momentum, weight_decay, grad_clip)
    adam = optimizers.Adam(arch_learning_rate, arch_betas, arch_weight_decay, name="arch_adam")
    return kind(supernet, ImageTask(), sgd, order, adam, unrolled_clip=unrolled_clip, **options)


def training(
    network,
    learning_rate=0.025,
    momentum=0.9,
    weight_decay=3e-4,
    grad_clip=5.0,
    auxiliary_weight=0.4,
    label_smooth=0.0,
    drop_path_prob=0.2,
    epochs=600,
    steps=None,
    dropout=0.0,
    nesterov=False,
    seed=0,
    devices=None,
):
    """A `Trainer` on images."""
    sgd = optimizers.Sgd(learning_rate, momentum, weight_decay, grad_clip, nesterov)
    task = ImageTask(label_smooth, auxiliary_weight, drop_path_prob, dropout, top5=True)
    return Trainer(network, task, sgd, seed, epochs, steps, devices=devices)


def inputs(batch):
    """What a pass of a search on images runs on, made of a batch."""
    return (*batch, {}), None


def both(search, weights, alphas, batch):
    """Both gradients of a search on images, traced: as `Darts.both_gradients`, with the `Pass` taken apart.

    Returns:
        Gradient for the weights, gradient for the architecture, `(loss, logits, state)`.
    """
    weights, alphas, (result, state) = search._both(weights, alphas, inputs(batch))
    return weights, alphas, (result.loss, result.logits, state)


def table(names, rows):
    """A table of mixing weights whose choices all have the same candidates."""
    return alike(map(str, range(rows)), names)
