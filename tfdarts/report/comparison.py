"""Compares several runs: a table of what they reached, charts with a line per run, and the options that differ."""

import hashlib
import json

from tfdarts.report import charts, facts
from tfdarts.report.drawing import ascii_drawing
from tfdarts.report.facts import text


def comparison(histories):
    """The HTML of a comparison; the runs' own sections are its links' targets, `run0`, `run1` and so on.

    Args:
        histories: list of `History`.
    """
    names = [name for name, _ in facts.outcome(histories[0])]
    head = "<th>run</th><th>kind</th><th>recipe</th>"
    head += "".join(f'<th class="number">{name}</th>' for name in ("seed", *names)) + "<th>genotype</th>"
    rows = []
    for number, run in enumerate(histories):
        values = [value or "&ndash;" for _, value in facts.outcome(run)]
        link = f'<a href="#run{number}">{_name(run)}</a>'
        kind = "training" if run.training else f"search by {text(run.config.get('strategy', 'darts'))}"
        if run.unit == "sample":
            kind = f"{len(run.genotypes)} random samples"
        if not run.finished:
            kind += ", not finished"
        rows.append(
            f"<tr><td>{link}</td><td>{kind}</td><td>{text(run.config.get('recipe'))}</td>"
            f'<td class="number">{text(run.config.get("seed"))}</td>'
            + "".join(f'<td class="number">{value}</td>' for value in values)
            + f"<td>{_fingerprint(run.newest) if run.newest and run.unit == 'epoch' else '&ndash;'}</td></tr>"
        )
    hint = '<p class="quiet">The same eight characters mean the same genotype.</p>'
    return f"<h3>Comparison</h3>{_table(head, rows)}{hint}{_common_curves(histories)}{_differences(histories)}"


def _name(run):
    return text(run.folder.resolve().name)


def _table(head, rows):
    table = f'<table class="list"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _fingerprint(genotype):
    name = hashlib.sha256(genotype.to_json().encode()).hexdigest()[:8]
    return f"<details><summary>{name}</summary><pre>{text(ascii_drawing(genotype))}</pre></details>"


def _common_curves(histories):
    """Charts with a line per run, of what at least two of them have."""
    series = {"Validation accuracy": {}, "Mean reward": {}, "Skip connections in the cells": {}}
    for run in histories:
        name = run.folder.resolve().name
        for title, metric in (("Validation accuracy", "val_accuracy"), ("Mean reward", "mean_reward")):
            series[title][name] = [(line["epoch"], line[metric]) for line in run.metrics if metric in line]
        if run.unit == "epoch":
            counts = [(epoch, genotype.skip_connections()) for epoch, genotype in run.genotypes.items()]
            series["Skip connections in the cells"][name] = counts
    drawn = []
    for title, lines in series.items():
        lines = {name: points for name, points in lines.items() if points}
        if len(lines) > 1:
            drawn.append(charts.curves(title, lines).svg())
    return f'<div class="charts">{"".join(drawn)}</div>'


def _differences(histories):
    """For the searches and for the trainings, where there are several: the options and facts that they do not share."""
    parts = []
    for kind, training in (("searches", False), ("trainings", True)):
        runs = [run for run in histories if run.training is training and run.unit == "epoch"]
        rows = _differing_rows([facts.configuration(run.config) for run in runs])
        if rows:
            head = "<th></th>" + "".join(f"<th>{_name(run)}</th>" for run in runs)
            parts.append(f"<h3>Options that differ between the {kind}</h3>{_table(head, rows)}")
    return "".join(parts)


def _differing_rows(configurations):
    keys = {(title, name): None for groups in configurations for title in groups for name in groups[title]}
    rows = []
    for title, name in keys:
        values = [groups.get(title, {}) for groups in configurations]
        if len({json.dumps(each[name]) if name in each else None for each in values}) > 1:
            cells = (facts.shown(title, each[name]) if name in each else "&ndash;" for each in values)
            head = facts.label(title, name) if title == "Options" else f"{text(title)}: {facts.label(title, name)}"
            rows.append(f"<tr><th>{head}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return rows
