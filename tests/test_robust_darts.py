"""RobustDARTS: the stopping rule, the Hessian's largest eigenvalue, searches that stop or go back, the report."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support import build, precision, reference
from tests.support.jobs import CONV, StopAt, assign_state, job_of
from tfdarts import api, operations, optimizers, recipes, spaces
from tfdarts.errors import UserError
from tfdarts.options import OptionError
from tfdarts.report import html
from tfdarts.runs import history
from tfdarts.runs.callbacks import Stopped
from tfdarts.runs.folder import RunFolder
from tfdarts.spaces.base import ImageInputs, TextInputs
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.strategies import curvature, monitors
from tfdarts.strategies.parts import robust_darts
from tfdarts.tasks.text import TextTask

SEQUENCES = reference.load("strategies/early_stop.json")


@pytest.mark.parametrize("number", range(len(SEQUENCES)))
def test_the_rule_on_the_authors_programs_decisions(number):
    case, found = SEQUENCES[number], None
    for count in range(1, len(case["eigenvalues"]) + 1):
        place = robust_darts.named(case["eigenvalues"][:count], case["delta"], case["factor"], case["window"])
        if place is not None and place * case["every"] >= case["start"]:
            found = {"decided_at": (count - 1) * case["every"], "stop_epoch": place * case["every"]}
            break
    assert found == case["stop"]


class OfMemory:
    """A search that has a memory, and nothing else."""

    def __init__(self, memory):
        self.memory = memory


@pytest.mark.parametrize("number", range(0, len(SEQUENCES), 3))
def test_a_memory_of_few_measurements_decides_alike(number):
    case = SEQUENCES[number]
    memory, logs = robust_darts.Memory(1, case["delta"], case["start"]), {}
    part = robust_darts.RiseStop(case["factor"], case["delta"])
    for place, eigenvalue in enumerate(case["eigenvalues"]):
        epoch = place * case["every"]
        memory.add(epoch, eigenvalue, [epoch / 100])
        logs = {"eigenvalue": eigenvalue}
        if part.stop(OfMemory(memory), logs):
            break
    if case["stop"] is None:
        assert memory.named.numpy() == robust_darts.NOTHING
        return
    assert (epoch, int(memory.named.numpy())) == (case["stop"]["decided_at"], case["stop"]["stop_epoch"])
    np.testing.assert_allclose(memory.named_alphas(), [case["stop"]["stop_epoch"] / 100], rtol=1e-6)
    assert logs["genotype_of_epoch"] == case["stop"]["stop_epoch"] + 1
    assert logs["eigenvalue_average"] > logs["eigenvalue_threshold"]


def test_a_memory_forgets():
    memory = robust_darts.Memory(1, delta=1, start=0)
    for epoch in range(8):
        memory.add(epoch, 10.0 * epoch, [epoch])
    memory.forget_after(4)
    epochs, values = memory.known()
    assert epochs.tolist() == [2, 3, 4] and values.tolist() == [20, 30, 40]
    memory.add(8, 1.0, [8])
    assert memory.known()[0].tolist() == [2, 3, 4, 8]
    memory.named.assign(4)
    assert memory.named_alphas().tolist() == [4]


# The eigenvalue


@pytest.mark.parametrize("size", [1, 2, 30])
def test_lanczos(size):
    matrix = np.random.default_rng(size).normal(size=(size, size))
    matrix = matrix + matrix.T
    found = curvature.largest_eigenvalue(matrix.__matmul__, size, tolerance=1e-8)
    expected = np.linalg.eigvalsh(matrix)[-1]
    assert found.converged and found.asymmetry < 1e-12
    np.testing.assert_allclose(found.value, expected, rtol=1e-9)


def test_lanczos_says_what_it_could_not_do():
    matrix = np.diag(np.linspace(1, 1.1, 200))
    found = curvature.largest_eigenvalue(matrix.__matmul__, 200, most=3)
    assert not found.converged and found.residual > 1e-3 * found.value
    assert curvature.largest_eigenvalue(np.zeros((4, 4)).__matmul__, 4).value == 0
    assert curvature.largest_eigenvalue(np.triu(np.ones((4, 4))).__matmul__, 4).asymmetry > 0.1


FEW = dataclasses.replace(operations.load("regular"), searched=("max_pool_3x3", "sep_conv_3x3", "skip_connect"))


def small(known=FEW, **options):
    keras.utils.set_random_seed(0)
    net = Supernet(known, 3, channels=2, layers=2, nodes=1, multiplier=1)
    net.build((None, 8, 8, 1))
    search = build.search(net, "first", **options)
    search.alphas.assign(np.random.default_rng(1).normal(size=search.alphas.shape))
    return search


def images(dtype="float32", count=6):
    x = np.random.default_rng(0).normal(size=(count, 8, 8, 1))
    return tf.constant(x, dtype), tf.constant([0, 1, 2] * (count // 3))


def hessian_by_differences(search, batch, step=1e-6):
    """The whole Hessian, column by column, by differences of first derivatives."""
    inputs, start, columns = build.inputs(batch), search.alphas.value, []
    weights = search.weights_vector()
    for unit in np.eye(start.shape[0]):
        ends = [search.architecture_gradient(weights, start + sign * step * unit, inputs)[0] for sign in (1, -1)]
        columns.append((ends[0] - ends[1]).numpy() / (2 * step))
    return np.array(columns)


def test_the_eigenvalue_is_that_of_the_whole_hessian(float64):
    search, batch = small(), images("float64")
    found = curvature.Hessian(search, batch).largest(tolerance=1e-5)
    values = np.linalg.eigvalsh(hessian_by_differences(search, batch))
    assert found.converged and values[-1] > 1e-4
    np.testing.assert_allclose(found.value, values[-1], rtol=1e-6)


def test_single_precision_is_close_to_double():
    with precision.floatx("float64"):
        double = small()
        expected = curvature.Hessian(double, images("float64")).largest().value
    single = small()
    assign_state(single, [variable.numpy() for variable in double.state()])
    np.testing.assert_allclose(curvature.Hessian(single, images()).largest().value, expected, rtol=1e-3)


@pytest.mark.parametrize("module", ["attention", "examples/my_ops.py"])
def test_modules_whose_gradients_are_exact(module, float64):
    search, batch = small(operations.load(module)), images("float64")
    hessian, inputs, weights = curvature.Hessian(search, batch), build.inputs(batch), search.weights_vector()
    hessian.check()
    vector = np.random.default_rng(2).normal(size=search.alphas.shape)
    ends = [search.architecture_gradient(weights, search.alphas.value + h * vector, inputs)[0] for h in (1e-6, -1e-6)]
    reference.close(hessian.products()(vector), (ends[0] - ends[1]).numpy() / 2e-6, 1e-6)


def test_a_gradient_of_its_own_is_refused():
    search = small(operations.load("approximate", {"mul_table": "truncated:4"}))
    hessian = curvature.Hessian(search, images())
    with pytest.raises(UserError, match="not symmetric"):
        hessian.check()


def test_recurrent_cells(float64):
    known = operations.load("recurrent", recurrent=True)
    for name in ("renet", "recurrent"):
        space = spaces.load(name)
        if name == "renet":
            options = {"nhid": 4, "layers": 1, "rnn_cell": "vanilla", "nodes": 1, "classifier_range": 0.5}
            net = space.supernet(ImageInputs((8, 8, 1), 3), ops="recurrent", **options)
            search, batch = build.search(net, "first"), images("float64")
        else:
            net = space.supernet(TextInputs(11), nhid=4, nodes=2, ops="recurrent")
            search = build.search(net, "first")
            search.task = TextTask(4, 3, 5, {"dropout": 0.5}, searches=True)
            tokens = tf.constant(np.random.default_rng(0).integers(0, 11, (6, 3)), tf.int32)
            batch = tokens[:-1], tokens[1:], tf.constant(1.0, tf.float64), tf.constant(True)
        assert net.choices["recurrent"][0].candidates == known.searched
        hessian = curvature.Hessian(search, batch)
        hessian.check()
        found = hessian.largest()
        assert found.converged and found.value > 0 and found.asymmetry < 1e-8


# The gap


def test_the_discretised_cell_is_the_genotypes():
    search = small()
    tables, genotype = monitors.discretised(search), search.genotype()
    for kind in ("normal", "reduce"):
        assert {(row, column) for row, column in np.argwhere(tables[kind].numpy())} == {
            (source, FEW.searched.index(op)) for op, source in getattr(genotype, kind)
        }
    search.alphas.assign(100 * np.concatenate([tables[kind].numpy().ravel() for kind in ("normal", "reduce")]))
    gap = monitors.Gap([images()])
    assert gap(search) == 0 and 0 <= gap.accuracy(tables) <= 1


def test_weights_of_inputs_and_attention_are_discretised_too():
    known = operations.load("regular", location="after_every_and_end")
    net = Supernet(known, 3, channels=16, layers=1, nodes=2, multiplier=1, partial_channels=2, edge_normalization=True)
    net.build((None, 8, 8, 1))
    tables = monitors.discretised(build.search(net, "first"))
    assert set(tables) == set(net.choices)
    for kind in ("normal", "reduce"):
        rows = tables[kind].numpy().sum(1)
        assert rows.tolist()[:2] == [1, 1] and rows[2:].sum() == 2
        np.testing.assert_array_equal(tables[kind + "_after"].numpy().sum(1), rows)
        np.testing.assert_array_equal(tables[kind + "_inputs"].numpy(), [[1, 1, 0], rows[2:]])
        assert tables[kind + "_end"].numpy().sum() == 1


# Searches

RISE = CONV | {"stop_delta": 1, "stop_start": 0, "stop_factor": 0.2}  # what is far from a rise stops them, soon
SEARCHES = {
    "eigenvalue": RISE | {"stop": "eigenvalue", "epochs": 6, "monitors": "gap"},
    "adaptive": RISE | {"stop": "adaptive", "epochs": 6},
}


def lines_of(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_a_search_that_stops_takes_the_earlier_cell_also_after_a_kill(tmp_path, capsys):
    settings, data, job = job_of("digits", SEARCHES["eigenvalue"])
    start = [v.numpy() for v in job.model.state()]
    whole = api.fit_search(job, settings, RunFolder.start(tmp_path / "whole", settings.to_config()))
    metrics = lines_of(whole.folder)
    assert "stopped after epoch 4: the largest eigenvalue" in capsys.readouterr().out
    assert [line["epoch"] for line in metrics] == [1, 2, 3, 4] and metrics[-1]["genotype_of_epoch"] == 1
    assert whole.genotype.to_json() == (whole.folder / "train/genotype_epoch_1").read_text() and "gap" in metrics[0]
    first = json.loads((whole.folder / "mixing.jsonl").read_text().splitlines()[0])["tables"]["normal"]["weights"]
    np.testing.assert_allclose(whole.mixing["normal"], first, atol=1e-6)
    assert whole.stopped == json.loads((whole.folder / "stop.json").read_text())
    assert whole.stopped == {"stopped_after_epoch": 4, "genotype_of_epoch": 1}

    _, _, again = job_of("digits", SEARCHES["eigenvalue"])
    resumed = cut_and_resumed(5, job, again, start, settings, data, tmp_path)
    same_run(resumed, whole, metrics)
    # One that has stopped stays so.
    assign_state(again.model, start)
    assert api.fit_search(again, settings, RunFolder.resume(resumed.folder)).genotype == whole.genotype
    assert lines_of(resumed.folder) == metrics


def cut_and_resumed(step, job, again, start, settings, data, tmp_path):
    """A search from the state `start` on, killed at a step, and gone on with by another job, as by another process."""
    assign_state(job.model, start)
    log = RunFolder.start(tmp_path / f"cut at {step}", settings.to_config() | {"data_info": data.remembered})
    with pytest.raises(Stopped):
        api.fit_search(job, settings, log, [StopAt(step)])
    assign_state(again.model, start)
    return api.fit_search(again, settings, RunFolder.resume(log.folder))


def same_run(resumed, whole, metrics):
    assert resumed.genotype == whole.genotype and lines_of(resumed.folder) == metrics and len(metrics) > 3
    for name in whole.mixing:
        np.testing.assert_array_equal(resumed.mixing[name], whole.mixing[name])


def test_a_search_goes_back_under_more_weight_decay_also_after_a_kill(tmp_path):
    settings, data, job = job_of("digits", SEARCHES["adaptive"])
    start, steps = [v.numpy() for v in job.model.state()], job.steps
    states = []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            states.append([v.numpy() for v in self.model.rewound()])

    log = RunFolder.start(tmp_path / "whole", settings.to_config())
    whole = api.fit_search(job, settings, log, [Look()])
    expected, metrics = [v.numpy() for v in job.model.state()], lines_of(whole.folder)
    assert metrics[3]["went_back_to"] == 1 and "went_back_to" not in metrics[4] and len(metrics) == 6
    decays = [line["weight_decay"] for line in metrics]
    np.testing.assert_allclose(decays, [3e-4] * 4 + [9e-4] * 2, rtol=1e-6)
    for back, after_one_epoch, now in zip(states[4], states[1], states[3]):
        np.testing.assert_array_equal(back, after_one_epoch)
        assert back.size < 2 or np.any(back != now) or not np.any(back)
    assert not (whole.folder / "states").exists() and whole.stopped is None
    _, _, again = job_of("digits", SEARCHES["adaptive"])
    for step in (4 * steps, 4 * steps + 1):  # before it goes back, and just after
        resumed = cut_and_resumed(step, job, again, start, settings, data, tmp_path)
        for variable, value in zip(resumed.model.state(), expected, strict=True):
            np.testing.assert_array_equal(variable, value, err_msg=variable.path)
        same_run(resumed, whole, metrics)


class OfStates(OfMemory):
    """A search whose state is a number, for `Adaptive`."""

    def __init__(self, delta, decay, epochs=100):
        super().__init__(robust_darts.Memory(1, delta, 0))
        self.weight_optimizer, self.epochs = optimizers.Sgd(0.1, weight_decay=decay, decay_varies=True), epochs
        self.weight_optimizer.build(1)
        self.state, self.epoch = keras.Variable([0.0]), keras.Variable(0.0)

    def rewound(self):
        return [self.state]


@pytest.mark.parametrize("in_folder", [False, True])
def test_the_weight_decay_rises_to_the_largest_and_no_further(in_folder, tmp_path):
    search, part = OfStates(1, 3e-4), robust_darts.Adaptive(1.1, 1)
    back, decays, reason = robust_darts.GoBack(part.states), [], None
    back.set_model(search)
    if in_folder:
        part.states.open(tmp_path)
    for epoch in range(100):
        search.epoch.assign(epoch)
        back.on_epoch_begin(epoch)
        search.state.assign_add([1.0])
        search.memory.add(epoch, 2.0 ** float(search.state.numpy()[0]), [0.0])  # rises all the time
        logs = {"eigenvalue": 0.0}
        reason = part.stop(search, logs)
        decays.append(logs["weight_decay"])
        if reason:
            break
    # Decided on the fourth measurement at first, then every time three measurements after the state gone back to.
    np.testing.assert_allclose(sorted(set(decays)), [3e-4, 9e-4, 2.7e-3, 8.1e-3, 0.0243], rtol=1e-5)
    assert "the genotype is that of epoch" in reason and search.state.numpy()[0] == 4 and len(decays) == 16
    part.states.clear()
    assert not list(tmp_path.iterdir()) and not part.states.held
    with pytest.raises(UserError, match="can no longer grow"):
        back.on_train_begin()


def test_the_last_epoch_ends_a_search_instead_of_going_back():
    search, part = OfStates(1, 3e-4, epochs=4), robust_darts.Adaptive(1.1, 1)
    for epoch in range(4):
        search.epoch.assign(epoch)
        search.memory.add(epoch, 2.0**epoch, [0.0])
        reason = part.stop(search, {"eigenvalue": 0.0})
    assert "genotype is that of epoch 1" in reason and search.memory.named.numpy() == 0


def test_a_collapse_that_is_watched_names_the_flag(capsys, monkeypatch):
    monkeypatch.setattr(robust_darts, "START", 0)
    search, rising = small(remembers={"start": 0}), iter(2.0 ** np.arange(20))
    search.alphas.assign(np.zeros(search.alphas.shape))

    class Rising:
        def largest(self):
            return curvature.Eigenvalue(next(rising), 0.5, False, 0.0, 1)

    costly = monitors.Costly(None, None, 1)
    costly.hessian = Rising()
    costly.set_model(search)
    for epoch in range(12):
        costly.on_epoch_end(epoch, {})
    said = capsys.readouterr().err
    assert "known but to a residual of 0.5" in said and said.count("--stop eigenvalue would have stopped here") == 1
    assert "by epoch 7" in said and "genotype of epoch 1\n" in said


def test_the_report_shows_where_it_stopped(tmp_path):
    lines = [{"epoch": k, "loss": 1.0, "eigenvalue": 0.1 * k, "eigenvalue_threshold": 0.5} for k in range(1, 9)]
    lines[3]["went_back_to"], lines[-1]["genotype_of_epoch"] = 2, 3
    config = {"recipe": "digits", "epochs": 8, "seed": 0, "strategy": "darts", "stage": "search", "space": "conv"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"command": ["search_cell.py"], "format": 1}))
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = html.page([history.read(tmp_path)], lambda run: [])
    chart = text.partition("Largest eigenvalue of the Hessian")[2].partition("</svg>")[0]
    assert "eigenvalue_threshold" in chart and "genotype taken" in chart and "gone back to" in chart
    assert "that of epoch 3" in text and "genotype_of_epoch" not in text
    plain = html.page([history.read(tmp_path)], lambda run: []).partition(">Loss<")[2].partition("</svg>")[0]
    assert "genotype taken" not in plain


@pytest.mark.parametrize(
    "values,sentence",
    [
        ({"monitors": "hessian"}, "--monitors takes eigenvalue and gap"),
        ({"monitor_every": 2}, "--monitor_every has no meaning without --monitors"),
        ({"monitors": "eigenvalue", "mixing": "gumbel"}, "--mixing gumbel has no Hessian"),
        ({"stop": "adaptive", "mixing": "gumbel", "epochs": 50}, "--mixing gumbel has no Hessian"),
        ({"monitors": "gap", "partial_channels": 2}, "needs --edge_normalization"),
        ({"stop": "eigenvalue", "select": "perturbation", "epochs": 50}, "needs --select magnitude"),
        ({"stop": "eigenvalue", "epochs": 16}, "can decide after 17 epochs at the earliest, of 16"),
        ({"stop": "adaptive", "epochs": 50, "weight_decay": 0.0}, "needs a weight decay above 0"),
        ({"stop_factor": 1.2}, "--stop_factor has no meaning with --stop none"),
        ({"stop": "never"}, "--stop must be none or skips or eigenvalue or adaptive"),
    ],
)
def test_refused(values, sentence):
    with pytest.raises(OptionError, match=sentence):
        recipes.resolve("digits", "search", values)
