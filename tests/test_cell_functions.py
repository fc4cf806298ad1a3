"""Cells as functions: the same bits when maps are computed again, the same values by XLA, memory that is known of."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.support import build, kinds
from tfdarts import api, cost, operations
from tfdarts.errors import UserError
from tfdarts.layers import cell_functions, choices
from tfdarts.options import Settings
from tfdarts.runs import environment, memory
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.spaces.nb201.supernet import Nb201Supernet
from tfdarts.strategies.parts import drnas, fair_darts, smooth_darts

REGULAR = operations.load("regular")
FEW = dataclasses.replace(REGULAR, searched=("none", "max_pool_3x3", "skip_connect", "dil_conv_3x3"))
TINY = dataclasses.replace(REGULAR, searched=("skip_connect", "dil_conv_3x3"))  # all compiles in deterministic mode too
ATTENTIVE = dataclasses.replace(operations.load("regular", location="end"), searched=FEW.searched)
ATTENTIVE = dataclasses.replace(ATTENTIVE, after=("SE", "GE_theta-plus"), end=("SE", "BAM"))
SEARCHES = {
    "plain": {},
    "attention behind edges and cells": {"operations": ATTENTIVE, "channels": 16, "layers": 1},
    "partial channels": {"layers": 1, "channels": 8, "partial_channels": 2, "edge_normalization": True},
}
PARTS = {
    "sigmoid": (fair_darts.Sigmoid(),),
    "dirichlet": (drnas.Dirichlet(),),
    "adversarial": (smooth_darts.Adversarial(0.3),),
}


def batch(size=3, channels=3):
    images = tf.random.stateless_normal((4, 8, 8, channels), (size, 0), dtype=tf.keras.backend.floatx())
    return images, tf.constant([0, 1, 2, 0])


def supernet(operations=FEW, channels=4, layers=2, **options):
    net = Supernet(operations, 3, channels, layers, 2, 2, **options)
    net.build((None, 8, 8, 3))
    return net


def functions(network, remat="none", jit_compile=False):
    """Has the cells of a network run as functions; gives these."""
    cell_functions.use(network, remat=remat, jit_compile=jit_compile)
    (found,) = {layer.functions for layer in network._flatten_layers() if hasattr(layer, "joined")}
    return found


def gradients(search, data, dropped=None):
    """What a pass of a search gives: gradients for weights and architecture, loss, logits, new statistics."""
    search.forget_graphs()
    weights, alphas, (result, state) = search._both(
        search.weights_vector(), search.alphas.value, ((*data, dropped or {}), search.moment(0))
    )
    return [weights, alphas, result.loss, result.logits, *state]


def same_bits(one, two):
    assert len(one) == len(two) > 4
    for place, (a, b) in enumerate(zip(one, two)):
        np.testing.assert_array_equal(a, b, err_msg=str(place))


@pytest.mark.parametrize("case", SEARCHES)
def test_a_search_that_computes_maps_again_has_the_same_bits(case):
    search, data = build.search(supernet(**SEARCHES[case]), "first"), batch()
    plain = gradients(search, data)
    assert all(np.any(value) for value in plain[:2])
    used = functions(search.supernet, "cell")
    assert used.recompute and not used.jit_compile
    same_bits(gradients(search, data), plain)


def test_so_has_one_with_dropout_behind_skip_connections():
    search, data = build.search(supernet(), "first"), batch()
    dropped = {"skip_dropout": (tf.constant([5, 7], tf.int64), tf.constant(0.3))}
    plain = gradients(search, data, dropped)
    assert np.any(np.asarray(plain[0]) != np.asarray(gradients(search, data)[0]))
    functions(search.supernet, "cell")
    same_bits(gradients(search, data, dropped), plain)


@pytest.mark.parametrize("part", PARTS)
def test_so_have_parts(part):
    def step():
        search = build.search(net, "second" if part == "sigmoid" else "first", parts=PARTS[part])
        for variable, value in zip(net.variables, start):
            variable.assign(value)
        search.alphas.assign(tf.linspace(-0.5, 0.5, search.alphas.shape[0]))
        result = search.stepping(tf.function(search.train_step, autograph=False))((batch(1), batch(2)))
        search.settle()
        return [result["loss"], search.alphas.numpy(), *(v.numpy() for v in net.variables)]

    net = supernet(layers=1)
    start = [v.numpy() for v in net.variables]
    plain = step()
    assert any(np.any(a != b) for a, b in zip(plain[2:], start))
    functions(net, "cell")
    same_bits(step(), plain)


def test_so_has_the_search_of_nas_bench_201():
    net = Nb201Supernet(3, 4, 1)
    net.build((None, 8, 8, 3))
    search, data = build.search(net, "first"), batch()
    plain = gradients(search, data)
    functions(net, "cell")
    same_bits(gradients(search, data), plain)


@pytest.mark.parametrize(
    "kind",
    ["conv", "conv, --ops approximate", "conv, --ops attention", "nb201", "micro"],
    ids=lambda kind: kind.split()[-1],
)
def test_so_has_a_training_on_the_variables_themselves(kind):
    """With drop-path and an auxiliary head where there are such; statistics are set once."""
    network = kinds.KINDS[kind]()
    start, data = [v.numpy() for v in network.variables], batch()
    learner = build.training(network, drop_path_prob=0.0 if kind == "nb201" else 0.3, epochs=1)

    def step():
        for variable, value in zip(network.variables, start):
            variable.assign(value)
        for variable in (learner.step, learner.weight_optimizer.buffer):
            variable.assign(tf.zeros_like(variable))
        learner.epoch.assign(1)
        learner.reset_metrics()
        result = learner.stepping(tf.function(learner.train_step, autograph=False))(data)
        learner.settle()
        return [result["loss"], *(v.numpy() for v in network.variables)]

    plain = step()
    moving = [place for place, v in enumerate(network.variables) if not v.trainable]
    assert moving and all(np.any(plain[1 + place] != start[place]) for place in moving)
    used = functions(network, "cell")
    same_bits(step(), plain)
    before = [v.numpy() for v in network.variables]
    network(data[0], training=False)
    same_bits([v.numpy() for v in network.variables], before)
    assert used.functions


def calls(concrete):
    """The calls of functions in a graph."""
    return [op for op in concrete.graph.get_operations() if op.type.endswith("PartitionedCall")]


@pytest.mark.parametrize("remat", cell_functions.REMAT)
def test_xla_gives_the_same_values_and_compiles_each_shape_once(remat, float64):
    candidates = (("skip_connect",),) * 5 + (("skip_connect", "nor_conv_1x1"),)
    net = Nb201Supernet(3, 4, 2, candidates)  # two cells of each shape
    net.build((None, 8, 8, 3))
    search, data = build.search(net, "first"), batch()
    plain = gradients(search, data)
    used = functions(net, remat, jit_compile=True)
    for value, expected in zip(gradients(search, data), plain, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)
    assert len(used.functions) == 3
    (concrete,) = search._both._list_all_concrete_functions()
    found = calls(concrete)
    assert len(found) == 6 + 6 and all(op.get_attr("_XlaMustCompile") for op in found)
    assert len({op.get_attr("f").name for op in found}) == 3 + 3  # forward, backward
    traces = [function.experimental_get_tracing_count() for function in compiled(used)]
    again = search._both(search.weights_vector(), search.alphas.value, ((*data, {}), None))
    assert np.isfinite(again[0]).all() and search._both.experimental_get_tracing_count() == 1
    assert traces == [1] * len(traces)
    assert traces == [function.experimental_get_tracing_count() for function in compiled(used)]


def compiled(used):
    """The `tf.function`s among a network's functions."""
    if used.recompute:
        return [each for function in used.functions.values() for each in (function.forward, function.backward)]
    return [*used.functions.values()]


def test_xla_compiles_cells_with_two_inputs(float64):
    search, data = build.search(supernet(TINY, layers=1), "first"), batch()
    plain = gradients(search, data)
    functions(search.supernet, jit_compile=True)
    for value, expected in zip(gradients(search, data), plain, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layers", [8, 20])
def test_the_papers_network_has_five_shapes_of_cells(layers):
    """The channels, the size of the maps and whether it is a reduction: the rest differs before the cell alone."""
    net = supernet(TINY, layers=layers)
    used = functions(net, "cell")
    mixing = {name: choices.uniform(table) for name, table in net.choices.items()}
    tf.function(net, autograph=False).get_concrete_function(tf.TensorSpec((2, 8, 8, 3)), mixing, training=True)
    assert len(used.functions) == 5
    tf.function(net, autograph=False).get_concrete_function(tf.TensorSpec((2, 8, 8, 3)), mixing, training=True)
    assert len(used.functions) == 5


def test_what_has_no_cells_is_refused():
    for options, name in (({"remat": "cell"}, "--remat cell"), ({"jit_compile": True}, "--jit_compile")):
        with pytest.raises(UserError, match=f"{name} is for networks of stacked cells"):
            cell_functions.use(kinds.KINDS["renet, lstm"](), **{"remat": "none", "jit_compile": False} | options)


def test_xla_is_not_deterministic():
    with pytest.raises(UserError, match="--jit_compile does not go with --deterministic"):
        environment.configure(deterministic=True, jit_compile=True)


def test_costs_know_of_cells_whose_maps_are_computed_again():
    net = supernet(dataclasses.replace(ATTENTIVE, after=(), end=("GE_theta-plus",)), channels=8)  # products by weights
    mixing = {name: choices.uniform(table) for name, table in net.choices.items()}

    def forward(x, training=True):
        return net(x, mixing, training=training)

    def found():
        graph = cost._trace(forward, (6, 8, 8, 3))
        again = [called for op in graph.get_operations() if cost._again(op) for called in cost._called(op)]
        return cost._maps(graph, (4,)), [cost._maps(called, (4,)) for called in again]

    products, (every, none) = cost.multiply_adds(lambda x: forward(x, False), (8, 8, 3)), found()
    functions(net, "cell")
    kept, inside = found()
    assert products == cost.multiply_adds(lambda x: forward(x, False), (8, 8, 3))
    assert none == [] and len(inside) == 2
    outputs = 6 * 4 * 2 * sum(cell.channels * size**2 for cell, size in zip(net.cells, (4, 2)))
    assert every - sum(inside) == kept - outputs and kept < every / 2


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(
            None, None, "OOM when allocating tensor with shape[64,32,32,256] on /device:GPU:0"
        ),
        tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory [Op:AddV2]"),
        tf.errors.InternalError(
            None, None, "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes"
        ),
        tf.errors.InternalError(None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"),
        tf.errors.UnknownError(None, None, "CUDNN_STATUS_ALLOC_FAILED in cudnn_impl.cc"),
        MemoryError(),
    ],
)
def test_memory_that_ran_out_on_a_gpu_has_the_sentence_of_a_cpu(error, monkeypatch):
    values = {"batch_size": 64, "epochs": 1, "checkpoint_minutes": 10.0}

    def fit(*_):
        raise error

    monkeypatch.setattr(api, "fit", fit)
    with pytest.raises(UserError, match=r"^out of memory; try --batch_size 32 \(--dry_run estimates"):
        api.fit_search(None, Settings("search", None, "conv", values), None)


def test_other_errors_of_tensorflow_are_none_of_memory():
    assert not memory.ran_out(tf.errors.InternalError(None, None, "cuBLAS is not there"))
