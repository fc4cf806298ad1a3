"""Searches with the parts of DARTS's descendants: stopped and gone on with, refused combinations, warm-up."""

import keras
import numpy as np
import pytest

from tests.support.jobs import CONV, StopAt, assign_state, job_of
from tfdarts import recipes
from tfdarts.options import OptionError
from tfdarts.runs.callbacks import Stopped
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder
from tfdarts.strategies.parts import smooth_darts

RENET = {"nodes": 1, "nhid": 4, "layers": 1, "batch_size": 300, "unrolled": False}
SEARCHES = {
    "gumbel": ("digits", CONV | {"mixing": "gumbel", "penalty": "beta"}),
    "partial": (
        "digits",
        CONV | {"partial_channels": 2, "edge_normalization": True, "mixing": "dirichlet", "penalty": "kl"},
    ),
    "adversarial": ("digits", CONV | {"perturb": "adversarial", "arch_grad_clip": 1.0}),
    "warm-up": ("digits", CONV | {"arch_begin": 1, "mixing": "sigmoid", "penalty": "zero_one"}),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_stopped_search_goes_on_to_the_same_bits(name, tmp_path, monkeypatch):
    monkeypatch.setattr(smooth_darts, "ASCENTS", 2)
    settings, data, job = job_of(*SEARCHES[name])
    start = [v.numpy() for v in job.model.state()]
    fit(RunFolder.start(tmp_path / "whole", settings.to_config()), job, 2, 60.0)
    whole, found = [v.numpy() for v in job.model.state()], job.model.genotype()
    searched = job.model.alphas.numpy()
    assert np.all(np.isfinite(searched)) and np.any(searched != start[_place(job.model)])
    if name == "warm-up":
        assert int(job.model.arch_step.numpy()) == int(job.model.step.numpy()) // 2

    assign_state(job.model, start)
    log = RunFolder.start(tmp_path / "cut", settings.to_config() | {"data_info": data.remembered})
    with pytest.raises(Stopped):
        fit(log, job, 2, 60.0, [StopAt(3)])
    _, _, again = job_of(*SEARCHES[name])
    fit(RunFolder.resume(log.folder), again, 2, 60.0)
    for variable, expected in zip(again.model.state(), whole):
        np.testing.assert_array_equal(variable, expected, err_msg=variable.path)
    assert again.model.genotype() == found


def test_a_search_that_a_part_stopped_stays_stopped(tmp_path):
    settings, data, job = job_of("digits", CONV | {"stop": "skips", "stop_skips": 1, "ops": "regular"})
    choice = job.model.choices["normal"][0]
    row = np.array(choice.candidates) == "skip_connect"
    job.model.alphas.assign(np.tile(5.0 * row, len(job.model.alphas.numpy()) // len(row)))
    log = RunFolder.start(tmp_path, settings.to_config() | {"data_info": data.remembered})
    fit(log, job, 2, 60.0)
    stopped = {"stopped_after_epoch": 1, "genotype_of_epoch": 1}
    assert int(job.model.step.numpy()) == job.steps and job.model.over == stopped
    _, _, again = job_of("digits", CONV | {"stop": "skips", "stop_skips": 1, "ops": "regular"})
    fit(RunFolder.resume(log.folder), again, 2, 60.0)
    assert int(again.model.step.numpy()) == job.steps and again.model.over == stopped
    assert again.model.genotype() == job.model.genotype()


def _place(model):
    return next(place for place, variable in enumerate(model.state()) if variable is model.alphas)


@pytest.mark.parametrize("part", [{"mixing": "gumbel"}, {"mixing": "dirichlet"}, {"perturb": "random"}])
def test_cells_that_sweep_images_draw_and_perturb_too(part, request):
    _, _, job = job_of("renet_digits", RENET | part)
    before, batch = job.model.alphas.numpy(), next(iter(job.batches(0)))
    request.getfixturevalue("eagerly")
    job.model.train_step(batch)
    assert np.all(np.isfinite(job.model.alphas)) and np.any(job.model.alphas.numpy() != before)


COMBINED = {
    "gumbel, second order": {"mixing": "gumbel", "unrolled": True},
    "partial, Att-DARTS": {"partial_channels": 2, "edge_normalization": True, "location": "after_every_and_end"},
    "gumbel, attention": {"mixing": "gumbel", "ops": "attention"},
    "adversarial, approximate": {"perturb": "adversarial", "ops": "approximate", "mul_table": "truncated:4"},
}


@pytest.mark.parametrize("values", COMBINED.values(), ids=COMBINED)
def test_parts_go_with_orders_locations_and_operation_modules(values, request):
    _, _, job = job_of("digits", CONV | {"ops": "regular", "batch_size": 8} | values)
    before, batch = job.model.alphas.numpy(), next(iter(job.batches(0)))
    request.getfixturevalue("eagerly")
    job.model.train_step(batch)
    after = job.model.alphas.numpy()
    assert np.all(np.isfinite(after)) and np.any(after != before)


def test_weights_alone_learn_before_the_architecture(tmp_path):
    _, _, job = job_of("digits", CONV | {"arch_begin": 1})
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((self.model.alphas.numpy(), self.model.weights_vector().numpy(), set(logs)))

    start = job.model.alphas.numpy(), job.model.weights_vector().numpy()
    fit(RunFolder.start(tmp_path, {"stage": "search"}), job, 2, 60.0, [Look()])
    (alphas, weights, logs), (later, _, more) = seen
    np.testing.assert_array_equal(alphas, start[0])
    assert np.any(weights != start[1]) and np.any(later != alphas)
    assert "arch_loss" not in logs and "arch_loss" in more


@pytest.mark.parametrize(
    "values,sentence",
    [
        ({"mixing": "gumbel", "perturb": "random"}, "--perturb random needs --mixing softmax"),
        ({"penalty": "kl"}, "--penalty kl needs --mixing dirichlet"),
        ({"penalty": "zero_one"}, "--penalty zero_one needs --mixing sigmoid"),
        ({"tau_min": 20.0, "mixing": "gumbel"}, "--tau_min must be at most --tau_max"),
        ({"tau_max": 20.0}, "--tau_max has no meaning with --mixing softmax"),
        ({"penalty_weight": 1.0}, "--penalty_weight has no meaning with --penalty none"),
        ({"epsilon_alpha": 1.0}, "--epsilon_alpha has no meaning with --perturb none"),
        ({"arch_begin": 15}, "--arch_begin must be below --epochs"),
        ({"mixing": "gumbel", "jit_compile": True}, "XLA cannot compile sampled paths"),
        ({"mixing": "hardmax"}, "--mixing must be softmax or sigmoid or gumbel or dirichlet"),
        ({"partial_channels": 3}, "--init_channels must be a multiple of --partial_channels"),
    ],
)
def test_refused(values, sentence):
    with pytest.raises(OptionError, match=sentence):
        recipes.resolve("digits", "search", values)


def test_a_space_without_channels_has_no_such_options():
    with pytest.raises(OptionError, match="has no such option"):
        recipes.resolve("renet_digits", "search", {"partial_channels": 2})
