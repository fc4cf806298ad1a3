"""DARTS+ (Liang et al. 2019, arXiv:1909.06035): a search stops when skip connections begin to take over."""

from tfdarts.strategies.monitors import SKIP
from tfdarts.strategies.parts import Part


class SkipStop(Part):
    """Stops a search at the end of the epoch in which the normal cell has that many skip connections (section 3.3).

    Args:
        count: int; the paper's is 2.
    """

    def __init__(self, count=2):
        self.count = count

    def stop(self, search, logs):
        found = search.genotype().edge_operations()["normal"].count(SKIP)
        if found >= self.count and not search.warming_up:
            return f"{found} edges of the normal cell are skip connections"
        return None
