"""Beta-DARTS (Ye et al. 2022, arXiv:2203.01665)."""

from tfdarts.recipes import darts

CIFAR10 = darts.CIFAR10.but(
    "beta_darts",
    "Decay of the mixing weights (beta-DARTS): `python3 search_cell.py --recipe beta_darts`.",
    search={"penalty": "beta"},
)
DIGITS = darts.DIGITS.but(
    "beta_darts_digits",
    "The same on the embedded digits, for a first try: `python3 search_cell.py --recipe beta_darts_digits`. A few "
    "minutes on two cores.",
    search={"unrolled": False, "penalty": "beta"},
)
RECIPES = (CIFAR10, DIGITS)
