"""Parts of DARTS against their authors' programs: SmoothDARTS, beta-DARTS, FairDARTS, GDAS, DrNAS."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.support import build, reference
from tests.support.strategies import KINDS, NO_NONE, SHARED, Shared, pair
from tfdarts import operations, optimizers
from tfdarts.layers.choices import alike
from tfdarts.layers.sampled import sampled_edges
from tfdarts.spaces.conv.supernet import Supernet, strongest
from tfdarts.strategies.parts import MIXING, PERTURBATION, Moment
from tfdarts.strategies.parts.beta_darts import BetaDecay, beta_decay
from tfdarts.strategies.parts.drnas import Dirichlet, ToUniform, concentration, divergence, mean, sample, shares
from tfdarts.strategies.parts.fair_darts import Sigmoid, Threshold, ZeroOne, ZeroOneL1, every_edge, sparse, zero_one
from tfdarts.strategies.parts.gdas import Gumbel, gumbel, hard_sample
from tfdarts.strategies.parts.smooth_darts import RandomNoise, attacked, project, projected
from tfdarts.tasks.images import ImageTask
from tfdarts.training.learner import Call

REGULAR = operations.load("regular")
SDARTS = reference.load("strategies/sdarts/perturb")
ON_SUPERNET = reference.load("strategies/sdarts/supernet")
SDARTS_CONFIG = reference.load("strategies/sdarts/config.json")
BETA = reference.load("strategies/betadecay/cases.json")
FAIR = reference.load("strategies/fairdarts/supernet")
FAIR_CELLS = reference.load("strategies/fairdarts/genotypes.json")
GDAS, DRNAS = reference.load("strategies/gdas"), reference.load("strategies/drnas")


def cases(arrays):
    return sorted({name.split("/")[0] for name in arrays})


def tables(arrays, name):
    return {kind: tf.constant(arrays[f"{name}_{kind}"], tf.float64) for kind in KINDS}


@pytest.fixture(scope="module")
def shared():
    return Shared()


# SmoothDARTS


def test_projection():
    reference.close(project(tf.constant(SDARTS["clip/rows"])), SDARTS["clip/result"], 1e-12)


def test_edges_that_were_dropped_stay_dropped():
    mixing = {"t": tf.constant([[0.0, 0.0, 0.0], [0.2, 0.0, 0.8]])}
    noise = {"t": tf.constant([[0.1, -0.2, 0.3], [-0.9, 0.5, -0.9]])}
    reference.close(projected(mixing, noise)["t"], [[0, 0, 0], [0, 0, 1]], 0)
    found = attacked(mixing, noise, 0.3, lambda weights: tf.reduce_sum(weights["t"] * [[-1.0, 2.0, 3.0]]))["t"]
    reference.close(found, [[0, 0, 0], [0, 0, 1]], 0)


@pytest.mark.parametrize("case", cases(reference.group(SDARTS, "random/")))
def test_random_perturbation(case):
    stored = reference.group(SDARTS, f"random/{case}/")
    got = projected(tables(stored, "mixing"), tables(stored, "noise"))
    for kind in KINDS:
        reference.close(got[kind], stored[f"result_{kind}"], 1e-12)


@pytest.mark.parametrize("case", cases(reference.group(SDARTS, "adversarial/")))
def test_attack(case):
    stored = reference.group(SDARTS, f"adversarial/{case}/")
    c, q = tables(stored, "c"), tables(stored, "q")

    def loss(mixing):
        return sum(tf.reduce_sum(c[kind] * w + q[kind] * w * w / 2) for kind, w in mixing.items())

    mixing = {kind: tf.nn.softmax(table) for kind, table in tables(stored, "alphas").items()}
    got = attacked(mixing, tables(stored, "noise"), float(stored["epsilon"]), loss)
    for kind in KINDS:
        expected = mixing[kind] if stored["reverted"] else stored[f"result_{kind}"]
        reference.close(got[kind], np.asarray(expected), 1e-10)
    reference.close(loss(mixing), stored["loss_before"], 1e-10)


@pytest.mark.parametrize("case", ["random", "adversarial"])
def test_the_weights_step_under_perturbed_mixing_weights(case, shared, float64):
    stored, search = reference.group(ON_SUPERNET, case + "/"), shared.search()
    batch, _ = build.inputs(shared.batch("train"))
    mixing, noise = search.mixing(), tables(stored, "noise")

    @tf.function(autograph=False)
    def loss(changed):
        return ImageTask().loss(Call(shared.net, shared.weights, changed), batch, training=False)[0]

    found = projected(mixing, noise)
    if case == "adversarial":
        found = attacked(mixing, noise, float(stored["epsilon"]), loss)
        reference.close(loss(mixing), stored["loss_before"], 1e-10)
        reference.close(loss(found), stored["loss_after"], 1e-10)
    for kind in KINDS:
        reference.close(found[kind], stored[f"result_{kind}"], 1e-10)
    with tf.GradientTape() as tape:
        tape.watch(shared.weights)
        value, result, _ = search.pass_on(shared.weights, found, batch)
    gradient = tape.gradient(value, shared.weights)
    reference.close(result.logits, stored["weight_step/logits"], 1e-10)
    reference.close(value, stored["weight_step/loss"], 1e-10)
    reference.close(tf.norm(gradient), stored["weight_step/grad_norm_before_clip"], 1e-8)
    values = optimizers.unflatten(gradient, shared.net.trainable_variables)
    named = reference.arrays(shared.names, shared.net.trainable_variables, values)
    reference.close(named, reference.group(stored, "weight_step/grad_weights/"), 1e-8)


def test_the_radius_grows():
    for schedule in SDARTS_CONFIG["epsilon_schedule"]:
        part, epochs = RandomNoise(schedule["epsilon_alpha"]), schedule["epochs"]
        radii = [part.radius(epoch / epochs) for epoch in range(len(schedule["epsilons"]))]
        np.testing.assert_allclose(radii, schedule["epsilons"], rtol=1e-12)


def test_perturbation_leaves_what_does_not_exist_alone():
    mixing = {"t": tf.constant([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])}
    moment = Moment(tf.constant([3, 4], tf.int64), tf.constant(1.0))
    got = RandomNoise(0.3).perturb(mixing, None, moment)["t"].numpy()
    assert got[0, 2] == 0 and got[1, 2] > 0 and np.abs(got[1] - [0.2, 0.3, 0.5]).max() > 0.01
    np.testing.assert_allclose(got.sum(1), 1, rtol=1e-6)


# beta-DARTS


@pytest.mark.parametrize("case", BETA["cases"], ids=lambda case: f"{case['kind']} {case['epoch']}")
def test_beta_decay(case):
    alphas = tf.constant(case["alphas"], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        value = beta_decay({"one": alphas})
    reference.close(value, np.array(case["decay_loss"]), 1e-10)
    reference.close(tape.gradient(value, alphas), np.array(case["decay_gradient"]), 1e-10)
    with tf.GradientTape() as tape:  # the program's weight is half the epoch, of 100
        tape.watch(alphas)
        value = BetaDecay(50.0).penalty({"one": alphas}, case["epoch"] / 100)
    total = np.array(case["gradient_of_validation_loss"]) + tape.gradient(value, alphas)
    reference.close(total, np.array(case["total_gradient"]), 1e-10)
    adam, zero = BETA["adam"], tf.zeros_like(alphas)
    after, _, _ = optimizers.adam(
        alphas, total, zero, zero, 1, adam["learning_rate"], adam["betas"], adam["weight_decay"], adam["eps"]
    )
    reference.close(after, np.array(case["alphas_after_adam"]), 1e-10)


# FairDARTS


@pytest.mark.parametrize("form,penalty,weight", [("l2", ZeroOne, 10.0), ("l1", ZeroOneL1, 10.0), ("off", ZeroOne, 0.0)])
def test_gates_and_the_zero_one_loss(form, penalty, weight, shared, float64):
    stored = reference.group(FAIR, form + "/")
    search = shared.search(
        parts=[Sigmoid(), penalty(weight)], arch_learning_rate=3e-3, arch_betas=(0.9, 0.999), arch_weight_decay=1e-3
    )
    search.alphas.assign(pair(SHARED, "alphas"))
    for kind, gates in search.mixing().items():
        reference.close(gates, stored[f"gates_{kind}"], 1e-12)
    batch = build.inputs(shared.batch("valid"))
    gradient, (loss, _) = search.architecture_gradient(shared.weights, search.alphas.value, batch)
    reference.close(loss, stored["cross_entropy"], 1e-10)
    separate = zero_one(search.tables(search.alphas.value), penalty.distance)
    reference.close(weight * separate, weight * stored["separate_loss"], 1e-10)
    search.step.assign(1)
    search.step_architecture(gradient)
    reference.close(search.alphas, pair(stored, "alphas", "_after_adam"), 1e-10)


def test_gates_start_at_a_half(shared):
    search = build.search(shared.net, "first", parts=[Sigmoid()])
    assert not np.any(search.alphas.numpy())


@pytest.mark.parametrize("rule", [sparse, every_edge])
def test_a_threshold_passes_over_none(rule):
    net = Supernet(REGULAR, 3, channels=2, layers=1, nodes=1, multiplier=1)
    net.build((None, 8, 8, 1))
    search = build.search(net, "first", parts=[Sigmoid(), Threshold(rule)])
    alphas = np.zeros((2, 2, len(REGULAR.searched)))
    alphas[..., REGULAR.searched.index("none")] = 9.0
    alphas[:, 1, 3] = 0.5
    search.alphas.assign(alphas.ravel())
    assert search.genotype().normal == ((REGULAR.searched[3], 1),)


@pytest.mark.parametrize("case", FAIR_CELLS["cases"], ids=lambda case: case["kind"])
def test_cells_by_gates(case):
    table = alike(FAIR_CELLS["row_order"], FAIR_CELLS["primitives_order"])
    for kind in KINDS:
        gates, nodes = tf.sigmoid(tf.constant(case[f"alphas_{kind}"], tf.float64)), reference.nodes_of(len(table))
        found = strongest(gates, table, nodes)
        assert [[op, source] for op, _, source in found] == case["darts"][kind]
        for name, rule in (("threshold_sparse", sparse), ("threshold_edge", every_edge)):
            found = rule(gates.numpy(), table, nodes, FAIR_CELLS["op_threshold"])
            assert [[op, 2 + node, source] for op, node, source in found] == case[name][kind], name


@pytest.mark.parametrize("rule", [sparse, every_edge])
def test_a_threshold_that_nothing_reaches_leaves_the_largest_gate(rule, shared):
    search = build.search(shared.net, "first", parts=[Sigmoid(), Threshold(rule)])
    alphas = np.zeros((2, 5, 7))
    alphas[0, 1, 4], alphas[0, 4, 3], alphas[1, 2, 5] = 0.3, 5.0, 4.0  # (0, 1), (1, 2), (1, 0)
    search.alphas.assign(alphas.ravel())
    found = search.genotype()
    ops = NO_NONE.searched
    assert found.normal == ((ops[4], 1),) and found.inputs(False) == (1,) and found.normal_concat == (2,)
    assert found.reduce == ((ops[5], 0),) and found.inputs(True) == (0, 1) and found.reduce_concat == (3,)
    alphas[0, 1, 4] = 4.0
    search.alphas.assign(alphas.ravel())
    assert search.genotype().normal == ((ops[4], 1), (ops[3], 2))


def test_the_zero_one_loss_knows_what_exists():
    alphas = tf.constant([[1.0, 2.0, -np.inf], [0.5, -1.0, 3.0]])
    gates = 1 / (1 + np.exp(-np.array([1.0, 2.0, 0.5, -1.0, 3.0])))
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        value = zero_one({"t": alphas})
    np.testing.assert_allclose(value, -np.mean((gates - 0.5) ** 2), rtol=1e-6)
    assert np.all(np.isfinite(tape.gradient(value, alphas)))


# GDAS


@pytest.mark.parametrize("case", cases(GDAS))
def test_hard_samples(case):
    stored = reference.group(GDAS, case + "/")
    alphas = tf.constant(stored["alphas"])
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        hard, soft = hard_sample(alphas, tf.constant(stored["gumbels"]), float(stored["tau"]))
        total = tf.reduce_sum(hard * stored["cotangent"])
    np.testing.assert_array_equal(tf.argmax(hard, -1), stored["index"])
    reference.close(hard, stored["hard"], 1e-12)
    reference.close(soft, stored["soft"], 1e-9)
    reference.close(tape.gradient(total, alphas), stored["grad_alphas"], 1e-9)


def test_gumbel_draws_and_temperatures():
    noise = gumbel((100_000,), tf.constant([1, 2], tf.int64), tf.float32).numpy()
    assert abs(noise.mean() - 0.5772) < 0.02 and abs(noise.var() - np.pi**2 / 6) < 0.04
    part = Gumbel(10.0, 0.1, 5)
    np.testing.assert_allclose([part.tau(epoch / 5) for epoch in range(5)], np.linspace(10, 0.1, 5), rtol=1e-6)


def test_each_table_and_each_pass_has_numbers_of_its_own(shared):
    search = build.search(shared.net, "first", parts=[Gumbel()])
    seeds = [search.moment(part).seeds(use, {"a": 0, "b": 0}) for part in (0, 1) for use in (MIXING, PERTURBATION)]
    assert len({tuple(seed.numpy()) for each in seeds for seed in each.values()}) == 8


FEW = dataclasses.replace(REGULAR, searched=("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_5x5"))


def small(layers=1, **options):
    net = Supernet(FEW, 3, 2, layers, 2, 2, **options)
    net.build((None, 8, 8, 1))
    return net


def one_hots(seed, net):
    generator, result = np.random.default_rng(seed), {}
    for name, table in net.choices.items():
        result[name] = tf.one_hot(generator.integers(0, len(table[0].candidates), len(table)), len(table[0].candidates))
    return result


def copy_samples(sampled, full):
    """Gives the sampled supernet the weights of the full one, edge by edge."""
    names = reference.named(full)
    values = reference.read(names)
    for name in ("stem", "classifier"):
        for one, two in zip(getattr(sampled, name).variables, getattr(full, name).variables):
            one.assign(two)
    for c, (cell, other) in enumerate(zip(sampled.cells, full.cells)):
        for name in ("preprocess0", "preprocess1"):
            for one, two in zip(getattr(cell, name).variables, getattr(other, name).variables):
                one.assign(two)
        for source, edges in zip(cell.sources, cell.edges):
            form = *edges.form, edges.candidates[0]
            parts = [(op, reference.variables(layer)) for op, layer in zip(form[-1], edges.traced.operations[form])]
            for vector, target in zip(edges.vectors, edges.targets):
                prefix = f"cells/{c}/edges/({target},{source})/"
                own = [values[prefix + f"{op}/{name}"] for op, variables in parts for name in variables]
                vector.assign(np.concatenate([np.zeros(0), *(value.ravel() for value in own)]))


def test_sampled_edges_are_the_full_supernet_with_one_hot_weights(float64):
    sampled, full = small(edges=sampled_edges()), small()
    copy_samples(sampled, full)
    x, labels = tf.random.stateless_normal((4, 8, 8, 1), (0, 1), dtype=tf.float64), tf.constant([0, 1, 2, 0])

    @tf.function(autograph=False)
    def run(net_number, mixing):
        net = (sampled, full)[net_number]
        values = [v.value for v in net.stem.trainable_variables + net.classifier.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(mixing)
            logits = net(x, mixing, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        return logits, *tape.gradient(loss, [values, mixing], unconnected_gradients=tf.UnconnectedGradients.ZERO)

    for seed in range(3):
        mixing = {name: tf.cast(table, tf.float64) for name, table in one_hots(seed, full).items()}
        (logits, values, weights), (expected, others, full_weights) = run(0, mixing), run(1, mixing)
        reference.close(logits, expected.numpy(), 1e-10)
        for one, two in zip(values, others):
            reference.close(one, two.numpy(), 1e-8)
        for name, table in mixing.items():  # the gradient for what was drawn; the others were not computed
            reference.close(tf.convert_to_tensor(weights[name]), (full_weights[name] * table).numpy(), 1e-8)


def test_one_trace_serves_every_sample():
    net = small(3, edges=(edges := sampled_edges()))
    functions, run = edges.keywords["traced"].functions, tf.function(net.call, autograph=False)
    for seed in range(3):
        run(tf.zeros((2, 8, 8, 1)), one_hots(seed, net), training=True)
    # Stride 1 and 2 at two reductions, and the maps before them; for any batch, when built, and for this one.
    assert [function.experimental_get_tracing_count() for function in functions.values()] == [1] * 10


def test_a_sampled_edge_keeps_the_start_of_its_operations():
    first, second = small(edges=sampled_edges()), small(edges=sampled_edges())
    edges, others = first.cells[0].edges[0], second.cells[0].edges[0]
    for row in range(2):
        none, pool, skip, sep, dil = edges.weights_of(row)
        assert not none and not pool and len(sep) == 4 and dil[0].shape == (5, 5, 4, 1)
        assert 0.1 < np.abs(sep[0]).max() <= 1 / 3  # uniform up to 1 / sqrt(9)
    values = [layer.weights_of(row)[3][0].numpy() for layer in (edges, others) for row in range(2)]
    assert all(np.abs(one - two).max() > 0.01 for k, one in enumerate(values) for two in values[:k])


# DrNAS


def expected_gradient(alphas, x, cotangent):
    """The mean of our estimator's gradient given the sample, over the sum of its Gamma variables, by quadrature.

    That sum is a Gamma variable of the total concentration, and tells nothing about the sample.
    """
    c = concentration(alphas)
    total = tf.reduce_sum(c, -1)
    nodes, weights = np.polynomial.legendre.leggauss(400)
    result = []
    for row in range(len(alphas)):
        a = float(total[row])
        # Over the logarithm of the sum, wherever it has weight.
        low = (np.log(1e-17) + np.log(a)) / a if a < 1 else np.log(a) - 12 / np.sqrt(a)
        high = np.log(a + 60 + 12 * np.sqrt(a))
        t = (high - low) / 2 * nodes + (high + low) / 2
        logs = a * t - np.exp(t) - float(tf.math.lgamma(total[row]))
        density = np.exp(logs) * weights * (high - low) / 2
        gammas = tf.constant(np.exp(t))[:, None] * x[row]
        slopes = tf.raw_ops.RandomGammaGrad(alpha=tf.broadcast_to(c[row], gammas.shape), sample=gammas)
        with tf.GradientTape() as tape:
            tape.watch(gammas)
            value = tf.reduce_sum(tf.reduce_sum(shares(gammas) * cotangent[row], -1) * density)
        result.append(tf.reduce_sum(tape.gradient(value, gammas) * slopes, 0))
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        c = concentration(alphas)
    return tape.gradient(c, alphas, output_gradients=tf.stack(result))


@pytest.mark.parametrize("case", cases(DRNAS))
def test_dirichlet(case):
    """Concentrations, divergence, and the gradient: given the sample, its mean is the exact gradient of the golden."""
    stored = reference.group(DRNAS, case + "/")
    alphas = tf.constant(stored["alphas"])
    reference.close(concentration(alphas), stored["concentration"], 1e-12)
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        value = divergence(alphas)
    reference.close(value, stored["kl"], 1e-9)
    reference.close(tape.gradient(value, alphas), stored["kl_grad_alphas"], 1e-9)
    np.testing.assert_allclose(ToUniform(0.5).penalty({"a": alphas}, 0.0), stored["kl"] / 2, rtol=1e-9)
    got = expected_gradient(alphas, tf.constant(stored["sample"]), stored["cotangent"])
    reference.close(got, stored["grad_alphas"], 1e-9)


def test_the_gradient_through_samples_is_that_of_the_mean():
    alphas, cotangent = tf.constant([[0.3, -1.0, 1.5, -np.inf]]), tf.constant([[1.0, -2.0, 0.5, 7.0]])
    many = tf.repeat(alphas, 20_000, 0)
    with tf.GradientTape() as tape:
        tape.watch(many)
        drawn = sample(many, tf.constant([5, 6], tf.int64))
        total = tf.reduce_sum(drawn * cotangent)
    gradients = tape.gradient(total, many).numpy()
    with tf.GradientTape() as tape:
        tape.watch(alphas)
        value = tf.reduce_sum(mean(alphas) * cotangent)
    expected = tape.gradient(value, alphas)[0].numpy()
    spread = gradients.std(0) / np.sqrt(len(many))
    assert np.all(np.abs(gradients.mean(0) - expected) <= 4 * spread + 1e-9) and np.all(spread[:3] < 0.05)
    np.testing.assert_allclose(drawn.numpy().mean(0), mean(alphas)[0], atol=0.01)
    assert not np.any(drawn[:, 3])


@pytest.mark.parametrize("part", [Dirichlet(), Gumbel(), Sigmoid()], ids=lambda part: type(part).__name__)
def test_what_does_not_exist_weighs_nothing(part):
    alphas = {"t": tf.constant([[0.1, 0.2, -np.inf], [1.0, -2.0, 0.5]])}
    for moment in (None, Moment(tf.constant([1, 2], tf.int64), tf.constant(0.0))):
        with tf.GradientTape() as tape:
            tape.watch(alphas)
            mixing = part.mixing(alphas, moment)["t"]
            value = tf.reduce_sum(mixing * tf.constant([[1.0, 2.0, 3.0], [3.0, 5.0, 1.0]]))
        assert mixing[0, 2] == 0
        gradient = tape.gradient(value, alphas)["t"]
        assert gradient is None or np.all(np.isfinite(gradient))
    assert part.strengths(alphas)["t"][0, 2] == 0
