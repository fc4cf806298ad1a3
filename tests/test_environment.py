"""What importing the package sets for the process, what it leaves alone, and what a command does in its place.

One interpreter answers several questions at once, since each takes seconds to start.
"""

import gc
import json
import os
import pathlib
import re
import subprocess
import sys
import weakref

import pytest
import tensorflow as tf

from tests import gpu_check
from tests.support import build
from tfdarts import operations, optimizers
from tfdarts.runs import environment
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.spaces.recurrent.supernet import LanguageSupernet
from tfdarts.strategies.darts import Darts
from tfdarts.tasks.text import TextTask

ROOT = pathlib.Path(__file__).parent.parent


def python(*arguments, folder=None, **variables):
    """Runs Python from the repository, in a home folder whose Keras settings may be strange."""
    names = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "KERAS_BACKEND")
    shell = {name: value for name, value in os.environ.items() if name not in names}
    shell |= variables | ({"HOME": str(folder), "PYTHONPATH": str(folder)} if folder else {})
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=shell, capture_output=True, text=True, timeout=120
    )


def settings(folder, **values):
    """Writes `~/.keras/keras.json` for a home folder."""
    (folder / ".keras").mkdir()
    usual = {"floatx": "float32", "epsilon": 1e-7, "backend": "tensorflow", "image_data_format": "channels_last"}
    (folder / ".keras" / "keras.json").write_text(json.dumps(usual | values))


IMPORT = """
import json, os, sys
import tfdarts, keras, tensorflow as tf
print(json.dumps({
    "backend": keras.backend.backend(), "floatx": keras.config.floatx(), "format": keras.config.image_data_format(),
    "policy": keras.config.dtype_policy().name, "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"],
    "log level": os.environ.get("TF_CPP_MIN_LOG_LEVEL"),
    "meta optimizer off": tf.config.optimizer.get_experimental_options().get("disable_meta_optimizer", False),
    "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
    "registered": keras.saving.get_registered_object("tfdarts>EvaluationNetwork") is tfdarts.EvaluationNetwork,
    "backend in the environment": os.environ["KERAS_BACKEND"],
}))
"""


def test_the_package_asks_for_what_it_needs_and_sets_nothing_else(tmp_path):
    settings(tmp_path, backend="numpy", floatx="float16", image_data_format="channels_first")
    done = python("-c", IMPORT, folder=tmp_path, KERAS_BACKEND="jax")
    assert json.loads(done.stdout) == {
        "backend": "tensorflow", "floatx": "float32", "format": "channels_last", "policy": "float32",
        "onednn": "1", "log level": None, "meta optimizer off": False, "tf32": True,
        "registered": True, "backend in the environment": "tensorflow",
    }  # fmt: skip
    assert "oneDNN" in done.stderr  # TensorFlow's messages are the user's


REFUSED = """
import keras
right = keras.backend.backend
for change, back in (
    (lambda: setattr(keras.backend, "backend", lambda: "jax"), lambda: setattr(keras.backend, "backend", right)),
    (lambda: keras.config.set_floatx("float16"), lambda: keras.config.set_floatx("float32")),
    (lambda: keras.config.set_image_data_format("channels_first"), lambda: None),
):
    change()
    try:
        import tfdarts
    except ImportError as error:
        print(error)
    back()
"""


def test_keras_that_is_loaded_with_other_settings_is_refused():
    done = python("-c", REFUSED)
    backend, floatx, order = done.stdout.splitlines()
    assert "backend 'jax'; import tfdarts before Keras, or set KERAS_BACKEND=tensorflow" in backend
    assert "floatx is 'float16'; import tfdarts before Keras" in floatx
    assert "image_data_format is 'channels_first'; import tfdarts before Keras" in order


def test_a_command_is_refused_in_one_line(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import keras\nkeras.config.set_floatx('float16')\n")
    done = python("search_cell.py", "--recipe", "digits", folder=tmp_path)
    *_, line = done.stderr.splitlines()
    assert done.returncode == 2 and line.startswith("error: tfdarts needs Keras on TensorFlow") and not done.stdout
    assert "Traceback" not in done.stderr


def test_a_command_says_nothing_of_its_own(tmp_path):
    settings(tmp_path, backend="numpy", floatx="float16", image_data_format="channels_first")
    words = ["search_cell.py", "--recipe", "digits", "--init_channels", "2", "--layers", "1", "--dry_run"]
    done = python(*words, folder=tmp_path)
    assert done.returncode == 0 and done.stderr == "" and json.loads(done.stdout)["classes"] == 10


@pytest.fixture
def tf32():
    """TensorFloat-32 on, as TensorFlow has it."""
    tf.config.experimental.enable_tensor_float_32_execution(True)
    yield tf.config.experimental.tensor_float_32_execution_enabled
    tf.config.experimental.enable_tensor_float_32_execution(True)


def test_operations_that_must_be_exact_turn_tensor_float_32_off_wherever_they_are_used(tf32, tmp_path):
    operations.option_flags()  # imports every module of `ops/`
    operations.load("regular")
    assert tf32()
    operations.load("approximate")
    assert not tf32()
    tf.config.experimental.enable_tensor_float_32_execution(True)
    (tmp_path / "exact.py").write_text("from tfdarts.ops.regular import OPS\nEXACT_FLOAT32 = True\n")
    operations.load(str(tmp_path / "exact.py"))
    assert not tf32()


def test_the_seed_gives_the_same_random_numbers():
    environment.configure(seed=3, deterministic=False)
    first = tf.random.normal((3,)).numpy().tolist()
    environment.configure(seed=3, deterministic=False)
    assert tf.random.normal((3,)).numpy().tolist() == first
    assert tf.config.optimizer.get_experimental_options()["disable_meta_optimizer"]


def test_each_of_the_checks_on_a_gpu_finds_its_golden_values():
    code = (
        "import json, pytest, sys; [pytest.main(['--collect-only', '-q', *words]) for words in json.loads(sys.argv[1])]"
    )
    words = json.dumps([*gpu_check.GOLDENS.values()])
    done = subprocess.run([sys.executable, "-c", code, words], cwd=ROOT, capture_output=True, text=True)
    found = re.findall(r"^\d+/\d+ tests? collected", done.stdout, re.MULTILINE)
    assert len(found) == len(gpu_check.GOLDENS), done.stdout


def language_search():
    net = LanguageSupernet(operations.load("recurrent", recurrent=True), 20, 6, 2)
    net.build()
    learner = Darts(net, TextTask(6, 4, 5, searches=True), optimizers.Sgd(1.0), "first")
    return learner, (tf.zeros((5, 4), tf.int32), tf.zeros((5, 4), tf.int32), tf.constant(1.0), tf.constant(True))


def image_search():
    net = Supernet(operations.load("regular"), 10, 2, 1, 2, 1)
    net.build((None, 8, 8, 1))
    return build.search(net, "first"), (tf.zeros((4, 8, 8, 1)), tf.zeros(4, tf.int32))


def functions_of(function):
    return function._list_all_concrete_functions()


@pytest.mark.parametrize("make", [image_search, language_search])
def test_forgetting_lets_go_of_graphs(make):
    """TensorFlow's table of gradients would keep them, and what they hold, for as long as the process lives."""
    learner, batch = make()
    step = tf.function(learner.train_step, autograph=False)
    learner.stepping(step.get_concrete_function)((batch, batch))
    traced = [f.graph for each in (step, learner._both, learner._architecture) for f in functions_of(each)]
    assert len(traced) == 3
    kept = [weakref.ref(graph) for graph in traced]
    del step, traced
    learner.forget_graphs()
    gc.collect()
    assert [reference() for reference in kept] == [None] * len(kept)
