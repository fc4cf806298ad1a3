"""Weight files of the PyTorch programs: networks with their authors' answers, and files that must be refused."""

import os
import pickle
import shutil
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from tests.support import reference
from tfdarts.errors import UserError
from tfdarts.pytorch import containers, content, networks, preprocessing, writer
from tfdarts.spaces import genotypes
from tfdarts.spaces.recurrent.genotype import ENAS_ACTIVATIONS, RecurrentGenotype

FOLDER = reference.OURS / "pt"
ABOUT = reference.load("pt/about.json", reference.OURS)
REFUSED = reference.load("pt/refused.json", reference.OURS)
TOLERANCES = {"float32": ("", 2e-5), "float64": ("_f64", 1e-10)}
SINGLE = ("python2_state_dict", "mixed_dtypes", "recurrent_old", "renet_sigmoid", "enas_shared")


def path_of(name):
    return FOLDER / ABOUT[name]["file"]


def genotype_of(name):
    """The genotype of a golden, as its `about.json` has it."""
    about = ABOUT[name]
    if "genotype" not in about:
        numbers = [ENAS_ACTIVATIONS.index(each) for each in about["activations"]]
        return RecurrentGenotype.from_arc((numbers, about["previous"]))
    text = about["genotype"]
    if "cell" in about:
        text = f"{text[:-1]}, space='renet', cell='{about['cell']}')"
    return genotypes.from_text(text)


def answers(network, stored):
    """What a network gives for a golden's input, by the names of the answers."""
    if "x" in stored:
        return {"logits": network(tf.constant(stored["x"], network.compute_dtype), training=False)}
    tokens = stored["tokens"]
    hidden = tf.zeros((tokens.shape[1], network.units), network.compute_dtype)
    if "logits" in stored:
        logits, hidden, *_ = network(tf.constant(tokens), hidden)
        return {"logits": logits, "hidden": hidden}
    logits, *_ = network(tf.constant(tokens[:-1]), hidden)
    probabilities = tf.nn.log_softmax(logits)
    loss = -tf.reduce_mean(tf.gather(probabilities, tokens[1:], batch_dims=2))
    return {"log_probabilities": probabilities, "loss": loss}


@pytest.mark.parametrize(
    "name,floatx", [(name, "float64") for name in ABOUT] + [(name, "float32") for name in SINGLE], indirect=["floatx"]
)
def test_the_authors_answers(name, floatx):
    stored, about, (suffix, tolerance) = reference.load(f"pt/{name}", reference.OURS), ABOUT[name], TOLERANCES[floatx]
    source = networks.read(path_of(name))
    genotype, _ = networks.chosen(source, genotype_of(name))
    network, notes = networks.build(source, genotype, about.get("auxiliary", False))
    for key, value in answers(network, stored).items():
        reference.close(value, stored[key + suffix], tolerance, key)
    assert bool(notes) == (name in ("renet_sigmoid", "pdarts_imagenet") or about.get("saved") == "whole module")


def test_the_sigmoid_cell_with_a_gate_of_its_own():
    stored = reference.load("pt/renet_sigmoid", reference.OURS)
    source = networks.read(path_of("renet_sigmoid"))
    network, (note,) = networks.build(source, genotype_of("renet_sigmoid"))
    assert network.options["gate"] == "forward" and "as in DartsReNet's program" in note
    again = type(network).from_config(network.get_config() | {"gate": "own"})
    again.build((None, 8, 8, 3))
    for ours, theirs in zip(again.variables, network.variables):
        ours.assign(theirs)
    reference.close(again(tf.constant(stored["x"]), training=False), stored["logits_gate_fixed"], 2e-5)


def test_a_whole_module_names_its_genotype_and_its_dropout_rates():
    for name in ("recurrent_module", "recurrent_module_zip", "recurrent_old"):
        source = networks.read(path_of(name))
        genotype, note = networks.chosen(source)
        assert genotype == genotype_of(name) and note == "the file names its genotype itself"
        rates = {"dropout": 0.75, "dropouti": 0.2, "dropoute": 0.1, "dropouth": 0.25, "dropoutx": 0.75}
        assert source.weights.dropout == rates
    with pytest.raises(UserError, match="names a genotype of its own, which is another one; leave out --arch"):
        networks.chosen(source, genotypes.load("DARTS_V1", "recurrent"))


@pytest.mark.parametrize(
    "name,arch", [("zip_state_dict", "DARTS_V1"), ("checkpoint", "DARTS_V2"), ("pcdarts_weights", "PC_DARTS_cifar"),
                  ("pdarts_imagenet", "PDARTS"), ("att_darts", "Att_DARTS"), ("renet_vanilla", "DARTS_Vanilla"),
                  ("renet_sigmoid", "DARTS_Sigmoid"), ("renet_directional", "DARTS_Directional"),
                  ("amoebanet", "AmoebaNet")]
)  # fmt: skip
def test_the_one_shipped_genotype_that_fits_is_found(name, arch):
    source = networks.read(path_of(name))
    genotype, note = networks.chosen(source)
    assert genotype == genotypes.load(arch, source.layout.space) and note == f"the genotype that fits is {arch}"


def test_where_no_or_several_genotypes_fit_one_must_be_named():
    with pytest.raises(UserError, match="several genotypes fit, DARTS_V1, DARTS_V2; choose one by --arch"):
        networks.chosen(networks.read(path_of("recurrent_state_dict")))
    with pytest.raises(UserError, match="no shipped genotype fits; the nearest, .* differs in this: cells.0._"):
        networks.chosen(networks.read(path_of("att_modules")))


def test_the_authors_text_of_a_sweeping_cell_needs_no_kind():
    text = genotypes.from_text(ABOUT["renet_sigmoid"]["genotype"])
    genotype, _ = networks.chosen(networks.read(path_of("renet_sigmoid")), text)
    assert genotype == genotype_of("renet_sigmoid")


@pytest.mark.parametrize(
    "name,arch,clause",
    [
        ("zip_state_dict", "DARTS_V2", "cells.0._ops.2: nothing there, a separable 3x3 convolution in the genotype"),
        ("checkpoint", "DARTS_V1", "cells.0._ops.2: a separable 3x3 convolution there, `skip_connect` in the genotype"),
        ("checkpoint", "PDARTS", "cells.0._ops.0: a separable 3x3 convolution there, `skip_connect` in the genotype"),
        (
            "pcdarts_weights",
            "DrNAS_cifar10",
            "cells.0._ops.1: nothing there, a separable 5x5 convolution in",
        ),
        ("checkpoint", "Att_DARTS", "cells.0._first_layers.0: nothing there, a separable 3x3"),
        ("checkpoint", "AmoebaNet", "cells.0._ops.0: a separable 3x3 convolution there, `avg_pool_3x3` in the"),
    ],
)
def test_the_first_difference_from_a_genotype_is_named(name, arch, clause):
    with pytest.raises(UserError, match="the genotype does not fit: ") as error:
        networks.chosen(networks.read(path_of(name)), genotypes.load(arch))
    assert clause in str(error.value)


def test_a_genotype_of_another_space_is_refused():
    with pytest.raises(UserError, match="of the space conv, the genotype is of recurrent"):
        networks.chosen(networks.read(path_of("checkpoint")), genotypes.load("DARTS_V2", "recurrent"))


def test_the_head_is_kept_if_asked_for():
    source = networks.read(path_of("pdarts_imagenet"))
    network, (note,) = networks.build(source, genotype_of("pdarts_imagenet"))
    assert network.auxiliary_head is None and "auxiliary head is left out" in note
    with pytest.raises(UserError, match="has no auxiliary head; leave out --auxiliary"):
        networks.build(networks.read(path_of("checkpoint")), genotype_of("checkpoint"), auxiliary=True)


@pytest.mark.parametrize(
    "name,dataset,mean,std",
    [
        ("zip_state_dict", "cifar10", 0.49139968, 0.24703233),
        ("pcdarts_weights", "cifar100", 0.49139968, 0.24703233),
        ("att_darts", "cifar10", 0.49139968, 0.24703233),
        ("imagenet_parallel", None, 0.485, 0.229),
        ("renet_vanilla", "cifar10", 0.49139968, 0.24703233),
    ],
)
def test_images_are_brought_to_what_the_authors_tested_with(name, dataset, mean, std):
    known = preprocessing.known(networks.read(path_of(name)), genotype_of(name))
    assert (known["dataset"], known["mean"][0], known["std"][0]) == (dataset, mean, std)


def test_the_data_set_chooses_among_the_authors_statistics():
    source = networks.read(path_of("att_darts"))
    assert preprocessing.known(source, genotype_of("att_darts"), "cifar100")["mean"] == [0.5071, 0.4867, 0.4408]
    source = networks.read(path_of("checkpoint"))
    assert preprocessing.known(source, genotypes.load("PDARTS"), "cifar100")["std"] == [0.2675, 0.2565, 0.2761]
    assert preprocessing.known(source, genotype_of("checkpoint"), "svhn_cropped")["mean"] == [0.4377, 0.4438, 0.4728]
    imagenet = preprocessing.known(networks.read(path_of("imagenet_parallel")), genotype_of("imagenet_parallel"))
    assert (imagenet["image_size"], imagenet["augmentation"]) == (224, "imagenet")


# Files to be refused


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, tmp_path, monkeypatch):
    """One sentence, no trace of code, little memory; the genotype is the one that most of these files are of."""
    monkeypatch.chdir(tmp_path)
    size = (FOLDER / name).stat().st_size
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as error:
            source = networks.read(FOLDER / name)
            networks.build(source, networks.chosen(source, genotypes.load("DARTS_V2"))[0])  # does not get to build
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    message = str(error.value)
    assert name in message and "\n" not in message and len(message) < 300
    assert peak < 2 * size + (64 << 20)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name,sentence",
    [
        ("refuse_extra_key.pt", "cells.3.* is there, which the network does not have|cells.3.*is missing"),
        ("refuse_missing_key.pt", "cells.1.preprocess1.op.2.weight is missing"),
        ("refuse_wrong_shape.pt", r"cells.1.preprocess0.op.1.weight is \(8, 11, 1, 1\) there, \(8, 12, 1, 1\) in the"),
        ("refuse_negative_variance.pt", "stem.1.running_var has a negative variance"),
        ("refuse_infinite.pt", "classifier.bias has numbers that are not finite"),
        ("refuse_nan.pt", "stem.0.weight has numbers that are not finite"),
        ("refuse_whole_numbers.pt", "classifier.bias is of whole numbers"),
        ("refuse_supernet.pt", "the weights of a search"),
        ("refuse_other_network.pt", "of no network of DARTS or its descendants"),
        ("refuse_optimizer.pt", "an optimiser's state"),
        ("refuse_misc.pt", "no weights"),
        ("refuse_html.pt", "a web page"),
        ("refuse_keras.pt", "in Keras's format"),
        ("refuse_tar.pt", "a tar archive"),
        ("refuse_torchscript.pt", r"save the model's state_dict\(\) instead"),
        ("refuse_big_endian.pt", "a big-endian machine"),
        ("refuse_bit_flip.pt", "check sum"),
        ("refuse_trailing.pt", "more bytes than its storages need"),
        ("refuse_code_beside_weights.pt", "asks for __builtin__.eval"),
        ("refuse_code_keys.pt", "asks for posix.system"),
        ("refuse_expanded.pt", "more elements than its storage"),
        ("refuse_out_of_bounds.pt", "reaches beyond its storage"),
    ],
)
def test_refusals_say_what_is_wrong(name, sentence):
    with pytest.raises(UserError, match=sentence):
        source = networks.read(FOLDER / name)
        networks.build(source, networks.chosen(source, genotypes.load("DARTS_V2"))[0])


def legacy(content, keys=b"\x80\x02].", storages=b""):
    """A legacy stream around a pickle."""
    system = pickle.dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {}}, 2)
    return containers.LEGACY + b"." + pickle.dumps(1001, 2) + system + content + keys + storages


FLOATS = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x00aX\x03\x00\x00\x00cpuK\x03tQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor\n(" + FLOATS + b"K\x00K\x03\x85K\x01\x85tR"
TEXT_SHAPE = TENSOR.replace(b"K\x03\x85K\x01", b"X\0\0\0\0\x85K\x01")
STORED = b"\x80\x02]X\x01\x00\x00\x00aa.", struct.pack("<q3f", 3, 1, 2, 3)
MADE_UP = {
    "many instructions": (legacy(b"\x80\x02" + b"]0" * 600_000 + b"]."), "POP, which weights do not need"),
    "many lists": (legacy(b"\x80\x02(" + b"]" * 2_100_000 + b"t."), "more instructions than weights need"),
    "a long range": (legacy(b"\x80\x02c__builtin__\nrange\nJ\x00\x00\x00\x7f\x85R."), "range of more numbers"),
    "a list of a text": (legacy(b"\x80\x02c__builtin__\nlist\nX\x01\x00\x00\x00a\x85R."), "a list of something else"),
    "a class called": (legacy(b"\x80\x02cmodel\nRNNModel\n)R."), "calls model.RNNModel"),
    "a function made": (legacy(b"\x80\x02ccollections\nOrderedDict\n)\x81."), "an object of collections.OrderedDict"),
    "a storage called": (legacy(b"\x80\x02ctorch\nFloatStorage\nK\x03\x85R."), "calls torch.FloatStorage"),
    "arguments of a module": (legacy(b"\x80\x02cmodel\nRNNModel\nK\x01\x85\x81."), "an object of model.RNNModel"),
    "a name's state": (legacy(b"\x80\x02cmodel\nRNNModel\n}b."), "gives an object a state"),
    "a shape of text": (legacy(b"\x80\x02" + TEXT_SHAPE + b"."), "described in another way"),
    "a storage twice": (
        legacy(b"\x80\x02}(K\x00" + FLOATS + b"K\x01" + FLOATS.replace(b"Float", b"Int") + b"u."),
        "its storage a in two ways",
    ),
    "storages left out": (legacy(b"\x80\x02}K\x00" + TENSOR + b"s."), "not that of its tensors"),
    "numbers as keys": (legacy(b"\x80\x02}K\x00" + TENSOR + b"s.", *STORED), "no state_dict, a dictionary from names"),
    "a parameter of a number": (legacy(b"\x80\x02ctorch.nn.parameter\nParameter\nK\x01\x85R."), "is no tensor"),
    "another version": (legacy(b"\x80\x02}.").replace(b"M\xe9\x03", b"M\xe8\x03", 1), "another version than 1001"),
}  # fmt: skip


@pytest.mark.parametrize("data,sentence", MADE_UP.values(), ids=MADE_UP)
def test_made_up_files_are_refused(data, sentence, tmp_path):
    path = tmp_path / "x.pt"
    path.write_bytes(data)
    with pytest.raises(UserError, match=sentence):
        content.read(path)


def test_what_calls_copy_counts_as_instructions(tmp_path):
    many = b"\x80\x02]q\x00(" + b"N" * 2000 + b"e" + b"c__builtin__\nlist\nh\x00\x85R" * 1100 + b"."
    (tmp_path / "x.pt").write_bytes(legacy(many))
    with pytest.raises(UserError, match="more instructions than weights need"):
        content.read(tmp_path / "x.pt")


def archive(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries:
            file.writestr(name, data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_pytorch_does_not_write(tmp_path):
    path, pickled = tmp_path / "x.pt", b"\x80\x02}X\x01\x00\x00\x00w" + TENSOR + b"s."
    numbers = struct.pack("<3f", 1, 2, 3)
    sound = [("x/data.pkl", pickled), ("x/data/a", numbers)]
    archive(path, sound)
    np.testing.assert_array_equal(content.read(path).tensors["w"].array(), [1, 2, 3])
    for entries, sentence in (
        (sound[:1], "a storage of its tensors is missing"),
        ([sound[0], ("x/data/a", numbers[4:])], "another size than its tensors say"),
        ([*sound, sound[1]], "two entries of one name"),
        ([*sound, ("y/data/a", numbers)], "not one that PyTorch saved"),
        ([("x/data.pkl", pickled + b"N."), sound[1]], "data.pkl has more bytes"),
        ([*sound, ("x/byteorder", b"big")], "a big-endian machine"),
        ([*sound, ("x/code/a.py", b"")], "TorchScript"),
        ([], "empty"),
    ):
        archive(path, entries)
        with pytest.raises(UserError, match=sentence):
            content.read(path)
    archive(path, sound, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="compressed entries"):
        content.read(path)


@pytest.mark.parametrize("name", ["python2_state_dict", "views_zip"])
def test_damage_anywhere_is_refused_or_harmless(name, tmp_path):
    data, path, generator = path_of(name).read_bytes(), tmp_path / "x.pt", np.random.default_rng(0)
    for _ in range(60):
        place = int(generator.integers(len(data)))
        for damaged in (data[:place], data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :]):
            path.write_bytes(damaged)
            try:
                read = content.read(path)
            except UserError as error:
                assert "\n" not in str(error)
            else:
                assert all(tensor.array().shape == tensor.shape for tensor in read.tensors.values())


def test_files_are_known_by_their_first_bytes(tmp_path):
    shutil.copy(path_of("python2_state_dict"), tmp_path / "weights")
    assert containers.is_weight_file(tmp_path / "weights")
    (tmp_path / "model.keras").write_bytes(b"PK")
    assert not containers.is_weight_file(tmp_path / "model.keras") and not containers.is_weight_file(tmp_path)
    assert not containers.is_weight_file(tmp_path / "missing.pt")


# The way back


def test_what_is_written_is_read_again(tmp_path):
    generator = np.random.default_rng(0)
    tensors = {"a": generator.normal(size=(2, 3, 1)).astype(np.float32), "b": np.float32([1.5])}
    tensors["b.num_batches_tracked"] = np.zeros((), np.int64)
    writer.write(tmp_path / "x.pt", tensors)
    read = content.read(tmp_path / "x.pt").tensors
    assert list(read) == ["a", "b"]
    for name, tensor in read.items():
        np.testing.assert_array_equal(tensor.array(), tensors[name])
    with zipfile.ZipFile(tmp_path / "x.pt") as file:
        info = file.getinfo("archive/data/0")
        header = struct.unpack_from("<HH", (tmp_path / "x.pt").read_bytes(), info.header_offset + 26)
    assert (info.header_offset + 30 + sum(header)) % 64 == 0
