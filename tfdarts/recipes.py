"""The papers' hyperparameters, by name, and what each option means.

A recipe states command, expected result and source. `resolve` lays the flags that a user gave over it.
"""

import types

from tfdarts.errors import UserError
from tfdarts.genotype import BASELINE_CELLS, RENET_CELLS

# DARTS, Liu et al. 2019, arXiv:1806.09055, sections 3.1.1 and 3.2: `python3 search_cell.py --unrolled`, then
# `python3 train.py --genotype_file ...`; the paper reports 2.76 +- 0.09 % test error on CIFAR-10 for DARTS_V2.
_IMAGES = {"dataset": "cifar10", "data_dir": "", "image_size": 0, "augmentation": "crop", "flip": None}
_DARTS_SEARCH = _IMAGES | {
    "strategy": "darts",
    "samples": 10,
    "use_validation": False,
    "init_channels": 16,
    "layers": 8,
    "nodes": 4,
    "multiplier": 4,
    "stem_multiplier": 3,
    "batch_size": 64,
    "epochs": 50,
    "train_portion": 0.5,
    "learning_rate": 0.025,
    "learning_rate_min": 0.001,
    "momentum": 0.9,
    "weight_decay": 3e-4,
    "grad_clip": 5.0,
    "unrolled": False,
    "arch_learning_rate": 3e-4,
    "arch_weight_decay": 1e-3,
    "cutout": False,
    "cutout_length": 16,
    "ops": "regular",
    "location": "no_attention",
}
_DARTS_TRAIN = _IMAGES | {
    "network": "cifar",
    "init_channels": 36,
    "layers": 20,
    "stem_multiplier": 3,
    "batch_size": 96,
    "epochs": 600,
    "schedule": "cosine",
    "gamma": 0.97,
    "learning_rate": 0.025,
    "learning_rate_min": 0.0,
    "momentum": 0.9,
    "weight_decay": 3e-4,
    "grad_clip": 5.0,
    "auxiliary": True,
    "auxiliary_weight": 0.4,
    "cutout": True,
    "cutout_length": 16,
    "drop_path_prob": 0.2,
    "label_smooth": 0.0,
}
# DARTS, section 3.3: `python3 train.py --recipe darts_imagenet --arch DARTS_V2`; the paper reports 26.7 % top-1 and
# 8.7 % top-5 error for it. Tested on the central 224x224 of images whose shorter side is brought to 256.
_DARTS_IMAGENET = _DARTS_TRAIN | {
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
}
# DartsReNet, Moser et al. 2020, arXiv:2304.05838, section 4: `python3 search_cell.py --space renet`, then
# `python3 train.py --genotype_file ...`; SVHN is trained on its splits train and extra.
_RENET = _IMAGES | {"rnn_cell": "vanilla", "layers": 3, "batch_size": 64, "learning_rate": 0.1, "momentum": 0.7}
_RENET |= {"weight_decay": 3e-4, "grad_clip": 1.0, "classifier_range": 0.5, "cutout_length": 12}
_RENET_SEARCH = _RENET | {
    "strategy": "darts",
    "samples": 10,
    "use_validation": False,
    "nhid": 128,
    "nodes": 8,
    "epochs": 50,
    "train_portion": 0.5,
    "learning_rate_min": 0.001,
    "unrolled": False,
    "arch_learning_rate": 3e-3,
    "arch_weight_decay": 1e-3,
    "cutout": False,
    "ops": "recurrent",
}
_RENET_TRAIN = _RENET | {
    "use_extra": False,
    "nhid": 256,
    "epochs": 300,
    "schedule": "cosine",
    "gamma": 0.97,
    "learning_rate_min": 0.0,
    "cutout": True,
    "label_smooth": 0.0,
}
_RENET_SVHN = {"dataset": "svhn_cropped", "use_extra": True, "epochs": 100, "weight_decay": 3e-5, "cutout": False}
_RENET_SVHN |= {"classifier_range": 0.05}
_RENET_DIGITS = {"dataset": "digits", "layers": 2, "batch_size": 32, "cutout_length": 2}
# DARTS, sections 3.1.2 and 3.2: `python3 search_cell.py --space recurrent --data penn --unrolled`, then
# `python3 train.py --genotype_file ... --data penn`; the paper reports test perplexities of 55.7 on Penn Treebank and
# 69.6 on WikiText-2.
_TEXT = {"data": "", "learning_rate": 20.0, "grad_clip": 0.25, "bptt": 35, "dropout": 0.75, "dropouth": 0.25}
_TEXT |= {"dropoutx": 0.75, "dropouti": 0.2, "alpha": 0.0, "beta": 1e-3}
_UNITS = ("emsize", "nhid", "nhidlast")  # the paper's cell takes one number for all three
_TEXT_SEARCH = _TEXT | {
    "strategy": "darts",
    "samples": 10,
    **dict.fromkeys(_UNITS, 300),
    "nodes": 8,
    "batch_size": 256,
    "epochs": 50,
    "dropoute": 0.0,
    "wdecay": 5e-7,
    "unrolled": False,
    "arch_learning_rate": 3e-3,
    "arch_weight_decay": 1e-3,
    "ops": "recurrent",
}
_TEXT_TRAIN = _TEXT | {
    **dict.fromkeys(_UNITS, 850),
    "batch_size": 64,
    "epochs": 8000,
    "dropoute": 0.1,
    "wdecay": 8e-7,
    "nonmono": 5,
}
_WIKITEXT2 = dict.fromkeys(_UNITS, 700) | {"dropouth": 0.15, "wdecay": 5e-7}
# The embedded text, for a first try on a laptop: minutes on two cores. Test perplexity 36 after training; that of word
# frequencies is 181.
_TOPICS = {"data": "topics", "dropout": 0.3, "dropouth": 0.1, "dropoutx": 0.3, "dropouti": 0.1}
# ENAS, Pham et al. 2018, arXiv:1802.03268, section 3 and its authors' scripts: `python3 search_cell.py --space macro`
# or `micro`, then `python3 train.py --genotype_file ...`; the paper reports test errors of 4.23 % and 3.54 % (2.89 %
# with cutout) on CIFAR-10. Weight decays are twice the authors' factors of the sum of squares.
_ENAS = {
    "strategy": "enas",
    "samples": 10,
    "controller_optim": "adam",
    "controller_lr_cosine": False,
    "entropy_coeff": 1e-4,
    "shared_optim": "sgd",
    "derive_num_sample": 100,
}
_RESTARTS = {"momentum": 0.9, "restart_epochs": 10, "restart_factor": 2, "cutout": False, "cutout_length": 16}
_ENAS_IMAGES = _IMAGES | _ENAS | _RESTARTS | {
    "use_validation": False,
    "train_portion": 0.9,
    "controller_hid": 64,
    "controller_lr": 1e-3,
    "controller_lr_max": 1e-3,
    "controller_lr_min": 1e-4,
    "ema_baseline_decay": 0.99,
    "shared_lr": 0.05,
    "shared_lr_min": 5e-4,
    "shared_max_step": 0,
    "dropout": 0.1,
}  # fmt: skip
_MACRO_SEARCH = _ENAS_IMAGES | {
    "layers": 12,
    "init_channels": 36,
    "batch_size": 128,
    "epochs": 310,
    "weight_decay": 5e-4,
    "tanh_c": 1.5,
    "skip_target": 0.4,
    "skip_weight": 0.8,
    "controller_max_step": 50,
    "controller_num_aggregate": 20,
}
_MICRO_SEARCH = _ENAS_IMAGES | {
    "layers": 6,
    "init_channels": 20,
    "nodes": 5,
    "batch_size": 160,
    "epochs": 150,
    "weight_decay": 2e-4,
    "tanh_c": 1.1,
    "op_tanh_reduce": 2.5,
    "controller_lr": 3.5e-3,
    "controller_lr_max": 3.5e-3,
    "controller_max_step": 30,
    "controller_num_aggregate": 10,
}
_ENAS_TRAIN = _IMAGES | _RESTARTS | {
    "schedule": "restarts",
    "gamma": 0.97,
    "learning_rate": 0.05,
    "weight_decay": 4e-4,
    "label_smooth": 0.0,
}  # fmt: skip
_MACRO_TRAIN = _ENAS_TRAIN | {"init_channels": 96, "batch_size": 100, "epochs": 310, "learning_rate_min": 1e-3}
_MACRO_TRAIN |= {"dropout": 0.5}
_MICRO_TRAIN = _ENAS_TRAIN | {"init_channels": 36, "layers": 15, "batch_size": 144, "epochs": 630, "dropout": 0.2}
_MICRO_TRAIN |= {"learning_rate_min": 1e-4, "auxiliary": True, "auxiliary_weight": 0.4, "drop_path_prob": 0.4}
_ENAS_DIGITS = {"dataset": "digits", "batch_size": 32, "cutout_length": 2}
_ENAS_DIGITS_SEARCH = _ENAS_DIGITS | {"train_portion": 0.7, "epochs": 14, "restart_epochs": 2, "derive_num_sample": 30}
_ENAS_DIGITS_SEARCH |= {
    "shared_max_step": 200,
    "controller_lr": 5e-3,
    "controller_max_step": 20,
    "controller_num_aggregate": 5,
}
_ENAS_DIGITS_TRAIN = _ENAS_DIGITS | {"epochs": 30, "restart_epochs": 2}
# The recurrent space, as in the PyTorch program that searches it (the paper: section 3.1, perplexity 55.8 on Penn
# Treebank): `python3 search_cell.py --space recurrent --strategy enas --data penn`. Trained as DARTS's cells are.
_ENAS_TEXT = _ENAS | {
    "data": "",
    "bptt": 35,
    **dict.fromkeys(_UNITS, 1000),
    "nodes": 12,
    "batch_size": 64,
    "epochs": 150,
    "dropout": 0.4,
    "dropouti": 0.65,
    "dropoute": 0.1,
    "wdrop": 0.5,
    "shared_lr": 20.0,
    "shared_lr_decay": 0.96,
    "shared_decay_after": 15,
    "shared_grad_clip": 0.25,
    "shared_l2_reg": 1e-7,
    "shared_max_step": 400,
    "controller_hid": 100,
    "controller_lr": 3.5e-4,
    "controller_lr_max": 3.5e-4,
    "controller_lr_min": 3.5e-5,
    "controller_max_step": 2000,
    "ema_baseline_decay": 0.95,
    "softmax_temperature": 5.0,
    "tanh_c": 2.5,
    "reward_c": 80.0,
    "ppl_square": False,
}
_ENAS_TOPICS = {"data": "topics", "batch_size": 16, **dict.fromkeys(_UNITS, 64), "epochs": 4}
_ENAS_TOPICS |= {"dropout": 0.2, "dropouti": 0.2, "dropoute": 0.05, "wdrop": 0.1}
_ENAS_TOPICS |= {"controller_lr": 5e-3, "controller_max_step": 200, "derive_num_sample": 30}
_TOPICS_TRAIN = _TEXT_TRAIN | _TOPICS | dict.fromkeys(_UNITS, 128)
_TOPICS_TRAIN |= {"batch_size": 16, "epochs": 20, "dropoute": 0.05}
_ATT_DARTS_SEARCH = _DARTS_SEARCH | {"location": "after_every"}
# The embedded digits, for a first try on a laptop: minutes on two cores, 95 % and more after training.
RECIPES = {
    "darts_cifar10": {"space": "conv", "search": _DARTS_SEARCH, "train": _DARTS_TRAIN},
    "darts_imagenet": {"space": "conv", "train": _DARTS_IMAGENET},
    # Att-DARTS, Nakai et al. 2020: as DARTS, with attention modules searched behind every operation:
    # `python3 search_cell.py --recipe att_darts_cifar10 --unrolled`.
    "att_darts_cifar10": {"space": "conv", "search": _ATT_DARTS_SEARCH, "train": _DARTS_TRAIN},
    "enas_macro": {"space": "macro", "search": _MACRO_SEARCH, "train": _MACRO_TRAIN},
    "enas_micro": {"space": "micro", "search": _MICRO_SEARCH, "train": _MICRO_TRAIN},
    "macro_digits": {
        "space": "macro",
        "search": _MACRO_SEARCH | _ENAS_DIGITS_SEARCH | {"layers": 6, "init_channels": 16},
        "train": _MACRO_TRAIN | _ENAS_DIGITS_TRAIN | {"init_channels": 16},
    },
    "micro_digits": {
        "space": "micro",
        "search": _MICRO_SEARCH
        | _ENAS_DIGITS_SEARCH
        | {"layers": 3, "init_channels": 16, "nodes": 2, "shared_lr": 0.1, "shared_max_step": 300}
        | {"controller_lr": 0.02},
        "train": _MICRO_TRAIN | _ENAS_DIGITS_TRAIN | {"layers": 3, "init_channels": 8},
    },
    "enas_ptb": {"space": "recurrent", "search": _ENAS_TEXT, "train": _TEXT_TRAIN},
    "darts_ptb": {"space": "recurrent", "search": _TEXT_SEARCH, "train": _TEXT_TRAIN},
    "darts_wt2": {"space": "recurrent", "train": _TEXT_TRAIN | _WIKITEXT2},
    "topics": {
        "space": "recurrent",
        "search": _TEXT_SEARCH
        | _TOPICS
        | dict.fromkeys(_UNITS, 64)
        | {"batch_size": 16, "epochs": 5, "learning_rate": 10.0}
        | {"dropout": 0.1, "dropouth": 0.0, "dropoutx": 0.1},
        "train": _TOPICS_TRAIN,
    },
    "enas_topics": {
        "space": "recurrent",
        "search": _ENAS_TEXT | _ENAS_TOPICS,
        "train": _TOPICS_TRAIN,
    },
    "renet_digits": {
        "space": "renet",
        "search": _RENET_SEARCH | _RENET_DIGITS | {"nhid": 16, "epochs": 8, "unrolled": True},
        "train": _RENET_TRAIN | _RENET_DIGITS | {"nhid": 32, "epochs": 15},
    },
    "dartsrenet_cifar10": {"space": "renet", "search": _RENET_SEARCH, "train": _RENET_TRAIN},
    "dartsrenet_svhn": {"space": "renet", "train": _RENET_TRAIN | _RENET_SVHN},
    "digits": {
        "space": "conv",
        "search": _DARTS_SEARCH
        | {"dataset": "digits", "init_channels": 4, "layers": 3, "epochs": 15, "batch_size": 32, "unrolled": True}
        | {"arch_learning_rate": 3e-3},
        "train": _DARTS_TRAIN
        | {"dataset": "digits", "init_channels": 8, "layers": 5, "epochs": 30, "batch_size": 32, "cutout_length": 2}
        | {"drop_path_prob": 0.1},
    },
}
DEFAULTS = {
    "conv": "darts_cifar10",
    "recurrent": "darts_ptb",
    "renet": "dartsrenet_cifar10",
    "macro": "enas_macro",
    "micro": "enas_micro",
}  # each space's recipe, where none is named
SHARED_WEIGHTS = ("enas", "random_ws")  # strategies whose architectures share one set of weights


def default(space, strategy=None):
    """The recipe of a space, for a strategy if there is one that its own does not serve."""
    if space == "recurrent" and strategy in SHARED_WEIGHTS:
        return "enas_ptb"
    return DEFAULTS[space]


HELP = {
    "dataset": "digits, an image classification set of TensorFlow Datasets, folder:PATH or npz:FILE",
    "data_dir": "folder of data prepared by TensorFlow Datasets; empty: its own",
    "flip": "whether a mirror image keeps its label; unset: by data set, not for digits",
    "image_size": "height and width to bring images to; 0: leave them as they are",
    "augmentation": "crop (shifts and mirror images) or imagenet (random parts, colour jitter, mirror images)",
    "strategy": "darts; enas, a controller, or random_ws, uniform draws, over shared weights; random: write --samples "
    "genotypes drawn uniformly, the baseline of any search",
    "samples": "genotypes that --strategy random draws",
    "controller_optim": "optimizer of the controller: adam or sgd",
    "controller_lr": "learning rate of the controller (papers: 3.5e-4 on text, macro 1e-3, micro 3.5e-3)",
    "controller_lr_cosine": "let it fall from --controller_lr_max to --controller_lr_min, by half a cosine",
    "controller_lr_max": "where that begins",
    "controller_lr_min": "where that ends",
    "controller_hid": "units of the controller (papers: 100 on text, 64 on images)",
    "controller_max_step": "updates of the controller in an epoch (papers: 2000 on text, macro 50, micro 30)",
    "controller_num_aggregate": "architectures that an update averages (papers: macro 20, micro 10)",
    "entropy_coeff": "weight of the controller's entropy in the reward (papers: 1e-4)",
    "ema_baseline_decay": "share of the old value in the reward's moving average (papers: 0.95 on text, else 0.99)",
    "tanh_c": "largest magnitude of the controller's logits (papers: 2.5 on text, macro 1.5, micro 1.1)",
    "op_tanh_reduce": "by how much that is smaller for operations (paper: 2.5)",
    "softmax_temperature": "what the controller's logits are divided by (paper: 5)",
    "skip_target": "share of skip connections that the controller is pulled towards (paper: 0.4)",
    "skip_weight": "weight of that pull (paper: 0.8)",
    "reward_c": "the reward is this over the perplexity (paper: 80)",
    "ppl_square": "over the squared perplexity instead",
    "shared_optim": "optimizer of the shared weights: sgd or adam",
    "shared_lr": "learning rate of the shared weights in the first epoch (papers: 20 on text, 0.05 on images)",
    "shared_lr_min": "end of each cosine (paper: 5e-4)",
    "shared_lr_decay": "factor of that rate for each epoch from --shared_decay_after on (paper: 0.96)",
    "shared_decay_after": "epoch at which that begins (paper: 15)",
    "shared_grad_clip": "largest norm of the shared weights' gradient (paper: 0.25)",
    "shared_l2_reg": "weight decay of the shared weights, added to the gradient (paper: 1e-7)",
    "shared_max_step": "steps of the shared weights in an epoch (paper: 400 on text); 0: one pass over the data",
    "derive_num_sample": "architectures that are drawn and scored at the end of an epoch, the best of which is kept",
    "restart_epochs": "epochs of the first cosine (paper: 10)",
    "restart_factor": "by which every further cosine is longer than the one before it (paper: 2)",
    "wdrop": "dropout of the weights from hidden state to hidden state (paper: 0.5)",
    "use_validation": "search the architecture on the validation split instead of a part of the training images",
    "use_extra": "train on the data set's split `extra` too (SVHN)",
    "data": "folder with train.txt, valid.txt and test.txt, or topics, the embedded text",
    "bptt": "words of a column in a step, on average (paper: 35)",
    "emsize": "units of the embedding, the same as --nhid",
    "nhidlast": "units of the last layer, the same as --nhid",
    "dropout": "dropout of a cell's output on text (papers: 0.75, ENAS 0.4), of pooled features on images",
    "dropouth": "dropout of the states in the cell (papers: 0.25, WikiText-2 0.15)",
    "dropoutx": "dropout of the input in the cell (papers: 0.75)",
    "dropouti": "dropout of the cell's input (papers: 0.2)",
    "dropoute": "dropout of whole words (papers: 0.1 in training)",
    "wdecay": "weight decay on text, added to the gradient (papers: 5e-7 in search, 8e-7 in training)",
    "alpha": "weight of activation regularisation (papers: 0)",
    "beta": "weight of temporal activation regularisation (papers: 1e-3)",
    "nonmono": "epochs without improvement of the validation loss that begin averaged SGD (papers: 5)",
    "rnn_cell": "how a recurrent cell reads an image: vanilla, sigmoid or directional; in training also lstm or gru",
    "nhid": "units of the recurrent network (papers: 300 to search text, 850 and 700 to train; 128 and 256 on images)",
    "classifier_range": "the classifier's weights start uniformly within plus and minus this",
    "network": "form of the network: cifar or imagenet (stems and auxiliary head)",
    "schedule": "of the learning rate: cosine, restarts (of a cosine), or exponential (times --gamma each epoch)",
    "gamma": "factor of --schedule exponential (paper: 0.97 on ImageNet)",
    "init_channels": "channels of the first cells (paper: 16 in search, 36 in training)",
    "layers": "number of cells (paper: 8 in search, 20 in training), in ReNet of pairs of sweeps (paper: 3); "
    "ENAS: of layers (12 in macro searches), in the micro space of cells but for the two reductions (6, then 15)",
    "nodes": "nodes per cell (paper: 4; recurrent 8; ENAS: 12 recurrent ones, 5 blocks)",
    "multiplier": "how many of a cell's last nodes are concatenated (paper: 4)",
    "stem_multiplier": "the stem's channels are this many times --init_channels (paper: 3)",
    "batch_size": "images per step (paper: 64 in search, 96 in training)",
    "epochs": "passes over the training data (papers: 50 in search, 600 in training); with --shared_max_step periods",
    "train_portion": "share of the training images for the weights; the rest is for the architecture (paper: 0.5)",
    "learning_rate": "of the weights' SGD in the first epoch (paper: 0.025)",
    "learning_rate_min": "end of the cosine (paper: 0.001 in search, 0 in training)",
    "momentum": "of the weights' SGD (paper: 0.9)",
    "weight_decay": "of the weights, added to the gradient (paper: 3e-4)",
    "grad_clip": "largest norm of the weights' gradient (paper: 5)",
    "unrolled": "second-order search: look one step of the weights ahead",
    "arch_learning_rate": "of the architecture's Adam (paper: 3e-4)",
    "arch_weight_decay": "of the architecture parameters, added to the gradient (paper: 1e-3)",
    "cutout": "black out a random square of each training image",
    "cutout_length": "side of that square in pixels (paper: 16)",
    "ops": "operation module: a module of ops/, a dotted path or a .py file",
    "location": "attention modules searched: no_attention, after_every, end, after_every_and_end, "
    "mixed_with_operation or double_mixed",
    "auxiliary": "train with an auxiliary head",
    "auxiliary_weight": "weight of the auxiliary head's loss (paper: 0.4)",
    "drop_path_prob": "probability of dropping an edge in the last epoch, rising linearly from 0 (paper: 0.2)",
    "label_smooth": "share of the target spread over all classes (paper: 0 on CIFAR, 0.1 on ImageNet)",
}
_FRACTIONS = ("train_portion", "momentum", "drop_path_prob", "label_smooth")
_FRACTIONS += ("dropout", "dropouth", "dropoutx", "dropouti", "dropoute", "wdrop", "skip_target", "ema_baseline_decay")
_MAY_BE_ZERO = (
    "image_size",
    "seed",
    "checkpoint_minutes",
    "learning_rate_min",
    "momentum",
    "weight_decay",
    "arch_weight_decay",
    "drop_path_prob",
    "label_smooth",
    "auxiliary_weight",
    "dropout",
    "dropouth",
    "dropoutx",
    "dropouti",
    "dropoute",
    "wdecay",
    "alpha",
    "beta",
    "wdrop",
    "entropy_coeff",
    "ema_baseline_decay",
    "skip_weight",
    "shared_max_step",
    "shared_decay_after",
    "shared_lr_min",
    "shared_l2_reg",
    "controller_lr_min",
)
_CHOICES = {
    "network": ("cifar", "imagenet"),
    "augmentation": ("crop", "imagenet"),
    "schedule": ("cosine", "exponential", "restarts"),
    "controller_optim": ("adam", "sgd"),
    "shared_optim": ("sgd", "adam"),
    "rnn_cell": (*RENET_CELLS, *BASELINE_CELLS),
}
# What an option needs to have a meaning: given without it, it is refused.
_ONLY_WITH = {
    "gamma": ("schedule", "exponential"),
    "learning_rate_min": ("schedule", "cosine", "restarts"),
    "restart_epochs": ("schedule", "restarts"),
    "restart_factor": ("schedule", "restarts"),
    "samples": ("strategy", "random"),
    "cutout_length": ("cutout", True),
    "auxiliary_weight": ("auxiliary", True),
    "stem_multiplier": ("network", "cifar"),
    "train_portion": ("use_validation", False),
    "momentum": ("shared_optim", "sgd"),
    "controller_lr": ("controller_lr_cosine", False),
    "controller_lr_max": ("controller_lr_cosine", True),
    "controller_lr_min": ("controller_lr_cosine", True),
}
# What only a controller uses, so that random search with shared weights refuses it.
_OF_CONTROLLER = ("entropy_coeff", "ema_baseline_decay", "tanh_c", "op_tanh_reduce", "softmax_temperature")
_OF_CONTROLLER += ("skip_target", "skip_weight")
_RANDOM_USES = ("strategy", "samples", "nodes", "multiplier", "ops", "location", "rnn_cell", "seed")
_RANDOM_USES += ("dataset", "data_dir", "image_size", "data")  # for the command to train


class OptionError(UserError):
    """An option that cannot be, with a sentence for the user."""


def defaults(stage):
    """Every option of a stage that any recipe has, with the value of the first recipe that has it."""
    options = {}
    for recipe in RECIPES.values():
        options = recipe.get(stage, {}) | options
    return options


def resolve(recipe, stage, given, common):
    """The options of a run.

    Args:
        recipe: a name in `RECIPES`.
        stage: `"search"` or `"train"`.
        given: options that the user gave, as a dictionary.
        common: options of every run beside the recipe's, with their defaults.

    Returns:
        A namespace with every option of the stage, the common ones, `stage`, `space` and `recipe`.

    Raises:
        OptionError: for an unknown recipe or an impossible value.
    """
    if recipe not in RECIPES or stage not in RECIPES[recipe]:
        there = ", ".join(name for name in RECIPES if stage in RECIPES[name])
        raise OptionError(f"There is no recipe {recipe!r} to {stage} by; there are {there}.")
    space, options = RECIPES[recipe]["space"], common | RECIPES[recipe][stage]
    foreign = ", ".join(f"--{name}" for name in given if name not in options)
    if foreign:
        raise OptionError(f"{foreign}: the space {space!r} has no such option; leave it out.")
    units = {given[name] for name in _UNITS if name in given}
    if len(units) > 1:
        raise OptionError("--emsize, --nhid and --nhidlast must be the same: the cell has one size.")
    options |= given | dict.fromkeys([name for name in _UNITS if name in options and units], *units)
    for name, choices in _CHOICES.items():
        if options.get(name, choices[0]) not in choices:
            raise OptionError(f"--{name} must be {' or '.join(choices)}. Received: {options[name]!r}.")
    _check_strategy(recipe, options.get("strategy"), given)
    for name, (other, *values) in _ONLY_WITH.items():
        if name in given and options.get(other, values[0]) not in values:
            raise OptionError(f"--{name} has no meaning with --{other} {options[other]}; leave it out.")
    check_ranges(options)
    if stage == "search" and RECIPES[recipe]["search"]["strategy"] in SHARED_WEIGHTS:
        name = {"recurrent": "nodes", "macro": "layers"}.get(space)
        if name and options[name] < 2:
            raise OptionError(f"--{name} must be at least 2: the second takes the first. Received: {options[name]}.")
        if options["jit_compile"]:
            raise OptionError("--jit_compile: XLA cannot compile paths that are drawn; leave it out.")
    if stage == "search" and options.get("rnn_cell") in BASELINE_CELLS:
        raise OptionError(f"--rnn_cell {options['rnn_cell']} is for training; there is nothing to search in it.")
    if space == "renet" and options["nhid"] % 2:
        raise OptionError(f"--nhid must be even, for two directions. Received: {options['nhid']}.")
    if options.get("multiplier", 0) > options.get("nodes", 0):
        nodes, multiplier = options["nodes"], options["multiplier"]
        raise OptionError(f"--multiplier must be at most --nodes ({nodes}). Received: {multiplier}.")
    if options.get("augmentation") == "imagenet" and not options["image_size"]:
        raise OptionError("--augmentation imagenet needs --image_size (paper: 224).")
    if options.get("init_channels", 0) % 2:
        raise OptionError(f"--init_channels must be even. Received: {options['init_channels']}.")
    return types.SimpleNamespace(stage=stage, space=space, recipe=recipe, **options)


def check_ranges(options):
    """Raises OptionError for a number in a dictionary of options that is too small or too large."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        low = 0 if name in _MAY_BE_ZERO else None
        if not (value >= 0 if low == 0 else value > 0) or value == float("inf"):
            raise OptionError(f"--{name} must be {'at least 0' if low == 0 else 'above 0'}. Received: {value}.")
        if name in _FRACTIONS and value >= 1:
            raise OptionError(f"--{name} must be below 1. Received: {value}.")


def _check_strategy(recipe, strategy, given):
    """Raises OptionError for a strategy that a recipe's search cannot follow, or that has no use for a given option."""
    if strategy is None:
        return
    own = RECIPES[recipe]["search"]["strategy"]
    choices = ("random", *(SHARED_WEIGHTS if own in SHARED_WEIGHTS else (own,)))
    if strategy not in choices:
        wanted = "enas" if strategy in SHARED_WEIGHTS else strategy
        there = [name for name, other in RECIPES.items() if other.get("search", {}).get("strategy") == wanted]
        there = f"; for it there are the recipes {', '.join(there)}" if there else ""
        raise OptionError(f"The recipe {recipe} takes --strategy {' or '.join(choices)}, not {strategy!r}{there}.")
    if strategy == "random":
        uses = (*_RANDOM_USES, "layers") if RECIPES[recipe]["space"] == "macro" else _RANDOM_USES
        unused = [name for name in given if name not in uses]
        why = "draws without any training"
    else:
        unused = [name for name in given if name.startswith("controller_") or name in _OF_CONTROLLER]
        unused, why = unused if strategy == "random_ws" else [], "has no controller"
    if unused:
        raise OptionError(f"--strategy {strategy} {why}; leave out {', '.join('--' + name for name in unused)}.")
