"""Every operation module in a whole search: stopped and gone on with, drawn, dry-run."""

import os
import pathlib
import signal
import types

import keras
import numpy as np
import pytest

from tfdarts import cost, operations, recipes
from tfdarts.report import drawing as visualize
from tfdarts.runs import run

ROOT = pathlib.Path(__file__).parent.parent
TINY = {"init_channels": 2, "layers": 1, "nodes": 1, "multiplier": 1, "batch_size": 300, "epochs": 2}
MODULES = {
    "attention": {"ops": "attention"},
    "att-darts": {"location": "after_every_and_end"},
    "approximate": {"ops": "approximate", "mul_table": "truncated:4"},
    "example": {"ops": str(ROOT / "examples" / "my_ops.py")},
}


class Stop(keras.callbacks.Callback):
    """Sends the signal of a polite kill at a step."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.step.numpy()) == 3:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("name", MODULES)
def test_a_stopped_search_goes_on_to_the_same_bits(name, tmp_path):
    common = {"seed": 0, "checkpoint_minutes": 60.0, "jit_compile": False, "deterministic": True}
    common |= dict.fromkeys(operations.option_flags())
    options = recipes.resolve("digits", "search", TINY | MODULES[name], common)
    options = types.SimpleNamespace(**vars(options), seen=None)
    keras.utils.set_random_seed(0)
    job = on_images.search(options)
    network, start = job.model.network, [v.numpy() for v in job.model.state()]
    run.fit(run.Run.start(tmp_path / "whole", "search_arch", options), job, 2, 60.0)
    whole = [v.numpy() for v in job.model.state()]
    same = {v.path for v, old, new in zip(job.model.state(), start, whole) if np.array_equal(old, new)}
    assert not same & {v.path for v in network.variables}

    run.assign(job.model, start)
    log = run.Run.start(tmp_path / "cut", "search_arch", options)
    with pytest.raises(run.Stopped):
        run.fit(log, job, 2, 60.0, [Stop()])
    assert run.saved_options(log.folder, "search", {}) == options
    run.assign(job.model, [value + 1 for value in start])
    run.fit(run.Run.resume(log.folder, None, options), job, 2, 60.0, [run.Genotypes(log)])
    for variable, expected in zip(job.model.state(), whole):
        np.testing.assert_array_equal(variable, expected, err_msg=variable.path)

    found = job.model.genotype()
    assert (log.folder / "train" / "genotype_epoch_2").read_text() == found.to_json()
    for path, reduction in zip(visualize.draw(found, tmp_path / "cell", "svg"), (False, True)):
        drawn = path.read_text().replace("&#45;", "-")
        for op, _, attention in found.edges(reduction):
            assert op in drawn and attention in drawn
        assert found.bottleneck(reduction) in drawn
    report = on_images.search_costs(options)
    assert report["parameters"] == cost.count_parameters([network])
    assert min(report["multiply_adds"], report["peak_memory_estimate_bytes"]) > 0
