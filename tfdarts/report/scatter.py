"""Scatter charts of what networks reach over what they cost, with the Pareto front."""

from tfdarts.report.canvas import FAINT, INK, QUIET, Canvas, colors
from tfdarts.report.charts import legend, legend_rows, number, ticks


def front(points, higher):
    """The Pareto front: the points that no other equals or beats in both cost and score.

    Args:
        points: list of `(cost, score)`; a lower cost is better.
        higher: whether a higher score is better.

    Returns:
        The points of the front, by rising cost.
    """
    kept = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1] if higher else point[1])):
        if not kept or (score > kept[-1][1] if higher else score < kept[-1][1]):
            kept.append((cost, score))
    return kept


def scatter(title, series, x_name, y_name, higher, width=546, height=330):
    """One chart with a dot for each network, a color for each series, and a line along the Pareto front.

    Args:
        title: str.
        series: name to a list of `(cost, score)`.
        x_name, y_name: what the axes show.
        higher: whether a higher score is better.
        width, height: of the whole drawing, in pixels.

    Returns:
        `Canvas`.
    """
    palette = colors(series)
    rows = legend_rows(list(palette.items()), width - 20)
    canvas = Canvas(width, height + 18 * (len(rows) - 1), title)
    canvas.text(10, 16, title, 14, INK, "start")
    frame = (58, 52, width - 78, height - 120)
    everything = [point for points in series.values() for point in points]
    ranges = [_range([point[axis] for point in everything]) for axis in (0, 1)]
    canvas.text(10, 36, y_name, 11, QUIET, "start")
    canvas.text(frame[0] + frame[2] / 2, frame[1] + frame[3] + 30, x_name, 11, QUIET)
    for value in ticks(*ranges[1], 6):
        _, at = _place(frame, ranges, (ranges[0][0], value))
        canvas.line([(frame[0], at), (frame[0] + frame[2], at)], FAINT, 1)
        canvas.text(frame[0] - 6, at, number(value), 11, QUIET, "end")
    bottom = frame[1] + frame[3]
    for value in ticks(*ranges[0], 5):
        at, _ = _place(frame, ranges, (value, ranges[1][0]))
        canvas.line([(at, bottom), (at, bottom + 4)], QUIET, 1)
        canvas.text(at, bottom + 12, short(value), 11, QUIET)
    canvas.line([(frame[0], frame[1]), (frame[0], bottom), (frame[0] + frame[2], bottom)], QUIET, 1)
    best = [_place(frame, ranges, point) for point in front(everything, higher)]
    if len(best) > 1:
        canvas.line(best, QUIET, 1)
    for name, points in series.items():
        for point in points:
            canvas.dot(*_place(frame, ranges, point), 4, palette[name])
    legend(canvas, rows, 10, height - 20)
    return canvas


def short(value):
    """A number with its thousands or millions as k or M."""
    for factor, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:g}{letter}"
    return number(value)


def _range(values):
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - margin, high + margin


def _place(frame, ranges, point):
    x, y, width, height = frame
    shares = [(value - low) / (high - low) for value, (low, high) in zip(point, ranges)]
    return x + width * shares[0], y + height * (1 - shares[1])
