"""The page of a study: one HTML file that works offline, in the look of the report."""

import datetime

from tfdarts.report.drawing import svgs
from tfdarts.report.facts import text
from tfdarts.report.html import document
from tfdarts.report.scatter import scatter
from tfdarts.spaces import genotypes
from tfdarts.study.plan import BASELINE

_NAMES = {
    "test_accuracy_percent": "test accuracy, percent",
    "test_perplexity": "test perplexity",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds of one image",
    "latency_ms": "latency of one image, milliseconds",
}
_LABEL = "random cells"


def page(study, result, commands):
    """The HTML text of a study's page.

    Args:
        study: `plan.Study`.
        result: what `table` gave.
        commands: a list of `(what, command)` to go on with.
    """
    plan = study.plan
    written = datetime.datetime.now().strftime("%Y-%m-%d %H:%M")
    head = f"tfdarts, recipe {text(plan.train.recipe)}, {text(study.folder)}, written {written}"
    parts = [
        f'<h1>Study</h1><p class="quiet">{head}</p>',
        _method(plan),
        *(f'<p class="note">{text(name)} failed: {text(line)}</p>' for name, line in result["failed"].items()),
        "<h2>Strategies</h2>",
        _strategies(result),
        _correlation(result, plan),
        "<h2>Cost and score</h2>",
        f'<div class="charts">{_charts(result)}</div>',
        "<h2>Found cells</h2>",
        _winners(study, result),
        "<h2>All cells</h2>",
        _cells(result),
        "<h2>Commands to go on</h2>",
        *(f"<p>{what}:</p><pre>{text(line)}</pre>" for what, line in commands),
    ]
    return document("tfdarts study", "\n".join(parts))


def _method(plan):
    """What was done, in sentences."""
    epochs = f"{plan.select_epochs} epoch{'s' * (plan.select_epochs > 1)}"
    chosen = {
        "short": f"the best of them after a short training of {epochs}, scored on images held out from the training "
        "images, was trained fully",
        "best": "the best of them by the search's own validation was trained fully",
        "all": "all of them were trained fully",
    }[plan.select]
    if plan.task == "text":
        chosen = chosen.replace("images held out from the training images", "the validation text")
    limits = "".join(f", {name} at most {most:,.0f}" for name, most in plan.budget.items())
    return (
        f"<p>Each strategy searched with {plan.seeds} seed{'s' * (plan.seeds > 1)}; {chosen}, with {plan.train_seeds} "
        f"seed{'s' * (plan.train_seeds > 1)}, beside {plan.random} random cells of the same space{limits}.</p>"
    )


def _strategies(result):
    names = ("strategy", "mean", "deviation", "n", "difference to random", "95 % interval", "rank among random")
    names += ("best of k random", "search time", "parameters", "multiply-adds", "latency")
    rows = [_strategy(line) for line in result["strategies"]]
    random = result["random"]
    row = [f"{random['cells']} random cells", _float(random.get("mean")), _float(random.get("deviation"))]
    rows.append([*row, str(random["cells"]), *[""] * (len(names) - 4)])
    better = "higher" if result["higher_is_better"] else "lower"
    return (
        f"<p>{_NAMES[result['score']].capitalize()}; {better} is better.</p>{_table(names, rows)}"
        '<p class="quiet">n counts cells, each by the mean of its trainings; where one cell was chosen it counts that '
        "cell's trainings, and the interval is about this cell. Interval: Welch's, for the difference of the means. "
        "Best of k random: the expected best of as many random cells as could have been trained in the time that the "
        "searches of the row and one training took, chosen by their test score, which favours the random cells.</p>"
    )


def _strategy(line):
    row = [text(line["label"]) + (f" ({line['failed_searches']} failed)" if line["failed_searches"] else "")]
    if "mean" not in line:
        return [*row, "no result", *[""] * 10]
    low, high = line.get("interval") or (None, None)
    best, ranks = line.get("best_of"), line.get("ranks")
    return [
        *row,
        _float(line["mean"]),
        _float(line["deviation"]),
        f"{line['runs']} {text(line['counted'].split()[0])}",
        _signed(line.get("difference")),
        "" if low is None else f"{_signed(low)} to {_signed(high)}",
        ", ".join(f"{place} of {best['there'] + 1}" for place in ranks) if ranks else "",
        f"{_float(best['mean'])} (k = {best['count']}{', all there are' * (best['count'] >= best['there'])})"
        if best
        else "",
        str(datetime.timedelta(seconds=round(line["search_seconds"]))),
        _count(line.get("parameters")),
        _count(line.get("multiply_adds")),
        "" if line.get("latency_ms") is None else f"{line['latency_ms']:.2f} ms",
    ]


def _correlation(result, plan):
    """What a short training, or the search's own validation, tells of the full one."""
    sentences = []
    for name, what in (("short", "the short training"), ("own", "the search's own validation")):
        found = result["correlation"][name]
        if found:
            sentences.append(
                f"Kendall's tau between {what} and the full training is {found['tau']:.2f} over {found['pairs']} cells "
                f"(p = {found['p']:.2g}; 1: the same order, 0: no relation)."
            )
    for line in result["strategies"]:
        short, own = line["chosen_by_short"], line["chosen_by_own"]
        if None not in (short, own):
            same = "the same cell" if short == own else f"another one, that of seed {own}"
            sentences.append(
                f"{text(line['label'])}: the short training chooses the cell of seed {short}, the search's own "
                f"validation {same}."
            )
    return "".join(f"<p>{sentence}</p>" for sentence in sentences)


def _charts(result):
    labels = {line["name"]: line["label"] for line in result["strategies"]} | {BASELINE: _LABEL}
    drawn = []
    for cost in ("parameters", "multiply_adds", "latency_ms"):
        series = {}
        for cell in result["cells"]:
            if cell["full"] and cell[cost] is not None:
                series.setdefault(labels[cell["owner"]], []).append((cell[cost], cell["mean"]))
        if series:
            names = _NAMES[cost], _NAMES[result["score"]]
            title = f"Score over {cost.replace('_ms', '').replace('_', '-')}, line: Pareto front"
            drawn.append(scatter(title, series, *names, result["higher_is_better"]).svg())
    return "".join(drawn)


def _winners(study, result):
    """Drawings of the cells that the strategies' full trainings are of; of several the best one."""
    parts = []
    for line in result["strategies"]:
        cells = [cell for cell in result["cells"] if cell["owner"] == line["name"] and cell["full"]]
        if cells:
            best = (max if result["higher_is_better"] else min)(cells, key=lambda cell: cell["mean"])
            genotype = genotypes.load(study.folder / best["path"], study.plan.train.space)
            parts.append(f"<h3>{text(line['label'])}, seed {best['number']}</h3>{''.join(svgs(genotype))}")
    return "".join(parts)


def _cells(result):
    names = ("cell", "own validation", "short training", "full trainings", "mean", "parameters", "multiply-adds")
    rows = [
        [
            text(cell["path"]),
            _float(cell["own"], 4),
            _float(cell["short"]),
            ", ".join(map(_float, cell["full"])),
            _float(cell["mean"]),
            _count(cell["parameters"]),
            _count(cell["multiply_adds"]),
        ]
        for cell in result["cells"]
    ]
    return _table((*names, "latency"), [[*row, _float(c["latency_ms"])] for row, c in zip(rows, result["cells"])])


def _table(names, rows):
    head = "".join(f"<th{_number(i)}>{name}</th>" for i, name in enumerate(names))
    body = "".join(f"<tr>{''.join(f'<td{_number(i)}>{x}</td>' for i, x in enumerate(row))}</tr>" for row in rows)
    table = f'<table class="list"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _number(column):
    return ' class="number"' if column else ""


def _float(value, digits=2):
    return "" if value is None else f"{value:.{digits}f}"


def _signed(value):
    return "" if value is None else f"{value:+.2f}"


def _count(value):
    return "" if value is None else f"{value:,.0f}"
