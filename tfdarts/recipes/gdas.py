"""GDAS (Dong and Yang 2019, arXiv:1910.04465)."""

from tfdarts.recipes import darts

CIFAR10 = darts.CIFAR10.but(
    "gdas_cifar10",
    "One drawn operation an edge in every step (GDAS): `python3 search_cell.py --recipe gdas_cifar10`. The "
    "paper reports 2.93 % test error, and 2.82 % with a fixed reduction cell.",
    search={"mixing": "gumbel", "epochs": 250},
)
DIGITS = darts.DIGITS.but(
    "gdas_digits",
    "The same on the embedded digits, for a first try: `python3 search_cell.py --recipe gdas_digits`. A minute or two "
    "on two cores.",
    search={"mixing": "gumbel", "unrolled": False, "epochs": 30},
)
RECIPES = (CIFAR10, DIGITS)
