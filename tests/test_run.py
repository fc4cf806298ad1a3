"""Runs that are stopped, killed, damaged, and go on to the same bits."""

import json
import math
import os
import pathlib
import random
import signal
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import build
from tests.support.commands import Fresh
from tests.support.jobs import StopAt
from tests.support.runs import COMMANDS, folder_of, kill_at, outcome
from tfdarts.errors import UserError
from tfdarts.layers.choices import Choice
from tfdarts.options import Option
from tfdarts.runs import checkpoint, history
from tfdarts.runs.callbacks import CheckpointCallback, describe
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder, check_resumed, saved_config
from tfdarts.tasks.base import Task
from tfdarts.tasks.text import TextTask
from tfdarts.training.job import Job
from tfdarts.version import __version__


def start(forks, kind, *options):
    """One of each program's runs in an interpreter of its own, the others in forks."""
    words = [*COMMANDS[kind], *options]
    return forks.start(*words) if kind == "first" else Fresh(*words)


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_killed_run_goes_on_to_the_same_bits(kind, tmp_path, forks):
    steps = 12 if kind != "train" else 24
    forks.run(*COMMANDS[kind], "--logdir", tmp_path / "whole")
    expected = outcome(folder_of(tmp_path / "whole"))
    assert int(expected[0]) == steps
    moment = random.randrange(1, steps)
    print("killed once there is the checkpoint of step", moment)
    kill_at(moment, start(forks, kind, "--logdir", tmp_path / "cut"), tmp_path / "cut")
    cut = folder_of(tmp_path / "cut")
    forks.run(COMMANDS[kind][0], "--resume", cut)
    assert outcome(cut) == expected


def test_a_signal_saves_and_says_how_to_go_on(tmp_path, forks):
    process = forks.start(*COMMANDS["first"], "--checkpoint_minutes", "60", "--epochs", "5000", "--logdir", tmp_path)
    while not list(tmp_path.glob("*/*/metrics.jsonl")):
        assert process.poll() is None, process.stderr
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    err = process.wait(128 + signal.SIGTERM).stderr
    folder = folder_of(tmp_path)
    assert f"go on by: python3 search_cell.py --resume {folder}" in err
    assert "Traceback" not in err
    step = int(max(folder.glob("checkpoint_*.npz")).name.split("_")[1])
    assert f"after step {step}," in err


CONFIG = {"stage": "search", "space": "conv", "recipe": "digits", "epochs": 3, "layers": 2, "checkpoint_minutes": 1.0}
CONFIG |= {"ops": "before/my_ops.py"}
OPTIONS = {
    "epochs": Option(1, "", resume="grow"),
    "layers": Option(1, ""),
    "nodes": Option(1, ""),
    "checkpoint_minutes": Option(1.0, "", resume="change"),
    "derive_num_sample": Option(1, "", resume="change"),
    "ops": Option("regular", "", resume="move"),
}


def small():
    """A learner on images of one pixel; enough of a model for the folder's tests."""
    network = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    network.build((None, 1, 1, 1))
    network.shares_statistics = False
    learner = build.training(network, 0.1, drop_path_prob=0.0)
    learner.compile(jit_compile=False)
    return learner


def small_job(model, callbacks=()):
    """Four steps an epoch, on batches that their numbers determine."""

    def batches(step):
        numbers = tf.data.Dataset.range(step, 10**9)
        return numbers.map(lambda i: (tf.fill((3, 1, 1, 1), tf.sin(tf.cast(i, tf.float32))), tf.constant([0, 1, 1])))

    return Job(model, batches, 4, lambda epoch: 0.1 / (epoch + 1), batches(0).take(2), callbacks)


@pytest.fixture
def log(tmp_path):
    return RunFolder.start(tmp_path, CONFIG)


def saved(log, model, *steps):
    for step in steps:
        model.step.assign(step)
        checkpoint.save(log, model, 10.0 * step)


def test_a_run_says_what_wrote_it(log):
    config = json.loads((log.folder / "config.json").read_text())
    assert config["format"] == 1 and config["versions"]["tfdarts"] == __version__
    assert {"python", "tensorflow", "keras", "numpy"} < set(config["versions"])
    assert log.folder.parent.name == "search_arch" and {name: config[name] for name in CONFIG} == CONFIG


def test_the_newest_two_checkpoints_are_kept(log):
    saved(log, small(), 1, 2, 10)
    assert [p.name[:20] for p in sorted(log.folder.glob("*.npz"))] == ["checkpoint_000000002", "checkpoint_000000010"]


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:99] + b"x" + data[100:], lambda _: b""])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(log, damage, capsys):
    model = small()
    saved(log, model, 1, 2)
    newest = max(log.folder.glob("*.npz"))
    newest.write_bytes(damage(newest.read_bytes()))
    values, seconds = checkpoint.restore(log, model)
    assert seconds == 10.0 and int(model.step.numpy()) == int(values["step"]) == 1
    assert f"{newest} is damaged" in capsys.readouterr().err
    for path in log.folder.glob("*.npz"):
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="start a new run"):
        checkpoint.restore(log, model)


def test_the_state_holds_metrics_and_optimizer():
    names = checkpoint.names(small())
    for part in ("weight_optimizer/buffer", "step", "learning_rate", "loss_metric/total", "score_metrics/0/count"):
        assert part in names
    assert sum(name.startswith("network/") for name in names) == 2  # kernel and bias


def test_lines_that_the_checkpoint_does_not_hold_are_dropped(log):
    for epoch in (1, 2, 3):
        log.append("metrics.jsonl", {"epoch": epoch})
    with (log.folder / "metrics.jsonl").open("a") as lines:
        lines.write('{"epoch": 4, "lo')
    log.forget_after(2)
    assert (log.folder / "metrics.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


def test_a_changed_configuration_is_refused_by_name(log):
    config = saved_config(log.folder, "search")
    assert config == CONFIG
    check_resumed(log.folder, config, {"epochs": 4, "checkpoint_minutes": 0.5, "ops": "after/my_ops.py"}, OPTIONS)
    check_resumed(log.folder, config, {"layers": 2, "epochs": 3, "space": "conv", "recipe": "digits"}, OPTIONS)
    for given, name in (
        ({"epochs": 2}, "--epochs 2 .was 3.;"),
        ({"layers": 3, "nodes": 4}, "--layers 3 .was 2., --nodes 4 .was None.;"),
        ({"recipe": "darts"}, "--recipe darts .was digits.;"),
        ({"ops": "after/other.py"}, "--ops after/other.py .was before/my_ops.py.;"),
        ({"ops": "regular"}, "--ops regular"),
        ({"derive_num_sample": 5}, "--derive_num_sample 5 .was None.;"),
    ):
        with pytest.raises(UserError, match=name):
            check_resumed(log.folder, config, given, OPTIONS)
    with pytest.raises(UserError, match="not the folder of a run"):
        saved_config(log.folder / "nothing", "search")
    with pytest.raises(UserError, match="is a search, which this command cannot go on with"):
        saved_config(log.folder, "train")


def test_a_folder_of_an_earlier_version_is_refused_but_read(log):
    config = json.loads((log.folder / "config.json").read_text())
    del config["format"]
    log.save_json("config.json", config)
    with pytest.raises(UserError, match="written by another version of tfdarts.*start a new run"):
        saved_config(log.folder, "search")
    assert not history.read(log.folder).training


def test_a_resumed_run_can_move_to_another_folder(log, tmp_path):
    saved(log, small(), 5)
    moved = RunFolder.resume(log.folder, tmp_path / "other", {"epochs": 9})
    assert moved.folder == tmp_path / "other" / "search_arch" / log.folder.name
    assert saved_config(moved.folder, "search")["epochs"] == 9
    assert int(checkpoint.restore(moved, small())[0]["step"]) == 5


def test_no_room_is_a_sentence_and_keeps_the_last_checkpoint(log):
    import resource

    model = small()
    saved(log, model, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(UserError, match="last checkpoint is intact"):
            saved(log, model, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    checkpoint.restore(log, model)
    assert int(model.step.numpy()) == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root can write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="--logdir"):
        RunFolder.start(tmp_path, CONFIG)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "logs").write_text("")
    with pytest.raises(UserError, match="--logdir"):
        RunFolder.start(tmp_path / "logs", CONFIG)


# Fitting.


def test_a_fit_without_a_folder_gives_the_same_and_writes_nothing(log, tmp_path, monkeypatch, capsys):
    model, other = small(), small()
    checkpoint.assign(other, {name: variable.numpy() for name, variable in checkpoint.names(model).items()})
    kept = fit(log, small_job(model), 2, 60.0)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    handlers = []
    look = StopAt(1, lambda _: handlers.append(signal.getsignal(signal.SIGTERM)))
    free = fit(None, small_job(other), 2, 60.0, [look])
    assert handlers == [signal.getsignal(signal.SIGTERM)]  # left alone
    assert not list(pathlib.Path.cwd().iterdir())
    assert kept.history == free.history and free.seconds > 0
    assert set(free.history) == {"loss", "accuracy", "top5", "val_loss", "val_accuracy", "val_top5", "learning_rate"}
    assert all(len(values) == 2 for values in free.history.values())
    for name, variable in checkpoint.names(model).items():
        np.testing.assert_array_equal(variable, checkpoint.names(other)[name], err_msg=name)
    assert "epoch 2 of 2" in capsys.readouterr().out
    lines = [json.loads(line) for line in (log.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["loss"] for line in lines] == free.history["loss"]


def test_a_run_that_a_callback_stops_is_not_begun_anew(log):
    model = small()
    saved(log, model, 2)

    def stop(model):
        model.stop_training = True

    fit(log, small_job(model), 3, 60.0, [StopAt(4, stop)])  # at the end of the epoch that was under way
    assert int(model.step.numpy()) == 4
    fit(log, small_job(model), 3, 60.0)
    assert int(model.step.numpy()) == 12


@pytest.mark.parametrize(
    "task,name,value,stops",
    [
        (Task, "loss", math.nan, True),
        (Task, "val_loss", math.inf, True),
        (Task, "reward", math.nan, True),
        (Task, "mean_reward", math.inf, True),
        (Task, "val_accuracy", math.nan, True),
        (TextTask, "perplexity", math.nan, True),
        (TextTask, "val_perplexity", math.inf, False),  # beyond the largest float32, of a loss that is finite
        (TextTask, "perplexity", math.inf, False),
        (TextTask, "loss", math.inf, True),
    ],
)
def test_any_metric_that_is_not_finite_stops(task, name, value, stops, log):
    model = small()
    model.task = task.__new__(task)
    keep = CheckpointCallback(log, 4, 3, 60.0, None, 0.0)
    keep.set_model(model)
    if not stops:
        return keep.on_train_batch_end(0, {"loss": 90.0, name: value})
    with pytest.raises(UserError, match=f"^{name} is not finite at step 0, .*; the last good checkpoint stays in"):
        keep.on_train_batch_end(0, {"loss": 90.0, name: value})


def test_a_table_names_its_candidates_once_if_all_choices_have_the_same():
    same = (Choice("0 to 1", ("a", "b")), Choice("0 to 2", ("a", "b")))
    rows = [np.array([0.25, 0.75]), np.array([0.1234567, 0.5])]
    expected = {"edges": ["0 to 1", "0 to 2"], "operations": ["a", "b"], "weights": [[0.25, 0.75], [0.123457, 0.5]]}
    assert json.loads(json.dumps(describe(same, rows))) == expected
    mixed = (same[0], Choice("0 to 2", ("c",)))
    line = json.loads(json.dumps(describe(mixed, [rows[0], np.array([1.0])])))
    assert line["operations"] == [["a", "b"], ["c"]] and line["weights"] == [[0.25, 0.75], [1.0]]


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path, command):
    far = ["--learning_rate", "1e30", "--grad_clip", "1e30"]
    err = command(*COMMANDS["train"], *far, "--logdir", tmp_path, code=2).stderr
    assert "Traceback" not in err
    line = err.splitlines()[-1]
    assert "not finite at step" in line and "learning rate 1e+30" in line and "smaller --learning_rate" in line
    for path in folder_of(tmp_path).glob("checkpoint_*.npz"):
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays.files)
