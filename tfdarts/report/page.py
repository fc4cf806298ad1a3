"""The report on one or several runs: one HTML page that needs no network, no server and no other file."""

import base64
import datetime
import hashlib
import html
import json
import math
import re
import shlex

from tfdarts.errors import UserError
from tfdarts.report import charts
from tfdarts.report.drawing import Drawing, ascii_drawing, graphs, operation_colors
from tfdarts.runs.history import is_number

# Titles of the charts, and which metrics they show; any other metric has a chart of its own.
GROUPS = (("Loss", "loss"), ("Accuracy", "accuracy|^top"), ("Reward", "reward"), ("Learning rate", "learning_rate"))
NO_OPTIONS = ("command", "versions", "format", "data_info", "seen")  # of config.json, shown elsewhere or not options

_SCRIPT = """
for (const slider of document.querySelectorAll("input[type=range]")) {
  const run = slider.closest("section");
  const show = () => {
    for (const frame of run.querySelectorAll("[data-frame]")) frame.hidden = frame.dataset.frame !== slider.value;
    const shown = run.querySelector(`[data-frame="${slider.value}"]`);
    run.querySelector("output").textContent = shown.dataset.number;
    slider.setAttribute("aria-valuetext", slider.getAttribute("aria-label") + " " + shown.dataset.number);
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
pre { background: #f4f4f4; border-radius: 6px; padding: 10px 14px; white-space: pre-wrap; overflow-wrap: anywhere;
  font-size: 13px; margin: 6px 0; }
details { margin: 4px 0; } summary { cursor: pointer; } td details { margin: 0; }
@media print { .slider { position: static; } }
"""


def page(histories, commands):
    """The HTML text of a report: for several runs a comparison first, then each run.

    Args:
        histories: list of `History`.
        commands: function of a `History`, what may be done with it next: a list of `(what, command)`; may raise
            UserError.
    """
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_sha256(_SCRIPT)}'"
    palette = operation_colors(name for run in histories for name in run.operations())
    written = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    runs = "one run" if len(histories) == 1 else f"{len(histories)} runs"
    parts = [f'<h1>Report</h1>\n<p class="quiet">tfdarts, {runs}, written {written}</p>']
    if len(histories) > 1:
        parts.append(_comparison(histories))
    parts.extend(_run(number, run, palette, commands) for number, run in enumerate(histories))
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


def _run(number, run, palette, commands):
    kind = "Training" if run.training else "Search"
    done = len(run.genotypes) if run.unit == "sample" else run.epochs
    state = "finished" if run.finished else f"under way or stopped: {done} of {_text(run.total)} {run.unit}s done"
    parts = [
        f'<section id="run{number}">',
        f"<h2>{kind} {_text(run.folder.resolve().name)}</h2>",
        f'<p class="quiet">{_text(run.folder)} &middot; {state}</p>',
        *(f'<p class="note">{_text(note)}</p>' for note in run.notes),
        _facts(run),
        _cell_section(run, palette),
        _curve_section(run),
        _weight_section(run, palette),
        _command_section(run, commands),
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
    last, results = run.metrics[-1] if run.metrics else {}, run.results or {}
    cells = list(run.cells().values()) if run.unit == "epoch" else []
    epochs = f"{run.epochs}" if run.epochs == run.total else f"{run.epochs} of {_text(run.total)}"
    return [
        ("epochs", epochs if run.unit == "epoch" else ""),
        ("validation accuracy", _percent(last.get("val_accuracy"), 100) if "perplexity" not in last else ""),
        ("test error", _percent(results.get("test_error_percent"), 1)),
        ("validation perplexity", _number(last.get("val_perplexity"))),
        ("test perplexity", _number(results.get("test_perplexity"))),
        ("mean reward", _number(last.get("mean_reward"))),
        ("mean reward of uniform draws", _number(last.get("uniform_reward"))),
        ("parameters", _count(results.get("parameters"))),
        ("skip connections", str(cells[-1].skip_connections()) if cells else ""),
        ("time", _time(results.get("seconds", last.get("seconds")))),
    ]


def _cell_section(run, palette):
    cells = run.cells()
    if not cells:
        return '<h3>Cells</h3><p class="note">No cells to show: no epoch has ended yet, or no file could be read.</p>'
    drawings = {}
    for kind in graphs(next(iter(cells.values()))):
        drawings[kind] = Drawing([graphs(each)[kind] for each in cells.values()], palette)
    mixing = {line["epoch"]: line["tables"] for line in run.mixing}
    values = [v for tables in mixing.values() for t in tables.values() for row in t["weights"] for v in row]
    values = [value for value in values if math.isfinite(value)] or [0.0]
    parts = [f"<h3>{'The cells' if run.training else f'Cells, {run.unit} by {run.unit}'}</h3>"]
    if len(cells) > 1:
        last = len(cells) - 1
        parts.append(
            f"<p>A thick outline marks what was not there one {run.unit} before.</p>"
            f'<label class="slider"><b>{run.unit} <output>{list(cells)[-1]}</output> of {_text(run.total)}</b>'
            f'<input type="range" min="0" max="{last}" value="{last}" aria-label="{run.unit}"></label>'
        )
    for i, (number, each) in enumerate(cells.items()):
        hidden = "" if i == len(cells) - 1 else " hidden"
        parts.append(f'<div data-frame="{i}" data-number="{number}"{hidden}>')
        parts.extend(drawing.canvas(i).svg() for drawing in drawings.values())
        if number in mixing:
            parts.append(_heat_maps(mixing[number], each, min(values), max(values), _meaning(run)))
        parts.append("</div>")
    return "\n".join(parts)


def _meaning(run):
    """What the numbers in the tables of a search are."""
    if run.config.get("strategy") in ("enas", "random_ws"):
        return "Shares of the derived architectures that made each choice"
    return "Mixing weights of edges and operations"


def _heat_maps(tables, cells, low, high, what):
    """One epoch's mixing weights, edges by operations, with the choice that they led to; one scale for all epochs."""
    chosen = {
        (kind, graph.edge_name(source, node), label.split("\n")[0])
        for kind, graph in graphs(cells).items()
        for source, node, label in graph.edges
    }
    maps = "".join(_heat_map(kind, table, chosen, low, high) for kind, table in tables.items())
    stops = ", ".join(_shade(k / 8) for k in range(9))
    return (
        f'<div class="maps">{maps}</div><p class="quiet">{what} after the epoch: '
        f'{low:.3f}<span class="scale" style="background:linear-gradient(to right, {stops})"></span>{high:.3f}. '
        "Outlined: chosen.</p>"
    )


def _heat_map(kind, table, chosen, low, high):
    head = "".join(f"<th>{_text(name).replace('_', '_<wbr>')}</th>" for name in table["operations"])
    rows = []
    for edge, weights in zip(table["edges"], table["weights"]):
        cells = []
        for name, weight in zip(table["operations"], weights):
            share = (weight - low) / (high - low) if high > low and math.isfinite(weight) else 0.0
            mark = ' class="chosen"' if (kind, edge, name) in chosen else ""
            ink = "#fff" if share > 0.55 else "#1a1a1a"
            cells.append(f'<td{mark} style="background:{_shade(share)};color:{ink}">{weight:.3f}</td>')
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
    groups = {title: [] for title, _ in GROUPS}
    for name in dict.fromkeys(name for line in run.metrics for name in line if name not in ("epoch", "seconds")):
        title = next((title for title, pattern in GROUPS if re.search(pattern, name)), name)
        groups.setdefault(title, []).append(name)
    drawn = [
        charts.curves(title, {name: [(x["epoch"], x[name]) for x in run.metrics if name in x] for name in names})
        for title, names in groups.items()
        if names
    ]
    skips = [(number, cells.skip_connections()) for number, cells in run.genotypes.items()]
    if skips:
        drawn.append(charts.curves("Skip connections in the cells", {"skip_connect": skips}, run.unit))
    if not drawn:
        return '<h3>Curves</h3><p class="note">No curves to show: no epoch has ended yet.</p>'
    return f'<h3>Curves</h3><div class="charts">{"".join(chart.svg() for chart in drawn)}</div>'


def _weight_section(run, palette):
    if not run.mixing:
        return ""
    drawn = "".join(canvas.svg() for canvas in charts.mixing(run.mixing, palette).values())
    return f"<h3>Mixing weights over the epochs</h3>{drawn}"


def _command_section(run, commands):
    try:
        lines, notes = commands(run), ""
    except UserError as error:
        lines, notes = [], f'<p class="note">{_text(error)}</p>'
    rows = "".join(f"<p>{what}:</p><pre>{_text(line)}</pre>" for what, line in lines)
    return f"<h3>Commands to go on</h3>{notes}{rows}"


def _option_section(run):
    options = {name: value for name, value in run.config.items() if name not in NO_OPTIONS}
    for name in ("data_info", "seen", "versions"):
        options |= run.config[name] if isinstance(run.config.get(name), dict) else {}
    items = "".join(f"<div><dt>{_text(name)}</dt><dd>{_option(value)}</dd></div>" for name, value in options.items())
    command = shlex.join(map(str, run.config["command"]))
    return f'<h3>Configuration</h3><pre>python3 {_text(command)}</pre><dl class="options">{items}</dl>'


# Several runs.


def _comparison(histories):
    names = [name for name, _ in _outcome(histories[0])]
    head = "<th>run</th><th>kind</th><th>recipe</th>"
    head += "".join(f'<th class="number">{name}</th>' for name in ("seed", *names)) + "<th>genotype</th>"
    rows = []
    for number, run in enumerate(histories):
        cells = list(run.cells().values())
        values = [value or "&ndash;" for _, value in _outcome(run)]
        link = f'<a href="#run{number}">{_text(run.folder.resolve().name)}</a>'
        kind = "training" if run.training else f"search by {_text(run.config.get('strategy', 'darts'))}"
        if run.unit == "sample":
            kind = f"{len(run.genotypes)} random samples"
        if not run.finished:
            kind += ", not finished"
        rows.append(
            f"<tr><td>{link}</td><td>{kind}</td><td>{_text(run.config.get('recipe'))}</td>"
            f'<td class="number">{_text(run.config.get("seed"))}</td>'
            + "".join(f'<td class="number">{value}</td>' for value in values)
            + f"<td>{_fingerprint(cells[-1]) if cells and run.unit == 'epoch' else '&ndash;'}</td></tr>"
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
        "Mean reward": {
            run.folder.resolve().name: [(x["epoch"], x["mean_reward"]) for x in run.metrics if "mean_reward" in x]
            for run in histories
        },
        "Skip connections in the cells": {
            run.folder.resolve().name: [(epoch, cells.skip_connections()) for epoch, cells in run.genotypes.items()]
            for run in histories
            if run.unit == "epoch"
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
        runs = [run for run in histories if run.training is training and run.unit == "epoch"]
        names = dict.fromkeys(name for run in runs for name in run.config if name not in NO_OPTIONS)
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
    """An option as in the configuration file, cut where it is long."""
    text = value if isinstance(value, str) else json.dumps(value)
    return _text(text if len(text) <= 100 else text[:99] + "…")


def _percent(value, factor):
    return f"{factor * value:.2f} %" if is_number(value) else ""


def _number(value):
    return f"{value:.2f}" if is_number(value) else ""


def _count(value):
    return f"{value:,}" if type(value) is int else ""


def _time(seconds):
    known = is_number(seconds) and 0 <= seconds < 1e9
    return str(datetime.timedelta(seconds=round(seconds))) if known else ""
