"""Draws genotypes: through Graphviz where its `dot` is installed, otherwise as an SVG of our own making."""

import html
import pathlib

import graphviz

FORMATS = ("svg", "pdf", "png")
INSTALL = "Install Graphviz for it: `apt install graphviz`, `brew install graphviz`, or https://graphviz.org/download."
_INPUT, _NODE, _OUTPUT = "#cfe8cf", "#cfe0f5", "#f5e6c4"


def state_names(genotype, reduction):
    """Names of a cell's states: the two cells before it, then the nodes."""
    return ["c_{k-2}", "c_{k-1}", *(str(i) for i in range(len(genotype.edges(reduction)) // 2))]


def dot_graph(genotype, reduction):
    """A cell as a `graphviz.Digraph`, from left to right, edges labelled with their operation."""
    names = state_names(genotype, reduction)
    graph = graphviz.Digraph(
        graph_attr={"rankdir": "LR", "nodesep": "0.15"},
        node_attr={"shape": "box", "style": "filled,rounded", "fontname": "Helvetica", "fillcolor": _NODE},
        edge_attr={"fontname": "Helvetica", "fontsize": "11"},
    )
    for i, name in enumerate(names):
        graph.node(name, fillcolor=_INPUT if i < 2 else _NODE)
    graph.node("c_{k}", fillcolor=_OUTPUT)
    for k, (op, source) in enumerate(genotype.edges(reduction)):
        graph.edge(names[source], names[2 + k // 2], label=op)
    for state in genotype.concat(reduction):
        graph.edge(names[state], "c_{k}", color="gray60")
    return graph


def draw(genotype, stem, file_format):
    """Draws both cells into `<stem>_normal.<format>` and `<stem>_reduce.<format>`.

    Without Graphviz's `dot`, svg is drawn by `svg_text`, and the others are left as DOT text in `.dot` files.

    Args:
        genotype: `Genotype`.
        stem: path without the ending.
        file_format: one of `FORMATS`.

    Returns:
        The paths that were written.
    """
    paths = []
    for kind, reduction in (("normal", False), ("reduce", True)):
        path = pathlib.Path(f"{stem}_{kind}.{file_format}")
        graph = dot_graph(genotype, reduction)
        try:
            path.write_bytes(graph.pipe(format=file_format))
        except graphviz.ExecutableNotFound:
            if file_format == "svg":
                path.write_text(svg_text(genotype, reduction))
            else:
                path = path.with_suffix(".dot")
                path.write_text(graph.source)
        paths.append(path)
    return paths


def svg_text(genotype, reduction):
    """A cell as SVG: one column per state, edges as arcs above and below the row, each label on its own height."""
    names = [*state_names(genotype, reduction), "c_{k}"]
    entries, width, box = genotype.edges(reduction), 170, 70
    x = {i: 60 + i * width for i in range(len(names))}
    middle, step = 60 + 34 * len(entries), 34
    lines = []
    for k, (op, source) in enumerate(entries):
        target, side = 2 + k // 2, -1 if k % 2 == 0 else 1
        y = middle + side * (step * (1 + k // 2 * 0.9) + 30)
        start, end = x[source] + box / 2, x[target] + box / 2
        lines.append(
            f'<path d="M{start},{middle} C{start},{y} {start},{y} {start + 30},{y} L{end - 30},{y} '
            f'C{end},{y} {end},{y} {end},{middle + side * 18}" fill="none" stroke="#555" marker-end="url(#tip)"/>'
        )
        lines.append(_label((start + end) / 2, y - 5, op))
    for state in genotype.concat(reduction):
        y = middle + step * len(entries) * 0.62 + 30 + 6 * state
        start, end = x[state] + box / 2, x[len(names) - 1] + box / 2
        lines.append(
            f'<path d="M{start},{middle} L{start},{y} L{end},{y} L{end},{middle + 18}" fill="none" stroke="#bbb"/>'
        )
    for i, name in enumerate(names):
        colour = _INPUT if i < 2 else _OUTPUT if i == len(names) - 1 else _NODE
        lines.append(
            f'<rect x="{x[i]}" y="{middle - 18}" width="{box}" height="36" rx="8" fill="{colour}" stroke="#333"/>'
        )
        lines.append(_label(x[i] + box / 2, middle + 5, name))
    tip = '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path '
    tip += 'd="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>'
    size = f'width="{x[len(names) - 1] + 130}" height="{2 * middle}"'
    body = "\n".join(lines)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{tip}<rect {size} fill="white"/>\n{body}\n</svg>\n'


def _label(x, y, text):
    style = 'font-family="Helvetica, Arial, sans-serif" font-size="13" text-anchor="middle"'
    return f'<text x="{x}" y="{y}" {style}>{html.escape(text)}</text>'


def ascii_drawing(genotype):
    """Both cells as text for a terminal, one line per node."""
    lines = []
    for kind, reduction in (("normal cell", False), ("reduction cell", True)):
        names, entries = state_names(genotype, reduction), genotype.edges(reduction)
        lines.append(kind)
        for i in range(0, len(entries), 2):
            parts = (f"{op}({names[source]})" for op, source in entries[i : i + 2])
            lines.append(f"  {names[2 + i // 2]} = {' + '.join(parts)}")
        lines.append(f"  c_{{k}} = concat({', '.join(names[i] for i in genotype.concat(reduction))})")
    return "\n".join(lines)
