"""ENAS's convolutional cells (Pham et al. 2018, arXiv:1802.03268, section 2.4)."""

from tfdarts.graph import cell_graph
from tfdarts.spaces.conv.options import check_images
from tfdarts.spaces.conv.restrictions import digest
from tfdarts.spaces.macro import EnasImageSpace
from tfdarts.spaces.micro import options, restrictions
from tfdarts.spaces.micro.controller import MicroController
from tfdarts.spaces.micro.genotype import MicroGenotype
from tfdarts.spaces.micro.network import MicroNetwork
from tfdarts.spaces.micro.shared import MicroSupernet


class MicroSpace(EnasImageSpace):
    """Pairs of convolutional cells whose loose ends make the output."""

    name = "micro"
    genotype = MicroGenotype
    network_class = MicroNetwork
    recipe = "enas_micro"

    def options(self, stage, strategy=None):
        return options.options(stage)

    def check(self, stage, strategy, values):
        check_images(values)

    def shared_network(self, inputs, *, layers, init_channels, nodes):
        network = MicroSupernet(inputs.classes, layers, init_channels, nodes)
        network.build((None, *inputs.shape))
        return network

    def controller(self, *, nodes, controller_hid, tanh_c, op_tanh_reduce, restrict):
        candidates = restrictions.load(restrict, nodes)
        result = MicroController(nodes, controller_hid, tanh_c, op_tanh_reduce, candidates)
        result.build()
        return result

    def remembered(self, *, nodes, restrict):
        return {"candidates": digest(restrictions.load(restrict, nodes))} if restrict else {}

    def network(self, genotype, inputs, *, init_channels, layers, auxiliary):
        network = MicroNetwork(
            genotype, inputs.classes, init_channels, layers, auxiliary, preprocessing=inputs.preprocessing
        )
        network.build((None, *inputs.shape))
        return network

    def sizes_of(self, genotype):
        return {"nodes": {len(genotype.inputs(reduction)) for reduction in (False, True)}}

    def graphs(self, genotype):
        kinds = (("normal", "normal cell", False), ("reduce", "reduction cell", True))
        return {
            kind: cell_graph(
                title, genotype.edges(reduction), genotype.nodes(reduction), genotype.concat(reduction), "c_{k}"
            )
            for kind, title, reduction in kinds
        }


SPACE = MicroSpace()
