"""Line charts over the epochs, each a `Canvas`."""

import math

from tfdarts.report.canvas import FAINT, INK, QUIET, Canvas, colors, text_width
from tfdarts.runs.history import candidates


def curves(title, series, unit="epoch", width=546, height=280, marks=None):
    """One chart with a line per series, and a legend with each line's last value.

    Args:
        title: str.
        series: name to a list of `(epoch, value)`; a value that is not finite (or beyond 1e100) interrupts its line.
        unit: what is counted from left to right.
        width, height: of the whole drawing, in pixels.
        marks: epoch to a few words that stand at a vertical line there; one outside of what is drawn is left out.

    Returns:
        `Canvas`.
    """
    palette = colors(series)
    items = [(f"{name} {number(points[-1][1])}" if points else name, palette[name]) for name, points in series.items()]
    rows = legend_rows(items, width - 20)
    canvas = Canvas(width, height + 18 * (len(rows) - 1), title)
    canvas.text(10, 16, title, 14, INK, "start")
    everything = list(series.values())
    frame = (58, 34, width - 74, height - 98)
    x_range, y_range = _x_range(everything), _y_range(everything)
    counts = all(type(value) is int for points in everything for _, value in points)
    _axes(canvas, frame, x_range, y_range, 11, counts)
    canvas.text(frame[0] + frame[2] / 2, frame[1] + frame[3] + 30, unit, 11, QUIET)
    for place, (epoch, words) in enumerate(sorted((marks or {}).items())):
        _mark(canvas, frame, x_range, epoch, words, place)
    for name, points in series.items():
        _plot(canvas, frame, x_range, y_range, points, palette[name], 2, 20)
    legend(canvas, rows, 10, height - 13)
    return canvas


def mixing(lines, palette):
    """For each table of mixing weights of a search, the chart of its edges over the epochs.

    Args:
        lines: those of `mixing.jsonl`, as dictionaries, at least one.
        palette: operation to `#rrggbb`.

    Returns:
        A dictionary, name of the table to `Canvas`.
    """
    result = {}
    for name, last in lines[-1]["tables"].items():
        tables = {line["epoch"]: line["tables"][name] for line in lines if name in line["tables"]}
        same = {
            epoch: table["weights"]
            for epoch, table in tables.items()
            if (table["edges"], candidates(table)) == (last["edges"], candidates(last))
        }
        result[name] = panels(name, list(same), last["edges"], candidates(last), list(same.values()), palette)
    return result


def panels(title, epochs, edges, operations, weights, palette, width=1120):
    """How the mixing weights of every edge went: one small chart per edge, all of one scale, a line per operation.

    Args:
        title: str.
        epochs: list of int.
        edges: names of the rows of a table of mixing weights.
        operations: for each edge, the names of its candidates.
        weights: nested lists, `(epochs, edges, candidates of the edge)`.
        palette: operation to `#rrggbb`.
        width: of the whole drawing, in pixels.

    Returns:
        `Canvas`.
    """
    across, tall = max(1, min(len(edges), 5)), 150
    down = -(-len(edges) // across)
    every = dict.fromkeys(name for names in operations for name in names)
    rows = legend_rows([(name, palette[name]) for name in every], width - 20)
    top = 34 + 18 * len(rows) + 8
    canvas = Canvas(width, top + down * tall + 20, title)
    canvas.text(10, 16, title, 14, INK, "start")
    legend(canvas, rows, 10, 40)
    lines = [
        [[(epoch, table[e][o]) for epoch, table in zip(epochs, weights)] for o in range(len(names))]
        for e, names in enumerate(operations)
    ]
    everything = [points for edge in lines for points in edge]
    x_range, y_range = _x_range(everything), (0.0, 1.04 * max(_y_values(everything)[1], 1e-3))
    for e, edge in enumerate(edges):
        x, y = 44 + (e % across) * (width - 10) / across, top + (e // across) * tall
        frame = (x, y + 16, (width - 10) / across - 58, tall - 46)
        canvas.text(frame[0], y + 5, edge, 12, INK, "start")
        _axes(canvas, frame, x_range, y_range, 10, counts=False)
        for points, name in zip(lines[e], operations[e]):
            _plot(canvas, frame, x_range, y_range, points, palette[name], 1.6, 1)
    canvas.text(width / 2, canvas.height - 12, "epoch", 11, QUIET)
    return canvas


def _axes(canvas, frame, x_range, y_range, size, counts):
    """Both axes with their ticks, to the left only at whole numbers if they are `counts`."""
    x, y, width, height = frame
    for value in ticks(*y_range, max(2, int(height // 26))):
        if not counts or value == int(value):
            at = y + height * (1 - (value - y_range[0]) / (y_range[1] - y_range[0]))
            canvas.line([(x, at), (x + width, at)], FAINT, 1)
            canvas.text(x - 6, at, number(value), size, QUIET, "end")
    for value in ticks(*x_range, max(2, int(width // (4 * size)))):
        if value == int(value):
            at = x + width * (value - x_range[0]) / (x_range[1] - x_range[0])
            canvas.line([(at, y + height), (at, y + height + 4)], QUIET, 1)
            canvas.text(at, y + height + 12, f"{value:.0f}", size, QUIET)
    canvas.line([(x, y), (x, y + height), (x + width, y + height)], QUIET, 1)


def _mark(canvas, frame, x_range, epoch, words, place):
    """A vertical line at an epoch, with words beside it, each mark's a line below those of the one before."""
    x, y, width, height = frame
    share = (epoch - x_range[0]) / (x_range[1] - x_range[0])
    if not 0 <= share <= 1:
        return
    at, left = x + width * share, share > 0.5
    canvas.line([(at, y), (at, y + height)], QUIET, 1)
    canvas.text(at + (-4 if left else 4), y + 8 + 14 * (place % 8), words, 11, QUIET, "end" if left else "start")


def _plot(canvas, frame, x_range, y_range, points, color, line, dots):
    """A line; with a dot at each point while there are at most `dots`, and where a point stands alone."""
    x, y, width, height = frame
    pieces = [[]]
    for epoch, value in points:
        if _drawable(value):
            share = (value - y_range[0]) / (y_range[1] - y_range[0])
            pieces[-1].append((x + width * (epoch - x_range[0]) / (x_range[1] - x_range[0]), y + height * (1 - share)))
        elif pieces[-1]:
            pieces.append([])
    for piece in pieces:
        if len(piece) > 1:
            canvas.line(piece, color, line)
        for at in piece if len(points) <= dots or len(piece) == 1 else ():
            canvas.dot(*at, 1.4 * line, color)


def legend_rows(items, width):
    """`(text, color)` items broken into rows of at most `width` pixels."""
    rows, used = [[]], 0
    for text, color in items:
        needs = text_width(text, 12) + 40
        if used + needs > width and rows[-1]:
            rows.append([])
            used = 0
        rows[-1].append((used, text, color))
        used += needs
    return rows


def legend(canvas, rows, x, y):
    """Draws the rows that `legend_rows` gave, from `(x, y)` down."""
    for i, row in enumerate(rows):
        for offset, text, color in row:
            canvas.box(x + offset, y + 18 * i - 5, 16, 10, color)
            canvas.text(x + offset + 21, y + 18 * i, text, 12, INK, "start")


def _x_range(lines):
    epochs = [epoch for points in lines for epoch, _ in points] or [1]
    return min(epochs), max(max(epochs), min(epochs) + 1)


def _y_values(lines):
    values = [value for points in lines for _, value in points if _drawable(value)] or [0.0]
    return min(values), max(values)


def _y_range(lines):
    low, high = _y_values(lines)
    if low >= 0 and low < 0.4 * high:
        low = 0.0
    if high - low <= 1e-9 * max(abs(high), abs(low), 1e-50):
        half = 0.5 * abs(high)
        low, high = (low - half, high + half) if half > 1e-50 else (0.0, 1.0)
    step = _step(high - low, 5)
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _step(span, count):
    """A step of 1, 2 or 5 times a power of ten that divides `span` into about `count` pieces."""
    power = 10.0 ** math.floor(math.log10(span / count))
    return power * next(factor for factor in (1, 2, 5, 10) if factor * power >= span / count * 0.999)


def ticks(low, high, count):
    """About `count` round values from `low` to `high`."""
    step = _step(high - low, count)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _drawable(value):
    return abs(value) < 1e100


def number(value):
    """A value at a tick or in a legend."""
    return f"{value:.4g}"
