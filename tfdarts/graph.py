"""A cell, or a whole network, as drawings need it, whatever its space."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Graph:
    """States and the edges between them.

    Attributes:
        title: what kind of cell it is, for people.
        inputs: names of the states that come from outside.
        nodes: names of the cell's own states, each made from the edges that lead to it.
        edges: tuples `(source, node, label)`: from a state (inputs first, then nodes), to a node by its place in
            `nodes`; the label may have several lines, and is empty where the state is taken as it is.
        joined: the states that make the output.
        output: its name.
        join: what makes the output of them.
    """

    title: str
    inputs: tuple
    nodes: tuple
    edges: tuple
    joined: tuple
    output: str
    join: str = "concat"

    @property
    def states(self):
        """Names of all states."""
        return (*self.inputs, *self.nodes)

    def edge_name(self, source, node):
        """As the rows of a search's tables of mixing weights are called."""
        return f"{self.states[source]} to {self.nodes[node]}"


def edge_label(op, attention=""):
    """What stands on an edge: its operation, and on a second line the attention module that follows it."""
    return f"{op}\nthen {attention}" if attention else op


def cell_graph(title, entries, nodes, joined, output):
    """The `Graph` of a convolutional cell, without the nodes that no entry leads to.

    Args:
        title: of the graph.
        entries: `(op, source, attention)`.
        nodes: the node that each of them leads to.
        joined: states that make the output.
        output: its name.
    """
    there = sorted(set(nodes))
    state = {0: 0, 1: 1} | {2 + node: 2 + place for place, node in enumerate(there)}
    return Graph(
        title=title,
        inputs=("c_{k-2}", "c_{k-1}"),
        nodes=tuple(map(str, there)),
        edges=tuple(
            (state[source], there.index(node), edge_label(op, attention))
            for (op, source, attention), node in zip(entries, nodes, strict=True)
        ),
        joined=tuple(state[i] for i in joined),
        output=output,
    )


def recurrent_graph(genotype, title):
    """The `Graph` of a recurrent cell; state 0 is what it makes of its input and its hidden state.

    How it makes state 0 is shown where that is no matter of course, in ENAS's cells.

    Args:
        genotype: has `recurrent`, `concat`, `start` and `carry`.
        title: of the graph.
    """
    last = genotype.carry == "last"
    edges, names = [(previous, k, edge_label(op)) for k, (op, previous) in enumerate(genotype.recurrent)], ()
    if last or genotype.start != "tanh":
        names = ("x, h",)
        edges = [(0, 0, edge_label(genotype.start)), *((source + 1, node + 1, label) for source, node, label in edges)]
    states = (*names, *(str(i) for i in range(len(genotype.recurrent) + 1)))
    return Graph(
        title=title + (f", state {states[-1]} is carried on" if last else ""),
        inputs=states[:1],
        nodes=states[1:],
        edges=tuple(edges),
        joined=tuple(len(names) + i for i in genotype.concat),
        output="y_{t}" if last else "h_{t}",
        join="mean",
    )
