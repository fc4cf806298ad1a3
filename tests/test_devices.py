"""One step on several devices and machines: it is the step of one, and its checkpoints are those of one."""

import json
import socket
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import build
from tests.support.jobs import CONV, StopAt, job_of
from tfdarts import operations, optimizers, precision, recipes
from tfdarts.errors import UserError
from tfdarts.runs import environment
from tfdarts.runs.callbacks import Stopped
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder
from tfdarts.spaces import genotypes
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.spaces.recurrent.supernet import LanguageSupernet
from tfdarts.strategies import enas
from tfdarts.strategies.darts import Darts
from tfdarts.tasks.images import ImageTask
from tfdarts.tasks.text import TextTask
from tfdarts.training import devices
from tfdarts.training.trainer import Trainer


def two(sync_batchnorm=True):
    """The two devices that `conftest.py` made."""
    return devices.chosen(devices="2", sync_batchnorm=sync_batchnorm, batch_size=8)


def image_batch(generator, size=6):
    images = tf.constant(generator.normal(size=(size, 8, 8, 3)), keras.config.floatx())
    return images, tf.constant(generator.integers(0, 3, size), tf.int32)


def after_steps(learner, batches):
    """All variables after steps, and the metrics of the last."""
    step = learner.stepping(tf.function(learner.train_step, autograph=False))
    for batch in batches:
        logs = step(batch)
    learner.settle()
    return [v.numpy() for v in learner.state()], {name: float(value) for name, value in logs.items()}


def same(one, other, tolerance=1e-9):
    for mine, theirs in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=tolerance)
    assert one[1] == pytest.approx(other[1], abs=tolerance)


def search_of_images(shared, order):
    keras.utils.set_random_seed(1)
    supernet = Supernet(operations.load("regular"), 3, 4, layers=1, nodes=1, multiplier=1)
    supernet.build((None, 8, 8, 3))
    return build.search(supernet, order, devices=shared)


@pytest.mark.parametrize("order", ["first", "second"])
def test_a_search_is_that_of_one_device_to_the_ninth_digit(order, float64):
    generator = np.random.default_rng(0)
    pairs = [(image_batch(generator), image_batch(generator)) for _ in range(2)]
    same(*(after_steps(search_of_images(shared, order), pairs) for shared in (None, two())))


def test_a_batch_of_one_image_on_two_devices(float64):
    generator = np.random.default_rng(0)
    pairs = [(image_batch(generator, 1), image_batch(generator, 1))]
    same(*(after_steps(search_of_images(shared, "first"), pairs) for shared in (None, two())))


@pytest.mark.parametrize("size", [6, 5, 1])
def test_a_test_on_both_devices_is_that_of_one(size, float64):
    batch, found = image_batch(np.random.default_rng(0), size), []
    for shared in (None, two(False)):
        search = search_of_images(shared, "first")
        found.append({name: float(value) for name, value in tf.function(search.test_step)(batch).items()})
    assert found[0] == pytest.approx(found[1], abs=1e-12)


def test_each_device_normalises_its_own_piece_and_the_first_ones_statistics_stay(float64):
    batch = image_batch(np.random.default_rng(0))
    shared, alone = (search_of_images(found, "weights") for found in (two(False), None))
    after_steps(shared, [(batch, batch)])
    after_steps(alone, [(tuple(part[:3] for part in batch),) * 2])
    for mine, theirs in zip(shared.network.non_trainable_variables, alone.network.non_trainable_variables, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-12)


def test_a_pass_is_traced_once_whatever_the_number_of_devices(monkeypatch):
    traced, original = [], Darts.both_gradients
    monkeypatch.setattr(
        Darts, "both_gradients", lambda self, *arguments: traced.append(1) or original(self, *arguments)
    )
    batch = image_batch(np.random.default_rng(0))
    after_steps(search_of_images(two(False), "weights"), [(batch, batch)])
    assert len(traced) == 1


def test_a_search_on_text_with_dropout(float64):
    generator, results = np.random.default_rng(0), []
    rates = {"dropout": 0.3, "dropouth": 0.2, "dropoutx": 0.4, "dropouti": 0.2, "dropoute": 0.1}

    def batch():
        tokens = tf.constant(generator.integers(0, 7, (3, 4)), tf.int32)
        return tokens, tf.constant(generator.integers(0, 7, (3, 4)), tf.int32), 1.0, tf.constant(False)

    pairs = [(batch(), batch()) for _ in range(2)]
    for shared in (None, two()):
        keras.utils.set_random_seed(1)
        supernet = LanguageSupernet(operations.load("recurrent", recurrent=True), 7, units=5, nodes=2)
        supernet.build()
        task = TextTask(5, 4, 3, rates, beta=1e-3, searches=True)
        search = Darts(supernet, task, optimizers.Sgd(1.0, grad_clip=0.25), unrolled_clip=0.25, devices=shared)
        results.append(after_steps(search, pairs))
    same(*results)


def test_a_training_whose_last_batch_is_short(float64):
    generator, results = np.random.default_rng(0), []
    images, labels = image_batch(generator, 11)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(6)
    for shared in (None, two()):
        keras.utils.set_random_seed(1)
        network = EvaluationNetwork(genotypes.load("DARTS_V2"), 3, 4, layers=3, auxiliary=True)
        network.build((None, 8, 8, 3))
        trainer = Trainer(network, ImageTask(auxiliary_weight=0.4), optimizers.Sgd(0.1, 0.9), devices=shared)
        results.append(after_steps(trainer, list(data)[::-1]))
    same(*results)


def test_what_is_drawn_for_an_image_goes_where_the_image_goes():
    shared, batch = two(), tf.range(6)
    inputs = (batch, batch, {"dropout": batch[:, None], "drop_path": tf.tile(batch, [6])[None, None, :6]})

    def pieces(scale, inputs):
        return scale * inputs[0], inputs[2]["dropout"], inputs[2]["drop_path"]

    run = devices.Shared(shared, pieces, (None, ImageTask.axes), (0, 0, 2))
    for found in run(tf.constant(2), inputs):
        np.testing.assert_array_equal(np.ravel(found), np.arange(6) * (2 if found.shape.rank == 1 else 1))


def test_a_search_stopped_on_two_devices_goes_on_on_one(tmp_path):
    values = CONV | {"sync_batchnorm": True, "batch_size": 300}
    settings, data, job = job_of("digits", values | {"devices": "2"})
    log = RunFolder.start(tmp_path, settings.to_config() | {"data_info": data.remembered})
    with pytest.raises(Stopped):
        fit(log, job, 2, 60.0, [StopAt(4)])
    _, _, again = job_of("digits", values)
    fit(RunFolder.resume(log.folder), again, 2, 60.0)
    _, _, whole = job_of("digits", values)
    fit(None, whole, 2, 60.0)
    for mine, theirs in zip(again.model.state(), whole.model.state(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-3, err_msg=theirs.path)


@pytest.mark.parametrize(
    "values, sentence",
    [
        (
            {"devices": "2", "batch_size": 301},
            "--batch_size 301 cannot be divided among 2 devices; give --batch_size 302",
        ),
        ({"devices": "none"}, "--devices must be a number above 0, or all"),
        ({"devices": "64"}, "TensorFlow has started in this process without --devices 64"),
        ({"devices": "2", "perturb": "adversarial"}, "--perturb adversarial needs a single device"),
        ({"devices": "2", "sync_batchnorm": True, "remat": "cell"}, "--sync_batchnorm does not go with --remat"),
    ],
)
def test_what_cannot_be_is_a_sentence(values, sentence):
    with pytest.raises(UserError, match=sentence):
        job_of("digits", CONV | values)


def test_a_controllers_search_is_on_one_device():
    settings = recipes.resolve("micro_digits", "search", {"devices": "2"})
    with pytest.raises(UserError, match="--strategy enas runs on one device"):
        enas.job(None, None, settings)


@pytest.mark.parametrize("policy", precision.POLICIES[1:])
def test_statistics_of_the_whole_batch_in_half_precision(policy):
    """The losses of the first pass are those of one device, within what bfloat16 rounds."""
    batch, found = image_batch(np.random.default_rng(0)), []
    for shared in (None, two()):
        with precision.policy(policy):
            search = search_of_images(shared, "weights")
        found.append(after_steps(search, [(batch, batch)]))
    assert found[0][1]["loss"] == pytest.approx(found[1][1]["loss"], rel=2.0**-7)
    assert {variable.dtype for variable in search.state()} <= {"float32", "int64"}


def test_the_number_of_devices_may_be_a_number(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}}))
    environment.configure(devices=2)
    assert len(environment.devices(2)) == 2 and len(environment.devices("1")) == 1


def test_what_is_no_run_joins_no_cluster(monkeypatch):
    cluster = {"cluster": {"worker": ["localhost:1", "localhost:2"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    monkeypatch.setattr(environment, "_join", lambda: pytest.fail("it would wait for the other machine"))
    environment.configure()


@pytest.mark.parametrize(
    "config, answer",
    [
        ("", (0, 1)),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}', (0, 1)),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}', (1, 2)),
        ("{", "is not JSON"),
        ("[1]", "is not JSON"),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
            "a cluster of workers alone",
        ),
        ('{"cluster": {"worker": ["a:1"], "chief": ["b:1"]}, "task": {"type": "chief"}}', "a cluster of workers alone"),
    ],
)
def test_the_cluster(config, answer, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", config)
    if isinstance(answer, tuple):
        assert environment.cluster() == answer
    else:
        with pytest.raises(UserError, match=answer):
            environment.cluster()


def machines(forks, *arguments):
    """Starts a command on two machines, which are two processes of this one."""
    listeners = [socket.create_server(("localhost", 0)) for _ in range(2)]
    workers = [f"localhost:{listener.getsockname()[1]}" for listener in listeners]
    for listener in listeners:
        listener.close()
    return [
        forks.start(
            *arguments,
            variables={
                "TF_CONFIG": json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
            },
        )
        for index in range(2)
    ]


def test_a_machine_that_dies(forks, tmp_path):
    """The other one ends with a sentence, the checkpoint is whole, and both go on; only the first machine writes."""
    words = ["search_cell.py", "--recipe", "digits", "--epochs", "12"]
    words += [word for name, value in CONV.items() if name != "unrolled" for word in (f"--{name}", value)]
    first, second = machines(forks, *words, "--nounrolled", "--logdir", tmp_path)
    until = time.monotonic() + 200
    while not list(tmp_path.glob("search_arch/*/checkpoint_*")) and time.monotonic() < until:
        time.sleep(0.1)
    second.kill()
    assert "another machine of the cluster has stopped" in first.wait(2).stderr
    (run,) = tmp_path.glob("search_arch/*")
    done = len((run / "metrics.jsonl").read_text().splitlines())
    assert 1 <= done < 12
    both = machines(forks, "search_cell.py", "--resume", run)
    for machine in both:
        machine.wait()
    assert "machine 2 of 2: the first one keeps the run" in both[1].stdout
    assert [path.name for path in tmp_path.glob("*/*")] == [run.name]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 13))
    assert genotypes.load(run / "genotype.json").space == "conv"
