"""Draws genotypes and the course of a search.

A genotype becomes a `Graph` per cell, which its space makes, and a graph becomes a drawing: through Graphviz where its
`dot` is installed, otherwise, and wherever several epochs are compared, by `Drawing`.
"""

import pathlib

import graphviz
from PIL import Image

from tfdarts import spaces
from tfdarts.genotype import NONE
from tfdarts.report.canvas import INK, QUIET, Canvas, colors, text_width, tint

FORMATS = ("svg", "pdf", "png")
INSTALL = "Install Graphviz for it: `apt install graphviz`, `brew install graphviz`, or https://graphviz.org/download."
_NARROW = 16  # pixels of a column without an operation
_INPUT, _NODE, _OUTPUT = "#cfe8cf", "#cfe0f5", "#f5e6c4"


def graphs(genotype):
    """The cells of a genotype, or its whole network: kind to `Graph`."""
    return spaces.load(genotype.space).graphs(genotype)


def operation_colors(names):
    """A color for each operation, in the order of their names' first mention; grey for `none`."""
    return {NONE: QUIET} | colors([name for name in dict.fromkeys(names) if name != NONE])


def dot_graph(graph):
    """A cell as a `graphviz.Digraph`, from left to right, edges labelled with their operation."""
    dot = graphviz.Digraph(
        graph_attr={"rankdir": "LR", "nodesep": "0.15"},
        node_attr={"shape": "box", "style": "filled,rounded", "fontname": "Helvetica", "fillcolor": _NODE},
        edge_attr={"fontname": "Helvetica", "fontsize": "11"},
    )
    for name in graph.states:
        dot.node(name, fillcolor=_INPUT if name in graph.inputs else _NODE)
    dot.node(graph.output, fillcolor=_OUTPUT)
    for source, node, label in graph.edges:
        dot.edge(graph.states[source], graph.nodes[node], label=label, color="black" if label else "gray60")
    for state in graph.joined:
        dot.edge(graph.states[state], graph.output, color="gray60")
    return dot


def draw(genotype, stem, file_format):
    """Draws every cell of a genotype into `<stem>_<kind>.<format>`.

    Without Graphviz's `dot`, svg and png are drawn by `Drawing`, and pdf is left as DOT text in `.dot` files.

    Args:
        genotype: `Genotype`.
        stem: path without the ending.
        file_format: one of `FORMATS`.

    Returns:
        The paths that were written.
    """
    paths = []
    for kind, graph in graphs(genotype).items():
        path = pathlib.Path(f"{stem}_{kind}.{file_format}")
        dot = dot_graph(graph)
        try:
            path.write_bytes(dot.pipe(format=file_format))
        except graphviz.ExecutableNotFound:
            if file_format == "svg":
                path.write_text(Drawing([graph]).canvas(0).svg())
            elif file_format == "png":
                Drawing([graph]).canvas(0).image().save(path)
            else:
                path = path.with_suffix(".dot")
                path.write_text(dot.source)
        paths.append(path)
    return paths


def svgs(genotype):
    """The cells of a genotype as texts of `<svg>` elements, for a notebook."""
    return [Drawing([graph]).canvas(0).svg() for graph in graphs(genotype).values()]


class Drawing:
    """Drawings of one kind of cell over time, in which only what changed moves.

    States stand on a staircase; from each a line runs to the right, and each operation hangs from the line of its
    source, above the node it feeds. Every node has as many columns as inputs, so no two operations ever overlap, and an
    input that stays keeps its column. A state that is taken as it is has a narrow column and an arrow alone.

    Args:
        cells: list of `Graph` of the same nodes, in the order of time.
        palette: operation (a label's first line) to `#rrggbb`; default: colors of its own.
    """

    def __init__(self, cells, palette=None):
        self.cells, self.slots = cells, _slots(cells)
        labels = {label for cell in cells for *_, label in cell.edges if label}
        self.palette = palette or operation_colors(sorted(label.split("\n")[0] for label in labels))
        lines = [label.split("\n") for label in labels] or [[""]]
        largest = max(cells, key=lambda cell: len(cell.nodes))
        names = max(text_width(name) for name in (*largest.inputs, *largest.nodes, largest.output)) + 16
        self.column = max(text_width(line, 12) for label in lines for line in label) + 28
        self.pill = 8 + 15 * max(map(len, lines))
        self.row = self.pill + 40
        self.name_width, self.left = max(names, 44), 10
        widths = {(node, 0): self.column for node in range(len(largest.nodes))}  # of each column of each node
        for cell, slots in zip(cells, self.slots):
            for slot, (*_, label) in zip(slots, cell.edges):
                widths[slot] = max(widths.get(slot, 0), self.column if label else _NARROW)
        self.x = [self.left + self.name_width + 14]  # of each node's box, then of the output's
        self.middles = {}  # of each column of each node
        for node in range(len(largest.nodes)):
            x = self.x[-1]
            for slot in sorted(slot for slot in widths if slot[0] == node):
                self.middles[slot] = x + widths[slot] / 2
                x += widths[slot]
            self.x.append(x + 12)
        self.inputs = len(largest.inputs)
        self.size = (self.x[-1] + self.name_width + 10, 86 + self.row * (self.inputs + len(largest.nodes) - 1))

    def canvas(self, i, caption=""):
        """The `i`-th cell as a `Canvas`; a thick outline marks what was not there one before."""
        cell, before = self.cells[i], set(self.cells[i - 1].edges) if i else None
        canvas = Canvas(*self.size, f"{cell.title} {caption}".strip())
        heading = f"{cell.title}, {caption}" if caption else cell.title
        canvas.text(self.left, 20, heading, 15, INK, "start")
        rows = [60 + self.row * state for state in range(len(cell.states))]
        middles = [self.middles[slot] for slot in self.slots[i]]
        for state, y in enumerate(rows):
            x, width = self._box(state)
            taps = [x for x, (source, *_) in zip(middles, cell.edges) if source == state]
            if state in cell.joined:
                canvas.arrow([(x + width, y), (self.x[len(cell.nodes)], y)], QUIET)
            elif taps:
                canvas.line([(x + width, y), (max(taps), y)], QUIET)
        new = [before is not None and edge not in before for edge in cell.edges]
        for x, thick, (source, node, label) in zip(middles, new, cell.edges):
            y, (color, width) = rows[source], (INK, 2.6) if thick else (QUIET, 1.2)
            if label:
                color, width = self.palette[label.split("\n")[0]], 2
            canvas.arrow([(x, y), (x, rows[self.inputs + node] - 15)], color, width)
            canvas.dot(x, y, 3.2, color)
        for x, thick, (source, _, label) in zip(middles, new, cell.edges):
            if not label:
                continue
            lines = label.split("\n")
            color = self.palette[lines[0]]
            stroke, line_width = (INK, 2.6) if thick else (color, 1.2)
            y, width = rows[source] + 10, self.column - 10
            canvas.box(x - width / 2, y, width, self.pill, tint(color), stroke, line_width, 6)
            for k, line in enumerate(lines):
                canvas.text(x, y + self.pill / 2 + 15 * (k - (len(lines) - 1) / 2), line, 12)
        for state, (name, y) in enumerate(zip(cell.states, rows)):
            x, width = self._box(state)
            canvas.box(x, y - 14, width, 28, _INPUT if state < self.inputs else _NODE, QUIET, 1.2, 6)
            canvas.text(x + width / 2, y, name)
        if cell.joined:
            x, top, bottom = self.x[len(cell.nodes)], rows[min(cell.joined)] - 14, rows[max(cell.joined)] + 14
            canvas.box(x, top, self.name_width, bottom - top, _OUTPUT, QUIET, 1.2, 6)
            canvas.text(x + self.name_width / 2, (top + bottom) / 2, cell.output)
        return canvas

    def _box(self, state):
        """Left edge and width of a state's box."""
        node = state - self.inputs
        return (self.left, self.name_width) if node < 0 else (self.x[node], self.x[node + 1] - 12 - self.x[node])


def _slots(cells):
    """For each cell, the `(node, column)` of each of its edges; an edge that stays in time stays in its column."""
    result, before = [], {}
    for cell in cells:
        slots = [None] * len(cell.edges)
        inputs = [sum(to == node for _, to, _ in cell.edges) for node in range(len(cell.nodes))]
        free = [(node, column) for node, count in enumerate(inputs) for column in range(count)]
        for known in (3, 2, 1):  # first the edges that stayed, then those that kept their source, then the rest
            for i, (source, node, label) in enumerate(cell.edges):
                edge = (node, source, label)[:known]
                fitting = [slot for slot in free if before.get(slot, slot[:1])[:known] == edge]
                if slots[i] is None and fitting:
                    slots[i] = fitting[0]
                    free.remove(fitting[0])
        before = {slot: (node, source, label) for slot, (source, node, label) in zip(slots, cell.edges)}
        result.append(slots)
    return result


def animate(drawing, captions, path):
    """Writes the cells of a `Drawing` as an animated GIF that repeats, about 12 s long, the last cell for 3 s."""
    canvases = [drawing.canvas(i, caption) for i, caption in enumerate(captions)]
    # One palette for all frames, so that nothing flickers: white, each color, and between them what smooth edges need
    # (but nothing that Pillow, which rounds in its search, takes for white).
    used = sorted(set().union(*(canvas.colors() for canvas in canvases)))
    steps = min(8, 255 // len(used))
    shades = [tint(color, (step + 1) / steps) for color in used for step in range(steps)]
    palette = Image.new("P", (1, 1))
    palette.putpalette(bytes.fromhex("ffffff" + "".join(shade[1:] for shade in shades if min(shade[1::2]) < "f")))
    frames = [canvas.image().quantize(palette=palette, dither=Image.Dither.NONE) for canvas in canvases]
    times = [min(700, max(60, 12000 // len(frames)))] * (len(frames) - 1) + [3000]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=0)


def ascii_drawing(genotype):
    """All cells as text for a terminal, one line per node."""
    lines = []
    for graph in graphs(genotype).values():
        lines.append(graph.title)
        for node, name in enumerate(graph.nodes):
            parts = (
                f"{' '.join(label.split())}({graph.states[source]})" if label else graph.states[source]
                for source, to, label in graph.edges
                if to == node
            )
            lines.append(f"  {name} = {' + '.join(parts)}")
        lines.append(f"  {graph.output} = {graph.join}({', '.join(graph.states[i] for i in graph.joined)})")
    return "\n".join(lines)
