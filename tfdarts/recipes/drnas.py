"""DrNAS (Chen et al. 2021, arXiv:2006.10355)."""

from tfdarts.recipes import darts

CIFAR10 = darts.CIFAR10.but(
    "drnas_cifar10",
    "Mixing weights drawn from Dirichlet distributions, in two stages: fewer candidates, more channels (DrNAS): "
    "`python3 search_cell.py --recipe drnas_cifar10`. The paper reports 2.46 +- 0.03 % test error.",
    search={
        "mixing": "dirichlet",
        "restrict": "without_none",
        "stages": "in_place",
        "stage_candidates": "4",
        "stage_partial_channels": "6,4",
        "partial_channels": 6,
        "init_channels": 36,
        "layers": 20,
        "learning_rate": 0.1,
        "learning_rate_min": 0.0,
        "arch_learning_rate": 6e-4,
        "arch_begin": 10,
    },
    arch="DrNAS_cifar10",
)
DIGITS = darts.DIGITS.but(
    "drnas_digits",
    "The same on the embedded digits, for a first try: `python3 search_cell.py --recipe drnas_digits`. A few minutes "
    "on two cores.",
    search={
        "unrolled": False,
        "mixing": "dirichlet",
        "restrict": "without_none",
        "stages": "in_place",
        "stage_candidates": "4",
        "stage_partial_channels": "4,2",
        "partial_channels": 4,
        "init_channels": 8,
        "epochs": 16,
        "arch_begin": 3,
    },
)
RECIPES = (CIFAR10, DIGITS)
