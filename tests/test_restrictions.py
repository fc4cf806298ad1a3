"""Candidates edge by edge, and noise as an operation."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.support import reference
from tests.support.jobs import CONV, job_of
from tfdarts import operations, recipes, spaces
from tfdarts.genotype import NONE
from tfdarts.spaces.conv import restrictions

REGULAR = operations.load("regular")
STORED = reference.load("strategies/robustdarts_spaces.json")


@pytest.mark.parametrize("name", STORED)
def test_the_spaces_of_robust_darts(name):
    found = restrictions.load("" if name == "s5" else name, REGULAR, reference.nodes_of(len(STORED[name]["normal"])))
    assert {kind: [list(names) for names in rows] for kind, rows in found.items()} == STORED[name]


def test_without_none_and_a_file(tmp_path):
    assert restrictions.load("without_none", REGULAR, 2)["reduce"] == (REGULAR.searched[1:],) * 5
    rows = {"normal": [["skip_connect"], ["none", "sep_conv_3x3"]], "reduce": [["noise", "skip_connect"]] * 2}
    (tmp_path / "own.json").write_text(json.dumps(rows))
    found = restrictions.load(str(tmp_path / "own.json"), REGULAR, 1)
    assert found["normal"] == (("skip_connect",), ("none", "sep_conv_3x3"))


@pytest.mark.parametrize(
    "text,sentence",
    [
        ("[1]", "must be an object of the lists normal and reduce"),
        ('{"normal": [["skip_connect"]], "reduce": 3}', "must be an object"),
        ("{", "takes s1, s2, s3, s4, without_none or a JSON file; cannot read"),
        ('{"normal": [["skip_connect"]], "reduce": [["skip_connect"]]}', "normal: 1 edges, where a cell has 2"),
        ('{"normal": [["skip_connect"], ["warp"]], "reduce": []}', "edge 1 names 'warp'; there are none"),
        ('{"normal": [["skip_connect"], [["skip_connect"]]], "reduce": []}', "edge 1 names"),
        ('{"normal": [["none"], ["skip_connect"]], "reduce": []}', "edge 0 needs different operations"),
        ('{"normal": [["skip_connect", "skip_connect"], ["none"]], "reduce": []}', "edge 0 needs different"),
    ],
)
def test_bad_files(text, sentence, tmp_path):
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(restrictions.RestrictionError, match=sentence):
        restrictions.load(str(path), REGULAR, 1)


def test_what_a_file_is_not_told_to_be():
    with pytest.raises(restrictions.RestrictionError, match="cannot read 's9'"):
        restrictions.load("s9", REGULAR, 1)
    with pytest.raises(restrictions.RestrictionError, match="leave out --location"):
        restrictions.load("s1", operations.load("regular", location="after_every"), 4)


def test_a_command_answers_with_a_sentence(command):
    arguments = ["search_cell.py", "--recipe", "digits", "--restrict", "nowhere.json"]
    assert command(*arguments, code=2).stderr.startswith("error: --restrict takes s1,")


@pytest.mark.parametrize("name", ["s1", "s4"])
def test_random_draws_keep_to_the_candidates(name):
    space, settings = spaces.load("conv"), recipes.resolve("digits", "search", {"restrict": name})
    for genotype in space.random(20, 0, **settings.pick(space.random)):
        for kind in restrictions.KINDS:
            for entry, (op, source) in enumerate(getattr(genotype, kind)):
                node = entry // 2
                assert op in STORED[name][kind][node * (node + 3) // 2 + source] and op != NONE


def test_a_search_of_noise_and_convolutions():
    """Its candidates are the restriction's, a step is a function of what goes in, its genotype has a network."""
    values = {name: value for name, value in CONV.items() if name != "ops"} | {"restrict": "s4"}
    _, _, job = job_of("digits", values)
    search, batch = job.model, next(iter(job.batches(0)))
    assert {choice.candidates for choice in search.choices["normal"]} == {("noise", "sep_conv_3x3")}
    inputs = search._inputs(batch[0], 0)
    one, two = (search.pass_on(search.weights_vector(), search.mixing(), inputs[0])[0] for _ in range(2))
    assert float(one) == float(two)
    mixing = {name: tf.one_hot([0] * len(table), 2) for name, table in search.choices.items()}
    found = search.supernet.genotype(mixing)
    assert {op for op, _ in found.normal} == {"noise"}
    net = spaces.load("conv").network(
        found, spaces.base.ImageInputs((8, 8, 1), 10),
        init_channels=2, layers=1, auxiliary=False, network="cifar", stem_multiplier=3,
    )  # fmt: skip
    assert np.all(np.isfinite(net(batch[0][0])))


@pytest.mark.parametrize("stride", [1, 2])
def test_noise(stride, floatx):
    layer = REGULAR.build("noise", 3, stride, 4, False)
    x, weights = tf.random.normal((5, 9, 9, 3), dtype=floatx), tf.constant([1.0, 2.0, 0.0, 1.0], floatx)
    with tf.GradientTape() as tape:
        tape.watch([x, weights])
        y = layer(x, weights=weights)
    assert y.shape == (5, 9 // stride + 9 % stride if stride == 2 else 9, 5 if stride == 2 else 9, 12)
    parts = np.split(np.array(y), 4, -1)
    assert abs(parts[0].std() - 1) < 0.1 and abs(parts[1].std() - 2) < 0.2 and not parts[2].any()
    assert np.abs(parts[0] - parts[3]).max() > 1
    np.testing.assert_array_equal(layer(x, weights=weights), y)
    assert np.abs(layer(x + 1, weights=weights) - y).max() > 1
    gradients = tape.gradient(y, [x, weights])
    assert gradients[0] is None and gradients[1] is not None
