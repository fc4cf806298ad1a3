"""ENAS (Pham et al. 2018, arXiv:1802.03268), as its authors' scripts have it, and small versions for a laptop."""

from tfdarts.recipes import darts
from tfdarts.recipes.recipe import Recipe
from tfdarts.tasks.options import UNITS

MACRO = Recipe(
    "enas_macro",
    "Whole networks on CIFAR-10 (ENAS, section 3.2): `python3 search_cell.py --space macro`, then `python3 train.py "
    "--genotype_file ...`. The paper reports 4.23 % test error.",
    space="macro",
    strategy="enas",
    arch="ENAS",
)
MICRO = Recipe(
    "enas_micro",
    "Convolutional cells on CIFAR-10 (ENAS, section 3.2): `python3 search_cell.py --space micro`, then `python3 "
    "train.py --genotype_file ...`. The paper reports 3.54 % test error, 2.89 % with cutout.",
    space="micro",
    strategy="enas",
    arch="ENAS",
)
_DIGITS = {"dataset": "digits", "batch_size": 32, "cutout_length": 2}
_DIGITS_SEARCH = _DIGITS | {
    "train_portion": 0.7,
    "epochs": 14,
    "restart_epochs": 2,
    "derive_num_sample": 30,
    "controller_max_step": 20,
    "controller_num_aggregate": 5,
}
_DIGITS_TRAIN = _DIGITS | {"epochs": 30, "restart_epochs": 2}
MACRO_DIGITS = MACRO.but(
    "macro_digits",
    "Whole networks on the embedded digits, for a first try: `python3 search_cell.py --recipe macro_digits`, then "
    "`python3 train.py --recipe macro_digits --genotype_file ...`. Minutes on two cores; about 2.5 % test error.",
    search=_DIGITS_SEARCH | {"layers": 6, "init_channels": 16, "shared_max_step": 200, "controller_lr": 5e-3},
    train=_DIGITS_TRAIN | {"init_channels": 16},
)
MICRO_DIGITS = MICRO.but(
    "micro_digits",
    "ENAS's cells on the embedded digits, for a first try: `python3 search_cell.py --recipe micro_digits`, then "
    "`python3 train.py --recipe micro_digits --genotype_file ...`. Minutes on two cores; about 2.8 % test error.",
    search=_DIGITS_SEARCH
    | {
        "layers": 3,
        "init_channels": 16,
        "nodes": 2,
        "shared_lr": 0.1,
        "shared_max_step": 300,
        "controller_lr": 0.02,
    },
    train=_DIGITS_TRAIN | {"layers": 3, "init_channels": 8},
)
PTB = Recipe(
    "enas_ptb",
    "Recurrent cells on Penn Treebank (ENAS, section 3.1): `python3 search_cell.py --space recurrent --strategy enas "
    "--data penn`. The paper reports a perplexity of 55.8. Trained as DARTS's cells are.",
    space="recurrent",
    strategy="enas",
    arch="ENAS",
)
TOPICS = PTB.but(
    "enas_topics",
    "Recurrent cells by a controller on the embedded text, for a first try: `python3 search_cell.py --recipe "
    "enas_topics`, then `python3 train.py --recipe enas_topics --genotype_file ...`. Minutes on two cores.",
    search={
        "data": "topics",
        "batch_size": 16,
        **dict.fromkeys(UNITS, 64),
        "epochs": 4,
        "dropout": 0.2,
        "dropouti": 0.2,
        "dropoute": 0.05,
        "wdrop": 0.1,
        "controller_lr": 5e-3,
        "controller_max_step": 200,
        "derive_num_sample": 30,
    },
    train=darts.TOPICS.train,
    arch="ENAS",
)
RECIPES = (MACRO, MICRO, MACRO_DIGITS, MICRO_DIGITS, PTB, TOPICS)
