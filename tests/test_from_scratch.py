"""`examples/darts_from_scratch.py`: it takes the library's own steps, and it searches."""

import keras
import numpy as np
import tensorflow as tf

from examples import darts_from_scratch as example
from tests.support import build, precision
from tfdarts import operations
from tfdarts.optimizers import flatten
from tfdarts.spaces.conv.supernet import Supernet


def test_its_steps_are_those_of_the_library():
    """Two steps, since Adam's first one goes by the sign of a gradient alone; it blows up roundings to some 1e-10."""
    generator = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    with precision.floatx("float64"):
        net = Supernet(operations.load("regular"), 3, 2, 1, nodes=1, multiplier=1)
        net.build((None, 8, 8, 1))
        batches = [
            [(generator.normal(size=(6, 8, 8, 1)), np.arange(6, dtype=np.int32) % 3) for _ in range(2)]
            for _ in range(2)
        ]
        start = [variable.numpy() for variable in net.non_trainable_variables]
        searcher = example.Searcher(net)
        rates = example.ARCH_RATE, example.ARCH_BETAS, example.ARCH_DECAY
        darts = build.search(
            net,
            arch_learning_rate=rates[0],
            arch_betas=rates[1],
            arch_weight_decay=rates[2],
            momentum=example.MOMENTUM,
            weight_decay=example.WEIGHT_DECAY,
            grad_clip=example.GRAD_CLIP,
        )
        darts.alphas.assign(searcher.alphas)
        for train, valid in batches:
            searcher.step(train, valid, tf.constant(0.025, tf.float64))
        own = [variable.numpy() for variable in net.non_trainable_variables]
        for variable, value in zip(net.non_trainable_variables, start):
            variable.assign(value)
        for pair in batches:
            darts.train_step(tf.nest.map_structure(tf.constant, tuple(pair)))
    np.testing.assert_allclose(searcher.alphas, darts.alphas, rtol=0, atol=1e-7)
    np.testing.assert_allclose(searcher.w, flatten(net.trainable_variables), rtol=0, atol=1e-7)
    for value, variable in zip(own, net.non_trainable_variables):
        np.testing.assert_allclose(value, variable, rtol=0, atol=1e-7)


def test_it_learns_and_finds_a_cell(capsys):
    found, losses = example.search(epochs=3, batch=16, channels=2, layers=1, nodes=1, images=160)
    assert losses[-1] < losses[1] < losses[0] and "epoch 3 of 3" in capsys.readouterr().out
    assert len(found.genotype().normal) == 2 and found.steps == 15
