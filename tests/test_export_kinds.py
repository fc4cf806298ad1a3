"""Every kind of network into every format, as `export.py --list` says: within the limits, or refused by a sentence."""

import functools
import json
import re

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tf2onnx")

from tests.support import kinds
from tests.support.commands import ROOT
from tfdarts.export import check, convert, formats, litert, metadata, signature, table

# The converter's own process is told of no deprecation either.
pytestmark = pytest.mark.filterwarnings("ignore")
FLOATS = [column for column in formats.columns() if column[1] is None]
IDS = [re.sub(r"\W+", "_", kind) for kind in kinds.KINDS]
SMALLER = [column for column in formats.columns() if column[1]]


@functools.cache
def case(kind):
    """A network, inputs, what it gives for them, and the operations in its graph."""
    network = kinds.network(kind)
    if network.task == "text":
        tokens = np.random.default_rng(0).integers(0, network.words, (4, 5)).astype(np.int32)
        inputs = {"tokens": tokens, "state": np.zeros((1, network.units), np.float32)}
    else:
        inputs = {"image": kinds.pixels(network, 20, 1)}
    exported = signature.of(network)
    run, _ = convert.keras_function(exported)
    return network, inputs, check.outputs(run, inputs), convert.operations(exported)


def test_the_table_has_every_kind():
    assert table.KINDS.keys() == kinds.KINDS.keys()
    lines = table.text().splitlines()
    assert [line[:28].strip() for line in lines[1 : len(kinds.KINDS) + 1]] == [*kinds.KINDS]
    assert lines[1].split() == ["conv", *["yes"] * 4, "try", "yes"]
    assert table.text() in (ROOT / "docs" / "deploying.md").read_text()
    assert lines[5].split() == ["conv,", "--ops", "approximate", "yes", *["no"] * 5]


@pytest.mark.parametrize("kind", kinds.KINDS, ids=IDS)
def test_float32(kind, tmp_path):
    network, inputs, expected, operations = case(kind)
    for name, quantize in FLOATS:
        module = formats.FORMATS[name]
        if table.mark(kind, (name, quantize)) == "no":
            assert f"lacks {litert.ROUNDING}" in module.refusal(operations, quantize)
            continue
        assert module.refusal(operations, quantize) is None
        path = tmp_path / f"file{module.ENDING}"
        module.write(network, path, False, None, [], metadata.of(network, kinds.CLASSES, False, None))
        model = check.load(path)
        found = check.differences(check.outputs(model, inputs), expected)
        assert formats.verdict(found, name, None) is None
        genotype = network.genotype and network.genotype.to_dict()
        assert (model.metadata["labels"], model.metadata["task"]) == (kinds.CLASSES, network.task)
        assert model.metadata["genotype"] == json.loads(json.dumps(genotype))
        assert found["agreement"] == 1 and found["softmax_difference"] < 1e-5


@pytest.mark.parametrize("kind", kinds.KINDS, ids=IDS)
def test_smaller_numbers(kind, tmp_path):
    network, inputs, expected, operations = case(kind)
    columns = [column for column in SMALLER if litert.refusal(operations, column[1]) is None]
    assert bool(columns) is (table.mark(kind, ("litert", "float16")) != "no")
    litert.trace(network, False, tmp_path / "saved") if columns else None
    for name, quantize in columns:
        calls = [{"image": image[None]} for image in kinds.pixels(network, 40, 2)] if "image" in inputs else None
        calls = calls or [{"tokens": tokens[:, None], "state": inputs["state"]} for tokens in inputs["tokens"]]
        path = tmp_path / f"{quantize}.tflite"
        about = metadata.of(network, kinds.CLASSES, False, quantize)
        path.write_bytes(litert.convert(tmp_path / "saved", quantize, calls) + litert.archive(about))
        mark = table.mark(kind, (name, quantize))
        if mark == "no":
            with pytest.raises(RuntimeError, match="failed to prepare"):
                check.load(path)
            continue
        found = check.differences(check.outputs(check.load(path), inputs), expected)
        if mark == "yes":  # of weights drawn at random, which cancel each other more than trained ones do
            assert found["relative_difference"] < 3 * formats.LIMITS[quantize]
        assert np.isfinite(found["relative_difference"]) and found["softmax_difference"] < formats.SOFTMAX_LIMIT
