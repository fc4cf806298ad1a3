"""The search for attention modules (Att-DARTS) against the reference's cells, network and genotypes."""

import numpy as np
import pytest
import tensorflow as tf

from tests import reference
from tfdarts import space
from tfdarts.genotype import Genotype
from tfdarts.space import LOCATIONS
from tfdarts.strategies.darts import Darts
from tfdarts.supernet import Supernet

TABLES = {"alphas": "{}", "betas": "{}_after", "gammas": "{}_end"}


def mixing_of(raw, kind):
    """Tables of mixing weights from the reference's raw parameters by their names there."""
    return {
        TABLES[name].format(kind): tf.nn.softmax(value if value.shape.rank == 2 else value[None])
        for name, value in raw.items()
    }


@pytest.mark.parametrize("kind", ["normal", "reduction"])
@pytest.mark.parametrize("location", list(LOCATIONS))
def test_cell_matches_reference(location, kind, floatx):
    stored = reference.group(reference.load(f"attsearch/cell_{location}"), kind + "/")
    tolerance = 1e-5 if floatx == "float32" else 1e-6
    layers, channels = (3, 16) if kind == "normal" else (1, 8)  # so that the first cell is of the kind, and has 16
    net = Supernet(space.load("regular", location), 10, channels, layers, nodes=2, multiplier=2)
    s0, s1, cotangent = (tf.constant(stored[name], floatx) for name in ("s0", "s1", "cotangent"))
    raw = {name: tf.constant(stored[name], floatx) for name in TABLES if name in stored}
    cell, ours = net.cells[0], "normal" if kind == "normal" else "reduce"
    cell(s0, s1, weights=net._by_source(mixing_of(raw, ours), ours), training=False)
    names, weights = reference.named_cell(cell), reference.group(stored, "weights/")
    assert {name for name, (variable, _) in names.items() if variable.trainable} == set(weights)
    reference.assign(names, weights)
    with tf.GradientTape() as tape:
        tape.watch([s0, s1, raw])
        output = cell(s0, s1, weights=net._by_source(mixing_of(raw, ours), ours), training=True)
        total = tf.reduce_sum(output * cotangent)
    gradients = tape.gradient(total, {"s0": s0, "s1": s1, **raw})
    reference.close(output, stored["output"], tolerance, "output")
    for name, gradient in gradients.items():
        reference.close(gradient, stored[f"grad_{name}"], tolerance, name)
