"""The operations of NAS-Bench-201 on parallel edges, all of stride 1, under the contract of `ops.regular`."""

from tfdarts.operations import Operations
from tfdarts.ops.common import BatchNorm, Convolving, fan_in_uniform, prepare, scale_of
from tfdarts.ops.regular import Identity, Pool, Zero
from tfdarts.spaces.nb201.genotype import OPERATIONS as NAMES


class ReLUConvBN(Convolving):
    """`nor_conv`: ReLU, convolution, BatchNorm (Dong and Yang 2020, arXiv:2001.00326, section 2.1).

    In the supernet's form (`affine=False`) BatchNorm has no scale and offset, and the convolution a bias before it.

    Args:
        size: odd int, side of the kernel.
        channels: int, of each edge's result.
        edges: int, parallel edges; they leave one state, so that one wide convolution serves all.
        affine: whether it is the final network's form.

    Call: `x` of `(batch, height, width, channels_in)`, `weights` of `(edges,)` or None, to
    `(batch, height, width, edges * channels)`, edge after edge.
    """

    takes_scale = True

    def __init__(self, size, channels, edges, affine, **kwargs):
        super().__init__(**kwargs)
        self.size, self.channels, self.edges, self.affine = size, channels, edges, affine
        self.bn = BatchNorm(affine, name="bn")

    def build(self, shape):
        wide, fan_in = self.edges * self.channels, self.size * self.size * shape[-1]
        self.add_kernel("conv", (self.size, self.size, shape[-1], wide), fan_in)
        if not self.affine:
            self.bias = self.add_weight(name="bias", shape=(wide,), initializer=fan_in_uniform(fan_in))
        self.bn.build((*shape[:-1], wide))

    @property
    def preparations(self):
        return (self.relu,)

    def apply(self, prepared, weights=None, training=None):
        y = self.convolve(prepared, "conv", training)
        y = y if self.affine else y + self.bias
        return self.bn(y, scale=scale_of(weights, self.channels, self.edges), training=training)

    def call(self, x, weights=None, training=None):
        return self.apply(prepare(self, x), weights, training)


OPERATIONS = Operations(
    "nb201",
    {
        "none": Zero,
        "skip_connect": lambda edges: Identity(edges),
        "nor_conv_1x1": lambda channels, edges, affine: ReLUConvBN(1, channels, edges, affine),
        "nor_conv_3x3": lambda channels, edges, affine: ReLUConvBN(3, channels, edges, affine),
        "avg_pool_3x3": lambda edges: Pool("AVG", 1, edges, affine=True),  # no BatchNorm in the supernet either
    },
    NAMES,
)
