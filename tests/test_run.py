"""Runs that are stopped, killed, damaged, and go on to the same bits."""

import json
import os
import random
import signal
import time

import keras
import numpy as np
import pytest

from tests.support.commands import Fresh
from tests.support.runs import COMMANDS, folder_of, kill_at, outcome
from tfdarts.errors import UserError
from tfdarts.runs import run
from tfdarts.training.learner import Learner


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


class Small(Learner):
    """Fits a constant; enough of a model for the folder's tests."""

    def __init__(self):
        layer = keras.layers.Dense(1)
        layer.build((None, 1))
        network = keras.Sequential([layer])
        network.build((None, 1))
        super().__init__(network, 0.1, 0.9, 0.0, 5.0)
        self.built = True


@pytest.fixture
def log(tmp_path):
    options = run.types.SimpleNamespace(stage="search", epochs=3, layers=2, checkpoint_minutes=1.0)
    return run.Run.start(tmp_path, "search_arch", options)


def saved(log, model, *steps):
    for step in steps:
        model.step.assign(step)
        log.save_checkpoint(model, 10.0 * step)


def test_the_newest_two_checkpoints_are_kept(log):
    saved(log, Small(), 1, 2, 10)
    assert [p.name[:20] for p in sorted(log.folder.glob("*.npz"))] == ["checkpoint_000000002", "checkpoint_000000010"]


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:99] + b"x" + data[100:], lambda _: b""])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(log, damage, capsys):
    model = Small()
    saved(log, model, 1, 2)
    newest = max(log.folder.glob("*.npz"))
    newest.write_bytes(damage(newest.read_bytes()))
    values, seconds = log.restore(model)
    assert seconds == 10.0 and int(model.step.numpy()) == 1
    assert f"{newest} is damaged" in capsys.readouterr().err
    for path in log.folder.glob("*.npz"):
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="start a new run"):
        log.restore(model)


def test_a_checkpoint_of_another_network_is_refused(log):
    model = Small()
    saved(log, model, 1)
    model.extra = model.add_weight(name="extra", shape=(3,))
    with pytest.raises(UserError, match="another network"):
        log.restore(model)


def test_the_state_holds_metrics_and_optimizer():
    model = Small()
    names = " ".join(v.path for v in model.state())
    for part in ("kernel", "bias", "momentum", "step", "learning_rate", "loss/total", "accuracy/count"):
        assert part in names


def test_lines_that_the_checkpoint_does_not_hold_are_dropped(log):
    for epoch in (1, 2, 3):
        log.append("metrics.jsonl", {"epoch": epoch})
    with (log.folder / "metrics.jsonl").open("a") as lines:
        lines.write('{"epoch": 4, "lo')
    log.forget_after(2)
    assert (log.folder / "metrics.jsonl").read_text() == '{"epoch": 1}\n{"epoch": 2}\n'


def test_a_changed_configuration_is_refused_by_name(log):
    assert run.saved_options(log.folder, "search", {"epochs": 4, "checkpoint_minutes": 2.0}).epochs == 4
    assert run.saved_options(log.folder, "search", {"layers": 2}).layers == 2
    for given, name in (({"epochs": 2}, "--epochs 2"), ({"layers": 3, "nodes": 4}, "--layers 3 .was 2., --nodes 4")):
        with pytest.raises(UserError, match=name):
            run.saved_options(log.folder, "search", given)
    with pytest.raises(UserError, match="not the folder of a run"):
        run.saved_options(log.folder / "nothing", "search", {})
    with pytest.raises(UserError, match="is a run of"):
        run.saved_options(log.folder, "train", {})


def test_a_resumed_run_can_move_to_another_folder(log, tmp_path):
    saved(log, Small(), 5)
    moved = run.Run.resume(log.folder, tmp_path / "other", run.types.SimpleNamespace(epochs=9))
    assert moved.folder == tmp_path / "other" / "search_arch" / log.folder.name
    assert json.loads((moved.folder / "config.json").read_text())["epochs"] == 9
    assert int(moved.restore(Small())[0][[v.path.endswith("step") for v in Small().state()].index(True)]) == 5


def test_no_room_is_a_sentence_and_keeps_the_last_checkpoint(log):
    import resource

    model = Small()
    saved(log, model, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(UserError, match="last checkpoint is intact"):
            saved(log, model, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log.restore(model)
    assert int(model.step.numpy()) == 1


@pytest.mark.skipif(os.getuid() == 0, reason="root can write anywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="--logdir"):
        run.Run.start(tmp_path, "search_arch", run.types.SimpleNamespace())


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "logs").write_text("")
    with pytest.raises(UserError, match="--logdir"):
        run.Run.start(tmp_path / "logs", "search_arch", run.types.SimpleNamespace())


def test_a_loss_that_is_not_finite_stops_with_advice(tmp_path, command):
    far = ["--learning_rate", "1e30", "--grad_clip", "1e30"]
    err = command(*COMMANDS["train"], *far, "--logdir", tmp_path, code=2).stderr
    assert "Traceback" not in err
    line = err.splitlines()[-1]
    assert "not finite at step" in line and "learning rate 1e+30" in line and "smaller --learning_rate" in line
    for path in folder_of(tmp_path).glob("checkpoint_*.npz"):
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[name]).all() for name in arrays.files)
