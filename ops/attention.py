"""CoAtNet's transformer blocks beside convolution, pools and skip (Dai et al. 2021, arXiv:2106.04803, appendix A.1).

`attention` and `ffn` are the paper's pre-activated blocks, residual included: an edge carries `x + f(Norm(x))`, at
stride 2 `Proj(Pool(x)) + f(Pool(Norm(x)))`, with a 2x2 maximum as Pool and LayerNorm over the channels as Norm. So both
hold a skip connection of their own, and a genotype that stacks them is a stack of the paper's blocks. In the supernet's
form (`affine=False`) the LayerNorm has no scale and offset, and is computed once for all edges that leave a state.
"""

import keras
import tensorflow as tf
from tfdarts.ops import regular
from tfdarts.ops.common import BN_EPSILON, fan_in_uniform, grouped_conv, scale_edges, tile_edges

from tfdarts.gradients import custom_gradient
from tfdarts.precision import exact_type, exactly

HEADS = 2
HEAD_SIZE = 32  # as in the paper, at every width
EXPANSION = 4
BLOCK = 2**18  # scores per image that exist at a time: 1 MiB in float32


def layer_norm(x):
    """LayerNorm over the last axis without scale and offset (Ba et al. 2016, arXiv:1607.06450), epsilon 1e-5."""

    def normalised(x):
        x = x - tf.reduce_mean(x, -1, keepdims=True)
        return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + BN_EPSILON)

    return exactly(normalised, x)


def gelu(x):
    """`x * P(N(0, 1) <= x)` (Hendrycks and Gimpel 2016, arXiv:1606.08415); `tf.nn.gelu` takes sqrt(2) in float32."""
    return 0.5 * x * (1 + tf.math.erf(x * 2**-0.5))


def relative_bias(table, width):
    """Spreads a table of biases by relative position over pairs of columns.

    Args:
        table: `(heads, 2 * height - 1, 2 * width - 1)`; the entry `[a + height - 1, b + width - 1]` belongs to a query
            `a` rows below and `b` columns right of its key (equation 3 of the paper).
        width: int.

    Returns:
        `(2 * height - 1, heads, width, width)`: relative row, head, the query's column, the key's column.
    """
    columns = tf.range(width)
    relative = tf.one_hot(columns[:, None] - columns + width - 1, 2 * width - 1, dtype=table.dtype)
    return tf.einsum("xzb,hab->ahxz", relative, table)


def rows_per_block(heads, height, width):
    """How many rows of queries are scored at a time: a divisor of `height` that keeps to BLOCK scores, at least 1."""
    fitting = BLOCK // (heads * height * width * width)
    return max(rows for rows in range(1, height + 1) if height % rows == 0 and rows <= max(1, fitting))


def attend(q, k, v, bias, height, width):
    """`softmax(q k' + bias) v`, rows of queries at a time, with a gradient that keeps no scores.

    The gradient computes the probabilities of each block again, so that beyond one block nothing exists that is as
    large as queries times keys. It has first derivatives only.

    Args:
        q, k, v: `(batch, heads, height * width, size)`, the positions row by row.
        bias: `(2 * height - 1, heads, width, width)`, from `relative_bias`.
        height, width: ints, of the map.

    Returns:
        `(batch, heads, height * width, size)`.
    """
    heads, size, dtype = q.shape[1], q.shape[-1], q.dtype
    rows = rows_per_block(heads, height, width)
    blocks, queries = height // rows, rows * width

    def cut(x, block):
        return tf.slice(x, [0, 0, block * queries, 0], [-1, heads, queries, size])

    def relative_rows(block):
        """For each query row of a block and each key row, the row of the bias."""
        return block * rows + tf.range(rows)[:, None] - tf.range(height) + height - 1

    def scores(q, k, bias, block):
        rows_of_bias = tf.gather(bias, relative_rows(block))  # (rows, height, heads, width, width)
        rows_of_bias = tf.transpose(rows_of_bias, [2, 0, 3, 1, 4])
        return tf.matmul(cut(q, block), k, transpose_b=True) + tf.reshape(
            rows_of_bias, [heads, queries, height * width]
        )

    def probabilities(*arguments):
        return tf.nn.softmax(tf.cast(scores(*arguments), exact_type(dtype)))

    def over_blocks(step, *sums):
        """Runs `step(block, *sums) -> (result, *sums)` over the blocks; joins the results along the queries."""
        results = tf.TensorArray(dtype, blocks, element_shape=(q.shape[0], heads, queries, size))

        def body(block, results, *sums):
            result, *sums = step(block, *sums)
            return block + 1, results.write(block, result), *sums

        _, results, *sums = tf.while_loop(
            lambda block, *_: block < blocks,
            body,
            (tf.constant(0), results, *sums),
            parallel_iterations=1,
            maximum_iterations=blocks,  # known without running it: `tfdarts/cost.py` reads it off the graph
        )
        joined = tf.transpose(results.stack(), [1, 2, 0, 3, 4])
        return tf.reshape(joined, [-1, heads, height * width, size]), *sums

    # Everything that has a gradient is an argument: what a custom gradient captures gets none, without a word.
    @custom_gradient
    def attended(q, k, v, bias):
        (y,) = over_blocks(lambda block: (tf.matmul(tf.cast(probabilities(q, k, bias, block), dtype), v),))

        def gradient(dy):
            def step(block, dk, dv, dbias):
                p, dy_block = probabilities(q, k, bias, block), cut(dy, block)
                dp = tf.cast(tf.matmul(dy_block, v, transpose_b=True), p.dtype)
                ds = tf.cast(p * (dp - tf.reduce_sum(p * dp, -1, keepdims=True)), dtype)
                dk += tf.matmul(ds, cut(q, block), transpose_a=True)
                dv += tf.matmul(tf.cast(p, dtype), dy_block, transpose_a=True)
                by_row = tf.reshape(tf.reduce_sum(ds, 0), [heads, rows, width, height, width])
                dbias += tf.math.unsorted_segment_sum(
                    tf.transpose(by_row, [1, 3, 0, 2, 4]), relative_rows(block), 2 * height - 1
                )
                return tf.matmul(ds, k), dk, dv, dbias

            return over_blocks(step, tf.zeros_like(k), tf.zeros_like(v), tf.zeros_like(bias))

        return y, gradient

    return attended(q, k, v, bias)


class TransformerBlock(keras.layers.Layer):
    """What attention and feed-forward share: residual, LayerNorm, pooling, projection of the residual at stride 2.

    A subclass has `build_branch(shape)` and `branch(x)`, which maps the normalised, pooled state
    `(batch, height, width, channels_in)`, or with `affine` one map per edge, to the wide result.
    """

    def __init__(self, channels, stride, edges, affine, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.stride, self.edges, self.affine = channels, stride, edges, affine

    def build(self, shape):
        batch, height, width, channels_in = shape
        if self.affine:
            wide = (self.edges * channels_in,)
            self.gamma = self.add_weight(name="gamma", shape=wide, initializer="ones")
            self.beta = self.add_weight(name="beta", shape=wide, initializer="zeros")
        if self.stride == 2:
            self.residual = self._pointwise("residual", channels_in, self.channels)
        self.build_branch((batch, -(-height // self.stride), -(-width // self.stride), channels_in))

    def _pointwise(self, name, channels_in, channels):
        """Kernel of a 1x1 convolution to `channels` for each edge."""
        shape = (1, 1, channels_in, self.edges * channels)
        return self.add_weight(name=name, shape=shape, initializer=fan_in_uniform(channels_in))

    def _pool(self, x):
        return tf.nn.max_pool2d(x, 2, 2, "SAME") if self.stride == 2 else x

    @property
    def preparations(self):
        return (("layer norm", self.prepare),)

    def prepare(self, x):
        """The residual and the normalised state of the supernet's form, both pooled."""
        return self._pool(x), self._pool(layer_norm(x))

    def apply(self, prepared, weights=None, training=None):
        x, normalised = prepared
        if self.stride == 2:
            residual = tf.nn.conv2d(x, tf.convert_to_tensor(self.residual), 1, "VALID")
        else:
            residual = tile_edges(x, self.edges)
        return scale_edges(residual + self.branch(normalised), weights)

    def call(self, x, weights=None, training=None):
        if self.affine:  # scale and offset come before the pooling
            normalised = tile_edges(layer_norm(x), self.edges) * tf.convert_to_tensor(self.gamma)
            prepared = self._pool(x), self._pool(normalised + tf.convert_to_tensor(self.beta))
        else:
            prepared = self.prepare(x)
        return self.apply(prepared, weights, training)


class Attention(TransformerBlock):
    """Multi-head self-attention over all positions with a learned bias by relative position (equation 3).

    2 heads of 32 at every width; scores are divided by sqrt(32). The projections have no biases (Vaswani et al. 2017,
    arXiv:1706.03762, section 3.2). The table of biases belongs to a map size, the one known at build: a layer works on
    maps of that size only. It starts at zero.
    """

    def build_branch(self, shape):
        _, self.height, self.width, channels_in = shape
        self.qkv = self._pointwise("qkv", channels_in, 3 * HEADS * HEAD_SIZE)
        self.out = self._pointwise("out", HEADS * HEAD_SIZE, self.channels)
        self.table = self.add_weight(
            name="table",
            shape=(self.edges * HEADS, 2 * self.height - 1, 2 * self.width - 1),
            initializer="zeros",
        )

    def branch(self, x):
        height, width, edges = self.height, self.width, self.edges
        qkv = grouped_conv(x, tf.convert_to_tensor(self.qkv))
        qkv = tf.reshape(qkv, [-1, height * width, edges, 3, HEADS, HEAD_SIZE])
        qkv = tf.transpose(qkv, [3, 0, 2, 4, 1, 5])
        q, k, v = tf.unstack(tf.reshape(qkv, [3, -1, edges * HEADS, height * width, HEAD_SIZE]))
        bias = relative_bias(tf.convert_to_tensor(self.table), width)
        y = attend(q * HEAD_SIZE**-0.5, k, v, bias, height, width)
        y = tf.reshape(tf.transpose(y, [0, 2, 1, 3]), [-1, height, width, edges * HEADS * HEAD_SIZE])
        return grouped_conv(y, tf.convert_to_tensor(self.out))


class FeedForward(TransformerBlock):
    """Two layers with GELU between them, the first four times as wide, both with biases, at every position alike."""

    def build_branch(self, shape):
        channels_in, hidden = shape[-1], EXPANSION * shape[-1]
        self.kernel_1 = self._pointwise("kernel_1", channels_in, hidden)
        self.bias_1 = self.add_weight(
            name="bias_1", shape=(self.edges * hidden,), initializer=fan_in_uniform(channels_in)
        )
        self.kernel_2 = self._pointwise("kernel_2", hidden, self.channels)
        self.bias_2 = self.add_weight(
            name="bias_2", shape=(self.edges * self.channels,), initializer=fan_in_uniform(hidden)
        )

    def branch(self, x):
        y = grouped_conv(x, tf.convert_to_tensor(self.kernel_1)) + tf.convert_to_tensor(self.bias_1)
        y = grouped_conv(gelu(y), tf.convert_to_tensor(self.kernel_2))
        return y + tf.convert_to_tensor(self.bias_2)


OPS = {name: regular.OPS[name] for name in ("none", "avg_pool_3x3", "max_pool_3x3", "skip_connect", "sep_conv_3x3")} | {
    "attention": Attention,
    "ffn": FeedForward,
}
