"""DartsReNet (Moser et al. 2020, arXiv:2304.05838)."""

from tfdarts.recipes.recipe import Recipe

CIFAR10 = Recipe(
    "dartsrenet_cifar10",
    "Recurrent cells that sweep CIFAR-10's images (DartsReNet, section 4): `python3 search_cell.py --space renet`, "
    "then `python3 train.py --genotype_file ...`.",
    space="renet",
    strategy="darts",
    arch="DARTS_Vanilla",
)
SVHN = CIFAR10.but(
    "dartsrenet_svhn",
    "Training sweeping cells on SVHN's splits train and extra (DartsReNet, section 4): "
    "`python3 train.py --recipe dartsrenet_svhn --arch DARTS_Vanilla`.",
    train={
        "dataset": "svhn_cropped",
        "use_extra": True,
        "epochs": 100,
        "weight_decay": 3e-5,
        "cutout": False,
        "classifier_range": 0.05,
    },
    stages=("train",),
    arch="DARTS_Vanilla",
)
_DIGITS = {"dataset": "digits", "layers": 2, "batch_size": 32, "cutout_length": 2}
DIGITS = CIFAR10.but(
    "renet_digits",
    "Sweeping cells on the embedded digits, for a first try: `python3 search_cell.py --recipe renet_digits`, then "
    "`python3 train.py --recipe renet_digits --genotype_file ...`. Minutes on two cores; 4.5 % test error for "
    "DARTS_Vanilla.",
    search=_DIGITS | {"nhid": 16, "epochs": 8, "unrolled": True},
    train=_DIGITS | {"nhid": 32, "epochs": 15},
    arch="DARTS_Vanilla",
)
RECIPES = (CIFAR10, SVHN, DIGITS)
