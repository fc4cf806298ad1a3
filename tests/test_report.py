"""Drawings and reports: on made-up runs, so that nothing is trained here."""

import ast
import itertools
import json
import pathlib
import random
import re
import shutil
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from PIL import Image, ImageChops

from tests.support.browser import requested
from tfdarts.cli import commands
from tfdarts.errors import UserError
from tfdarts.graph import Graph
from tfdarts.layers.choices import alike
from tfdarts.report import charts, drawing, html
from tfdarts.report.canvas import Canvas
from tfdarts.report.drawing import Drawing, graphs
from tfdarts.runs import history
from tfdarts.spaces.conv.genotype import ConvGenotype
from tfdarts.spaces.conv.supernet import edge_names, strongest

OPERATIONS = ["none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_5x5"]
SVG = "{http://www.w3.org/2000/svg}"
CONFIG = {"recipe": "digits", "dataset": "digits", "epochs": 4, "seed": 5, "data_dir": "", "image_size": 0}
CONFIG |= {"strategy": "darts", "unrolled": True, "command": ["search_cell.py", "--recipe", "digits"]}
CONFIG |= {"format": 1, "stage": "search", "space": "conv"}


def table(generator):
    rows = [[generator.random() for _ in OPERATIONS] for _ in edge_names(3)]
    return [[round(value / sum(row), 6) for value in row] for row in rows]


def cell(weights):
    return [(op, source) for op, _, source in strongest(weights, alike(edge_names(3), OPERATIONS), 3)]


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def make_search(folder, seed=0, epochs=4, **config):
    """A search's folder as `tfdarts/runs` leaves it (a real one is reported on in test_cli.py)."""
    generator, mixing, metrics = random.Random(seed), [], []
    (folder / "train").mkdir(parents=True)
    for epoch in range(1, epochs + 1):
        tables = {kind: table(generator) for kind in ("normal", "reduce")}
        cells = ConvGenotype(cell(tables["normal"]), (2, 3, 4), cell(tables["reduce"]), (2, 3, 4))
        (folder / f"train/genotype_epoch_{epoch}").write_text(cells.to_json())
        names = {"edges": edge_names(3), "operations": OPERATIONS}
        mixing.append({"epoch": epoch, "tables": {kind: names | {"weights": w} for kind, w in tables.items()}})
        metrics.append({"epoch": epoch, "seconds": 2.5 * epoch, "loss": 2 / epoch, "val_loss": 3 / epoch})
        metrics[-1] |= {"accuracy": 0.2 * epoch, "val_accuracy": 0.2 * epoch - 0.01, "learning_rate": 0.025}
    write_lines(folder / "mixing.jsonl", mixing)
    write_lines(folder / "metrics.jsonl", metrics)
    (folder / "genotype.json").write_text(cells.to_json())
    (folder / "config.json").write_text(json.dumps(CONFIG | {"seed": seed, "logdir": "logs"} | config))
    return folder


def make_training(folder, search):
    folder.mkdir(parents=True)
    shutil.copy(search / "genotype.json", folder)
    write_lines(folder / "metrics.jsonl", [{"epoch": 1, "loss": 1.0, "accuracy": 0.5, "top5": 0.9, "seconds": 60.0}])
    config = {"recipe": "digits", "epochs": 1, "seed": 5, "command": ["train.py", "--arch", "x y"]}
    config |= {"format": 1, "stage": "train", "space": "conv"}
    (folder / "config.json").write_text(json.dumps(config))
    results = {"test_error_percent": 12.345, "parameters": 1234567, "seconds": 61.2}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """The folder of a search of four epochs; read only."""
    return make_search(tmp_path_factory.mktemp("logs") / "20260101-000000")


class Parser(HTMLParser):
    """All tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.cells = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_data(self, data):
        self.texts.append(data)


def page(histories):
    return html.page(histories, commands.going_on)


# Drawings.


def boxes(canvas):
    return [shape[1:5] for shape in canvas.shapes if shape[0] == "box"]


def texts(canvas):
    return [(shape[3], shape[1], shape[2]) for shape in canvas.shapes if shape[0] == "text"]


def random_cells(count, nodes=4, seed=0):
    generator = random.Random(seed)
    for _ in range(count):
        entries = [
            (generator.choice(OPERATIONS[1:]), s) for n in range(nodes) for s in generator.sample(range(2 + n), 2)
        ]
        concat = generator.sample(range(2 + nodes), generator.randint(1, nodes))
        yield graphs(ConvGenotype(entries, concat, entries, concat))["normal"]


def test_nothing_overlaps_in_any_cell():
    cells = list(random_cells(40))
    drawn = Drawing(cells)
    for i, cell in enumerate(cells):
        canvas = drawn.canvas(i)
        assert len(boxes(canvas)) == len(cell.edges) + len(cell.states) + 1
        for (x0, y0, w0, h0), (x1, y1, w1, h1) in itertools.combinations(boxes(canvas), 2):
            assert x0 + w0 < x1 or x1 + w1 < x0 or y0 + h0 < y1 or y1 + h1 < y0
        for x, y, width, height in boxes(canvas):
            assert 0 < x < x + width < canvas.width and 0 < y < y + height < canvas.height


def test_an_operation_hangs_under_its_source_and_above_its_node():
    (cell,) = random_cells(1, seed=3)
    canvas = Drawing([cell]).canvas(0)
    place = {name: (x, y) for name, x, y in texts(canvas) if name in cell.states}
    arrows = [shape[1] for shape in canvas.shapes if shape[0] == "line" and shape[1][0][0] == shape[1][1][0]]
    drawn = set()
    for (x, top), (_, bottom) in arrows:
        source = next(name for name, (_, y) in place.items() if y == top)
        node = min((name for name, (_, y) in place.items() if y > bottom), key=lambda name: place[name][1])
        label = next(name for name, at, y in texts(canvas) if at == x and top < y < bottom)
        drawn.add((cell.states.index(source), cell.nodes.index(node), label))
    assert drawn == set(cell.edges)


def test_what_stays_does_not_move():
    cells = list(random_cells(30, seed=1))
    drawn = Drawing(cells)
    for i in range(1, len(cells)):
        before, after = ({(cells[j].edges[e], slot) for e, slot in enumerate(drawn.slots[j])} for j in (i - 1, i))
        assert {edge for edge, _ in before} & {edge for edge, _ in after} == {edge for edge, _ in before & after}
        assert len({slot for _, slot in after}) == len(cells[i].edges)


def change(cells, k, op):
    return Graph(**(vars(cells) | {"edges": (*cells.edges[:k], (*cells.edges[k][:2], op), *cells.edges[k + 1 :])}))


def test_only_what_changed_moves_in_the_animation(tmp_path):
    (first,) = random_cells(1)
    second = change(first, 3, "another" if first.edges[3][2] != "another" else "")
    drawn = Drawing([first, second, second])
    drawing.animate(drawn, ["epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"], tmp_path / "cell.gif")
    frames, durations = [], []
    with Image.open(tmp_path / "cell.gif") as gif:
        assert gif.info["loop"] == 0 and gif.n_frames == 3
        for i in range(3):
            gif.seek(i)
            frames.append(gif.convert("RGB").crop((0, 34, *gif.size)))  # without the heading
            durations.append(gif.info["duration"])
    assert durations == [700, 700, 3000]
    node, column = drawn.slots[1][3]
    left, _, right, _ = ImageChops.difference(frames[0], frames[1]).getbbox()
    assert drawn.x[node] + column * drawn.column < left < right < drawn.x[node] + (column + 1) * drawn.column
    assert frames[0].getpixel((2, 2)) == (255, 255, 255)
    left, _, right, _ = ImageChops.difference(frames[1], frames[2]).getbbox()  # the mark of what is new goes
    assert drawn.x[node] + column * drawn.column < left < right < drawn.x[node] + (column + 1) * drawn.column


def test_a_cell_of_another_space_needs_only_its_graph(tmp_path):
    chain = tuple((max(0, i - 1), i, f"tanh\nattention<{i}>") for i in range(8))
    graph = Graph("recurrent cell", ("x, h",), tuple(map(str, range(8))), chain, tuple(range(1, 9)), "h'")
    canvas = Drawing([graph]).canvas(0)
    root = ET.fromstring(canvas.svg())
    found = [element.text for element in root.iter(SVG + "text")]
    assert found.count("tanh") == 8 and {f"attention<{i}>" for i in range(8)} <= set(found)
    assert canvas.image().size == (canvas.width, canvas.height)
    assert "attention<3>" in drawing.dot_graph(graph).source


def test_a_notebook_shows_every_cell(search):
    genotype = history.read(search).genotype
    roots = [ET.fromstring(svg) for svg in drawing.svgs(genotype)]
    assert [root.find(SVG + "title").text for root in roots] == ["normal cell", "reduction cell"]


def test_both_renderings_show_the_same():
    canvas = Canvas(40, 30, "a & b")
    canvas.box(5, 5, 20, 10, "#336699")
    canvas.dot(32, 22, 4, "#aa0000")
    canvas.arrow([(2, 25), (18, 25)], "#117733", 2)
    image, root = canvas.image(), ET.fromstring(canvas.svg())
    assert image.getpixel((15, 10)) == (0x33, 0x66, 0x99) and image.getpixel((32, 22)) == (0xAA, 0, 0)
    assert image.getpixel((8, 25)) == (0x11, 0x77, 0x33)
    assert image.getpixel((35, 3)) == (255, 255, 255)
    assert [e.tag.removeprefix(SVG) for e in root] == ["title", "rect", "rect", "circle", "polyline", "polygon"]
    assert root[0].text == "a & b" and root[2].get("fill") == "#336699" and root[3].get("cx") == "32"


# Charts.


def polylines(canvas, color):
    return [shape[1] for shape in canvas.shapes if shape[0] == "line" and shape[2] == color]


def test_curves_are_to_scale_and_stop_where_there_is_no_number():
    points = [(1, 0.0), (2, 5.0), (3, float("nan")), (4, 10.0), (5, float("inf")), (6, 2.5), (7, 0.0)]
    canvas = charts.curves("Loss", {"loss": points})
    (first, last), color = polylines(canvas, charts.colors(["loss"])["loss"]), charts.colors(["loss"])["loss"]
    (x1, y1), (x2, y2) = first
    (x6, y6), (x7, y7) = last
    bottom, step = y1, x2 - x1
    assert y7 == pytest.approx(bottom) and x7 - x1 == pytest.approx(6 * step)
    assert bottom - y2 == pytest.approx(2 * (bottom - y6)) and y2 < bottom
    dots = [shape[1:3] for shape in canvas.shapes if shape[0] == "dot" and shape[4] == color]
    assert len(dots) == 5 and dots[2] == (pytest.approx(x1 + 3 * step), pytest.approx(bottom - 2 * (bottom - y2)))


@pytest.mark.parametrize("values", [[0.0], [3.0], [5e-324], [0.0, 0.0], [-2.0, 7.5], [1e99, -1e99], [float("nan")], []])
def test_curves_of_any_numbers(values):
    canvas = charts.curves("x", {"a": list(enumerate(values, 1))})
    ET.fromstring(canvas.svg())
    for shape in canvas.shapes:
        if shape[0] in ("line", "polygon"):
            assert all(0 <= x <= canvas.width and 0 <= y <= canvas.height for x, y in shape[1])


def test_mixing_weights_have_a_chart_per_edge(search):
    run = history.read(search)
    palette = drawing.operation_colors(OPERATIONS)
    canvas = charts.mixing(run.mixing, palette)["normal"]
    names = [text for text, _, _ in texts(canvas)]
    assert set(edge_names(3)) | set(OPERATIONS) <= set(names)
    for o, operation in enumerate(OPERATIONS):
        lines = polylines(canvas, palette[operation])
        lines = [line for line in lines if len(line) == 4]
        assert len(lines) == len(edge_names(3))
        for e in (0, 5):
            weights = [line["tables"]["normal"]["weights"][e][o] for line in run.mixing]
            heights = [-y for _, y in lines[e]]
            assert sorted(range(4), key=weights.__getitem__) == sorted(range(4), key=heights.__getitem__)


# The page.


def test_a_page_is_self_contained(search):
    text = page([history.read(search)])
    parsed = Parser(text)
    assert parsed.tags.count("script") == 1 and not {"link", "img", "iframe", "object"} & set(parsed.tags)
    loading = [(t, n, v) for t, n, v in parsed.attributes if n in ("src", "href", "action", "data", "xlink:href")]
    assert loading == []
    assert "url(" not in text and "@import" not in text
    assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 1  # http-equiv
    (policy,) = [v for t, n, v in parsed.attributes if t == "meta" and n == "content" and "default-src" in v]
    assert policy.startswith("default-src 'none'; ") and "script-src 'sha256-" in policy


def test_a_page_shows_the_search(search):
    run = history.read(search)
    assert run.notes == [] and run.finished and run.epochs == 4
    text = page([run])
    parsed = Parser(text)
    shown = " ".join(parsed.texts)
    assert shown.count("normal cell") >= 4 and "finished" in shown and "79.00 %" in shown and "0:00:10" in shown
    frames = [value for _, name, value in parsed.attributes if name == "data-number"]
    assert frames == ["1", "2", "3", "4"]
    assert [n for _, n, _ in parsed.attributes].count("hidden") == 3
    for title in ("Loss", "Accuracy", "Learning rate", "Skip connections in the cells", "Mixing weights", "unrolled"):
        assert title in shown
    assert f"python3 train.py --recipe digits --seed 0 --genotype_file {search}/genotype.json" not in shown
    assert f"python3 train.py --recipe digits --genotype_file {search}/genotype.json" in shown
    assert f"python3 search_cell.py --resume {search} --epochs 8" in shown
    assert f"python3 visualize.py {search}" in shown


def test_heat_maps_hold_the_weights_and_outline_the_choice(search):
    run = history.read(search)
    frame = page([run]).split('data-frame="2"')[1].split('data-frame="3"')[0]
    tables = re.findall('<table class="map">.*?</table>', frame)
    assert len(tables) == 2
    for kind, text in zip(("normal", "reduce"), tables):
        body = ET.fromstring(text.replace("<wbr>", ""))
        rows = [[cell.text for cell in row.iter("td")] for row in body.find("tbody")]
        expected = run.mixing[2]["tables"][kind]
        assert rows == [[f"{value:.3f}" for value in row] for row in expected["weights"]]
        chosen = set()
        for row, name in zip(body.find("tbody"), expected["edges"]):
            for cell, operation in zip(row.iter("td"), OPERATIONS):
                if cell.get("class") == "chosen":
                    chosen.add((name, operation))
        graph = graphs(run.genotypes[3])[kind]
        assert chosen == {(graph.edge_name(source, node), label) for source, node, label in graph.edges}
        assert len(chosen) == 6


def test_tables_of_inputs_have_a_scale_of_their_own_and_outline_what_a_node_takes(tmp_path):
    folder = make_search(tmp_path)
    lines = [json.loads(line) for line in (folder / "mixing.jsonl").read_text().splitlines()]
    alone = re.findall('<table class="map">.*?</table>', page([history.read(folder)]))[-2:]
    inputs = {"edges": ["to 0"], "operations": [["c_{k-2}", "c_{k-1}"]], "weights": [[0.25, 0.75]]}
    for line in lines:
        line["tables"]["normal_inputs"] = inputs
    (folder / "mixing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = history.read(folder)
    last = re.findall('<table class="map">.*?</table>', page([run]))
    body = ET.fromstring(last[-1].replace("<wbr>", ""))
    assert body.find("caption").text == "normal_inputs, 0.250 to 0.750"
    least, greatest = body.iter("td")
    assert "background:#f7faff" in least.get("style") and "background:#08306b" in greatest.get("style")
    graph = graphs(list(run.cells().values())[-1])["normal"]
    taken = {graph.states[source] for source, node, _ in graph.edges if graph.nodes[node] == "0"}
    assert {name for name, cell in zip(("c_{k-2}", "c_{k-1}"), (least, greatest)) if cell.get("class")} == taken
    assert last[-3:-1] == alone  # not paler beside the inputs' larger weights


def test_what_comes_from_files_is_text(tmp_path):
    bad = "</title><script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;"
    folder = make_search(tmp_path / "a&b <i>", **{"recipe": bad, bad: bad, "command": ["x", bad]})
    lines = (folder / "mixing.jsonl").read_text()
    (folder / "mixing.jsonl").write_text(
        lines.replace("sep_conv_3x3", json.dumps(bad)[1:-1]).replace('"normal"', json.dumps(bad))
    )
    metrics = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(metrics.replace('"val_loss"', json.dumps("loss" + bad)))
    genotype = (folder / "genotype.json").read_text()
    for path in (folder / "genotype.json", folder / "train/genotype_epoch_2"):
        path.write_text(genotype.replace("dil_conv_5x5", json.dumps(bad)[1:-1]))
    run, plain = history.read(folder), history.read(make_search(tmp_path / "plain"))
    assert run.notes == []
    parsed = Parser(page([run, run]))
    assert set(parsed.tags) == set(Parser(page([plain, plain])).tags)
    assert parsed.tags.count("script") == 1
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert sum(bad in text for text in parsed.texts) > 20


def make_text_search(folder, **config):
    """A search on text that has not ended an epoch."""
    folder.mkdir()
    facts = {"words": 1580, "sha256": "9d01" * 16}
    known = {"space": "recurrent", "recipe": "darts_ptb", "data": "corpora/penn", "data_info": facts}
    (folder / "config.json").write_text(json.dumps(CONFIG | known | config))
    return history.read(folder)


def listed(text):
    """What a page lists as names and values, most of it the configuration."""
    return dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", text))


def test_the_text_of_a_run_is_shown(tmp_path):
    shown = listed(page([make_text_search(tmp_path / "one")]))
    assert shown["data"] == "corpora/penn" and shown["words in the vocabulary"] == "1,580"
    assert shown["SHA-256 of the text"] == "9d01" * 16


def test_the_images_of_a_run_are_shown_and_no_option_is_hidden(tmp_path):
    facts = {"mean": [0.3058552097821048], "std": [0.3762791251918089], "classes": list("0123456789"), "images": 1438}
    versions = {"tfdarts": "0.1.0", "python": "3.11.7"}
    folder = make_search(tmp_path / "run", data_info=facts, versions=versions, note="x" * 99 + "the end", flip=None)
    text = page([history.read(folder)])
    shown = listed(text)
    assert shown["training images"] == "1,438" and shown["format of config.json"] == "1"
    assert shown["mean of each channel"] == '<span title="[0.3058552097821048]">0.3059</span>'
    assert "<summary>10</summary>0, 1, 2, 3, 4, 5, 6, 7, 8, 9<" in shown["classes"]
    config = json.loads((folder / "config.json").read_text())
    assert set(config) - {"command", "data_info", "versions", "format"} <= set(shown) and set(versions) <= set(shown)
    assert "x" * 99 + "the end" in shown["note"]


def test_each_exported_file_has_a_line(tmp_path):
    folder = make_search(tmp_path / "run")
    known = {"file": "a&b.tflite", "format": "litert", "quantize": "int8", "agreement": 0.995, "size_bytes": 12345}
    known |= {"largest_difference": 0.5, "latency_ms": 0.125, "keras_latency_ms": 2.5}
    (folder / "exports.json").write_text(json.dumps([known, known | {"format": "onnx", "quantize": None}]))
    shown = listed(page([history.read(folder)]))
    expected = "a&amp;b.tflite: 99.5 % of decisions the same, largest difference of a logit 0.5, 12,345 bytes, "
    assert shown["exported to litert int8"] == expected + "0.125 ms an input (Keras 2.5)"
    assert "exported to onnx" in shown


def test_runs_on_different_data_differ_in_the_comparison(tmp_path):
    def differing(*runs):
        table = page(runs).partition("Options that differ between the searches")[2].partition("</table>")[0]
        return re.findall("<tr><th>(.*?)</th>", table.partition("<tbody>")[2])

    one = make_text_search(tmp_path / "one")
    assert differing(one, make_text_search(tmp_path / "same")) == []
    assert differing(one, make_text_search(tmp_path / "moved", data="corpora/wikitext-2")) == ["data"]
    edited = make_text_search(tmp_path / "edited", data_info={"words": 1580, "sha256": "0" * 64})
    assert differing(one, edited) == ["Data: SHA-256 of the text"]
    long = make_text_search(tmp_path / "long", data_info={"words": 1580, "sha256": "9d01" * 16, "classes": ["a"] * 200})
    other = make_text_search(tmp_path / "other", data_info=long.config["data_info"] | {"classes": ["a"] * 199 + ["b"]})
    assert differing(long, other) == ["Data: classes"]


def test_folders_of_earlier_versions_show_their_data(tmp_path):
    config = {"seen": {"words": 7}, "data_info": None}
    assert listed(page([make_text_search(tmp_path / "run", **config)]))["words in the vocabulary"] == "7"


def test_edges_with_candidates_of_their_own(search, tmp_path):
    folder = shutil.copytree(search, tmp_path / "run")
    names, other = [OPERATIONS[:2], [*OPERATIONS[3:], "sep_conv_7x7"]], ["conv_7x1_1x7"]
    lines = [
        {"edges": ["c_{k-2} to 0", "c_{k-1} to 0"], "operations": names, "weights": [[0.25, 0.75], [0.1, 0.3, 0.6]]},
        {"edges": ["c_{k-2} to 0", "c_{k-1} to 0"], "operations": names, "weights": [[0.5, 0.5], [0.2, 0.2, 0.6]]},
        {"edges": ["0"], "operations": [other], "weights": [[1.0]]},
    ]
    mixing = [{"epoch": i + 1, "tables": {"normal": line}} for i, line in enumerate(lines[:2])]
    mixing[1]["tables"]["reduce"] = lines[2]
    write_lines(folder / "mixing.jsonl", mixing)
    run = history.read(folder)
    assert run.notes == [] and run.operations()[:5] == (*names[0], *names[1])
    frame = page([run]).split('data-frame="1"')[1].split('data-frame="2"')[0]
    table = ET.fromstring(re.search('<table class="map">.*?</table>', frame)[0].replace("<wbr>", ""))
    assert [cell.text for cell in table.find("thead").iter("th")] == [None, *names[0], *names[1]]
    rows = [[cell.text for cell in row.iter("td")] for row in table.find("tbody")]
    assert rows == [["0.500", "0.500", None, None, None], [None, None, "0.200", "0.200", "0.600"]]
    palette = drawing.operation_colors(run.operations())
    canvas = charts.mixing(run.mixing, palette)["normal"]
    assert {*names[0], *names[1], "c_{k-1} to 0"} <= {text for text, _, _ in texts(canvas)}
    for name in (*names[0][1:], *names[1]):  # `none` is as gray as the axes
        (line,) = (line for line in polylines(canvas, palette[name]) if len(line) == 2)
        assert (line[0][1] > line[1][1]) == (name == "sep_conv_3x3")  # upwards: what gained weight
    for wrong in ([["a"], "b"], [["a", "b"]], [["a", "b"], ["c", 1, "d"]], [["a", "b"], ["c", "d"]], [[], ["a"]]):
        broken = {"epoch": 1, "tables": {"normal": lines[0] | {"operations": wrong}}}
        write_lines(folder / "mixing.jsonl", [broken])
        assert "1 of 1 lines" in history.read(folder).notes[0]


@pytest.mark.parametrize("config", [{"stages": "fresh"}, {"select": "perturbation"}, {"stop": "adaptive"}])
def test_a_search_that_decided_for_good_is_offered_no_more_epochs(config, tmp_path):
    folder = make_search(tmp_path / "20260101-000000", **config)
    shown = " ".join(Parser(page([history.read(folder)])).texts)
    assert "--resume" not in shown and "train.py" in shown


def test_the_report_imports_neither_commands_nor_networks():
    rooms = "cli|layers|recipes|strategies|tasks|training|spaces[.][a-z]+[.]"
    for path in pathlib.Path(html.__file__).parent.glob("*.py"):
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        names = [f"{node.module}.{alias.name}" for node in imports for alias in node.names]
        wrong = [name for name in names if re.match(f"tfdarts[.]({rooms})", name)]
        assert wrong == (["tfdarts.cli.report"] if path.name == "__main__.py" else [])


def test_a_run_under_way(search, tmp_path):
    folder = shutil.copytree(search, tmp_path / "run")
    (folder / "genotype.json").unlink()
    (folder / "train/genotype_epoch_4").unlink()
    for name in ("metrics.jsonl", "mixing.jsonl"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:3]) + lines[3][:30])  # the fourth is being written
    run = history.read(folder)
    shown = " ".join(Parser(page([run])).texts)
    assert "under way or stopped: 3 of 4 epochs done" in shown
    assert f"python3 search_cell.py --resume {folder}" in shown and "--epochs 8" not in shown
    assert "train.py" not in shown and "3 of 4" in shown
    assert [note for note in run.notes if "1 of 4 lines" in note] == run.notes and len(run.notes) == 2


def test_a_run_of_an_earlier_version_is_shown_but_cannot_go_on(tmp_path):
    folder = make_search(tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    del config["format"]
    (folder / "config.json").write_text(json.dumps(config))
    shown = " ".join(Parser(page([history.read(folder)])).texts)
    assert "79.00 %" in shown and f"train.py --recipe digits --genotype_file {folder}" in shown
    assert "--resume" not in shown


def test_a_run_is_a_training_by_its_stage_whatever_wrote_it(search, tmp_path):
    folder = make_training(tmp_path / "run", search)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"command": ["/usr/bin/tfdarts", "train"]}))
    run = history.read(folder)
    assert run.training and "Training run" in " ".join(Parser(page([run])).texts)


def test_a_run_that_has_just_begun(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    shown = " ".join(Parser(page([history.read(tmp_path)])).texts)
    assert "0 of 4 epochs done" in shown and "No cells to show" in shown and "No curves to show" in shown


DAMAGE = {
    "train/genotype_epoch_2": [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"version": 2}', b'{"normal": [["x", 9]]}'],
    "genotype.json": [b"null", b"\x00" * 1000],
    "metrics.jsonl": [b"\xff", b"[1]\n2\n", b'{"epoch": true}\n', b'{"epoch": 1, "loss": "x"}\n', b"[" * 100_000],
    "mixing.jsonl": [
        b'{"epoch": 1, "tables": []}',
        b'{"epoch": 1, "tables": {"normal": {"edges": ["a"], "operations": ["b"], "weights": [[1, 2]]}}}',
        b'{"epoch": 1, "tables": {"normal": {"edges": ["a"], "operations": ["\\ud800"], "weights": [[1]]}}}',
        b'{"epoch": 1, "tables": {"normal": {"edges": ["a"], "operations": ["b"], "weights": [[-1]]}}}',
        b'{"epoch": 1e99, "tables": {"normal": {"edges": ["a"], "operations": ["b"], "weights": [[1]]}}}',
        b'{"epoch": -1, "tables": {"normal": {"edges": ["a"], "operations": ["b"], "weights": [[1]]}}}',
    ],
    "results.json": [b"[]", b"{"],
    "exports.json": [b"{}", b"[1]", b"[{}]", b'[{"format": "onnx"}]', b"{"],
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_left_out_with_a_note(name, search, tmp_path):
    folder = shutil.copytree(search, tmp_path / "run")
    for data in DAMAGE[name]:
        (folder / name).write_bytes(data)
        run = history.read(folder)
        assert run.notes and all(name in note for note in run.notes), data[:50]
        assert any(note in " ".join(Parser(page([run])).texts) for note in run.notes)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e299", "1" * 290])
def test_strange_numbers_do_no_harm(number, search, tmp_path):
    folder = shutil.copytree(search, tmp_path / "run")
    (folder / "metrics.jsonl").write_text(
        f'{{"epoch": 1, "seconds": {number}, "loss": {number}, "val_accuracy": {number}}}'
    )
    line = json.loads((folder / "mixing.jsonl").read_text().splitlines()[0])
    text = json.dumps(line).replace(str(line["tables"]["normal"]["weights"][0][0]), number.lstrip("-"), 1)
    (folder / "mixing.jsonl").write_text(text + "\n")
    (folder / "results.json").write_text(
        f'{{"test_error_percent": {number}, "parameters": {number}, "seconds": {number}}}'
    )
    run = history.read(folder)
    assert run.notes == []
    assert "<h3>Curves</h3>" in page([run])


@pytest.mark.parametrize(
    "config", [None, b"", b"[]", b"{}", b'{"command": []}', b'{"command": [1]}', b"\xff", b"[" * 10**5]
)
def test_what_is_not_a_run_is_refused(config, tmp_path):
    if config is not None:
        (tmp_path / "config.json").write_bytes(config)
    with pytest.raises(UserError, match="is not the folder of a run"):
        history.read(tmp_path)


def test_several_runs_are_compared(search, tmp_path):
    other = make_search(tmp_path / "other", seed=7, epochs=3, unrolled=False)
    training = make_training(tmp_path / "training", search)
    text = page([history.read(folder) for folder in (search, other, training)])
    table = text.partition("<table")[2].partition("</table>")[0]
    rows = [Parser(row).texts for row in table.split("<tr>")[2:]]
    assert len(rows) == 3
    first, second, third = (" | ".join(row) for row in rows)
    assert "20260101-000000 | search by darts | digits" in first and "79.00 %" in first
    assert "other | search by darts | digits | 7 | 3 of 4 | 59.00 %" in second and "0:00:08" in second
    assert "training | training | digits | 5 | 1" in third
    assert "12.35 %" in third or "12.34 %" in third
    assert "1,234,567" in third and "0:01:01" in third
    prints = [next(x for x in row if len(x) == 8 and set(x) <= set("0123456789abcdef")) for row in rows]
    assert prints[0] == prints[2] != prints[1]
    options = text.partition("Options that differ between the searches")[2].partition("</table>")[0]
    assert "unrolled" in options and "seed" in options and "recipe" not in options
    assert "Options that differ between the trainings" not in text
    shown = " ".join(Parser(text).texts)
    assert f"python3 evaluate.py --model_path {training}/model.keras" in shown
    assert "python3 train.py --arch 'x y'" in shown


def test_random_samples_are_shown_as_such(search, tmp_path):
    folder = tmp_path / "samples"
    folder.mkdir()
    for i in (1, 2):
        shutil.copy(search / f"train/genotype_epoch_{i}", folder / f"genotype_{i}.json")
    (folder / "config.json").write_text(json.dumps(CONFIG | {"strategy": "random", "samples": 2}))
    run = history.read(folder)
    shown = " ".join(" ".join(Parser(page([run])).texts).split())
    assert run.finished and "sample 2 of 2" in shown and "--resume" not in shown
    assert "2 random samples" in page([run, history.read(search)])
    assert f"--genotype_file {folder}/genotype_1.json {folder}/genotype_2.json" in shown


def test_the_slider_moves_the_cells_without_a_network(browser, search, tmp_path):
    other = make_search(tmp_path / "other", seed=1, epochs=3)
    path = tmp_path / "report.html"
    runs = [history.read(search), history.read(other)]
    path.write_text(page(runs))
    browser.get(path.as_uri())
    sliders = browser.find_elements("css selector", "input[type=range]")
    sections = browser.find_elements("css selector", "section")
    assert len(sliders) == len(sections) == 2

    def shown(section):
        frames = section.find_elements("css selector", "[data-frame]")
        return [int(frame.get_attribute("data-number")) for frame in frames if frame.is_displayed()]

    assert [shown(section) for section in sections] == [[4], [3]]
    for _ in range(2):
        sliders[0].send_keys("\ue012")  # the key to the left
    assert [shown(section) for section in sections] == [[2], [3]]
    assert sections[0].find_element("css selector", "output").text == "2"
    visible = sections[0].find_element("css selector", "[data-number='2']")
    drawn = {element.text for element in visible.find_elements("css selector", "svg text")}
    assert {label for *_, label in graphs(runs[0].genotypes[2])["normal"].edges} <= drawn
    assert visible.find_element("css selector", ".chosen").is_displayed()
    width = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert browser.execute_script(width)

    assert requested(browser) == {path.as_uri()}
