"""Genotypes as other programs print, export and keep them: all mean a cell of ours."""

import collections
import json

import pytest

from tfdarts.genotype import GenotypeError
from tfdarts.operations import load as operations
from tfdarts.spaces import genotypes

DARTS = genotypes.load("DARTS_V2")
CELL = DARTS.normal
PLAIN = f"normal={list(CELL)!r}, normal_concat=range(2, 6), reduce={list(CELL)!r}, reduce_concat=[2, 3, 4, 5]"
NODES = [list(CELL[i : i + 2]) for i in range(0, 8, 2)]
FIELDS = {"normal": NODES, "normal_concat": [2, 3, 4, 5], "reduce": CELL, "reduce_concat": [2, 3, 4, 5]}


def read(tmp_path, text, name="g.txt", which="", space=None):
    (tmp_path / name).write_text(text)
    return genotypes.load(f"{tmp_path / name}{which}", space)


def texts(entries):
    """The texts of a genotype with these entries in both cells."""
    return f"Genotype(normal={entries}, normal_concat=range(2, 6), reduce={entries}, reduce_concat=range(2, 6))"


@pytest.mark.parametrize(
    "text",
    [
        texts(repr(NODES)),  # pt.darts
        texts(repr(tuple(map(tuple, NODES)))),
        texts(repr([tuple(tuple((*entry, 0.13) for entry in node)) for node in NODES])),  # GDAS, with weights
        texts(repr([(*entry, 0.13) for entry in CELL])),
        texts(repr([(*entry, "W") for entry in CELL]).replace("'W'", "tensor(0.1279)")),
        texts(repr([(*entry, "W") for entry in CELL]).replace("'W'", "np.float32(0.1279)")),
        texts(repr(CELL).replace(", 0)", ", np.int64(0))").replace(", 1)", ", int(1))")),
        texts(repr([(op, 2 + k // 2, source) for k, (op, source) in enumerate(CELL)])),  # FairDARTS
        f"[2021] genotype : {FIELDS!r}",  # AutoDL-Projects
        f"Genotype({list(CELL)!r}, range(2, 6), {list(CELL)!r}, list(range(2, 6)))",
        json.dumps(FIELDS),
        json.dumps([CELL, [2, 3, 4, 5], CELL, [2, 3, 4, 5]]),
        f"class Genotype(tuple):\n    pass\n\nX = Genotype({PLAIN})  # found",
        "epoch 1 Genotype(normal=[])\nepoch 2 " + texts(repr(NODES)) + "\n[[0.1 0.2]]",
    ],
)
def test_forms_of_one_cell(text, tmp_path):
    cells = read(tmp_path, text)
    assert cells.normal == cells.reduce == CELL and cells.normal_concat == cells.reduce_concat == (2, 3, 4, 5)
    assert cells.inputs(False) == (2, 2, 2, 2) and "normal_inputs" not in cells.to_dict()


def test_any_number_of_inputs_for_a_node(tmp_path):
    nodes = [[("a", 0)], [("b", 1), ("a", 2), ("b", 0)], [("b", 3)]]  # five entries
    cells = read(tmp_path, texts(repr(nodes)).replace("range(2, 6)", "range(2, 5)"))
    assert cells.inputs(False) == (1, 3, 1) and cells.nodes(False) == (0, 1, 1, 1, 2)
    assert read(tmp_path, cells.to_json()) == cells
    with pytest.raises(GenotypeError, match="two entries per node, or a list of entries for each. Received: 5"):
        read(tmp_path, texts(repr([entry for node in nodes for entry in node])))


def test_none_connects_nothing(tmp_path):
    entries = [("a", 0), ("none", 1), ("none", 0), ("none", 1), ("b", 3), ("b", 2), ("none", 4), ("none", 0)]
    cells = read(tmp_path, texts(repr(entries)))
    assert cells.normal == (("a", 0), ("b", 2)) and cells.inputs(False) == (1, 0, 1)  # nothing leads to states 3 and 5
    assert cells.normal_concat == (2, 4)
    nested = read(tmp_path, texts(repr([entries[i : i + 2] for i in range(0, 8, 2)])))
    assert nested == cells == read(tmp_path, json.dumps(cells.to_dict()))
    with pytest.raises(GenotypeError, match="no entry that leads"):
        read(tmp_path, texts("[('none', 0), ('none', 1)]"))


def nni(value=lambda source: source):
    """What NNI 2 and 3 export of DARTS's cell."""
    return {
        f"{kind}/{what}_{2 + k // 2}_{k % 2}": found
        for kind in ("normal", "reduce")
        for k, (op, source) in enumerate(CELL)
        for what, found in (("op", op), ("input", value(source)))
    }


def old_nni():
    """What NNI 1 exports of a cell."""
    cell = {"_n2_p0": "sepconv3x3", "_n2_p1": 2, "_n2_switch": ["_n2_p0", "_n2_p1"]}
    cell |= {"_n3_p0": [], "_n3_p1": ["maxpool"], "_n3_p2": "dilconv5x5", "_n3_switch": ["_n3_p1", "_n3_p2"]}
    rename = {kind: lambda value, kind=kind: [kind + each for each in value] for kind in ("normal", "reduce")}
    return {
        kind + key: rename[kind](value) if key.endswith("switch") else value
        for kind in rename
        for key, value in cell.items()
    }


@pytest.mark.parametrize("export", [nni(), nni(lambda source: [source]), nni() | {"width": 36, "num_cells": 20}])
def test_the_exports_of_nni(export, tmp_path):
    cells = read(tmp_path, json.dumps(export), "exported.json")
    assert cells.normal == cells.reduce == CELL and cells.normal_concat == (2, 3, 4, 5)


def test_the_exports_of_the_first_nni(tmp_path):
    cells = read(tmp_path, json.dumps(old_nni()), "exported.json")
    assert cells.normal == (("sep_conv_3x3", 0), ("skip_connect", 1), ("max_pool_3x3", 1), ("dil_conv_5x5", 2))
    assert cells.reduce == cells.normal and cells.normal_concat == (2, 3)
    operations("regular").check(cells)


@pytest.mark.parametrize(
    "export,message",
    [
        ({key: op for key, op in nni().items() if key.startswith("normal")}, "lacks the cell 'reduce'"),
        ({key: op for key, op in nni().items() if "_3_" not in key}, "lacks a node"),
        ({key: op for key, op in nni().items() if key != "normal/input_2_0"}, "must be .op, source"),
        (old_nni() | {"normal_n2_switch": "x"}, "must list the chosen inputs"),
        (old_nni() | {"normal_n2_switch": ["x"]}, "must list inputs"),
    ],
)
def test_incomplete_exports_are_refused(export, message, tmp_path):
    with pytest.raises(GenotypeError, match=message):
        read(tmp_path, json.dumps(export))


def test_names_of_autodl_projects(tmp_path):
    entries = [("dua_sepc_3x3", 0, 0.1), ("dil_sepc_5x5", 1, 0.1)]
    cells = read(tmp_path, texts(repr(entries)).replace("range(2, 6)", "[2]"))
    assert cells.normal == (("sep_conv_3x3", 0), ("dil_conv_5x5", 1))


MODULE = f"""from collections import namedtuple

Genotype = namedtuple('Genotype', 'normal normal_concat reduce reduce_concat')
PRIMITIVES = ['none', 'skip_connect']

A = Genotype(
  {PLAIN.replace(", normal_concat", ",  # brackets in comments (are balanced)" + chr(10) + "  normal_concat")}
)
B_2=Genotype({PLAIN.replace("'skip_connect'", "'max_pool_3x3'")})
DARTS = A  # the best
"""


def test_one_of_several_genotypes_of_a_python_file(tmp_path):
    for which in ("A", "DARTS"):
        assert read(tmp_path, MODULE, "genotypes.py", f":{which}").normal == CELL
    assert ("max_pool_3x3", 0) in read(tmp_path, MODULE, "genotypes.py", ":B_2").normal
    with pytest.raises(GenotypeError, match="Which genotype. Give .*genotypes.py:NAME; it has A, B_2, DARTS"):
        read(tmp_path, MODULE, "genotypes.py")
    with pytest.raises(GenotypeError, match="No genotype here is called 'C'; it has A, B_2, DARTS"):
        read(tmp_path, MODULE, "genotypes.py", ":C")
    assert read(tmp_path, f"A = Genotype({PLAIN})\nDARTS = A\n", "one.py").normal == CELL
    assert read(tmp_path, MODULE, "log.txt") == read(tmp_path, MODULE, "genotypes.py", ":B_2")  # the last


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_texts_as_windows_writes_them(encoding, tmp_path):
    for text in (f"Genotype({PLAIN})\n", DARTS.to_json()):
        (tmp_path / "g").write_bytes(text.replace("\n", "\r\n").encode(encoding))
        assert genotypes.load(tmp_path / "g").normal == CELL


def test_a_named_tuple_as_python_prints_it(tmp_path):
    kind = collections.namedtuple("Genotype", "normal normal_concat reduce reduce_concat")
    cells = kind([list(map(tuple, node)) for node in NODES], range(2, 6), list(CELL), range(2, 6))
    assert read(tmp_path, str(cells)).normal == CELL
    assert read(tmp_path, str(cells._asdict())).normal == CELL


@pytest.mark.parametrize(
    "value", ["np.int64(x)", "open('made', 'w')", "np.load('x')", "int('3')", "(lambda: 0)()", "tensor([1]).fill_(2)"]
)
def test_calls_are_never_made(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GenotypeError):
        read(tmp_path, texts(f"[('a', {value}), ('b', 1)]"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "The searched architecture is\n{}\n",
        "\"{}\\ndatasets : ['cifar10']\"",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|\nStructure(4 nodes with {})",
    ],
)
def test_a_cell_of_nas_bench_201_in_a_log(text, tmp_path):
    cell = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
    assert str(read(tmp_path, text.replace("{}", cell), space="nb201")) == cell
