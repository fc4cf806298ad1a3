"""Options of the space of recurrent cells; their defaults are the papers' on Penn Treebank.

DARTS, arXiv:1806.09055, sections 3.1.2 and 3.2; ENAS, arXiv:1802.03268, section 2.1, as its PyTorch program has them.
"""

from tfdarts.options import Option, OptionError
from tfdarts.runs.options import OPTIONS
from tfdarts.strategies.options import DARTS, ENAS
from tfdarts.tasks.options import BATCH, TEXT, TEXT_DROPOUT, TEXT_PENALTIES, dropout, text_units
from tfdarts.training.options import GRAD_CLIP, LEARNING_RATE, NONMONO

COLUMNS = BATCH["batch_size"].but(256, "columns of the text in a step")
NODES = Option(8, "nodes of the recurrent cell", random=True)
ACTIVATIONS = Option(
    "recurrent", "module of activations: a module of ops/, a dotted path or a .py file", random=True, resume="move"
)
SGD = {"learning_rate": LEARNING_RATE.but(20.0), "grad_clip": GRAD_CLIP.but(0.25)}
DARTS_SEARCH = TEXT | DARTS | BATCH | SGD | TEXT_DROPOUT | TEXT_PENALTIES | text_units(300) | {
    "nodes": NODES,
    "batch_size": COLUMNS,
    "arch_learning_rate": DARTS["arch_learning_rate"].but(3e-3),
    "arch_beta_1": DARTS["arch_beta_1"].but(0.9),
    "ops": ACTIVATIONS,
}  # fmt: skip
ENAS_SEARCH = TEXT | ENAS | BATCH | text_units(1000) | {
    "nodes": NODES.but(12),
    "batch_size": COLUMNS.but(64),
    "epochs": BATCH["epochs"].but(150, "epochs, each of --shared_max_step steps and the controller's"),
    "dropout": TEXT_DROPOUT["dropout"].but(0.4),
    "dropouti": TEXT_DROPOUT["dropouti"].but(0.65),
    "dropoute": TEXT_DROPOUT["dropoute"].but(0.1),
    "wdrop": dropout(0.5, "the weights from hidden state to hidden state"),
    "shared_lr": ENAS["shared_lr"].but(20.0),
    "shared_lr_decay": Option(
        0.96, "factor of the shared learning rate for each epoch from --shared_decay_after on"
    ),
    "shared_decay_after": Option(
        15, "first epoch whose shared learning rate is multiplied by --shared_lr_decay", zero=True
    ),
    "shared_grad_clip": Option(0.25, "largest norm of the shared weights' gradient"),
    "shared_l2_reg": Option(1e-7, "weight decay of the shared weights, added to their gradient", zero=True),
    "shared_max_step": ENAS["shared_max_step"].but(400),
    "controller_hid": ENAS["controller_hid"].but(100),
    "controller_lr": ENAS["controller_lr"].but(3.5e-4),
    "controller_lr_max": ENAS["controller_lr_max"].but(3.5e-4),
    "controller_lr_min": ENAS["controller_lr_min"].but(3.5e-5),
    "controller_max_step": ENAS["controller_max_step"].but(2000),
    "ema_baseline_decay": ENAS["ema_baseline_decay"].but(0.95),
    "softmax_temperature": Option(5.0, "what the controller's logits are divided by", controller=True),
    "tanh_c": ENAS["tanh_c"].but(2.5),
    "reward_c": Option(80.0, "the controller's reward is this over the perplexity"),
    "ppl_square": Option(False, "reward = --reward_c / squared perplexity, instead of / perplexity"),
}  # fmt: skip
TRAIN = TEXT | BATCH | SGD | TEXT_DROPOUT | TEXT_PENALTIES | text_units(850) | {
    "batch_size": COLUMNS.but(64),
    "epochs": BATCH["epochs"].but(8000),
    "dropoute": TEXT_DROPOUT["dropoute"].but(0.1),
    "wdecay": TEXT_PENALTIES["wdecay"].but(8e-7),
    "nonmono": NONMONO,
    "offset": Option(False, "biases of a recurrent cell's initial state, as in ENAS's PyTorch program"),
}  # fmt: skip


def options(stage, strategy):
    """The options of a stage, of a search by a strategy."""
    if stage == "train":
        return TRAIN | OPTIONS
    return (DARTS_SEARCH if strategy == "darts" else ENAS_SEARCH) | OPTIONS


def check(stage, strategy, values):
    """Raises OptionError for options that do not go together."""
    if stage == "search" and strategy != "darts":
        check_drawn("nodes", values)


def check_drawn(name, values):
    """Raises OptionError for options with which an architecture cannot be drawn step by step.

    Args:
        name: of the option that tells how many nodes or layers there are.
        values: of all options.
    """
    if values[name] < 2:
        kind = name.removesuffix("s")
        raise OptionError(
            f"--{name} must be at least 2, since every {kind} after the first takes an earlier one as input. "
            f"Received: {values[name]}."
        )
