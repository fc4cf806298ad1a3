"""The report on one or several runs: one HTML page that works offline, without a server or any other file."""

import base64
import datetime
import hashlib
import importlib.resources
import math
import re
import shlex

from tfdarts.errors import UserError
from tfdarts.report import charts, facts
from tfdarts.report.comparison import comparison
from tfdarts.report.drawing import Drawing, graphs, operation_colors
from tfdarts.report.facts import text
from tfdarts.runs.history import candidates

# Titles of the charts, and which metrics they show; any other metric has a chart of its own.
GROUPS = (
    ("Known accuracy of the cell, in percent", "^table_accuracy"),
    ("What the best known cell has more, in percent", "^table_regret"),
    ("Loss", "loss"),
    ("Accuracy", "accuracy|^top"),
    ("Reward", "reward"),
    ("Learning rate", "learning_rate"),
    ("Largest eigenvalue of the Hessian", "^eigenvalue"),
    ("Accuracy lost by discretising", "^gap$"),
)
MARKED = {"genotype_of_epoch": "genotype taken", "went_back_to": "gone back to"}  # metrics that name an epoch


def page(histories, commands):
    """The HTML text of a report: for several runs a comparison first, then each run.

    Args:
        histories: list of `History`.
        commands: function of a `History`, what may be done with it next: a list of `(what, command)`; may raise
            UserError.
    """
    palette = operation_colors(name for run in histories for name in run.operations())
    written = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    runs = "one run" if len(histories) == 1 else f"{len(histories)} runs"
    parts = [f'<h1>Report</h1>\n<p class="quiet">tfdarts, {runs}, written {written}</p>']
    if len(histories) > 1:
        parts.append(comparison(histories))
    parts.extend(_run(number, run, palette, commands) for number, run in enumerate(histories))
    return document("tfdarts report", "\n".join(parts))


def document(title, body):
    """A page that is complete in itself, with the report's style and script.

    Args:
        title: str.
        body: HTML.
    """
    files = importlib.resources.files("tfdarts.report")
    style, script = ((files / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n"
        f"<style>\n{style}</style>\n</head>\n<body>\n{body}\n<script>{script}</script>\n</body>\n</html>\n"
    )


def _run(number, run, palette, commands):
    kind = "Training" if run.training else "Search"
    done = len(run.genotypes) if run.unit == "sample" else run.epochs
    state = "finished" if run.finished else f"under way or stopped: {done} of {text(run.total)} {run.unit}s done"
    parts = [
        f'<section id="run{number}">',
        f"<h2>{kind} {text(run.folder.resolve().name)}</h2>",
        f'<p class="quiet">{text(run.folder)} &middot; {state}</p>',
        *(f'<p class="note">{text(note)}</p>' for note in run.notes),
        _fact_section(run),
        _cell_section(run, palette),
        _curve_section(run),
        _weight_section(run, palette),
        _command_section(run, commands),
        _option_section(run),
        "</section>",
    ]
    return "\n".join(parts)


def _fact_section(run):
    shown = [("recipe", text(run.config.get("recipe"))), ("seed", text(run.config.get("seed")))]
    known = [(name, value) for name, value in facts.outcome(run) if value]
    return _list("facts", [*shown, *known, *facts.exports(run)])


def _list(kind, items):
    """A description list of pairs `(name, value)` of HTML."""
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in items)
    return f'<dl class="{kind}">{rows}</dl>'


def _cell_section(run, palette):
    genotypes = run.cells()
    if not genotypes:
        return '<h3>Cells</h3><p class="note">No cells to show: no epoch has ended yet, or no file could be read.</p>'
    drawings = {}
    for kind in graphs(next(iter(genotypes.values()))):
        drawings[kind] = Drawing([graphs(genotype)[kind] for genotype in genotypes.values()], palette)
    mixing = {line["epoch"]: line["tables"] for line in run.mixing}
    ranges = _ranges(mixing.values())
    parts = [f"<h3>{'The cells' if run.training else f'Cells, {run.unit} by {run.unit}'}</h3>"]
    if len(genotypes) > 1:
        last = len(genotypes) - 1
        parts.append(
            f"<p>A thick outline marks what was not there one {run.unit} before.</p>"
            f'<label class="slider"><b>{run.unit} <output>{list(genotypes)[-1]}</output> of {text(run.total)}</b>'
            f'<input type="range" min="0" max="{last}" value="{last}" aria-label="{run.unit}"></label>'
        )
    for i, (number, genotype) in enumerate(genotypes.items()):
        hidden = "" if i == len(genotypes) - 1 else " hidden"
        parts.append(f'<div data-frame="{i}" data-number="{number}"{hidden}>')
        parts.extend(drawing.canvas(i).svg() for drawing in drawings.values())
        if number in mixing:
            parts.append(_heat_maps(mixing[number], genotype, ranges, _meaning(run)))
        parts.append("</div>")
    return "\n".join(parts)


def _meaning(run):
    """What the numbers in the tables of a search are."""
    if run.config.get("strategy") in ("enas", "random_ws"):
        return "Shares of the derived architectures that made each choice"
    return "Mixing weights of edges and operations"


def _ranges(epochs):
    """The least and the greatest weight of each table over the epochs, its name to a pair."""
    values = {}
    for tables in epochs:
        for name, table in tables.items():
            values.setdefault(name, []).extend(v for row in table["weights"] for v in row if math.isfinite(v))
    return {name: (min(own, default=0.0), max(own, default=0.0)) for name, own in values.items()}


def _heat_maps(tables, genotype, ranges, what):
    """One epoch's mixing weights, edges by operations, with the choice that they led to.

    Each table has a scale of its own, the same in all epochs: a choice of two inputs has larger weights than one of
    eight operations.
    """
    chosen = set()
    for kind, graph in graphs(genotype).items():
        for source, node, label in graph.edges:
            chosen.add((kind, graph.edge_name(source, node), label.split("\n")[0]))
            chosen.add((f"{kind}_inputs", f"to {graph.nodes[node]}", graph.states[source]))
    maps = "".join(_heat_map(kind, table, chosen, *ranges[kind]) for kind, table in tables.items())
    stops = ", ".join(_shade(k / 8) for k in range(9))
    scale = f'<span class="scale" style="background:linear-gradient(to right, {stops})"></span>'
    return (
        f'<div class="maps">{maps}</div><p class="quiet">{what} after the epoch; {scale} from the least to the '
        "greatest of each table over all epochs. Outlined: chosen.</p>"
    )


def _heat_map(kind, table, chosen, low, high):
    """A table with a column for every operation; where an edge has no such candidate, its field stays empty."""
    columns = dict.fromkeys(name for names in candidates(table) for name in names)
    head = "".join(f"<th>{text(name).replace('_', '_<wbr>')}</th>" for name in columns)
    rows = []
    for edge, names, weights in zip(table["edges"], candidates(table), table["weights"]):
        known, fields = dict(zip(names, weights)), []
        for name in columns:
            if name not in known:
                fields.append("<td></td>")
                continue
            share = (known[name] - low) / (high - low) if high > low and math.isfinite(known[name]) else 0.0
            mark = ' class="chosen"' if (kind, edge, name) in chosen else ""
            ink = "#fff" if share > 0.55 else "#1a1a1a"
            fields.append(f'<td{mark} style="background:{_shade(share)};color:{ink}">{known[name]:.3f}</td>')
        rows.append(f"<tr><th>{text(edge)}</th>{''.join(fields)}</tr>")
    caption = f"<caption>{text(kind)}, {low:.3f} to {high:.3f}</caption>"
    return f'<table class="map">{caption}<thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _shade(share):
    """From near white to dark blue, lighter always meaning less."""
    ends = ((247, 250, 255), (8, 48, 107))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends))


def _curve_section(run):
    groups = {title: [] for title, _ in GROUPS}
    for name in dict.fromkeys(
        name for line in run.metrics for name in line if name not in ("epoch", "seconds", *MARKED)
    ):
        title = next((title for title, pattern in GROUPS if re.search(pattern, name)), name)
        groups.setdefault(title, []).append(name)
    drawn = [
        charts.curves(
            title,
            {name: [(x["epoch"], x[name]) for x in run.metrics if name in x] for name in names},
            marks=_marks(run) if names[0].startswith("eigenvalue") else None,
        )
        for title, names in groups.items()
        if names
    ]
    skips = [(number, genotype.skip_connections()) for number, genotype in run.genotypes.items()]
    if skips:
        drawn.append(charts.curves("Skip connections in the cells", {"skip_connect": skips}, run.unit))
    if not drawn:
        return '<h3>Curves</h3><p class="note">No curves to show: no epoch has ended yet.</p>'
    return f'<h3>Curves</h3><div class="charts">{"".join(chart.svg() for chart in drawn)}</div>'


def _marks(run):
    """The epochs whose genotype was taken, or whose state was gone back to: epoch to words."""
    return {line[name]: words for name, words in MARKED.items() for line in run.metrics if name in line}


def _weight_section(run, palette):
    if not run.mixing:
        return ""
    drawn = "".join(canvas.svg() for canvas in charts.mixing(run.mixing, palette).values())
    return f"<h3>Mixing weights over the epochs</h3>{drawn}"


def _command_section(run, commands):
    try:
        lines, notes = commands(run), ""
    except UserError as error:
        lines, notes = [], f'<p class="note">{text(error)}</p>'
    rows = "".join(f"<p>{what}:</p><pre>{text(line)}</pre>" for what, line in lines)
    return f"<h3>Commands to go on</h3>{notes}{rows}"


def _option_section(run):
    program, *arguments = map(str, run.config["command"])
    start = program if program.startswith("tfdarts ") else shlex.join(["python3", program])
    parts = [f"<h3>Configuration</h3><pre>{text(' '.join([start, shlex.join(arguments)]).strip())}</pre>"]
    for title, values in facts.configuration(run.config).items():
        items = [(facts.label(title, name), facts.shown(title, value)) for name, value in values.items()]
        parts.append(f"<h4>{text(title)}</h4>{_list('options', items)}" if items else "")
    return "".join(parts)
