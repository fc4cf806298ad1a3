"""The network built from a genotype: trained, tested and shipped."""

import keras
import tensorflow as tf

from tfdarts import genotype as genotypes
from tfdarts import space as spaces
from tfdarts.cell import Cell, FixedEdges
from tfdarts.network import AuxiliaryHead, CifarStem, ImageNetStem, Linear, TrainedNetwork, plan

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
class EvaluationNetwork(TrainedNetwork):
    """Stem, cells of a genotype, classifier, auxiliary classifier (DARTS, arXiv:1806.09055, sections 3.2 and 3.3).

    Args:
        genotype: `Genotype`, or its dictionary form.
        classes: int.
        channels: int, channels of the first cells; they double at either reduction.
        layers: int, number of cells.
        auxiliary: whether there is an auxiliary head.
        network: `"cifar"` or `"imagenet"`, which chooses stem and auxiliary head.
        stem_multiplier: int, the CIFAR stem has this many times `channels`.
        preprocessing: as in `TrainedNetwork`.

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
        space = spaces.load(self.genotype.ops)
        space.check(self.genotype)
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
                    affine=True,
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

    def get_config(self):
        return {"genotype": self.genotype.to_dict(), **self.options}


def load(path, ops=None):
    """Loads a saved `TrainedNetwork`, in Keras's safe mode.

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
    if not isinstance(network, TrainedNetwork):
        raise ValueError("it holds no network of this program")
    return network
