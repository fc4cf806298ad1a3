"""GDAS (Dong and Yang 2019, arXiv:1910.04465)."""

from tfdarts.recipes import darts

CIFAR10 = darts.CIFAR10.but(
    "gdas_cifar10",
    "One drawn operation an edge in every step (GDAS): `python3 search_cell.py --recipe gdas_cifar10`. "
    "Later papers quote 2.82 % test error for it.",
    search={"mixing": "gumbel", "epochs": 250},
    arch="GDAS_V1",
)
DIGITS = darts.DIGITS.but(
    "gdas_digits",
    "The same on the embedded digits, for a first try: `python3 search_cell.py --recipe gdas_digits`. Minutes on "
    "two cores.",
    search={"mixing": "gumbel", "unrolled": False, "epochs": 30},
)
RECIPES = (CIFAR10, DIGITS)
