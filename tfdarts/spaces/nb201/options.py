"""Options of the space of NAS-Bench-201; in training, their defaults are its authors' (arXiv:2001.00326, table 1)."""

from tfdarts.options import Option, OptionError
from tfdarts.runs.options import OPTIONS
from tfdarts.spaces.conv.options import check_images
from tfdarts.strategies.options import CELLS, DARTS
from tfdarts.tasks.options import BATCH, CUTOUT, HALVES, HOLD_OUT, IMAGES
from tfdarts.training.options import LABEL_SMOOTH, SCHEDULE, SGD

SHARED = IMAGES | BATCH | SGD | CUTOUT | {
    "init_channels": Option(16, "channels of the first stage, an even number; they double from stage to stage"),
    "layers": Option(5, "cells of each of the three stages"),
}  # fmt: skip
SEARCH = SHARED | DARTS | HALVES | CELLS | {
    "restrict": CELLS["restrict"].but(
        "",
        "candidates edge by edge: without_none; or a JSON file with the list normal, a list of operations for each of "
        "the six edges. Unset: all on every edge",
    ),
    "nb201_table": Option(
        "",
        "known accuracies, of which every epoch tells those of its cell and the regret: a CSV or JSON file, or "
        "NATS-Bench's folder NATS-tss-v1_0-3ffb9-simple (docs/nb201.md)",
        resume="change",
        random=True,
    ),
    "unique": Option(
        False,
        "draw no architecture that computes the same function as one drawn before",
        only_with=("strategy", "random"),
        random=True,
    ),
}  # fmt: skip
TRAIN = {name: option for name, option in SHARED.items() if name != "grad_clip"} | HOLD_OUT | SCHEDULE | {
    "batch_size": BATCH["batch_size"].but(256),
    "epochs": BATCH["epochs"].but(200),
    "learning_rate": SGD["learning_rate"].but(0.1),
    "learning_rate_min": SGD["learning_rate_min"].but(0.0),
    "weight_decay": SGD["weight_decay"].but(5e-4),
    "nesterov": SGD["nesterov"].but(True),
    "label_smooth": LABEL_SMOOTH,
}  # fmt: skip


def options(stage):
    """The options of a stage."""
    return (SEARCH if stage == "search" else TRAIN) | OPTIONS


def check(values):
    """Raises OptionError for options that do not go together."""
    check_images(values)
    if values.get("select") == "perturbation" and values["mixing"] != "softmax":
        raise OptionError("--select perturbation needs --mixing softmax: it takes candidates away one by one.")
