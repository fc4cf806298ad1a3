import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tfdarts  # noqa: F401, I001  before TensorFlow, for the environment that it sets

import keras
import pytest
import tensorflow as tf

from tests.forks import Forks

tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.fixture(params=["float32", "float64"])
def floatx(request):
    """Runs a test in single and in double precision."""
    keras.config.set_floatx(request.param)
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def float64():
    """Runs a test in double precision."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def command():
    """Runs a command line and checks its exit code: `command("train.py", "--arch", "x", code=2).stderr`."""
    forks = Forks()
    yield forks.run
    forks.close()
