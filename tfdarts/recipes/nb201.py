"""NAS-Bench-201 (Dong and Yang 2020, arXiv:2001.00326)."""

from tfdarts.recipes.recipe import Recipe

NB201 = Recipe(
    "nb201",
    "A cell of NAS-Bench-201 on CIFAR-10 as its authors train all of them (their table 1): `python3 train.py --recipe "
    "nb201 --arch NATS_Size`. The paper reports 5.63 % test error for the best cell.",
    space="nb201",
    strategy="darts",
)
DARTS = NB201.but(
    "nb201_darts",
    "DARTS in NAS-Bench-201 as its authors search (first order): `python3 search_cell.py --recipe nb201_darts`. The "
    "paper reports 45.70 % test error: it collapses to skip connections.",
    search={"weight_decay": 5e-4, "nesterov": True},
)
GDAS = DARTS.but(
    "nb201_gdas",
    "GDAS in NAS-Bench-201 as its authors search: `python3 search_cell.py --recipe nb201_gdas`. The paper reports "
    "6.39 % test error.",
    search={"mixing": "gumbel", "epochs": 250},
)
DIGITS = NB201.but(
    "nb201_digits",
    "NAS-Bench-201's cell on the embedded digits, for a first try: `python3 search_cell.py --recipe nb201_digits`, "
    "then `python3 train.py --recipe nb201_digits --genotype_file ...`. Minutes on two cores.",
    search={
        "dataset": "digits",
        "init_channels": 8,
        "layers": 1,
        "epochs": 15,
        "batch_size": 32,
        "arch_learning_rate": 3e-3,
    },
    train={"dataset": "digits", "init_channels": 8, "layers": 2, "epochs": 30, "batch_size": 32, "learning_rate": 0.05},
)
RECIPES = (NB201, DARTS, GDAS, DIGITS)
