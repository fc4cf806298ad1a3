import numpy as np
import pytest
import tensorflow as tf

from tfdarts.layers.choose import choose
from tfdarts.layers.tf1 import BatchStatistics, DebiasedBatchNorm, FactorizedReduce, average_pool

X = np.random.default_rng(0).normal(1.0, 2.0, (4, 3, 5, 5, 2))  # four batches


def test_moving_statistics_do_not_count_their_start(floatx):
    layer = DebiasedBatchNorm(epsilon=1e-3)
    layer.build((None, None, None, 2))
    biased = np.zeros((2, 2))
    for t, x in enumerate(X.astype(floatx), 1):
        y = layer(tf.constant(x), training=True)
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-3), atol=1e-5)
        biased = 0.9 * biased + 0.1 * np.stack([mean, variance * 75 / 74])
        got = np.stack([layer.moving_mean.value, layer.moving_variance.value])
        np.testing.assert_allclose(got, biased / (1 - 0.9**t), rtol=1e-5)
    y = layer(tf.constant(X[0].astype(floatx)), training=False)
    np.testing.assert_allclose(y, (X[0] - got[0]) / np.sqrt(got[1] + 1e-3), atol=1e-5)


def test_batch_statistics_need_no_training(floatx):
    layer, x = BatchStatistics(), X[0].astype(floatx)
    y = layer(tf.constant(x), training=False)
    np.testing.assert_allclose(y, (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5), atol=1e-5)
    assert len(layer.variables) == 2


@pytest.mark.parametrize("height,width", [(4, 6), (5, 4), (5, 7)])
def test_factorised_reduction(height, width):
    x = np.random.default_rng(1).normal(size=(2, height, width, 3)).astype("float32")
    layer = FactorizedReduce(4)
    y = layer(tf.constant(x), training=False)
    shifted = np.pad(x, [(0, 0), (0, 1), (0, 1), (0, 0)])[:, 1:, 1:]  # as the authors do it, whatever the size
    parts = [x[:, ::2, ::2] @ np.asarray(layer.conv_1[0, 0]), shifted[:, ::2, ::2] @ np.asarray(layer.conv_2[0, 0])]
    np.testing.assert_allclose(y, np.concatenate(parts, -1) / np.sqrt(1 + 1e-5), atol=1e-5)


def test_the_average_counts_pixels_inside():
    np.testing.assert_array_equal(average_pool(tf.ones((1, 4, 4, 1))), np.ones((1, 4, 4, 1)))


@pytest.mark.parametrize("make", [int, np.int32, tf.constant], ids=["int", "numpy", "tensor"])
def test_a_choice_runs_one_branch(make):
    ran = []

    @tf.function(autograph=False)
    def chosen(x):
        branches = [lambda: tf.py_function(lambda: ran.append(0) or 0.0, [], tf.float32), lambda: x * 2]
        return choose(make(1), branches)

    assert float(chosen(tf.constant(3.0))) == 6.0 and not ran
