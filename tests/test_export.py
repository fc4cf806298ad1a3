"""Export as a command: what it writes, what it says, and what it refuses."""

import json
import pathlib
import types
import zipfile
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("ai_edge_litert")

from ai_edge_litert.interpreter import Interpreter

from tests.support import kinds
from tfdarts.errors import UserError
from tfdarts.export import check, formats, job, litert, metadata, plain, samples, saved_model, signature, testing
from tfdarts.spaces.conv.network import EvaluationNetwork

DIGITS = {"mean": [0.3], "std": [0.4], "classes": [*map(str, range(10))], "images": 1438, "dataset": "digits"}
DIGITS |= {"seed": 0, "image_size": 0, "augmentation": "crop", "tfdarts": "0.2.0"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The path of a saved network for digits, untrained."""
    network = EvaluationNetwork(kinds.cell(*kinds.REGULAR), 10, 4, 1, preprocessing=DIGITS)
    network.build((None, 8, 8, 1))
    path = tmp_path_factory.mktemp("run") / "model.keras"
    network.save(path)
    return path


def test_a_written_file_is_compared_tested_and_remembered(saved, tmp_path, command):
    path = tmp_path / "phone" / "digits.tflite"
    export = ["export.py", "--model_path", saved, "--format", "litert"]
    line = json.loads(command(*export, "--output", path).stdout)
    assert line["file"] == str(path) and line["compared_on"] == 200 and line["agreement"] == 1
    assert 0 < line["relative_difference"] < 1e-4 and line["latency_ms"] > 0 and line["keras_latency_ms"] > 0
    assert line["size_bytes"] == path.stat().st_size
    assert json.loads((saved.parent / "exports.json").read_text()) == [line]
    assert sorted(each.name for each in path.parent.iterdir()) == ["digits.tflite", "labels.txt"]
    with zipfile.ZipFile(path) as archive:
        assert (
            archive.read("labels.txt") == (path.parent / "labels.txt").read_bytes() == b"0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n"
        )
        assert json.loads(archive.read("metadata.json"))["preprocessing"] == DIGITS
    tested = command("evaluate.py", "--model_path", path)
    assert json.loads(tested.stdout) == pytest.approx(json.loads(command("evaluate.py", "--model_path", saved).stdout))
    assert tested.stderr == ""


def test_labels_of_another_file_are_not_replaced(saved, tmp_path):
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    with pytest.raises(UserError, match="labels.txt has other classes"):
        job.export(saved, "litert", tmp_path / "x.tflite")
    assert [each.name for each in tmp_path.iterdir()] == ["labels.txt"]


def test_a_network_without_names_of_classes_takes_those_of_the_data():
    def labels(preprocessing, source):
        network = types.SimpleNamespace(task="images", options={"preprocessing": preprocessing, "classes": 2})
        return job._labels(network, source)

    source = types.SimpleNamespace(test=types.SimpleNamespace(names=("cat", "dog")))
    assert labels({"classes": []}, source) == labels(None, source) == ("cat", "dog")
    assert labels(None, None) == labels({"classes": []}, None) == ("0", "1")
    assert labels({"classes": ["a", "b"]}, source) == ("a", "b")


def test_the_table_needs_no_model(command):
    assert "renet, lstm" in command("export.py", "--list").stdout


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--format", "litert"], "give --output"),
        (["--format", "coreml", "--output", "x"], "should be one of"),
        (
            ["--format", "onnx", "--quantize", "int8", "--output", "x.onnx"],
            "--quantize int8 is for litert; leave it out",
        ),
        (["--format", "litert", "--output", "x.onnx"], "must end in .tflite"),
        (["--format", "saved_model", "--output", "x.tflite"], "is a folder; give a name"),
        (["--format", "saved_model", "--output", "."], "there is . already"),
        (["--format", "litert", "--output", "x.tflite", "--random_inputs", "--quantize", "int8"], "int8 needs data"),
        (
            ["--format", "litert", "--output", "x.tflite", "--dataset", "npz:none.npz"],
            "--random_inputs compares on noise",
        ),
        (["--format", "litert", "--output", "x.tflite", "--dataset", "a", "--data", "b"], "give one of them"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, saved, command):
    told = command("export.py", "--model_path", saved, *arguments, code=2).stderr
    assert sentence in told and told.startswith("error: ") and told.count("\n") == 1


def test_an_exported_file_has_no_options(tmp_path, command):
    (tmp_path / "poem.tflite").write_text("a poem")
    told = command("evaluate.py", "--model_path", tmp_path / "poem.tflite", "--mul_table", "exact", code=2).stderr
    assert "--mul_table is for a model.keras" in told
    for path, sentence in (
        (tmp_path / "poem.tflite", "as a file that tfdarts exported"),
        ("no.onnx", "there is no file"),
    ):
        with pytest.raises(UserError, match=sentence):
            testing.load(path)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'tfdarts\[onnx\]', or pip install onnx tf2onnx onnxruntime"):
        formats.load("onnx")
    with pytest.raises(UserError, match=r"litert needs ai-edge-litert: pip install 'tfdarts\[export\]'"):
        formats.load("litert", "int8")
    assert formats.load("saved_model") is saved_model


@pytest.mark.parametrize(
    "code, sentence",
    [
        ("import os; os.kill(os.getpid(), 11)", r"it crashed \(SIGSEGV\)"),
        ("raise ValueError('no such layer\\n with more')", "it failed.*: ValueError: no such layer$"),
        ("import sys; print('error: a sentence.', file=sys.stderr); sys.exit(2)", "^a sentence.$"),
    ],
)
def test_the_end_of_a_process_becomes_a_sentence(code, sentence):
    with pytest.raises(UserError, match=sentence):
        job.run(["-c", code], "it")
    assert job.run(["-c", "print('text'); print('{\"a\": 1}')"], "it") == {"a": 1}


SOUND = {"largest_difference": 0.0, "relative_difference": 0.0, "agreement": 1.0, "softmax_difference": 0.0}


@pytest.mark.parametrize(
    "fault, sentence",
    [
        ({"relative_difference": np.inf}, "differ from the network's by inf"),
        ({"relative_difference": 0.11}, "more than the 0.1 that is allowed; no file"),
        ({"agreement": 0.96}, "in 96.0 % of the inputs only, less than 97 %; no file"),
        ({"softmax_difference": 0.02}, "not those of its logits"),
    ],
)
def test_a_file_that_differs_is_not_kept(fault, sentence, saved, tmp_path):
    def run(arguments, what):
        if arguments[0] != "-m":
            return SOUND | fault | {"latency_ms": 1.0}
        (pathlib.Path(arguments[2]) / "x.tflite").write_text("written")
        return {"keras_latency_ms": 1.0}

    with mock.patch.object(job, "run", run), pytest.raises(UserError, match=sentence):
        job.export(saved, "litert", tmp_path / "x.tflite", "int8")
    assert [*tmp_path.iterdir()] == []
    assert formats.verdict(SOUND, "litert", "int8") is None


def test_differences_see_missing_numbers_and_other_decisions():
    logits = np.array([[1.0, 2.0], [4.0, -2.0]])
    right = {"logits": logits, "probabilities": tf.nn.softmax(logits).numpy()}
    assert check.differences(right, right) == SOUND
    swapped = {name: value[:, ::-1] for name, value in right.items()}
    assert check.differences(swapped, right)["agreement"] == 0
    assert check.differences(swapped, right)["relative_difference"] == 6 / 4
    assert check.differences(right | {"logits": logits * np.nan}, right)["relative_difference"] == np.inf
    assert check.differences(right | {"probabilities": right["probabilities"] / 2}, right)["softmax_difference"] > 0.4
    late = right | {"state": np.array([[2.0]])}
    assert check.differences(right | {"state": np.array([[1.0]])}, late)["relative_difference"] == 0.5


@pytest.mark.filterwarnings("ignore")
def test_integers_throughout_and_the_same_bytes_twice(tmp_path):
    network = EvaluationNetwork(kinds.cell(*kinds.REGULAR), 5, 4, 1, preprocessing=kinds.KNOWN)
    network.build((None, 8, 8, 3))
    calls = [{"image": image[None]} for image in kinds.pixels(network, 30)]
    files = [tmp_path / name for name in ("one.tflite", "other.tflite")]
    for path in files:
        litert.write(network, path, False, "int8", calls, metadata.of(network, kinds.CLASSES, False, "int8"))
    assert files[0].read_bytes() == files[1].read_bytes()
    interpreter = Interpreter(str(files[0]))
    kind = {each["index"]: each["dtype"] for each in interpreter.get_tensor_details()}
    floats = [
        op["op_name"]
        for op in interpreter._get_ops_details()
        if any(kind.get(i) == np.float32 for i in (*op["inputs"], *op["outputs"]))
    ]
    assert sorted(floats) == ["CAST", "DEQUANTIZE", "DEQUANTIZE", "QUANTIZE"]  # the ends: uint8 in, float32 out


def test_raw_files_take_normalised_images(tmp_path):
    network = EvaluationNetwork(kinds.cell(*kinds.REGULAR), 5, 4, 1)
    network.build((None, 8, 8, 3))
    with pytest.raises(UserError, match="does not know how its images were normalised"):
        signature.of(network)
    litert.write(network, tmp_path / "raw.tflite", True, None, [], metadata.of(network, (), True, None))
    inputs = samples.inputs(network, None, raw=True)
    got = check.load(tmp_path / "raw.tflite")(**inputs)
    np.testing.assert_allclose(got["logits"], network(inputs["image"], training=False), atol=1e-5)


def test_plain_operations_compute_the_same():
    def sums(x):
        array = tf.TensorArray(tf.float32, 3, element_shape=x.shape)

        def body(i, array, x):
            return i + 1, array.write(i, tf.add_n([x, x, x])), 2 * x

        _, array, x = tf.while_loop(lambda i, *_: i < 3, body, (0, array, x), maximum_iterations=3)
        return array.stack() + x

    def kinds_of(function):
        graph = tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec((2,))).graph
        return {op.type for op in graph.get_operations()}

    def ends_by_itself(x):
        loop = (lambda i, x: tf.reduce_sum(x) < 50), (lambda i, x: (i + 1, 2 * x))
        return tf.while_loop(*loop, (0, x), maximum_iterations=20)[1]

    x, before = tf.constant([1.0, -2.0]), (tf.add_n, tf.while_loop, tf.TensorArray)
    expected = sums(x)
    assert kinds_of(sums) & {"AddN", "While", "StatelessWhile"}
    with plain.plain_operations():
        np.testing.assert_array_equal(sums(x), expected)
        np.testing.assert_array_equal(ends_by_itself(-x), [-64, 128])
        assert not kinds_of(sums) & {"AddN", "While", "StatelessWhile", "TensorListReserve"}
    assert (tf.add_n, tf.while_loop, tf.TensorArray) == before
