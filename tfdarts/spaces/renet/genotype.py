"""The genotype of a recurrent cell that sweeps images."""

import dataclasses

from tfdarts.genotype import check
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype

RENET_CELLS = ("vanilla", "sigmoid", "directional")
BASELINE_CELLS = ("lstm", "gru")  # of ReNet's networks, which need no genotype


@dataclasses.dataclass(frozen=True)
class ReNetGenotype(RecurrentGenotype):
    """A recurrent cell that sweeps images (DartsReNet, arXiv:2304.05838).

    Attributes:
        recurrent, concat, ops: as in `RecurrentGenotype`.
        space: `"renet"`.
        cell: how it reads its input, one of `RENET_CELLS`.
    """

    space: str = "renet"
    cell: str = dataclasses.field(kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        check(self.cell in RENET_CELLS, f"`cell` must be one of {', '.join(RENET_CELLS)}. Received: {self.cell!r}.")
        ok = (self.start, self.carry) == (RecurrentGenotype.start, RecurrentGenotype.carry)
        check(ok, "A cell that sweeps images takes no `start` and no `carry`; leave them out.")

    def to_dict(self):
        return super().to_dict() | {"cell": self.cell}
