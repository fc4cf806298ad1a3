"""Options of the space of whole convolutional networks; their defaults are ENAS's on CIFAR-10 (arXiv:1802.03268).

Weight decays are twice the authors' factors of the sum of squares.
"""

from tfdarts.options import Option
from tfdarts.runs.options import OPTIONS
from tfdarts.spaces.conv.options import check_images
from tfdarts.spaces.recurrent.options import check_drawn
from tfdarts.strategies.options import ENAS_IMAGES
from tfdarts.tasks.options import BATCH, CUTOUT, HALVES, HOLD_OUT, IMAGES, dropout
from tfdarts.training.options import LABEL_SMOOTH, RESTARTS, SCHEDULE, SGD

POOLED = dropout(0.1, "pooled features")
CHANNELS = Option(36, "channels of all layers, an even number; in training they double at every halving of the map")
COMMON_SEARCH = IMAGES | ENAS_IMAGES | HALVES | BATCH | CUTOUT | {
    "train_portion": HALVES["train_portion"].but(0.9),
    "dropout": POOLED,
}  # fmt: skip
SEARCH = COMMON_SEARCH | {
    "layers": Option(12, "layers of the network", random=True),
    "init_channels": CHANNELS,
    "batch_size": BATCH["batch_size"].but(128),
    "epochs": BATCH["epochs"].but(310),
    "skip_target": Option(
        0.4, "share of skip connections that the controller is pulled towards", fraction=True, controller=True
    ),
    "skip_weight": Option(
        0.8, "weight of the penalty that pulls the controller towards --skip_target", zero=True, controller=True
    ),
}  # fmt: skip
COMMON_TRAIN = IMAGES | HOLD_OUT | SCHEDULE | RESTARTS | BATCH | CUTOUT | {
    "schedule": SCHEDULE["schedule"].but("restarts"),
    "learning_rate": SGD["learning_rate"].but(0.05),
    "learning_rate_min": SGD["learning_rate_min"].but(1e-3),
    "momentum": SGD["momentum"],
    "weight_decay": SGD["weight_decay"].but(4e-4),
    "label_smooth": LABEL_SMOOTH,
    "dropout": POOLED.but(0.5),
}  # fmt: skip
TRAIN = COMMON_TRAIN | {
    "init_channels": CHANNELS.but(96),
    "batch_size": BATCH["batch_size"].but(100),
    "epochs": BATCH["epochs"].but(310),
}  # fmt: skip


def options(stage):
    """The options of a stage."""
    return (SEARCH if stage == "search" else TRAIN) | OPTIONS


def check(stage, values):
    """Raises OptionError for options that do not go together."""
    if stage == "search":
        check_drawn("layers", values)
    check_images(values)
