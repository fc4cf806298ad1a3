"""All architectures of NAS-Bench-201, and which of them compute the same function.

A canonical form says what a cell computes: the sum that its last node is, taken apart. Summands are the cell's input
and the results of convolutions, each behind some poolings. `skip_connect` adds what it is given, `none` nothing, and
average pooling is linear, so that it is one of each summand. Each convolution has weights of its own: two that compute
the same from the same weights are still two, and one whose result is used twice is one. The number of a convolution
does not matter, and nodes that do not reach the output do not appear. A convolution of nothing gives BatchNorm's
offset, a constant, of whatever size it is, and poolings leave it.
"""

import itertools

from tfdarts.genotype import NONE
from tfdarts.spaces.nb201.genotype import EDGES, OPERATIONS, Nb201Genotype

EVERYTHING = (OPERATIONS,) * len(EDGES)  # candidates edge by edge
COUNT = len(OPERATIONS) ** len(EDGES)  # 15,625


def all_genotypes(candidates=EVERYTHING):
    """Every architecture, in a fixed order: that of `itertools.product`, the last edge changes fastest.

    Args:
        candidates: for each edge the operations that it may carry.
    """
    return map(Nb201Genotype.of, itertools.product(*candidates))


def canonical(genotype):
    """What a cell computes, as nested tuples; equal for two cells that compute the same function given matched weights.

    Args:
        genotype: `Nb201Genotype`.
    """
    form, _ = _smallest(*_taken_apart(genotype))
    return form


def matched_rows(genotype):
    """The rows in `EDGES` of the convolutions that reach the output, in the order in which the canonical form has them.

    In two cells of the same canonical form, convolutions at the same place compute the same from the same weights.
    """
    _, order = _smallest(*_taken_apart(genotype))
    rows = [row for row, (op, _) in enumerate(genotype.normal) if op.startswith("nor_conv")]
    return [rows[number] for number in order]


def _taken_apart(genotype):
    """The output as summands `(input or number of a convolution, poolings)`, and of each convolution its operation and
    the summands of what it is given; convolutions are numbered by row."""
    nodes, convolutions, total = [(("input", 0),)], {}, []
    for (op, source), (node, _) in zip(genotype.normal, EDGES):
        if op.startswith("nor_conv"):
            number = len(convolutions)
            convolutions[number] = (op if nodes[source] else "constant", nodes[source])
            total.append((number, 0))
        elif op == "avg_pool_3x3":
            total += [(of, poolings + _pools(of, convolutions)) for of, poolings in nodes[source]]
        elif op != NONE:
            total += nodes[source]
        if source == node - 1:  # the node's last edge
            nodes.append(tuple(total))
            total = []
    return nodes[-1], convolutions


def _pools(of, convolutions):
    """What a pooling adds to a summand's poolings: nothing to a constant's."""
    return 0 if of != "input" and convolutions[of][0] == "constant" else 1


def _smallest(output, convolutions):
    """The smallest of the forms that differ in the numbers of the convolutions alone, and the order that gives it.

    Only convolutions that look the same when their numbers are left out can trade places.
    """
    looks = {}
    for number in sorted(_reached(output, convolutions)):
        looks.setdefault(_look(number, convolutions), []).append(number)
    groups = [looks[look] for look in sorted(looks)]
    forms = []
    for orders in itertools.product(*map(itertools.permutations, groups)):
        order = [number for group in orders for number in group]
        places = {number: place for place, number in enumerate(order)} | {"input": -1}

        def renamed(value, places=places):
            return tuple(sorted((places[of], poolings) for of, poolings in value))

        parts = ((convolutions[number][0], renamed(convolutions[number][1])) for number in order)
        forms.append(((renamed(output), *parts), order))
    return min(forms)


def _reached(value, convolutions):
    """The convolutions that a value is made of, directly or not."""
    found = {of for of, _ in value if of != "input"}
    return found.union(*(_reached(convolutions[number][1], convolutions) for number in found))


def _look(of, convolutions):
    """What is seen of a summand when convolutions have no numbers, as text."""
    if of == "input":
        return "input"
    op, value = convolutions[of]
    return f"{op}({' + '.join(sorted(f'{_look(of, convolutions)} pooled {n}' for of, n in value))})"


def unique(candidates=EVERYTHING):
    """The first architecture of each function, in the order of `all_genotypes`; a second for all.

    Args:
        candidates: as in `all_genotypes`.
    """
    first = {}
    for genotype in all_genotypes(candidates):
        first.setdefault(canonical(genotype), genotype)
    return list(first.values())


def count_functions(candidates, enough):
    """How many functions the candidates make; counting ends at `enough`."""
    found = set()
    for genotype in all_genotypes(candidates):
        found.add(canonical(genotype))
        if len(found) >= enough:
            break
    return len(found)
