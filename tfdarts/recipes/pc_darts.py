"""PC-DARTS (Xu et al. 2020, arXiv:1907.05737)."""

from tfdarts.recipes import darts

CIFAR10 = darts.CIFAR10.but(
    "pc_darts_cifar10",
    "Operations on a quarter of the channels, and weighed edges (PC-DARTS): "
    "`python3 search_cell.py --recipe pc_darts_cifar10`. The paper reports 2.57 +- 0.07 % test error.",
    search={
        "partial_channels": 4,
        "edge_normalization": True,
        "batch_size": 256,
        "learning_rate": 0.1,
        "learning_rate_min": 0.0,
        "arch_learning_rate": 6e-4,
        "arch_begin": 15,
    },
    train={"drop_path_prob": 0.3},
    arch="PC_DARTS_cifar",
)
IMAGENET = darts.IMAGENET.but(
    "pc_darts_imagenet",
    "The search on an eighth of ImageNet, and the training of what it finds (PC-DARTS, section 4.3): `python3 "
    "search_cell.py --recipe pc_darts_imagenet`. The paper reports 24.2 % top-1 and 7.3 % top-5 error for "
    "PC_DARTS_image.",
    search={
        "dataset": "imagenet2012",
        "image_size": 224,
        "augmentation": "imagenet",
        "network": "imagenet",
        "train_portion": 0.1,
        "arch_portion": 0.025,
        "partial_channels": 2,
        "edge_normalization": True,
        "batch_size": 1024,
        "learning_rate": 0.5,
        "learning_rate_min": 0.0,
        "warmup_epochs": 5,
        "arch_learning_rate": 6e-3,
        "arch_grad_clip": 5.0,
        "arch_begin": 35,
    },
    train={"batch_size": 1024, "schedule": "linear", "learning_rate": 0.5, "warmup_epochs": 5},
    stages=("search", "train"),
    arch="PC_DARTS_image",
)
DIGITS = darts.DIGITS.but(
    "pc_darts_digits",
    "The same on the embedded digits, for a first try: `python3 search_cell.py --recipe pc_darts_digits`. A minute or "
    "two on two cores.",
    search={
        "unrolled": False,
        "init_channels": 8,
        "partial_channels": 4,
        "edge_normalization": True,
        "arch_begin": 4,
    },
)
RECIPES = (CIFAR10, IMAGENET, DIGITS)
