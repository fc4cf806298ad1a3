"""The report on one or several runs: one HTML page that needs no network, no server and no other file."""

import base64
import datetime
import hashlib
import html
import json
import math
import shlex

from tfdarts import charts
from tfdarts.history import is_number
from tfdarts.visualize import Drawing, ascii_drawing, graphs, operation_colours

GROUPS = (("Loss", "loss"), ("Accuracy", "accuracy"), ("Learning rate", "learning_rate"))  # title, part of the names

_SCRIPT = """
for (const slider of document.querySelectorAll("input[type=range]")) {
  const run = slider.closest("section");
  const show = () => {
    for (const frame of run.querySelectorAll("[data-frame]")) frame.hidden = frame.dataset.frame !== slider.value;
    const shown = run.querySelector(`[data-frame="${slider.value}"]`);
    run.querySelector("output").textContent = shown.dataset.epoch;
    slider.setAttribute("aria-valuetext", "epoch " + shown.dataset.epoch);
  };
  slider.addEventListener("input", show);
  show();
}
"""
_STYLE = """
body { font: 15px/1.5 Helvetica, Arial, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto; max-width: 1140px;
  padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0; }
h2 { font-size: 21px; margin: 48px 0 4px; padding-top: 16px; border-top: 2px solid #1a1a1a; }
h3 { font-size: 16px; margin: 28px 0 8px; }
p { margin: 6px 0; }
.quiet { color: #595959; }
.note { background: #fff4d6; border-left: 4px solid #aa7f00; padding: 6px 12px; margin: 8px 0; }
.facts { display: flex; flex-wrap: wrap; gap: 10px; margin: 14px 0; padding: 0; }
.facts div { border: 1px solid #d9d9d9; border-radius: 6px; padding: 8px 14px; min-width: 96px; }
.facts dt { font-size: 12px; color: #595959; }
.facts dd { margin: 0; font-size: 20px; }
.charts { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 16px 24px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th { text-align: left; font-weight: 600; }
.list th, .list td { padding: 5px 12px 5px 0; border-bottom: 1px solid #e4e4e4; vertical-align: top; }
.list .number { text-align: right; font-variant-numeric: tabular-nums; }
.options { columns: 3; column-gap: 32px; font-size: 13px; margin: 0; }
.options div { display: flex; justify-content: space-between; gap: 12px; padding: 2px 0; break-inside: avoid;
  border-bottom: 1px solid #e4e4e4; }
.options dt { color: #595959; }
.options dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
.maps { display: flex; flex-wrap: wrap; gap: 12px 28px; }
.map caption { text-align: left; font-size: 15px; padding: 4px 0; }
.map th { font-weight: 400; font-size: 12px; padding: 2px 8px 2px 0; white-space: nowrap; }
.map thead th { white-space: normal; width: 46px; padding: 2px 3px; text-align: center; vertical-align: bottom;
  line-height: 1.15; }
.map td { width: 46px; height: 22px; text-align: center; font-size: 12px; border: 1px solid #fff;
  font-variant-numeric: tabular-nums; box-sizing: content-box; }
.map td.chosen { outline: 2.5px solid #1a1a1a; outline-offset: -3px; font-weight: 700; }
.scale { display: inline-block; width: 120px; height: 11px; vertical-align: -1px; margin: 0 6px; }
.slider { position: sticky; top: 0; background: #fff; display: flex; align-items: center; gap: 14px; padding: 8px 0;
  border-bottom: 1px solid #d9d9d9; z-index: 1; }
.slider input { flex: 1; accent-color: #332288; }
.slider b { min-width: 130px; }
pre { background: #f4f4f4; border-radius: 6px; padding: 10px 14px; overflow-x: auto; font-size: 13px; margin: 6px 0; }
details { margin: 4px 0; } summary { cursor: pointer; } td details { margin: 0; }
@media print { .slider { position: static; } }
"""


def page(histories):
    """The HTML text of a report: for several runs a comparison first, then each run.

    Args:
        histories: list of `History`.
    """
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_sha256(_SCRIPT)}'"
    palette = operation_colours(name for run in histories for name in run.operations())
    written = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    runs = "one run" if len(histories) == 1 else f"{len(histories)} runs"
    parts = [f'<h1>Report</h1>\n<p class="quiet">tfdarts, {runs}, written {written}</p>']
    if len(histories) > 1:
        parts.append(_comparison(histories))
    parts.extend(_run(number, run, palette) for number, run in enumerate(histories))
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>tfdarts report</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _sha256(text):
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# One run.


def _run(number, run, palette):
    kind = "Training" if run.training else "Search"
    total = run.config.get("epochs")
    state = "finished" if run.finished else f"under way or stopped: {run.epochs} of {_text(total)} epochs done"
    parts = [
        f'<section id="run{number}">',
        f"<h2>{kind} {_text(run.folder.resolve().name)}</h2>",
        f'<p class="quiet">{_text(run.folder)} &middot; {state}</p>',
        *(f'<p class="note">{_text(note)}</p>' for note in run.notes),
        _facts(run),
        _cell_section(run, palette),
        _curve_section(run),
        _weight_section(run, palette),
        _command_section(run),
        _option_section(run),
        "</section>",
    ]
    return "\n".join(parts)


def _facts(run):
    facts = [("recipe", _text(run.config.get("recipe"))), ("seed", _text(run.config.get("seed")))]
    facts += [(name, value) for name, value in _outcome(run) if value]
    return '<dl class="facts">' + "".join(f"<div><dt>{n}</dt><dd>{v}</dd></div>" for n, v in facts) + "</dl>"


def _outcome(run):
    """`(what, value)` of a run as HTML, the value empty where it is not known (yet)."""
    last, results, cells = run.metrics[-1] if run.metrics else {}, run.results or {}, list(run.cells().values())
    total = run.config.get("epochs")
    return [
        ("epochs", f"{run.epochs}" if run.epochs == total else f"{run.epochs} of {_text(total)}"),
        ("validation accuracy", _percent(last.get("val_accuracy"), 100)),
        ("test error", _percent(results.get("test_error_percent"), 1)),
        ("parameters", _count(results.get("parameters"))),
        ("skip connections", str(cells[-1].skip_connections()) if cells else ""),
        ("time", _time(results.get("seconds", last.get("seconds")))),
    ]


def _cell_section(run, palette):
    cells = run.cells()
    if not cells:
        reason = "no epoch has ended yet" if not run.notes else "no genotype could be read"
        return f'<h3>Cells</h3><p class="note">No cells to show: {reason}.</p>'
    drawings = {}
    for kind in graphs(next(iter(cells.values()))):
        drawings[kind] = Drawing([graphs(each)[kind] for each in cells.values()], palette)
    mixing = {line["epoch"]: line["tables"] for line in run.mixing}
    values = [v for tables in mixing.values() for t in tables.values() for row in t["weights"] for v in row]
    values = [value for value in values if math.isfinite(value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    frames = []
    for i, (epoch, each) in enumerate(cells.items()):
        body = "".join(drawing.canvas(i).svg() for drawing in drawings.values())
        if epoch in mixing:
            chosen = {
                (kind, graph.edge_name(*edge[:2]), edge[2])
                for kind, graph in graphs(each).items()
                for edge in graph.edges
            }
            maps = (_heat_map(kind, table, chosen, low, high) for kind, table in mixing[epoch].items())
            body += f'<div class="maps">{"".join(maps)}</div>'
        hidden = "" if i == len(cells) - 1 else " hidden"
        frames.append(f'<div data-frame="{i}" data-epoch="{epoch}"{hidden}>{body}</div>')
    heading = "<h3>The cell</h3>" if run.training else "<h3>Cells over the epochs</h3>"
    lead = ""
    if len(cells) > 1:
        last, total = len(cells) - 1, run.config.get("epochs")
        lead = (
            "<p>A thick outline marks what was not there an epoch before.</p>"
            f'<label class="slider"><b>epoch <output>{list(cells)[-1]}</output> of {_text(total)}</b>'
            f'<input type="range" min="0" max="{last}" value="{last}" aria-label="epoch"></label>'
        )
    legend = ""
    if mixing:
        stops = ", ".join(_shade(k / 8) for k in range(9))
        legend = (
            '<p class="quiet">Mixing weights at the end of the epoch, edges by operations: '
            f'{low:.3f}<span class="scale" style="background:linear-gradient(to right, {stops})"></span>{high:.3f}; '
            "outlined: chosen.</p>"
        )
    return heading + lead + "\n".join(frames) + legend


def _heat_map(kind, table, chosen, low, high):
    head = "".join(f"<th>{_text(name).replace('_', '_<wbr>')}</th>" for name in table["operations"])
    rows = []
    for edge, weights in zip(table["edges"], table["weights"]):
        cells = []
        for name, weight in zip(table["operations"], weights):
            share = (weight - low) / (high - low) if high > low and math.isfinite(weight) else 0.0
            mark = ' class="chosen"' if (kind, edge, name) in chosen else ""
            ink = "#fff" if share > 0.55 else "#1a1a1a"
            cells.append(f'<td{mark} style="background:{_shade(share)};color:{ink}">{weight:.2f}</td>')
        rows.append(f"<tr><th>{_text(edge)}</th>{''.join(cells)}</tr>")
    return (
        f'<table class="map"><caption>{_text(kind)}</caption><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _shade(share):
    """From near white to dark blue, lighter always meaning less."""
    ends = ((247, 250, 255), (8, 48, 107))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends))


def _curve_section(run):
    if not run.metrics:
        return '<h3>Curves</h3><p class="note">No curves to show: metrics.jsonl holds no epoch yet.</p>'
    names = dict.fromkeys(name for line in run.metrics for name in line if name not in ("epoch", "seconds"))
    groups = {}
    for name in names:
        title = next((title for title, part in GROUPS if part in name), name)
        title = "Accuracy" if name.startswith("top") else title
        groups.setdefault(title, []).append(name)
    order = [title for title, _ in GROUPS]
    groups = dict(sorted(groups.items(), key=lambda item: (order + [item[0]]).index(item[0])))
    drawn = [
        charts.curves(
            title, {name: [(line["epoch"], line[name]) for line in run.metrics if name in line] for name in names}
        )
        for title, names in groups.items()
    ]
    skips = [(epoch, each.skip_connections()) for epoch, each in run.genotypes.items()]
    if skips:
        drawn.append(charts.curves("Skip connections in the cells", {"skip_connect": skips}))
    return f'<h3>Curves</h3><div class="charts">{"".join(chart.svg() for chart in drawn)}</div>'


def _weight_section(run, palette):
    if not run.mixing:
        return ""
    drawn = "".join(canvas.svg() for canvas in charts.mixing(run.mixing, palette).values())
    return f"<h3>Mixing weights over the epochs</h3>{drawn}"


def _command_section(run):
    folder, commands = str(run.folder), []
    data = f" --data_dir {shlex.quote(str(run.config['data_dir']))}" if run.config.get("data_dir") else ""
    if run.training and run.finished:
        model = shlex.quote(str(run.folder / "model.keras"))
        commands.append(("test the model again", f"python3 evaluate.py{data} --model_path {model}"))
    if not run.training and run.genotype:
        recipe = run.config.get("recipe")
        recipe = "" if recipe == "darts_cifar10" else f" --recipe {shlex.quote(str(recipe))}"
        path = shlex.quote(str(run.folder / "genotype.json"))
        commands.append(("train what it found", f"python3 train.py{recipe}{data} --genotype_file {path}"))
    if run.finished:
        epochs = run.config.get("epochs")
        more = f" --epochs {2 * epochs}" if type(epochs) is int and epochs < 1e9 else ""
    else:
        more = ""
    resume = f"python3 {shlex.quote(run.program)} --resume {shlex.quote(folder)}{more}"
    commands.append(("go on for more epochs" if more else "go on", resume))
    what = folder if not run.training else str(run.folder / "genotype.json")
    commands.append(("draw", f"python3 visualize.py {shlex.quote(what)}"))
    rows = "".join(f"<p>{name}:</p><pre>{_text(command)}</pre>" for name, command in commands)
    return f"<h3>Commands to go on</h3>{rows}"


def _option_section(run):
    options = {name: value for name, value in run.config.items() if name not in ("command", "versions")}
    options |= run.config["versions"] if isinstance(run.config.get("versions"), dict) else {}
    items = "".join(f"<div><dt>{_text(name)}</dt><dd>{_option(value)}</dd></div>" for name, value in options.items())
    command = " ".join(shlex.quote(str(part)) for part in run.config["command"])
    return f'<h3>Configuration</h3><pre>python3 {_text(command)}</pre><dl class="options">{items}</dl>'


# Several runs.


def _comparison(histories):
    names = [name for name, _ in _outcome(histories[0])]
    head = "".join(f"<th>{name}</th>" for name in ("run", "kind", "recipe", "seed", *names, "genotype"))
    rows = []
    for number, run in enumerate(histories):
        cells = list(run.cells().values())
        values = [value or "&ndash;" for _, value in _outcome(run)]
        link = f'<a href="#run{number}">{_text(run.folder.resolve().name)}</a>'
        kind = "training" if run.training else "search"
        if not run.finished:
            kind += ", not finished"
        rows.append(
            f"<tr><td>{link}</td><td>{kind}</td><td>{_text(run.config.get('recipe'))}</td>"
            f'<td class="number">{_text(run.config.get("seed"))}</td>'
            + "".join(f'<td class="number">{value}</td>' for value in values)
            + f"<td>{_fingerprint(cells[-1]) if cells else '&ndash;'}</td></tr>"
        )
    table = f'<table class="list"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    hint = '<p class="quiet">The same eight characters mean the same genotype.</p>'
    return (
        f'<h3>Comparison</h3><div class="scroll">{table}</div>{hint}'
        f"{_common_curves(histories)}{_differing_options(histories)}"
    )


def _fingerprint(cells):
    name = hashlib.sha256(cells.to_json().encode()).hexdigest()[:8]
    return f"<details><summary>{name}</summary><pre>{_text(ascii_drawing(cells))}</pre></details>"


def _common_curves(histories):
    """Charts with a line per run, of what at least two of them have."""
    series = {
        "Validation accuracy": {
            run.folder.resolve().name: [(x["epoch"], x["val_accuracy"]) for x in run.metrics if "val_accuracy" in x]
            for run in histories
        },
        "Skip connections in the cells": {
            run.folder.resolve().name: [(epoch, cells.skip_connections()) for epoch, cells in run.genotypes.items()]
            for run in histories
        },
    }
    drawn = []
    for title, lines in series.items():
        lines = {name: points for name, points in lines.items() if points}
        if len(lines) > 1:
            drawn.append(charts.curves(title, lines).svg())
    return f'<div class="charts">{"".join(drawn)}</div>'


def _differing_options(histories):
    """For the searches and for the trainings, where there are several: the options that they do not share."""
    parts = []
    for kind, training in (("searches", False), ("trainings", True)):
        runs = [run for run in histories if run.training is training]
        names = dict.fromkeys(name for run in runs for name in run.config if name not in ("command", "versions"))
        rows = []
        for name in names:
            values = [_option(run.config[name]) if name in run.config else "&ndash;" for run in runs]
            if len(set(values)) > 1:
                rows.append(f"<tr><th>{_text(name)}</th>{''.join(f'<td>{value}</td>' for value in values)}</tr>")
        if rows:
            head = "".join(f"<th>{_text(run.folder.resolve().name)}</th>" for run in runs)
            table = f'<table class="list"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
            parts.append(f'<h3>Options that differ between the {kind}</h3><div class="scroll">{table}</div>')
    return "".join(parts)


# Text.


def _text(value):
    return html.escape(str(value))


def _option(value):
    """An option as in the configuration file, empty ones as nothing."""
    return _text(value if isinstance(value, str) else json.dumps(value))


def _percent(value, factor):
    return f"{factor * value:.2f} %" if is_number(value) else ""


def _count(value):
    return f"{value:,}" if type(value) is int else ""


def _time(seconds):
    known = is_number(seconds) and 0 <= seconds < 1e9
    return str(datetime.timedelta(seconds=round(seconds))) if known else ""
