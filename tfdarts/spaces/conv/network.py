"""The network built from a genotype: trained, tested and shipped."""

import keras
import tensorflow as tf

from tfdarts.layers.cell import Cell
from tfdarts.layers.edges import FixedEdges
from tfdarts.layers.heads import AuxiliaryHead, Linear
from tfdarts.layers.network import CellNetwork, plan
from tfdarts.layers.stems import CifarStem, ImageNetStem
from tfdarts.operations import load
from tfdarts.spaces.conv.genotype import ConvGenotype

NETWORKS = ("cifar", "imagenet")


def fixed_edges(operations, genotype, channels, reduction, drop_skips=True):
    """The layers of an evaluation cell: one per operation, attention and state that the genotype uses.

    Drop-path spares the edges whose operation or attention is the identity, as in DARTS and Att-DARTS. Where nodes have
    as many inputs as a threshold left them (FairDARTS), it drops the node's sum instead: all its edges, or none.

    Args:
        operations: `Operations`.
        genotype: has `edges(reduction)`, `nodes(reduction)`, `inputs(reduction)`.
        channels: int.
        reduction: whether it is the reduction cell.
        drop_skips: whether drop-path applies to a `skip_connect` that halves the map, which is no identity.

    Returns:
        A tuple, one item per state, of tuples of `FixedEdges`.
    """
    entries, nodes, inputs = genotype.edges(reduction), genotype.nodes(reduction), genotype.inputs(reduction)
    by_node = set(inputs) != {2}
    outgoing = []
    for source in range(2 + len(inputs)):
        uses = {}
        for k, (op, state, attention) in enumerate(entries):
            if state == source:
                uses.setdefault((op, attention), []).append(k)
        stride = 2 if reduction and source < 2 else 1
        layers = []
        for (op, attention), ks in uses.items():
            operation = operations.build(op, channels, stride, len(ks), True)
            behind = operations.build(attention, channels, 1, len(ks), True, inputs=len(ks)) if attention else None
            spared = op == "skip_connect" and not (drop_skips and stride == 2)
            spared = spared or attention in ("Identity", "skip_connect")
            targets = [nodes[k] for k in ks]
            dropped_by = targets if by_node else () if spared else ks
            layers.append(FixedEdges(operation, targets, ks, dropped_by, behind))
        outgoing.append(tuple(layers))
    return tuple(outgoing)


@keras.saving.register_keras_serializable("tfdarts")
class EvaluationNetwork(CellNetwork):
    """Stem, cells of a genotype, classifier, auxiliary classifier (DARTS, arXiv:1806.09055, sections 3.2 and 3.3).

    Args:
        genotype: `ConvGenotype`, or its dictionary form.
        classes: int.
        channels: int, channels of the first cells; they double at either reduction.
        layers: int, number of cells.
        auxiliary: whether there is an auxiliary head.
        network: `"cifar"` or `"imagenet"`, which chooses stem and auxiliary head.
        stem_multiplier: int, the CIFAR stem has this many times `channels`.
        preprocessing: as in `TrainedNetwork`.
        ops_options: dictionary of the operation module's options; None for its defaults.
        second_bn: whether a BatchNorm follows the auxiliary head's last convolution; None for only in the CIFAR form,
            as in DARTS (P-DARTS has it in the ImageNet form too).

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
        second_bn=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if network not in NETWORKS:
            raise ValueError(f"`network` must be one of {', '.join(NETWORKS)}. Received: {network!r}.")
        self.genotype = ConvGenotype.from_dict(genotype) if isinstance(genotype, dict) else genotype
        self.options = {
            "classes": classes,
            "channels": channels,
            "layers": layers,
            "auxiliary": auxiliary,
            "network": network,
            "stem_multiplier": stem_multiplier,
            "preprocessing": preprocessing,
            "second_bn": second_bn,
        }
        operations = load(self.genotype.ops, ops_options)
        operations.check(self.genotype)
        self.options["ops_options"] = operations.options
        imagenet = network == "imagenet"
        if imagenet:
            self.stem = ImageNetStem(channels, name="stem")
        else:
            self.stem = CifarStem(stem_multiplier * channels, name="stem")
        cells = []
        for index, (width, reduction, before) in enumerate(plan(layers, channels)):
            concat, end = self.genotype.concat(reduction), self.genotype.bottleneck(reduction)
            bottleneck = None
            if end:
                bottleneck = FixedEdges(operations.build(end, len(concat) * width, 1, 1, True), [0], [])
            cells.append(
                Cell(
                    width,
                    fixed_edges(operations, self.genotype, width, reduction),
                    concat,
                    len(self.genotype.inputs(reduction)),
                    operations.preprocess(width, before or (index == 0 and self.stem.reduces), True),
                    operations.preprocess(width, False, True),
                    bottleneck,
                    kind=reduction,
                    name=f"cell_{index}",
                )
            )
        self.cells = tuple(cells)
        self.auxiliary_after = 2 * layers // 3
        self.auxiliary_head = None
        if auxiliary:
            second_bn = not imagenet if second_bn is None else second_bn
            self.auxiliary_head = AuxiliaryHead(classes, 2 if imagenet else 3, second_bn, name="auxiliary_head")
        self.classifier = Linear(classes, name="classifier")

    def call(self, images, drop_path=None, training=None):
        x, auxiliary = self.run_cells(*self.stem(images, training=training), drop_path, training)
        logits = self.classifier(tf.reduce_mean(x, [1, 2]))
        return logits if auxiliary is None else (logits, auxiliary)
