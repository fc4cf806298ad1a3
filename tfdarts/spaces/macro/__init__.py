"""Whole convolutional networks (ENAS, Pham et al. 2018, arXiv:1802.03268, section 2.3)."""

import math

from tfdarts.graph import Graph, edge_label
from tfdarts.spaces import base
from tfdarts.spaces.macro import options
from tfdarts.spaces.macro.controller import MacroController
from tfdarts.spaces.macro.genotype import MacroGenotype
from tfdarts.spaces.macro.network import MacroNetwork
from tfdarts.spaces.macro.shared import MacroSupernet


class EnasImageSpace(base.Space):
    """What ENAS's spaces of convolutional networks share.

    Their weights are trained by SGD with Nesterov's momentum, without clipping.
    """

    strategies = ("enas", "random_ws")
    reads_numbers = True
    drop_path_by_step = True
    controller_adam = {"betas": (0.0, 0.999), "epsilon": 1e-3}

    def shared_sgd(self, *, shared_lr, momentum, weight_decay):
        return self.weight_sgd(learning_rate=shared_lr, momentum=momentum, weight_decay=weight_decay)

    def weight_sgd(self, *, learning_rate, momentum, weight_decay):
        known = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
        return known | {"grad_clip": math.inf, "nesterov": True}


class MacroSpace(EnasImageSpace):
    """A network, layer by layer: an operation each, and which earlier layers it takes."""

    name = "macro"
    genotype = MacroGenotype
    network_class = MacroNetwork
    recipe = "enas_macro"

    def options(self, stage, strategy=None):
        return options.options(stage)

    def check(self, stage, strategy, values):
        options.check(stage, values)

    def shared_network(self, inputs, *, layers, init_channels):
        network = MacroSupernet(inputs.classes, layers, init_channels)
        network.build((None, *inputs.shape))
        return network

    def controller(self, *, layers, controller_hid, tanh_c, skip_target):
        result = MacroController(layers, controller_hid, tanh_c, skip_target)
        result.build()
        return result

    def network(self, genotype, inputs, *, init_channels):
        network = MacroNetwork(genotype, inputs.classes, init_channels, inputs.preprocessing)
        network.build((None, *inputs.shape))
        return network

    def graphs(self, genotype):
        """The network, layer by layer; states are numbered as the entries of the layer list."""
        edges, count = [], len(genotype.layers)
        for layer, (op, skips) in enumerate(genotype.layers):
            edges.append((layer, layer, edge_label(op)))
            edges.extend((entry, layer, "") for entry in skips)
        network = Graph(
            title="network",
            inputs=("stem",),
            nodes=tuple(f"layer {layer}" for layer in range(count)),
            edges=tuple(edges),
            joined=(count,),
            output="logits",
            join="classifier",
        )
        return {"network": network}


SPACE = MacroSpace()
