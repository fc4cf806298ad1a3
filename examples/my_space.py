"""A search space of your own: a chain of three layers, each with one of two operations.

    python3 search_cell.py --space examples.my_space --epochs 5
    python3 train.py --space examples.my_space --genotype_file logs/search_arch/.../genotype.json

A space is a module with `SPACE`, an instance of a subclass of `tfdarts.spaces.base.Space`. It has a genotype, which is
checked data; a network that is searched, which mixes the operations; and the network of a genotype.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from tfdarts.genotype import Genotype, check, check_fixed
from tfdarts.graph import Graph
from tfdarts.layers.choices import alike, heaviest
from tfdarts.layers.heads import Linear
from tfdarts.layers.network import TrainedNetwork
from tfdarts.options import Option
from tfdarts.runs.options import OPTIONS
from tfdarts.spaces.base import Space
from tfdarts.strategies.options import DARTS
from tfdarts.tasks.options import BATCH, CUTOUT, HALVES, IMAGES
from tfdarts.training.options import LABEL_SMOOTH, SGD

OPERATIONS = ("conv_3x3", "conv_1x1")
NAME = "examples.my_space"


@dataclasses.dataclass(frozen=True)
class ChainGenotype(Genotype):
    """The operation of each layer.

    Attributes:
        layers: tuple of three names of `OPERATIONS`.
        space: the name of this module.
    """

    layers: tuple
    space: str = NAME

    def __post_init__(self):
        ok = isinstance(self.layers, (list, tuple)) and len(self.layers) == 3 and set(self.layers) <= set(OPERATIONS)
        check(ok, f"`layers` must be three of {', '.join(OPERATIONS)}. Received: {self.layers!r}.")
        object.__setattr__(self, "layers", tuple(self.layers))
        check_fixed(self, "space")

    def operations(self):
        return set(self.layers)

    def skip_connections(self):
        return 0


def convolution(channels, op):
    """The layer of an operation."""
    return keras.layers.Conv2D(channels, int(op[-1]), padding="same", activation="relu")


class ChainSupernet(keras.Model):
    """Three layers that mix all operations; called with images and `mixing`, gives logits."""

    shares_statistics = False  # there are none

    def __init__(self, classes, channels):
        super().__init__()
        self.choices = {"chain": alike(("layer 0", "layer 1", "layer 2"), OPERATIONS)}
        self.operations = tuple(convolution(channels, op) for _ in range(3) for op in OPERATIONS)
        self.classifier = Linear(classes)

    def build(self, shape):
        mixing = {"chain": keras.KerasTensor((3, len(OPERATIONS)))}
        self.compute_output_spec(keras.KerasTensor(shape), mixing)
        self.built = True

    def call(self, images, mixing, training=None):
        x, count = images, len(OPERATIONS)
        for layer, weights in enumerate(tf.unstack(mixing["chain"])):
            both = self.operations[layer * count : (layer + 1) * count]
            x = tf.add_n([weights[k] * operation(x) for k, operation in enumerate(both)])
        return self.classifier(tf.reduce_mean(x, [1, 2]))

    def genotype(self, mixing):
        """The heaviest operation of each layer."""
        return ChainGenotype(tuple(heaviest(mixing["chain"], self.choices["chain"])[0]))


@keras.saving.register_keras_serializable("tfdarts")
class ChainNetwork(TrainedNetwork):
    """The network of a genotype."""

    def __init__(self, genotype, classes, channels, preprocessing=None, **kwargs):
        super().__init__(**kwargs)
        self.genotype = ChainGenotype.from_dict(genotype) if isinstance(genotype, dict) else genotype
        self.options = {"classes": classes, "channels": channels, "preprocessing": preprocessing}
        self.layers_in_turn = tuple(convolution(channels, op) for op in self.genotype.layers)
        self.classifier = Linear(classes)

    def build(self, shape):
        self.compute_output_spec(keras.KerasTensor(shape))
        self.built = True

    def call(self, images, training=None):
        x = images
        for layer in self.layers_in_turn:
            x = layer(x)
        return self.classifier(tf.reduce_mean(x, [1, 2]))

    def get_config(self):
        return {"genotype": self.genotype.to_dict(), **self.options}


class ChainSpace(Space):
    """A chain of three layers."""

    name, genotype, network_class = NAME, ChainGenotype, ChainNetwork

    def options(self, stage, strategy=None):
        own = {"dataset": IMAGES["dataset"].but("digits"), "init_channels": Option(8, "channels of all layers")}
        if stage == "search":
            return IMAGES | BATCH | SGD | CUTOUT | HALVES | DARTS | OPTIONS | own
        return IMAGES | BATCH | SGD | CUTOUT | OPTIONS | own | {"label_smooth": LABEL_SMOOTH}

    def supernet(self, inputs, *, init_channels):
        network = ChainSupernet(inputs.classes, init_channels)
        network.build((None, *inputs.shape))
        return network

    def network(self, genotype, inputs, *, init_channels):
        network = ChainNetwork(genotype, inputs.classes, init_channels, inputs.preprocessing)
        network.build((None, *inputs.shape))
        return network

    def random(self, count, seed):
        generator = np.random.default_rng(seed)
        return [ChainGenotype(tuple(map(str, generator.choice(OPERATIONS, 3)))) for _ in range(count)]

    def graphs(self, genotype):
        nodes = tuple(f"layer {layer}" for layer in range(3))
        edges = tuple((layer, layer, op) for layer, op in enumerate(genotype.layers))
        return {"chain": Graph("chain", ("images",), nodes, edges, joined=(3,), output="logits", join="classifier")}


SPACE = ChainSpace()
