"""Options of the space of convolutional cells; their defaults are DARTS's on CIFAR-10 (arXiv:1806.09055)."""

from tfdarts import operations
from tfdarts.options import Option, OptionError
from tfdarts.runs.options import OPTIONS
from tfdarts.strategies.options import CELLS, DARTS, PAIRS
from tfdarts.tasks.options import BATCH, CUTOUT, HALVES, HOLD_OUT, IMAGES
from tfdarts.training.options import AUXILIARY, DROP_PATH, LABEL_SMOOTH, SCHEDULE, SGD

CHANNELS = Option(16, "channels of the first cells, an even number; they double at every reduction")
LAYERS = Option(8, "number of cells")
STEM = Option(3, "factor from --init_channels to the channels of the stem", only_with=("network", "cifar"))
NODES = Option(4, "nodes of a cell", random=True)
NETWORK = Option("cifar", "form of the stem: cifar or imagenet, for larger images", choices=("cifar", "imagenet"))
OPS = Option("regular", "operation module: a module of ops/, a dotted path or a .py file", random=True, resume="move")
SEARCH = IMAGES | DARTS | CELLS | PAIRS | HALVES | BATCH | SGD | CUTOUT | {
    "init_channels": CHANNELS,
    "layers": LAYERS,
    "network": NETWORK,
    "nodes": NODES,
    "multiplier": Option(4, "how many of a cell's last nodes are concatenated", random=True),
    "stem_multiplier": STEM.but(3, only_with=()),
    "ops": OPS,
    "location": Option(
        "no_attention",
        f"where attention modules are searched: {', '.join(operations.LOCATIONS)}",
        choices=tuple(operations.LOCATIONS),
        random=True,
    ),
}  # fmt: skip
TRAIN = IMAGES | HOLD_OUT | BATCH | SGD | SCHEDULE | CUTOUT | AUXILIARY | {
    "network": NETWORK.but("cifar", "form of stem and auxiliary head: cifar or imagenet, for larger images"),
    "init_channels": CHANNELS.but(36),
    "layers": LAYERS.but(20),
    "stem_multiplier": STEM,
    "second_bn": Option(
        None,
        "a second BatchNorm in the auxiliary head; unset: in the cifar form only (P-DARTS has it in both)",
        kind=bool,
    ),
    "batch_size": BATCH["batch_size"].but(96),
    "epochs": BATCH["epochs"].but(600),
    "learning_rate_min": SGD["learning_rate_min"].but(0.0),
    "cutout": CUTOUT["cutout"].but(True),
    "drop_path_prob": DROP_PATH,
    "label_smooth": LABEL_SMOOTH,
}  # fmt: skip


def options(stage):
    """The options of a stage, those of the operation modules of `ops/` among them."""
    own = {
        name: Option(None, f"{text}; unset: {default}", kind=type(default), of_module=True)
        for name, (default, text) in operations.option_flags().items()
    }
    return (SEARCH if stage == "search" else TRAIN) | OPTIONS | own


def check_images(values):
    """Raises OptionError for options of convolutional networks that do not go together."""
    if values["augmentation"] == "imagenet" and not values["image_size"]:
        raise OptionError("--augmentation imagenet needs --image_size (paper: 224).")
    if values["init_channels"] % 2:
        raise OptionError(f"--init_channels must be even. Received: {values['init_channels']}.")
    share, channels = values.get("partial_channels", 1), values["init_channels"]
    if channels % share:
        raise OptionError(f"--init_channels must be a multiple of --partial_channels ({share}). Received: {channels}.")


def check(values):
    """Raises OptionError for options that do not go together."""
    if values.get("multiplier", 0) > values.get("nodes", 0):
        nodes, multiplier = values["nodes"], values["multiplier"]
        raise OptionError(f"--multiplier must be at most --nodes ({nodes}). Received: {multiplier}.")
    check_images(values)
    if values.get("select") == "perturbation" and (values["mixing"] != "softmax" or values["edge_normalization"]):
        raise OptionError(
            "--select perturbation needs --mixing softmax and no --edge_normalization: a decided edge weighs one, a "
            "dropped one nothing."
        )
