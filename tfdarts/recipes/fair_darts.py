"""FairDARTS (Chu et al. 2020, arXiv:1911.12126)."""

from tfdarts.recipes import darts

CIFAR10 = darts.CIFAR10.but(
    "fair_darts",
    "Operations that do not compete (FairDARTS): `python3 search_cell.py --recipe fair_darts`. The paper "
    "reports 2.54 +- 0.05 % test error for cells of this kind, FairDARTS_a (373M multiply-adds, 2.8M parameters).",
    search={
        "mixing": "sigmoid",
        "select": "threshold_sparse",
        "penalty": "zero_one",
        "restrict": "without_none",
        "batch_size": 128,
        "learning_rate": 0.005,
        "arch_learning_rate": 3e-3,
        "arch_beta_1": 0.9,
    },
    arch="FairDARTS_a",
)
DIGITS = darts.DIGITS.but(
    "fair_darts_digits",
    "The same on the embedded digits, for a first try: `python3 search_cell.py --recipe fair_darts_digits`. A few "
    "minutes on two cores.",
    search={
        "unrolled": False,
        "mixing": "sigmoid",
        "penalty": "zero_one",
        "select": "threshold_sparse",
        "arch_learning_rate": 1e-2,
        "gate_threshold": 0.6,
        "restrict": "without_none",
        "arch_beta_1": 0.9,
    },
)
RECIPES = (CIFAR10, DIGITS)
