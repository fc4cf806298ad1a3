"""Options of ENAS's space of convolutional cells; their defaults are ENAS's on CIFAR-10 (arXiv:1802.03268)."""

from tfdarts.options import Option
from tfdarts.runs.options import OPTIONS
from tfdarts.spaces.macro.options import COMMON_SEARCH, COMMON_TRAIN, POOLED
from tfdarts.strategies.options import CELLS
from tfdarts.training.options import AUXILIARY, DROP_PATH

CHANNELS = Option(20, "channels of the first cells, an even number; they double at every reduction")
LAYERS = Option(6, "number of cells but for the two reductions")
SEARCH = COMMON_SEARCH | {
    "layers": LAYERS,
    "init_channels": CHANNELS,
    "nodes": Option(5, "blocks of a cell, its nodes", random=True),
    "restrict": CELLS["restrict"].but(
        "",
        "candidates block by block: a JSON file with the lists normal and reduce, a list of operations for each block. "
        "Unset: all in every block",
    ),
    "batch_size": COMMON_SEARCH["batch_size"].but(160),
    "epochs": COMMON_SEARCH["epochs"].but(150),
    "weight_decay": COMMON_SEARCH["weight_decay"].but(2e-4),
    "tanh_c": COMMON_SEARCH["tanh_c"].but(1.1),
    "op_tanh_reduce": Option(2.5, "what --tanh_c is divided by for the logits of operations", controller=True),
    "controller_lr": COMMON_SEARCH["controller_lr"].but(3.5e-3),
    "controller_lr_max": COMMON_SEARCH["controller_lr_max"].but(3.5e-3),
    "controller_max_step": COMMON_SEARCH["controller_max_step"].but(30),
    "controller_num_aggregate": COMMON_SEARCH["controller_num_aggregate"].but(10),
}  # fmt: skip
TRAIN = COMMON_TRAIN | AUXILIARY | {
    "init_channels": CHANNELS.but(36),
    "layers": LAYERS.but(15),
    "batch_size": COMMON_TRAIN["batch_size"].but(144),
    "epochs": COMMON_TRAIN["epochs"].but(630),
    "dropout": POOLED.but(0.2),
    "learning_rate_min": COMMON_TRAIN["learning_rate_min"].but(1e-4),
    "drop_path_prob": DROP_PATH.but(0.4),
}  # fmt: skip


def options(stage):
    """The options of a stage."""
    return (SEARCH if stage == "search" else TRAIN) | OPTIONS
