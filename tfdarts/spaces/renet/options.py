"""Options of the space of sweeping cells; their defaults are DartsReNet's on CIFAR-10 (arXiv:2304.05838, section 4)."""

from tfdarts.options import Option, OptionError
from tfdarts.runs.options import OPTIONS
from tfdarts.spaces.recurrent.options import ACTIVATIONS, NODES
from tfdarts.spaces.renet.genotype import BASELINE_CELLS, RENET_CELLS
from tfdarts.strategies.options import DARTS
from tfdarts.tasks.options import BATCH, CUTOUT, HALVES, HOLD_OUT, IMAGES
from tfdarts.training.options import LABEL_SMOOTH, SCHEDULE, SGD

SHARED = IMAGES | BATCH | SGD | CUTOUT | {
    "layers": Option(3, "pairs of sweeps, one along rows and one along columns; each halves the map"),
    "learning_rate": SGD["learning_rate"].but(0.1),
    "momentum": SGD["momentum"].but(0.7),
    "grad_clip": SGD["grad_clip"].but(1.0),
    "classifier_range": Option(0.5, "the classifier's weights start uniformly within plus and minus this"),
    "cutout_length": CUTOUT["cutout_length"].but(12),
    "rnn_cell": Option(
        "vanilla",
        "how a recurrent cell reads an image: vanilla, sigmoid or directional; in training also lstm or gru",
        choices=(*RENET_CELLS, *BASELINE_CELLS),
        random=True,
    ),
}  # fmt: skip
UNITS = Option(128, "channels of all maps, an even number: half of them for either direction of a sweep")
SEARCH = SHARED | DARTS | HALVES | {
    "nhid": UNITS,
    "nodes": NODES,
    "arch_learning_rate": DARTS["arch_learning_rate"].but(3e-3),
    "ops": ACTIVATIONS,
}  # fmt: skip
TRAIN = SHARED | HOLD_OUT | SCHEDULE | {
    "use_extra": Option(False, "train on the data set's split `extra` too (SVHN)"),
    "nhid": UNITS.but(256),
    "epochs": BATCH["epochs"].but(300),
    "learning_rate_min": SGD["learning_rate_min"].but(0.0),
    "cutout": CUTOUT["cutout"].but(True),
    "label_smooth": LABEL_SMOOTH,
    "gate": Option(
        "own",
        "what the reverse gate of a sigmoid cell looks at: own (its input) or forward (as in DartsReNet's program)",
        choices=("own", "forward"),
    ),
}  # fmt: skip


def options(stage):
    """The options of a stage."""
    return (SEARCH if stage == "search" else TRAIN) | OPTIONS


def check(stage, values):
    """Raises OptionError for options that do not go together."""
    if stage == "search" and values["rnn_cell"] in BASELINE_CELLS:
        raise OptionError(f"--rnn_cell {values['rnn_cell']} is for training; there is nothing to search in it.")
    if values["nhid"] % 2:
        raise OptionError(f"--nhid must be even, for two directions. Received: {values['nhid']}.")
    if values["augmentation"] == "imagenet" and not values["image_size"]:
        raise OptionError("--augmentation imagenet needs --image_size (paper: 224).")
