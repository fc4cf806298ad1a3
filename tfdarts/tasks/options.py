"""Options of data: where it comes from, how it is cut into batches and changed."""

from tfdarts.options import Option
from tfdarts.runs.options import EPOCHS


def dropout(default, what):
    """An option that is a dropout probability."""
    return Option(default, f"dropout probability of {what}", zero=True, fraction=True)


BATCH = {"batch_size": Option(64, "images per step"), "epochs": EPOCHS}
IMAGES = {
    "dataset": Option(
        "cifar10", "digits, an image classification set of TensorFlow Datasets, folder:PATH or npz:FILE", random=True
    ),
    "data_dir": Option("", "folder of data prepared by TensorFlow Datasets; empty: its own", random=True),
    "image_size": Option(
        0, "height and width in pixels to bring images to; 0: leave them as they are", zero=True, random=True
    ),
    "split_seed": Option(
        None,
        "number by which the images to test on are chosen, of a data set without test images; unset: as --seed",
        kind=int,
        zero=True,
    ),
    "augmentation": Option(
        "crop",
        "change of training images: crop (shifts and flips) or imagenet (random parts, color jitter, flips)",
        choices=("crop", "imagenet"),
    ),
    "flip": Option(None, "random horizontal flips; unset: on, except for digit data sets", kind=bool),
}
CUTOUT = {
    "cutout": Option(False, "black out a random square of each training image"),
    "cutout_length": Option(16, "side in pixels of the square that --cutout blacks out", only_with=("cutout", True)),
}
HALVES = {
    "use_validation": Option(
        False, "search the architecture on the validation split instead of a part of the training images"
    ),
    "train_portion": Option(
        0.5,
        "share of the training images for the weights; the rest is for the architecture",
        fraction=True,
        only_with=("use_validation", False),
    ),
    "arch_portion": Option(
        0.0,
        "share of the training images for the architecture; 0: all that --train_portion leaves",
        zero=True,
        fraction=True,
        only_with=("use_validation", False),
    ),
}
HOLD_OUT = {
    "hold_out": Option(
        0.0,
        "share of the training images that is not trained on but validated on after every epoch, to choose between "
        "genotypes without a look at the test images; the results then are on these images, not on the test images",
        zero=True,
        fraction=True,
    ),
}
UNITS = ("emsize", "nhid", "nhidlast")  # the papers' cells take one number for all three


def text_units(default):
    """The options that give a language model's size."""
    return {
        "emsize": Option(default, "units of the embedding, always the same as --nhid", same_as=("nhid", "nhidlast")),
        "nhid": Option(default, "units of the recurrent cell and of the embedding", same_as=("emsize", "nhidlast")),
        "nhidlast": Option(default, "units of the last layer, always the same as --nhid", same_as=("emsize", "nhid")),
    }


TEXT = {
    "data": Option("", "folder with train.txt, valid.txt and test.txt, or topics, the embedded text", random=True),
    "bptt": Option(35, "words of a column in a step, on average"),
}
TEXT_DROPOUT = {
    "dropout": dropout(0.75, "a recurrent cell's output"),
    "dropouth": dropout(0.25, "the states within a recurrent cell"),
    "dropoutx": dropout(0.75, "the input in a recurrent cell's products"),
    "dropouti": dropout(0.2, "a recurrent cell's input"),
    "dropoute": dropout(0.0, "whole words"),
}
TEXT_PENALTIES = {
    "wdecay": Option(5e-7, "weight decay of a language model, added to the gradient", zero=True),
    "alpha": Option(0.0, "weight of activation regularization, on the squared outputs", zero=True),
    "beta": Option(1e-3, "weight of temporal activation regularization, on the outputs' squared changes", zero=True),
}
