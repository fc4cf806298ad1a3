"""Every operation module in a whole search: stopped and gone on with, drawn, dry-run."""

import numpy as np
import pytest

from tests.support.commands import ROOT
from tests.support.jobs import StopAt, assign_state, job_of
from tfdarts import cost, spaces, tasks
from tfdarts.options import Settings
from tfdarts.report import drawing as visualize
from tfdarts.runs.callbacks import GenotypeCallback, Stopped
from tfdarts.runs.fit import fit
from tfdarts.runs.folder import RunFolder, saved_config
from tfdarts.strategies import darts

TINY = {"unrolled": False, "init_channels": 2, "layers": 1, "nodes": 1, "multiplier": 1, "batch_size": 300, "epochs": 2}
MODULES = {
    "attention": {"ops": "attention"},
    "att-darts": {"location": "after_every_and_end"},
    "approximate": {"ops": "approximate", "mul_table": "truncated:4"},
    "example": {"unrolled": True, "ops": str(ROOT / "examples" / "my_ops.py")},
}


@pytest.mark.parametrize("name", MODULES)
def test_a_stopped_search_goes_on_to_the_same_bits(name, tmp_path):
    settings, data, job = job_of("digits", TINY | MODULES[name])
    space, task = spaces.load("conv"), tasks.load("images")
    network, start = job.model.network, [v.numpy() for v in job.model.state()]
    fit(RunFolder.start(tmp_path / "whole", settings.to_config()), job, 2, 60.0)
    whole = [v.numpy() for v in job.model.state()]
    same = {v.path for v, old, new in zip(job.model.state(), start, whole) if np.array_equal(old, new)}
    assert not same & {v.path for v in network.variables}

    assign_state(job.model, start)
    log = RunFolder.start(tmp_path / "cut", settings.to_config() | {"data_info": data.remembered})
    with pytest.raises(Stopped):
        fit(log, job, 2, 60.0, [StopAt(3)])
    saved = Settings.from_config(saved_config(log.folder, "search"), space.options("search", "darts"))
    assert saved == settings
    assign_state(job.model, [value + 1 for value in start])
    fit(RunFolder.resume(log.folder), job, 2, 60.0, [GenotypeCallback(log)])
    for variable, expected in zip(job.model.state(), whole):
        np.testing.assert_array_equal(variable, expected, err_msg=variable.path)

    found = job.model.genotype()
    assert (log.folder / "train" / "genotype_epoch_2").read_text() == found.to_json()
    for path, reduction in zip(visualize.draw(found, tmp_path / "cell", "svg"), (False, True)):
        drawn = path.read_text().replace("&#45;", "-")
        for op, _, attention in found.edges(reduction):
            assert op in drawn and attention in drawn
        assert found.bottleneck(reduction) in drawn
    inputs = task.known_inputs(**settings.pick(task.known_inputs))
    report = darts.costs(space, task, inputs, settings)
    assert report["parameters"] == cost.count_parameters([network])
    assert min(report["multiply_adds"], report["peak_memory_estimate_bytes"]) > 0
