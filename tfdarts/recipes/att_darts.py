"""Att-DARTS (Nakai et al. 2020)."""

from tfdarts.recipes import darts

CIFAR10 = darts.CIFAR10.but(
    "att_darts_cifar10",
    "As DARTS, with attention modules searched behind every operation (Att-DARTS): "
    "`python3 search_cell.py --recipe att_darts_cifar10 --unrolled`.",
    search={"location": "after_every"},
    arch="Att_DARTS",
)
RECIPES = (CIFAR10,)
