import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
for kind in ("INTRA", "INTER"):  # tests run side by side, on networks too small for several threads
    os.environ.setdefault(f"TF_NUM_{kind}OP_THREADS", "1")

import tfdarts  # noqa: F401, I001  before TensorFlow, for the environment that it sets

import pathlib

import keras
import pytest
import tensorflow as tf

from tests.support import precision, reference
from tests.support.commands import Forks

tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_addoption(parser):
    parser.addoption(
        "--goldens",
        default=str(reference.GOLDENS),
        metavar="DIR",
        help="folder of golden values, in the layout of tests/goldens, whose sizes and options may be others",
    )


# The files that take longest begin, so that those who share the work end together.
FIRST = "enas_spaces api spaces supernet evalnet attention_search modules cli run approximate".split()


def pytest_collection_modifyitems(items):
    places = {f"test_{name}.py": place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(FIRST)))


def pytest_configure(config):
    """Tells where the golden values are before test modules are imported, which read some of them."""
    reference.GOLDENS = pathlib.Path(config.getoption("goldens")).resolve()


@pytest.fixture(params=["float32", "float64"])
def floatx(request):
    """Runs a test in single and in double precision."""
    with precision.floatx(request.param) as name:
        yield name


@pytest.fixture
def float64():
    """Runs a test in double precision."""
    with precision.floatx("float64"):
        yield


@pytest.fixture
def eagerly():
    """Without tracing, which takes longer than the few steps of a test."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture
def zero_start(monkeypatch):
    """Networks start at zero: drawing their start takes Keras longer than all else where only shapes matter."""
    for name in ("RandomUniform", "TruncatedNormal", "VarianceScaling"):
        draw = getattr(keras.initializers, name)
        monkeypatch.setattr(draw, "__call__", lambda self, shape, dtype=None, **kwargs: tf.zeros(shape, dtype))


@pytest.fixture(scope="session")
def forks():
    """Starts command lines: `forks.start("train.py", "--arch", "x")`, whose return value can be killed and awaited."""
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def command(forks):
    """Runs a command line and checks its exit code: `command("train.py", "--arch", "x", code=2).stderr`."""
    return forks.run
