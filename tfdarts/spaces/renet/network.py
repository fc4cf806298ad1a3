"""The sweeping network of a genotype, or of LSTM or GRU cells."""

import functools

import keras

from tfdarts import operations
from tfdarts.layers import recurrent
from tfdarts.layers.heads import Linear
from tfdarts.layers.network import TrainedNetwork
from tfdarts.ops.common import BatchNorm
from tfdarts.spaces.renet.body import Body
from tfdarts.spaces.renet.cells import BASELINES, VARIANTS
from tfdarts.spaces.renet.genotype import ReNetGenotype
from tfdarts.spaces.renet.published import ForwardGateCell


@keras.saving.register_keras_serializable("tfdarts")
class ReNetNetwork(TrainedNetwork):
    """The network of a genotype, or of LSTM or GRU cells, with a normalised classifier.

    Args:
        cell: `ReNetGenotype`, or its dictionary form; or `"lstm"` or `"gru"`.
        classes: int.
        units: int, even: channels of all maps.
        layers: int; each halves the map.
        classifier_range: the classifier's kernel starts uniformly within plus and minus this.
        preprocessing: as in `TrainedNetwork`.
        gate: what the reverse gate of a sigmoid cell looks at: `"own"` input, or the `"forward"` one's, as in the
            authors' program.

    Call arguments:
        images: `(batch, height, width, channels_in)`.

    Returns:
        Logits `(batch, classes)`.

    Raises:
        ValueError: for an unknown `cell`, or odd `units`.
    """

    def __init__(
        self, cell, classes, units=256, layers=3, classifier_range=0.5, preprocessing=None, gate="own", **kwargs
    ):
        super().__init__(**kwargs)
        self.cell = ReNetGenotype.from_dict(cell) if isinstance(cell, dict) else cell
        self.options = {
            "classes": classes,
            "units": units,
            "layers": layers,
            "classifier_range": classifier_range,
            "preprocessing": preprocessing,
            "gate": gate,
        }
        self.arguments = {}
        if isinstance(self.cell, ReNetGenotype):
            known = operations.load(self.cell.ops, recurrent=True)
            known.check(self.cell)
            self.arguments = {"node": recurrent.FixedNodes(self.cell.recurrent, known.ops)}
            nodes, concat = len(self.cell.recurrent), self.cell.concat
            variants = VARIANTS | ({"sigmoid": ForwardGateCell} if gate == "forward" else {})
            make_cell = functools.partial(variants[self.cell.cell], nodes=nodes, concat=concat, affine=True)
        elif self.cell in BASELINES:
            make_cell = BASELINES[self.cell]
        else:
            raise ValueError(f"`cell` must be a ReNetGenotype or one of {', '.join(BASELINES)}. Received: {cell!r}.")
        self.body = Body(make_cell, units, layers)
        self.bn = BatchNorm(name="bn")
        self.classifier = Linear(classes, classifier_range, name="classifier")

    @property
    def genotype(self):
        """The genotype; None with LSTM or GRU cells."""
        return None if self.cell in BASELINES else self.cell

    def build(self, shape):
        self.body.build(shape)
        self.bn.build((None, None, None, self.body.features))
        self.classifier.build((None, self.body.features))

    def call(self, images, training=None):
        x = self.body(images, training=training, **self.arguments)
        x = self.bn(x[:, None, None], training=training)[:, 0, 0]
        return self.classifier(x)

    def get_config(self):
        cell = self.cell if self.cell in BASELINES else self.cell.to_dict()
        return {"cell": cell, **self.options}
