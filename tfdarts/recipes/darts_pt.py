"""DARTS-PT (Wang et al. 2021, arXiv:2108.04392)."""

from tfdarts.recipes import darts

CIFAR10 = darts.CIFAR10.but(
    "darts_pt",
    "After the search, one decision every five epochs by what the network loses without a candidate (DARTS-PT): "
    "`python3 search_cell.py --recipe darts_pt`. The paper reports 2.61 +- 0.08 % test error.",
    search={"select": "perturbation", "restrict": "without_none"},
)
DIGITS = darts.DIGITS.but(
    "darts_pt_digits",
    "The same on the embedded digits, for a first try: `python3 search_cell.py --recipe darts_pt_digits`. Some minutes "
    "on two cores.",
    search={"unrolled": False, "select": "perturbation", "projection_every": 1, "restrict": "without_none"},
)
RECIPES = (CIFAR10, DIGITS)
