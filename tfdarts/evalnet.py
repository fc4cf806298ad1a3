"""The network built from a genotype: trained, tested and shipped."""

import dataclasses

import keras
import tensorflow as tf

from tfdarts import genotype as genotypes
from tfdarts import space as spaces
from tfdarts.cell import Cell, FixedEdges
from tfdarts.network import AuxiliaryHead, CifarStem, ImageNetStem, Linear, plan

NETWORKS = ("cifar", "imagenet")


def fixed_edges(space, genotype, channels, reduction):
    """The layers of an evaluation cell: one per operation and state that the genotype uses.

    Returns:
        A tuple, one item per state, of tuples of `FixedEdges`.
    """
    entries = genotype.edges(reduction)
    outgoing = []
    for source in range(2 + len(entries) // 2):
        uses = {}
        for k, (op, state) in enumerate(entries):
            if state == source:
                uses.setdefault(op, []).append(k)
        stride = 2 if reduction and source < 2 else 1
        outgoing.append(
            tuple(
                FixedEdges(
                    space.build(op, channels, stride, len(ks), True),
                    [k // 2 for k in ks],
                    ks,
                    drop=not (op == "skip_connect" and stride == 1),
                )
                for op, ks in uses.items()
            )
        )
    return tuple(outgoing)


@keras.saving.register_keras_serializable("tfdarts")
class EvaluationNetwork(keras.Model):
    """Stem, cells of a genotype, classifier, auxiliary classifier (DARTS, arXiv:1806.09055, sections 3.2 and 3.3).

    Args:
        genotype: `Genotype`, or its dictionary form.
        classes: int.
        channels: int, channels of the first cells; they double at either reduction.
        layers: int, number of cells.
        auxiliary: whether there is an auxiliary head.
        network: `"cifar"` or `"imagenet"`, which chooses stem and auxiliary head.
        stem_multiplier: int, the CIFAR stem has this many times `channels`.
        preprocessing: dictionary that describes the images it was trained on: `mean` and `std` of the channels,
            `classes`, `dataset`, `seed`, `image_size`, `augmentation`; kept for `preprocess` and `evaluate.py`. None if
            unknown.
        ops_options: dictionary of the operation module's options; None for its defaults.

    Call arguments:
        images: `(batch, height, width, channels_in)`.
        drop_path: factors of the edges' results, `(layers, entries, batch)`: 0 where an edge is dropped for an image,
            1 / keep probability elsewhere. None for no drop-path.

    Returns:
        Logits `(batch, classes)`; in training, with an auxiliary head, a pair of logits.
    """

    def __init__(
        self,
        genotype,
        classes,
        channels=36,
        layers=20,
        auxiliary=False,
        network="cifar",
        stem_multiplier=3,
        preprocessing=None,
        ops_options=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if network not in NETWORKS:
            raise ValueError(f"`network` must be one of {', '.join(NETWORKS)}. Received: {network!r}.")
        self.genotype = genotypes.from_dict(genotype) if isinstance(genotype, dict) else genotype
        self.options = {
            "classes": classes,
            "channels": channels,
            "layers": layers,
            "auxiliary": auxiliary,
            "network": network,
            "stem_multiplier": stem_multiplier,
            "preprocessing": preprocessing,
        }
        space = spaces.load(self.genotype.ops, ops_options)
        space.check(self.genotype)
        self.options["ops_options"] = space.options
        imagenet = network == "imagenet"
        if imagenet:
            self.stem = ImageNetStem(channels, name="stem")
        else:
            self.stem = CifarStem(stem_multiplier * channels, name="stem")
        cells = []
        for index, (width, reduction, before) in enumerate(plan(layers, channels)):
            entries = self.genotype.edges(reduction)
            cells.append(
                Cell(
                    width,
                    fixed_edges(space, self.genotype, width, reduction),
                    self.genotype.concat(reduction),
                    len(entries) // 2,
                    before or (index == 0 and self.stem.reduces),
                    True,
                    space.preprocess,
                    name=f"cell_{index}",
                )
            )
        self.cells = tuple(cells)
        self.auxiliary_after = 2 * layers // 3
        self.auxiliary_head = None
        if auxiliary:
            self.auxiliary_head = AuxiliaryHead(
                classes, 2 if imagenet else 3, second_bn=not imagenet, name="auxiliary_head"
            )
        self.classifier = Linear(classes, name="classifier")

    @property
    def drop_path_shape(self):
        """Cells, and entries of the longer of the two cells: the first axes of `drop_path`."""
        return len(self.cells), max(len(self.genotype.normal), len(self.genotype.reduce))

    def build(self, shape):
        # Runs the network once on symbolic maps, training form included, so that every layer knows its shapes.
        self.compute_output_spec(keras.KerasTensor(shape), training=True)
        self.built = True

    def call(self, images, drop_path=None, training=None):
        s0, s1 = self.stem(images, training=training)
        auxiliary = None
        for index, cell in enumerate(self.cells):
            masks = None if drop_path is None else drop_path[index]
            s0, s1 = s1, cell(s0, s1, masks=masks, training=training)
            if index == self.auxiliary_after and self.auxiliary_head is not None and training:
                auxiliary = self.auxiliary_head(s1, training=training)
        logits = self.classifier(tf.reduce_mean(s1, [1, 2]))
        return logits if auxiliary is None else (logits, auxiliary)

    def preprocess(self, pixels):
        """Pixels from 0 to 255, `(batch, height, width, channels)`, to what the network was trained on."""
        known = self.options["preprocessing"]
        if known is None:
            raise ValueError("This network does not know the mean and deviation of its images.")
        mean, std = (tf.constant(known[name], tf.float32) for name in ("mean", "std"))
        return (tf.cast(pixels, tf.float32) / 255.0 - mean) / std

    def get_config(self):
        return {"genotype": self.genotype.to_dict(), **self.options}


def with_operations(network, shape, ops, ops_options):
    """The same trained network, its operations taken from another module with the same variables, or other options.

    Args:
        network: built `EvaluationNetwork`.
        shape: `(height, width, channels_in)` of the images.
        ops: name of an operation module.
        ops_options: dictionary of its options.

    Returns:
        An `EvaluationNetwork` with the values of the first, and a list of those of its variables that the first lacks.

    Raises:
        ValueError: if the other module's operations have other variables.
    """
    options = network.options | {"ops_options": ops_options}
    other = EvaluationNetwork(dataclasses.replace(network.genotype, ops=ops), **options)
    other.build((None, *shape))
    values, new = list(reversed(network.variables)), []
    for variable in other.variables:
        if values and (values[-1].name, values[-1].shape) == (variable.name, variable.shape):
            variable.assign(values.pop().value)
        else:
            new.append(variable)
    if values:
        raise ValueError(f"operation module {ops!r} has other variables than {network.genotype.ops!r}")
    return other, new


def observe(network, variables, batches):
    """Lets some variables learn from training passes over batches of images; all others keep their values.

    Args:
        network: built `EvaluationNetwork`.
        variables: a list of its non-trainable ones, such as the moving ranges of quantised convolutions.
        batches: of `(images, labels)`.
    """
    chosen = {id(variable) for variable in variables}
    kept = [(variable, variable.numpy()) for variable in network.variables if id(variable) not in chosen]
    forward = tf.function(lambda images: network(images, training=True), autograph=False, reduce_retracing=True)
    for images, _ in batches:
        forward(images)
    for variable, value in kept:
        variable.assign(value)


def load(path, ops=None):
    """Loads a saved `EvaluationNetwork`, in Keras's safe mode.

    Args:
        path: of the file.
        ops: name of the operation module, if it lies elsewhere than it did; None for the name that was saved.

    Raises:
        ValueError: if the file is damaged or holds something else, or `ops` names another module.
    """

    class Moved(EvaluationNetwork):
        @classmethod
        def from_config(cls, config):
            cells = genotypes.from_dict(config["genotype"])
            return EvaluationNetwork(**config | {"genotype": cells.with_module(ops or cells.ops)})

    try:
        with keras.saving.custom_object_scope({"tfdarts>EvaluationNetwork": Moved}):
            network = keras.saving.load_model(path)
    except Exception as error:  # Keras raises many kinds for a damaged or foreign file
        raise ValueError(str(error).splitlines()[0]) from error
    if not isinstance(network, EvaluationNetwork):
        raise ValueError("it holds no network of this program")
    return network
