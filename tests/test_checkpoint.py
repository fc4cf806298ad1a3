"""Checkpoints: variables by names that depend on the model alone; what does not fit is refused by name."""

import hashlib
import io
import pathlib

import keras
import numpy as np
import pytest

from tests.support import build
from tfdarts import operations
from tfdarts.errors import UserError
from tfdarts.runs import checkpoint
from tfdarts.runs.folder import RunFolder
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.spaces.genotypes import load

ROOT = pathlib.Path(__file__).parent.parent


class Model(keras.Model):
    """Two kernels of one shape, in one of two orders of attributes, and a step."""

    def __init__(self, order=("left", "right"), **shapes):
        super().__init__()
        for name in order:
            weight = self.add_weight(name="kernel", shape=shapes.get(name, (2,)), initializer="random_normal")
            setattr(self, name, weight)
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)

    def state(self):
        return self.variables


@pytest.fixture
def folder(tmp_path):
    return RunFolder.start(tmp_path, {"stage": "search"})


def searching(ops):
    network = Supernet(operations.load(ops), 10, 2, 1, 1, 1)
    network.build((None, 8, 8, 1))
    return build.search(network)


def training():
    network = EvaluationNetwork(load("digits"), 10, channels=2, layers=3, auxiliary=True)
    network.build((None, 8, 8, 1))
    return build.training(network)


@pytest.mark.parametrize("ops", ["regular", "attention", "approximate", str(ROOT / "examples/my_ops.py")])
def test_the_names_do_not_depend_on_what_was_built_before(ops):
    first = searching(ops)
    training()
    second = searching(ops)
    names = checkpoint.names(first)
    assert list(names) == list(checkpoint.names(second))
    assert len(names) == len({id(variable) for variable in names.values()}) == len(first.state())
    shapes = {name: tuple(variable.shape) for name, variable in names.items()}
    assert shapes == {name: tuple(variable.shape) for name, variable in checkpoint.names(second).items()}
    keras.utils.clear_session()
    assert list(checkpoint.names(searching(ops))) == list(names)
    assert {"step", "alphas", "arch_optimizer/m", "weight_optimizer/buffer", "loss_metric/total"} <= set(names)
    assert all(name.startswith("network/") for name in names if names[name].path.startswith("supernet"))
    tracked = [name for name in names if set(name.split("/")) & {"_trainable_variables", "_non_trainable_variables"}]
    assert not tracked  # such a name is a number that shifts


def test_values_go_to_the_variables_of_their_names_in_another_order(folder):
    model, other = Model(), Model(("right", "left"))
    checkpoint.save(folder, model, 7.0)
    values, seconds = checkpoint.restore(folder, other)
    assert seconds == 7.0 and set(values) == {"left", "right", "step"}
    np.testing.assert_array_equal(other.left, model.left)
    np.testing.assert_array_equal(other.right, model.right)
    assert not np.array_equal(other.left, other.right)


@pytest.mark.parametrize(
    "other,sentence",
    [
        (lambda: Model(("left", "middle", "right")), "it has no middle"),
        (lambda: Model(("left",)), "it has an unknown right"),
        (lambda: Model(right=(3,)), r"right is \(2,\), not \(3,\)"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused_by_a_variable_s_name(other, sentence, folder):
    checkpoint.save(folder, Model(), 1.0)
    model = other()
    before = [variable.numpy() for variable in model.variables]
    with pytest.raises(UserError, match=f"another network .*, or to another version .*: {sentence}; start a new run"):
        checkpoint.restore(folder, model)
    for value, variable in zip(before, model.variables):
        np.testing.assert_array_equal(value, variable)


@pytest.mark.parametrize("number", [None, 99])
def test_a_checkpoint_of_another_version_is_refused(number, folder):
    arrays = {f"{i:05d}": variable.numpy() for i, variable in enumerate(Model().variables)} | {"seconds": 1.0}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays | ({} if number is None else {"format": number}))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    (folder.folder / f"checkpoint_000000001_{digest}.npz").write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match="of another version of this program"):
        checkpoint.restore(folder, Model())
