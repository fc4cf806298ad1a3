"""P-DARTS (Chen et al. 2019, arXiv:1904.12760)."""

from tfdarts.recipes import darts

CIFAR10 = darts.CIFAR10.but(
    "p_darts_cifar10",
    "Three stages, each on a deeper network with fewer candidates, and at most two skip connections (P-DARTS): "
    "`python3 search_cell.py --recipe p_darts_cifar10`. The paper reports 2.50 % test error for its best cell, PDARTS.",
    search={
        "stages": "fresh",
        "stage_candidates": "5,3",
        "stage_layers": "5,11,17",
        "skip_dropout": "0.0,0.4,0.7",
        "select": "few_skips",
        "layers": 5,
        "epochs": 75,
        "batch_size": 96,
        "learning_rate_min": 0.0,
        "arch_learning_rate": 6e-4,
        "arch_grad_clip": 5.0,
        "arch_begin": 10,
    },
    train={"batch_size": 128, "drop_path_prob": 0.3},
    arch="PDARTS",
)
DIGITS = darts.DIGITS.but(
    "p_darts_digits",
    "The same on the embedded digits, for a first try: `python3 search_cell.py --recipe p_darts_digits`. A few minutes "
    "on two cores.",
    search={
        "unrolled": False,
        "stages": "fresh",
        "stage_candidates": "5,3",
        "stage_layers": "3,4,5",
        "skip_dropout": "0.0,0.4,0.7",
        "select": "few_skips",
        "arch_begin": 2,
    },
)
RECIPES = (CIFAR10, DIGITS)
