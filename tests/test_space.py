import numpy as np
import pytest
import tensorflow as tf

from tests.support import build
from tfdarts import operations as space
from tfdarts.operations import OperationsError
from tfdarts.spaces.conv.supernet import Supernet

PLAIN = """
import keras
OPS = {
    "conv": lambda channels, stride: keras.layers.Conv2D(channels, 3, stride, padding="same"),
    "norm": lambda channels, stride, affine: keras.Sequential(
        [keras.layers.AveragePooling2D(stride), keras.layers.BatchNormalization(scale=affine, center=affine)]),
}
"""


def write(folder, text):
    path = folder / "myops.py"
    path.write_text(text)
    return str(path)


def test_an_operation_that_knows_no_edges_is_built_per_edge_and_scaled_outside(tmp_path):
    mine = space.load(write(tmp_path, PLAIN))
    layer = mine.build("conv", 4, 2, 3, False)
    x, weights = tf.random.normal((2, 8, 8, 4)), tf.constant([0.5, -1.0, 2.0])
    expected = np.concatenate([w * np.array(single(x)) for w, single in zip(weights.numpy(), layer.layers)], -1)
    np.testing.assert_allclose(layer(x, weights=weights), expected, rtol=1e-6, atol=1e-6)


def test_a_search_runs_on_it(tmp_path):
    net = Supernet(space.load(write(tmp_path, PLAIN)), 3, channels=2, layers=3, nodes=2, multiplier=2)
    net.build((None, 8, 8, 1))
    batch = tf.random.normal((4, 8, 8, 1)), tf.constant([0, 1, 2, 0])
    darts = build.search(net)
    darts.train_step((batch, batch))
    assert {op for op, _ in darts.genotype().normal} <= {"conv", "norm"}


FURTHER = """
import keras

class A(keras.layers.Layer):
    def __init__(self, wide, stride):
        super().__init__()
        self.conv = keras.layers.Conv2D(wide, 1, stride)

    def call(self, x, weights=None, training=None):
        y = self.conv(x)
        return y if weights is None else y * keras.ops.sum(weights)

"""
BROKEN = {
    "no OPS": ("x = 1", "lacks OPS"),
    "OPS is no dictionary": ("OPS = [1]", "lacks OPS"),
    "not callable": ("OPS = {'a': 1}", "callable"),
    "no stride": ("OPS = {'a': lambda channels: None}", "does not take stride"),
    "no layer": ("OPS = {'a': lambda channels, stride: 3}", "keras.layers.Layer"),
    "wrong shape": ("import keras\nOPS = {'a': lambda channels, stride: keras.layers.Dense(channels)}", "must map"),
    "inputs that are not kept apart": (
        FURTHER + "OPS = {'a': lambda channels, stride, edges, inputs: A(channels * edges, stride)}",
        "inputs=2 must map",
    ),
    "weights that are not spread": (
        FURTHER + "A.takes_scale = True\nOPS = {'a': lambda channels, stride, edges: A(channels * edges, stride)}",
        "see scale_of",
    ),
    "unknown SEARCHED": ("SEARCHED = ('b',)\nOPS = {'a': lambda channels, stride: None}", "SEARCHED"),
    "fails on import": ("1 / 0", "ZeroDivisionError"),
    "fails when called": ("def f(channels, stride): raise KeyError('why')\nOPS = {'a': f}", "why"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_module_that_breaks_the_contract_is_refused(name, tmp_path):
    text, message = BROKEN[name]
    with pytest.raises(OperationsError, match=message):
        space.load(write(tmp_path, text))


@pytest.mark.parametrize("name", ["nothing", "no.such.module", "missing.py"])
def test_a_missing_module_is_refused(name):
    with pytest.raises(OperationsError, match=name):
        space.load(name)


def test_activations_are_functions(tmp_path):
    assert space.load("recurrent", recurrent=True).searched == ("none", "tanh", "relu", "sigmoid", "identity")
    mine = space.load(write(tmp_path, "import keras\nOPS = {'gelu': keras.ops.gelu}"), recurrent=True)
    assert mine.searched == ("gelu",)


BROKEN_FUNCTIONS = {
    "wrong shape": ("OPS = {'a': lambda x: x[0]}", "must map float32 .2, 3."),
    "not finite": ("import tensorflow as tf\nOPS = {'a': tf.math.log}", "finite"),
    "raises": ("OPS = {'a': lambda x: 1 / 0}", "division by zero"),
    "layers": ("OPS = {'a': lambda channels, stride: None}", "stride"),
    "unknown SEARCHED": ("SEARCHED = ('none', 'b')\nOPS = {'a': abs}", "names b"),
}


@pytest.mark.parametrize("name", BROKEN_FUNCTIONS)
def test_activations_that_break_the_contract_are_refused(name, tmp_path):
    text, message = BROKEN_FUNCTIONS[name]
    with pytest.raises(OperationsError, match=message):
        space.load(write(tmp_path, text), recurrent=True)


def test_an_operation_that_the_space_lacks():
    with pytest.raises(OperationsError, match="wrong"):
        space.load("regular").build("wrong", 4, 1, 1, True)
