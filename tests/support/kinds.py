"""A tiny network of every kind that is trained, with weights and statistics drawn at random."""

import numpy as np
import tensorflow as tf

from tfdarts.layers.network import TrainedNetwork
from tfdarts.spaces import genotypes
from tfdarts.spaces.conv.genotype import ConvGenotype
from tfdarts.spaces.conv.network import EvaluationNetwork
from tfdarts.spaces.macro.genotype import MacroGenotype
from tfdarts.spaces.macro.network import MacroNetwork
from tfdarts.spaces.micro.network import MicroNetwork
from tfdarts.spaces.nb201.network import Nb201Network
from tfdarts.spaces.recurrent.genotype import RecurrentGenotype
from tfdarts.spaces.recurrent.network import EvaluationLanguageModel
from tfdarts.spaces.renet.genotype import ReNetGenotype
from tfdarts.spaces.renet.network import ReNetNetwork

CLASSES = [f"class {number}" for number in range(5)]
KNOWN = {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.3, 0.35], "classes": CLASSES, "dataset": None, "images": 10}
KNOWN |= {"seed": 0, "image_size": 0, "augmentation": "crop", "tfdarts": "0.2.0"}


def cell(*entries, ops="regular", **bottlenecks):
    """A cell whose two nodes have the given four entries, twice."""
    return ConvGenotype(entries, (2, 3), entries, (2, 3), ops=ops, **bottlenecks)


def conv(genotype, size=8, channels=4, **options):
    network = EvaluationNetwork(genotype, 5, channels, 3, auxiliary=True, preprocessing=KNOWN, **options)
    network.build((None, size, size, 3))
    return network


def other(kind, *arguments):
    network = kind(*arguments, preprocessing=KNOWN)
    network.build((None, 8, 8, 3))
    return network


REGULAR = (("sep_conv_3x3", 0), ("dil_conv_5x5", 1), ("max_pool_3x3", 0), ("skip_connect", 2))
APPROXIMATE = (("sep_conv_3x3", 0), ("skip_connect", 1), ("sep_conv_3x3", 0), ("dil_conv_3x3", 2))
TRANSFORMER = (("attention", 0), ("ffn", 1), ("sep_conv_3x3", 0), ("attention", 2))
MODULES = (("sep_conv_3x3", 0, "SE"), ("skip_connect", 1, "BAM"), ("max_pool_3x3", 0, "CBAM"))
MODULES += (("skip_connect", 2, "GE_theta-plus"),)
RECURRENT = (("tanh", 0), ("relu", 1))
MACRO = (("conv_3x3", ()), ("sep_conv_5x5", (0,)), ("avg_pool_3x3", (1,)), ("max_pool_3x3", (0, 2)))
MACRO += (("sep_conv_3x3", ()), ("conv_5x5", (1, 3)))


def renet(variant):
    genotype = ReNetGenotype(RECURRENT, (1, 2), cell=variant) if variant not in ("lstm", "gru") else variant
    return other(ReNetNetwork, genotype, 5, 8, 1)


def language():
    network = EvaluationLanguageModel(RecurrentGenotype(RECURRENT, (1, 2)), 30, 8)
    network.build()
    return network


KINDS = {
    "conv": lambda: conv(cell(*REGULAR)),
    "conv, --network imagenet": lambda: conv(cell(*REGULAR), size=32, network="imagenet"),
    "conv with attention modules": lambda: conv(
        cell(*MODULES, normal_bottleneck="DoubleAttention", reduce_bottleneck="DoubleAttention"), channels=16
    ),
    "conv, --ops attention": lambda: conv(cell(*TRANSFORMER, ops="attention")),
    "conv, --ops approximate": lambda: conv(cell(*APPROXIMATE, ops="approximate")),
    "renet, vanilla": lambda: renet("vanilla"),
    "renet, sigmoid": lambda: renet("sigmoid"),
    "renet, directional": lambda: renet("directional"),
    "renet, lstm": lambda: renet("lstm"),
    "renet, gru": lambda: renet("gru"),
    "macro": lambda: other(MacroNetwork, MacroGenotype(MACRO), 5, 4),
    "micro": lambda: other(MicroNetwork, genotypes.load("ENAS", "micro"), 5, 4, 1),
    "nb201": lambda: other(Nb201Network, genotypes.load("digits", "nb201"), 5, 4, 1),
    "recurrent": language,
}


def network(kind):
    """The network of a kind; a trained one's statistics are near those of its maps, as after some steps."""
    built = KINDS[kind]()
    generator = np.random.default_rng(3)
    for variable in built.variables:
        if variable.trainable and variable.dtype == "float32":
            variable.assign(variable.value + 0.05 * generator.normal(size=variable.shape))
    if isinstance(built, TrainedNetwork):
        images = tf.constant(pixels(built, 64))
        for _ in range(10):
            built(built.preprocess(images), training=True)
    return built


def pixels(network, count, seed=0):
    """Images whose brightness differs, so that decisions do."""
    generator = np.random.default_rng(seed)
    shape = network.get_build_config()["input_shape"][1:]
    images = generator.integers(0, 256, (count, *shape)) * generator.uniform(0.1, 1.0, (count, 1, 1, shape[-1]))
    return images.astype(np.uint8)
