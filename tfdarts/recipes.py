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
_ATT_DARTS_SEARCH = _DARTS_SEARCH | {"location": "after_every"}
# The embedded digits, for a first try on a laptop: minutes on two cores, 95 % and more after training.
RECIPES = {
    "darts_cifar10": {"space": "conv", "search": _DARTS_SEARCH, "train": _DARTS_TRAIN},
    "darts_imagenet": {"space": "conv", "train": _DARTS_IMAGENET},
    # Att-DARTS, Nakai et al. 2020: as DARTS, with attention modules searched behind every operation:
    # `python3 search_cell.py --recipe att_darts_cifar10 --unrolled`.
    "att_darts_cifar10": {"space": "conv", "search": _ATT_DARTS_SEARCH, "train": _DARTS_TRAIN},
    "darts_ptb": {"space": "recurrent", "search": _TEXT_SEARCH, "train": _TEXT_TRAIN},
    "darts_wt2": {"space": "recurrent", "train": _TEXT_TRAIN | _WIKITEXT2},
    "topics": {
        "space": "recurrent",
        "search": _TEXT_SEARCH
        | _TOPICS
        | dict.fromkeys(_UNITS, 64)
        | {"batch_size": 16, "epochs": 5, "learning_rate": 10.0}
        | {"dropout": 0.1, "dropouth": 0.0, "dropoutx": 0.1},
        "train": _TEXT_TRAIN
        | _TOPICS
        | dict.fromkeys(_UNITS, 128)
        | {"batch_size": 16, "epochs": 20, "dropoute": 0.05},
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
}  # each space's recipe, where none is named

HELP = {
    "dataset": "digits, an image classification set of TensorFlow Datasets, folder:PATH or npz:FILE",
    "data_dir": "folder of data prepared by TensorFlow Datasets; empty: its own",
    "flip": "whether a mirror image keeps its label; unset: by data set, not for digits",
    "image_size": "height and width to bring images to; 0: leave them as they are",
    "augmentation": "crop (shifts and mirror images) or imagenet (random parts, colour jitter, mirror images)",
    "strategy": "darts, or random: write --samples genotypes drawn uniformly, the baseline of any search",
    "samples": "genotypes that --strategy random draws",
    "use_validation": "search the architecture on the validation split instead of a part of the training images",
    "use_extra": "train on the data set's split `extra` too (SVHN)",
    "data": "folder with train.txt, valid.txt and test.txt, or topics, the embedded text",
    "bptt": "words of a column in a step, on average (paper: 35)",
    "emsize": "units of the embedding, the same as --nhid",
    "nhidlast": "units of the last layer, the same as --nhid",
    "dropout": "dropout of the cell's output (papers: 0.75)",
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
    "schedule": "of the learning rate: cosine, or exponential (times --gamma each epoch)",
    "gamma": "factor of --schedule exponential (paper: 0.97 on ImageNet)",
    "init_channels": "channels of the first cells (paper: 16 in search, 36 in training)",
    "layers": "number of cells (paper: 8 in search, 20 in training), in ReNet of pairs of sweeps (paper: 3)",
    "nodes": "nodes per cell (paper: 4)",
    "multiplier": "how many of a cell's last nodes are concatenated (paper: 4)",
    "stem_multiplier": "the stem's channels are this many times --init_channels (paper: 3)",
    "batch_size": "images per step (paper: 64 in search, 96 in training)",
    "epochs": "passes over the training images (paper: 50 in search, 600 in training)",
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
_FRACTIONS += ("dropout", "dropouth", "dropoutx", "dropouti", "dropoute")
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
)
_CHOICES = {
    "network": ("cifar", "imagenet"),
    "augmentation": ("crop", "imagenet"),
    "schedule": ("cosine", "exponential"),
    "strategy": ("darts", "random"),
    "rnn_cell": (*RENET_CELLS, *BASELINE_CELLS),
}
# What an option needs to have a meaning: given without it, it is refused.
_ONLY_WITH = {
    "gamma": ("schedule", "exponential"),
    "learning_rate_min": ("schedule", "cosine"),
    "samples": ("strategy", "random"),
    "cutout_length": ("cutout", True),
    "auxiliary_weight": ("auxiliary", True),
    "stem_multiplier": ("network", "cifar"),
    "train_portion": ("use_validation", False),
}
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
    for name, (other, value) in _ONLY_WITH.items():
        if name in given and options.get(other, value) != value:
            raise OptionError(f"--{name} has no meaning with --{other} {options[other]}; leave it out.")
    if options.get("strategy") == "random" and not set(given) <= set(_RANDOM_USES):
        unused = ", ".join(f"--{name}" for name in given if name not in _RANDOM_USES)
        raise OptionError(f"--strategy random draws without any training; leave out {unused}.")
    for name, value in options.items():
        if value is None or isinstance(value, (bool, str)):
            continue
        low = 0 if name in _MAY_BE_ZERO else None
        if not (value >= 0 if low == 0 else value > 0) or value == float("inf"):
            raise OptionError(f"--{name} must be {'at least 0' if low == 0 else 'above 0'}. Received: {value}.")
        if name in _FRACTIONS and value >= 1:
            raise OptionError(f"--{name} must be below 1. Received: {value}.")
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
