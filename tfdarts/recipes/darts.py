"""DARTS (Liu et al. 2019, arXiv:1806.09055), and small versions of it for a first try on a laptop."""

from tfdarts.recipes.recipe import Recipe
from tfdarts.tasks.options import UNITS

CIFAR10 = Recipe(
    "darts_cifar10",
    "Convolutional cells on CIFAR-10 (DARTS, sections 3.1.1 and 3.2): `python3 search_cell.py --unrolled`, then "
    "`python3 train.py --genotype_file ...`. The paper reports 2.76 +- 0.09 % test error for DARTS_V2.",
    space="conv",
    strategy="darts",
    arch="DARTS",
)
IMAGENET = CIFAR10.but(
    "darts_imagenet",
    "Training on ImageNet (DARTS, section 3.3): `python3 train.py --recipe darts_imagenet --arch DARTS_V2`. The paper "
    "reports 26.7 % top-1 and 8.7 % top-5 error. Tested on the central 224x224 of images whose shorter side is 256.",
    train={
        "dataset": "imagenet2012",
        "image_size": 224,
        "augmentation": "imagenet",
        "network": "imagenet",
        "init_channels": 48,
        "layers": 14,
        "batch_size": 128,
        "epochs": 250,
        "schedule": "exponential",
        "learning_rate": 0.1,
        "weight_decay": 3e-5,
        "cutout": False,
        "drop_path_prob": 0.0,
        "label_smooth": 0.1,
    },
    stages=("train",),
    arch="DARTS",
)
DIGITS = CIFAR10.but(
    "digits",
    "Convolutional cells on the embedded digits, for a first try: `python3 search_cell.py --recipe digits`, then "
    "`python3 train.py --recipe digits --genotype_file ...`. Minutes on two cores; 95 % and more after training.",
    search={
        "dataset": "digits",
        "init_channels": 4,
        "layers": 3,
        "epochs": 15,
        "batch_size": 32,
        "unrolled": True,
        "arch_learning_rate": 3e-3,
    },
    train={
        "dataset": "digits",
        "init_channels": 8,
        "layers": 5,
        "epochs": 30,
        "batch_size": 32,
        "cutout_length": 2,
        "drop_path_prob": 0.1,
    },
    arch="digits",
)
PTB = Recipe(
    "darts_ptb",
    "Recurrent cells on Penn Treebank (DARTS, sections 3.1.2 and 3.2): `python3 search_cell.py --space recurrent "
    "--data penn --unrolled`, then `python3 train.py --genotype_file ... --data penn`. The paper reports a test "
    "perplexity of 55.7.",
    space="recurrent",
    strategy="darts",
    arch="DARTS",
)
WIKITEXT2 = PTB.but(
    "darts_wt2",
    "Training on WikiText-2 (DARTS, section 3.3): `python3 train.py --recipe darts_wt2 --arch DARTS_V1 --data DIR`. "
    "The paper reports a test perplexity of 69.6.",
    train=dict.fromkeys(UNITS, 700) | {"dropouth": 0.15, "wdecay": 5e-7},
    stages=("train",),
    arch="DARTS",
)
TOPICS = PTB.but(
    "topics",
    "Recurrent cells on the embedded text, for a first try: `python3 search_cell.py --recipe topics`, then `python3 "
    "train.py --recipe topics --genotype_file ...`. Minutes on two cores; test perplexity 36 after training, "
    "where that of word frequencies is 181.",
    search={
        "data": "topics",
        **dict.fromkeys(UNITS, 64),
        "batch_size": 16,
        "epochs": 5,
        "learning_rate": 10.0,
        "dropout": 0.1,
        "dropouth": 0.0,
        "dropoutx": 0.1,
        "dropouti": 0.1,
    },
    train={
        "data": "topics",
        **dict.fromkeys(UNITS, 128),
        "batch_size": 16,
        "epochs": 20,
        "dropout": 0.3,
        "dropouth": 0.1,
        "dropoutx": 0.3,
        "dropouti": 0.1,
        "dropoute": 0.05,
    },
    arch="DARTS",
)
RECIPES = (CIFAR10, IMAGENET, DIGITS, PTB, WIKITEXT2, TOPICS)
