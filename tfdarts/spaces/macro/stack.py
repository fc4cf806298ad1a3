"""What the searched and the final networks of the macro space share: operations, and where maps are halved."""

from tfdarts.layers.tf1 import FactorizedReduce, average_pool, max_pool
from tfdarts.spaces.macro.genotype import MACRO_OPS

POOLS = {"avg_pool_3x3": average_pool, "max_pool_3x3": max_pool}
CONVOLUTIONS = MACRO_OPS[: -len(POOLS)]


def halvings(layers):
    """The layers behind which every entry is halved: a third and two thirds of the way; none for less than three."""
    return {layers // 3 - 1, 2 * (layers // 3) - 1} - {-1}


def reduction_layers(widths):
    """For each layer, given the channels behind it, a tuple of the layers that halve the entries; or an empty one."""
    halved = halvings(len(widths))
    return tuple(
        tuple(FactorizedReduce(width, name=f"reduction_{k}_{q}") for q in range(k + 2)) if k in halved else ()
        for k, width in enumerate(widths)
    )


def kernel_size(op):
    """Side of an operation's kernel or window."""
    return int(op[-1])
