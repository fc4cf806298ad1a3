import json

import numpy as np
import pytest

from tfdarts import operations as space
from tfdarts.genotype import GenotypeError
from tfdarts.report import drawing as visualize
from tfdarts.report.drawing import ascii_drawing
from tfdarts.spaces import genotypes as genotype
from tfdarts.spaces.conv.genotype import ConvGenotype
from tfdarts.spaces.macro.genotype import MACRO_OPS, MacroGenotype
from tfdarts.spaces.micro.genotype import MICRO_OPS, MicroGenotype
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype

CELL = "[('sep_conv_3x3', 1), ('skip_connect', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0)]"
TEXT = f"ConvGenotype(normal={CELL}, normal_concat=range(2, 4), reduce={CELL}, reduce_concat=[2, 3])"

RECURRENT = "ConvGenotype(recurrent=[('relu', 0), ('tanh', 1), ('identity', 1)], concat=range(1, 4))"
MICRO = {"space": "micro", "normal": [["sep_conv_3x3", 1], ["skip_connect", 1]]}
MICRO["reduce"] = MICRO["normal"] + [["max_pool_3x3", 2], ["avg_pool_3x3", 1]]
SHIPPED = ("conv", "recurrent", "macro", "micro", "nb201")


@pytest.mark.parametrize("space,name", [(space, name) for space in SHIPPED for name in genotype.names(space)])
def test_shipped_genotypes_survive_a_round_trip(space, name, tmp_path):
    cells = genotype.load(name, space)
    (tmp_path / "g.json").write_text(cells.to_json())
    assert genotype.load(tmp_path / "g.json") == cells


def test_names():
    assert genotype.load("DARTS") == genotype.load("DARTS_V2") != genotype.load("DARTS_V1")
    assert {"NASNet", "AmoebaNet", "DARTS_V1", "DARTS_V2", "digits"} <= set(genotype.names())


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"2019-01-01 12:00:00 INFO genotype = {TEXT}\n2019-01-01 12:00:01 INFO [[0.1 0.2]]\n",
        f"PDARTS = {TEXT.replace('range(2, 4)', 'list(range(2, 4))')}",
        "ConvGenotype(normal=[], normal_concat=[], reduce=[], reduce_concat=[]) then " + TEXT,
    ],
)
def test_text_of_logs(text, tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(text)
    cells = genotype.load(path)
    assert cells.normal[0] == ("sep_conv_3x3", 1) and cells.reduce_concat == (2, 3) == cells.normal_concat


def test_text_of_a_recurrent_cell(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text(f"INFO genotype = {RECURRENT}\n")
    cell = genotype.load(path)
    assert cell == RecurrentGenotype((("relu", 0), ("tanh", 1), ("identity", 1)), (1, 2, 3))
    assert (cell.space, cell.ops, cell.operations()) == ("recurrent", "recurrent", {"relu", "tanh", "identity"})
    assert cell.skip_connections() == 1
    assert cell.with_module("recurrent") == cell


def test_start_and_carry(tmp_path):
    cell = RecurrentGenotype.from_arc(([1, 0, 2, 3], [0, 0, 1]))
    entries = (("tanh", 0), ("identity", 0), ("sigmoid", 1))
    assert cell == RecurrentGenotype(entries, (2, 3), start="relu", carry="last")
    assert cell.operations() == {"relu", "tanh", "identity", "sigmoid"} and cell.skip_connections() == 1
    (tmp_path / "g.json").write_text(cell.to_json())
    assert genotype.load(tmp_path / "g.json") == cell
    assert set(RecurrentGenotype(entries, (2, 3)).to_dict()) == set(cell.to_dict()) - {"start", "carry"}
    # The hyperbolic tangent of state 0 is every module's; another activation must be the module's own.
    assert RecurrentGenotype((("relu", 0),), (1,)).operations() == {"relu"}
    with pytest.raises(space.OperationsError, match="wrong"):
        space.load("recurrent", recurrent=True).check(RecurrentGenotype(entries, (2, 3), start="wrong"))


def test_the_start_is_drawn():
    cell = RecurrentGenotype((("relu", 0),), (1,), start="sigmoid")
    assert "sigmoid" in visualize.Drawing([visualize.graphs(cell)["recurrent"]]).canvas(0).svg()
    drawn = visualize.ascii_drawing(cell)
    assert drawn == "recurrent cell\n  0 = sigmoid(x, h)\n  1 = relu(0)\n  h_{t} = mean(1)"
    drawn = visualize.ascii_drawing(RecurrentGenotype((("relu", 0),), (1,)))
    assert drawn == "recurrent cell\n  1 = relu(0)\n  h_{t} = mean(1)"


def test_recurrent_and_convolutional_genotypes_of_one_name_differ():
    assert len(genotype.load("DARTS_V1", "recurrent").recurrent) == 8
    assert len(genotype.load("ENAS", "recurrent").concat) == 6
    assert len(genotype.load("DARTS_V1").normal) == 8


ATT = {
    "normal": [["sep_conv_3x3", 0, "SE"], ["skip_connect", 1, ""]],
    "normal_concat": [2],
    "reduce": [["max_pool_3x3", 0, "Identity"], ["CBAM", 1, ""]],
    "reduce_concat": [2],
    "normal_bottleneck": "BAM",
    "reduce_bottleneck": "",
}


def test_att_darts_s_own_json(tmp_path):
    path = tmp_path / "genotype.json"
    path.write_text(json.dumps(ATT))
    cells = genotype.load(path)
    assert cells.normal == (("sep_conv_3x3", 0, "SE"), ("skip_connect", 1))
    assert cells.edges(True) == (("max_pool_3x3", 0, "Identity"), ("CBAM", 1, ""))
    assert cells.bottleneck(False) == "BAM" and "reduce_bottleneck" not in cells.to_dict()
    assert genotype.from_dict(json.loads(cells.to_json())) == cells
    text = ascii_drawing(cells)
    assert "sep_conv_3x3 then SE(c_{k-2})" in text and "c_{k} after BAM = concat" in text


@pytest.mark.parametrize(
    "change",
    [
        {"normal_bottleneck": 3},
        {"reduce_bottleneck": "none"},
        {"normal": [["a", 0, 1], ["b", 1, ""]]},
        {"normal": [["a", 0, "none"], ["b", 1, ""]]},
        {"normal": [["a", 0, "SE", "SE"], ["b", 1, ""]]},
    ],
)
def test_attention_that_is_none_is_refused(change):
    with pytest.raises(GenotypeError):
        genotype.from_dict(ATT | change)


@pytest.mark.parametrize(
    "change", [{"normal_bottleneck": "wrong"}, {"normal": [["sep_conv_3x3", 0, "wrong"], ["skip_connect", 1, ""]]}]
)
def test_an_unknown_attention_is_refused(change):
    with pytest.raises(space.OperationsError, match="wrong"):
        space.load("regular").check(genotype.from_dict(ATT | change))


def test_micro_cells_compute_their_loose_ends():
    cells = genotype.from_dict(MICRO)
    assert (cells.concat(False), cells.concat(True)) == ((0, 2), (0, 3))
    assert cells.operations() == set(MICRO_OPS) - {"sep_conv_5x5"} and cells.skip_connections() == 2
    assert "ops" not in cells.to_dict() and genotype.from_dict(cells.to_dict()) == cells
    published = genotype.load("ENAS", "micro")
    assert (published.concat(False), published.concat(True)) == ((2, 3, 4, 5, 6), (2, 4, 5, 6))
    with pytest.raises(GenotypeError, match="--ops regular"):
        cells.with_module("regular")


def test_micro_cells_of_numbers(tmp_path):
    (tmp_path / "arc.txt").write_text("1 0 1 4\n0 2 1 3  ")
    cells = genotype.load(tmp_path / "arc.txt", "micro")
    assert cells.normal == (("sep_conv_3x3", 1), ("skip_connect", 1))
    assert cells.reduce == (("avg_pool_3x3", 0), ("max_pool_3x3", 1))
    assert cells == MicroGenotype.from_arc(np.array([[[1, 0, 1, 4]], [[0, 2, 1, 3]]], np.int32))
    with pytest.raises(GenotypeError):
        genotype.load(tmp_path / "arc.txt", "conv")


BAD = {
    "empty": "",
    "garbage": "\x00garbage" * 100,
    "not closed": TEXT[:-1],
    "code": TEXT.replace("range(2, 4)", "__import__('os').mkdir('made')"),
    "code in a range": TEXT.replace("range(2, 4)", 'range(2, exec(\'open("made", "w")\'))'),
    "huge range": TEXT.replace("range(2, 4)", "range(2, 10**12)"),
    "lambda": "ConvGenotype(normal=lambda: 0, normal_concat=[2], reduce=[], reduce_concat=[2])",
    "positional": "ConvGenotype([('a', 0), ('b', 1)], [2], [('a', 0), ('b', 1)])",
    "mixed": "ConvGenotype([('a', 0), ('b', 1)], [2], [('a', 0), ('b', 1)], reduce_concat=[2])",
    "starred": "ConvGenotype(**{'normal': [('a', 0), ('b', 1)]})",
    "nested": "ConvGenotype(normal=" + "(" * 5000 + ")" * 5000 + ")",
    "source too high": TEXT.replace("('skip_connect', 0)", "('skip_connect', 2)"),
    "negative source": TEXT.replace("('skip_connect', 0)", "('skip_connect', -1)"),
    "boolean source": TEXT.replace("('skip_connect', 0)", "('skip_connect', True)"),
    "odd number": TEXT.replace(", ('max_pool_3x3', 0)", ""),
    "concat of nothing": TEXT.replace("[2, 3]", "[]"),
    "concat too high": TEXT.replace("[2, 3]", "[2, 4]"),
    "missing field": TEXT.replace(", reduce_concat=[2, 3]", ""),
    "unknown field": TEXT.replace("reduce_concat", "extra"),
    "recurrent source too high": RECURRENT.replace("('tanh', 1)", "('tanh', 2)"),
    "recurrent negative source": RECURRENT.replace("('tanh', 1)", "('tanh', -1)"),
    "recurrent none": RECURRENT.replace("tanh", "none"),
    "recurrent entry": RECURRENT.replace("('tanh', 1)", "'tanh'"),
    "recurrent concat too high": RECURRENT.replace("range(1, 4)", "[4]"),
    "recurrent concat of nothing": RECURRENT.replace("range(1, 4)", "[]"),
    "recurrent and nothing": "ConvGenotype(recurrent=[], concat=[1])",
    "recurrent of another space": '{"space": "conv", "recurrent": [["tanh", 0]], "concat": [1]}',
    "recurrent start": '{"recurrent": [["tanh", 0]], "concat": [1], "start": "none"}',
    "recurrent start that is no name": '{"recurrent": [["tanh", 0]], "concat": [1], "start": 1}',
    "recurrent carry": '{"recurrent": [["tanh", 0]], "concat": [1], "carry": "first"}',
    "renet start": '{"space": "renet", "cell": "vanilla", "recurrent": [["tanh", 0]], "concat": [1], "start": "relu"}',
    "renet carry": '{"space": "renet", "cell": "vanilla", "recurrent": [["tanh", 0]], "concat": [1], "carry": "last"}',
    "JSON list": "[1, 2]",
    "other version": '{"version": 99, "normal": []}',
    "other space": '{"space": "rnn", "normal": [["a", 0], ["b", 1]], "normal_concat": [2], '
    '"reduce": [["a", 0], ["b", 1]], "reduce_concat": [2]}',
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_genotype_is_refused_and_never_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "g").write_text(BAD[name])
    with pytest.raises(GenotypeError):
        genotype.load(tmp_path / "g")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "text,message",
    [
        ("1 0 1 4 0 2 1", "8 numbers per node"),
        (" ", "8 numbers per node"),
        ("1 0 1 5 0 2 1 3", "0 to 4"),
        ("1 0 2 4 0 2 1 3", r"normal\[1\].*state 2"),
        ("1 0 1 4 0 2 1 3000", "small"),
        (json.dumps(MICRO | {"space": "conv"}), "lacks normal_concat"),
        (json.dumps(MICRO | {"ops": "regular"}), "unknown fields: ops"),
        (json.dumps(MICRO | {"normal": [["dil_conv_3x3", 1], ["skip_connect", 1]]}), "one of sep_conv_3x3"),
        (json.dumps(MICRO | {"normal": [["sep_conv_3x3", 1, "SE"], ["skip_connect", 1]]}), "one of sep_conv_3x3"),
        (json.dumps(MICRO | {"normal": [["sep_conv_3x3", 1]]}), "two entries"),
    ],
)
def test_what_are_no_micro_cells_is_refused(text, message, tmp_path):
    (tmp_path / "g").write_text(text)
    with pytest.raises(GenotypeError, match=message):
        genotype.load(tmp_path / "g", "micro")


def test_a_missing_file_names_the_shipped_ones():
    with pytest.raises(GenotypeError, match="DARTS_V2"):
        genotype.load("no such file")


def test_skips_are_counted():
    cell = (("skip_connect", 0), ("a", 1))
    assert ConvGenotype(cell, (2,), cell, (2,)).skip_connections() == 2


def test_a_recurrent_cell_is_drawn(tmp_path):
    cell = genotype.load("DARTS_V2", "recurrent")
    (path,) = visualize.draw(cell, tmp_path / "g", "svg")
    assert path.name == "g_recurrent.svg" and "identity" in path.read_text()
    graph = visualize.graphs(cell)["recurrent"]
    assert graph.edge_name(*graph.edges[1][:2]) == "1 to 2" and graph.edges[1][2] == "relu"
    assert "identity" in visualize.ascii_drawing(cell)


MACRO = MacroGenotype((("max_pool_3x3", ()), ("conv_3x3", (0,)), ("sep_conv_5x5", ()), ("conv_5x5", (0, 2))))


def test_a_macro_genotype_and_its_numbers_and_arrays(tmp_path):
    (tmp_path / "numbers.txt").write_text("5\n0 1\n3 0 0\n2 1 0 1\n")
    assert genotype.load(tmp_path / "numbers.txt", "macro") == MACRO
    skips = np.zeros((4, 4), bool)
    skips[1, 0] = skips[3, 0] = skips[3, 2] = skips[2, 2] = True  # the last has no meaning
    assert MacroGenotype.from_arc((np.array([5, 0, 3, 2], np.int32), skips)) == MACRO
    assert genotype.from_dict(json.loads(MACRO.to_json())) == MACRO
    assert MACRO.skip_connections() == 3
    assert MACRO.operations() == {"max_pool_3x3", "conv_3x3", "sep_conv_5x5", "conv_5x5"}
    with pytest.raises(GenotypeError, match="--ops regular"):
        MACRO.with_module("regular")


def test_the_published_macro_network():
    cells = genotype.load("ENAS", "macro")
    count = [sum(op == name for op, _ in cells.layers) for name in MACRO_OPS]
    assert count == [8, 2, 9, 5, 0, 0] and cells.skip_connections() == 98
    assert cells.layers[7] == ("conv_5x5", (1, 2, 4, 5, 6))


@pytest.mark.parametrize(
    "layers",
    [
        [],
        "conv_3x3",
        [["conv_3x3"]],
        ["conv_3x3"],
        [["conv_3x3", 0]],
        [["conv_7x7", []]],
        [["conv_3x3", [0]]],
        [["conv_3x3", []], ["conv_3x3", [1]]],
        [["conv_3x3", []], ["conv_3x3", [-1]]],
        [["conv_3x3", []], ["conv_3x3", [True]]],
        [["conv_3x3", []], ["conv_3x3", [0, 0]]],
        [["conv_3x3", []], ["conv_3x3", []], ["conv_3x3", [1, 0]]],
    ],
)
def test_what_is_no_macro_genotype_is_refused(layers):
    with pytest.raises(GenotypeError, match="layers"):
        genotype.from_dict({"space": "macro", "layers": layers})


@pytest.mark.parametrize(
    "text,message", [("0 1", "1 bits"), ("0 1 2", "1 bits"), ("6", "0 to 5"), (" ", "list"), ("9" * 5000, "integers")]
)
def test_numbers_that_are_no_macro_network_are_refused(text, message, tmp_path):
    (tmp_path / "g").write_text(text)
    with pytest.raises(GenotypeError, match=message):
        genotype.load(tmp_path / "g", "macro")
    with pytest.raises(GenotypeError):  # nor are they a cell
        genotype.load(tmp_path / "g")


def test_numbers_are_integers():
    for text in ("0 x", "0 1.0", "-1"):
        with pytest.raises(GenotypeError):
            MacroGenotype.from_numbers(text)


def test_a_macro_network_is_drawn(tmp_path, monkeypatch):
    graph = visualize.graphs(MACRO)["network"]
    assert [edge for edge in graph.edges if edge[1] == 3] == [(3, 3, "conv_5x5"), (0, 3, ""), (2, 3, "")]
    assert "  layer 3 = conv_5x5(layer 2) + stem + layer 1\n  logits = classifier(layer 3)" in ascii_drawing(MACRO)
    assert 'stem -> "layer 1" [label="" color=gray60]' in visualize.dot_graph(graph).source
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no `dot`
    (path,) = visualize.draw(MACRO, tmp_path / "g", "svg")
    assert path.name == "g_network.svg" and path.read_text().count("max_pool_3x3") == 1


def test_entries_taken_beside_have_narrow_columns_of_their_own():
    other = MacroGenotype((*MACRO.layers[:3], ("conv_5x5", (1, 2))))
    drawing = visualize.Drawing([visualize.graphs(cells)["network"] for cells in (MACRO, other)])
    for i, cells in enumerate((MACRO, other)):
        shapes = drawing.canvas(i).shapes
        boxes = [shape[1:5] for shape in shapes if shape[0] == "box"]
        assert len(boxes) == len(cells.layers) + 4 + 1 + 1  # operations, layers, stem, logits
        places = [shape[1] for shape in shapes if shape[0] == "dot"]
        assert len(set(places)) == len(places) == 4 + 3
        arrows = [shape[1] for shape in shapes if shape[0] == "line" and shape[1][0][0] == shape[1][1][0]]
        for (x, top), (_, bottom) in arrows:  # an arrow crosses at most the operation that hangs on it
            crossed = [box for box in boxes if box[0] < x < box[0] + box[2] and top < box[1] < bottom]
            assert all(box[0] + box[2] / 2 == x for box in crossed)
        new = [shape for shape in shapes if shape[0] == "line" and shape[3] == 2.6]
        assert len(new) == i  # layer 3 takes entry 1 instead of 0


def test_a_recurrent_cell_in_numbers(tmp_path):
    path = tmp_path / "arc.txt"
    path.write_text("0 2 1 0 2 1 2 2 4 0 5 0 3 2 6 2\n")  # as published with the corrected program
    cell = genotype.load(path, "recurrent")
    assert cell.recurrent[:3] == (("sigmoid", 0), ("tanh", 1), ("relu", 2)) and cell.concat == tuple(range(1, 9))
    for text in ("0 2 1", "0 4", "1 0"):
        path.write_text(text)
        with pytest.raises(GenotypeError):
            genotype.load(path, "recurrent")


def test_micro_cells_are_drawn_with_their_loose_ends(tmp_path):
    cells = genotype.from_dict(MICRO)
    paths = visualize.draw(cells, tmp_path / "g", "svg")
    assert [path.name for path in paths] == ["g_normal.svg", "g_reduce.svg"]
    assert "max_pool_3x3" in paths[1].read_text() and "max_pool_3x3" not in paths[0].read_text()
    assert visualize.graphs(cells)["reduce"].joined == (0, 3)
    assert visualize.ascii_drawing(cells).splitlines() == [
        "normal cell",
        "  0 = sep_conv_3x3(c_{k-1}) + skip_connect(c_{k-1})",
        "  c_{k} = concat(c_{k-2}, 0)",
        "reduction cell",
        "  0 = sep_conv_3x3(c_{k-1}) + skip_connect(c_{k-1})",
        "  1 = max_pool_3x3(0) + avg_pool_3x3(c_{k-1})",
        "  c_{k} = concat(c_{k-2}, 1)",
    ]


FAIR = {
    "normal": [("sep_conv_3x3", 2, 0), ("sep_conv_5x5", 2, 1), ("max_pool_3x3", 4, 3), ("skip_connect", 5, 0)],
    "normal_concat": range(2, 6),
    "reduce": [("skip_connect", 5, 4), ("avg_pool_3x3", 3, 1), ("max_pool_3x3", 3, 1)],
    "reduce_concat": range(2, 6),
}


def test_the_triples_of_fairdarts(tmp_path):
    fields = ", ".join(f"{name}={value!r}" for name, value in FAIR.items())
    cells = genotype.from_text(f"FairDARTS_x = Genotype({fields})")
    assert cells.normal == (("sep_conv_3x3", 0), ("sep_conv_5x5", 1), ("skip_connect", 0))  # nothing leads to state 3
    assert cells.inputs(False) == (2, 0, 0, 1) and cells.nodes(False) == (0, 0, 3) and cells.normal_concat == (2, 5)
    assert cells.reduce == (("avg_pool_3x3", 1), ("max_pool_3x3", 1))
    assert cells.inputs(True) == (0, 2) and cells.reduce_concat == (3,)
    (tmp_path / "g.json").write_text(cells.to_json())
    assert genotype.load(tmp_path / "g.json") == cells
    drawn = ascii_drawing(cells)
    assert "(c_{k-1})\n  3 = skip_connect(c_{k-2})\n  c_{k} = concat(0, 3)\nreduction cell\n  1 = avg" in drawn


def test_two_inputs_a_node_need_no_count():
    cells = genotype.load("FairDARTS_d")
    assert cells.inputs(False) == (2, 2, 2, 2) and "normal_inputs" not in cells.to_dict()
    assert genotype.from_dict(cells.to_dict() | {"normal_inputs": [2, 2, 2, 2]}) == cells


@pytest.mark.parametrize(
    "change,message",
    [
        ({"normal_inputs": [2, 2]}, "counts 4"),
        ({"normal_inputs": [2, 0, 0, 1, 0]}, "at least 1"),
        ({"normal_inputs": [2, -1, 2]}, "Received: .2, -1, 2."),
        ({"normal_inputs": 3}, "must list"),
        ({"normal_concat": [3]}, "a node without inputs"),
        ({"normal": [["a", 0], ["b", 1], ["a", 3]], "normal_concat": [2, 5]}, "a node without inputs"),
        ({"normal": [["a", 0], ["b", 2], ["a", 3]]}, "states 0 to 1"),
        ({"normal": [["a", 5, 5]], "reduce": [["a", 2, 0]]}, "states 0 to 4"),
        ({"normal": [["a", 1, 0]], "reduce": [["a", 2, 0]]}, "states from 2 on"),
        ({"normal": [["a", 5, 2]], "reduce": [["a", 2, 0]]}, "no entry"),
    ],
)
def test_counts_of_inputs_that_cannot_be(change, message):
    data = {"normal": [["a", 0], ["b", 1], ["a", 0]], "normal_concat": [2, 5], "normal_inputs": [2, 0, 0, 1]}
    data |= {"reduce": [["a", 0], ["b", 1]], "reduce_concat": [2]}
    if any(len(entry) == 3 for entry in change.get("reduce", ())):
        del data["normal_inputs"]
    with pytest.raises(GenotypeError, match=message):
        genotype.from_dict(data | change)
