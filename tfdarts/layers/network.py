"""What supernet and evaluation network share: stems, the stack of cells with its reductions, heads."""

import keras
import tensorflow as tf

from tfdarts.ops.common import BatchNorm, fan_in_uniform


def reductions(layers):
    """Indices of the reduction cells: a third and two thirds of the way (DARTS, section 3.1.1)."""
    return {layers // 3, 2 * layers // 3}


def plan(layers, channels, halving=None):
    """The stack of cells: for each its channels and whether it and the one before it are reductions.

    Args:
        layers: int, number of cells.
        channels: int, of the first; they double at either reduction.
        halving: set of the indices of the reduction cells; None for `reductions(layers)`.

    Returns:
        A list of `(channels, reduction, reduction_before)`.
    """
    halving = reductions(layers) if halving is None else halving
    cells, before = [], False
    for index in range(layers):
        reduction = index in halving
        channels *= 2 if reduction else 1
        cells.append((channels, reduction, before))
        before = reduction
    return cells


def dropout_factors(shape, probability, seed, dtype="float32"):
    """Factors for dropout, and for drop-path (FractalNet, Larsson et al. 2017, arXiv:1605.07648).

    Args:
        shape: tuple of ints and tensors.
        probability: of a factor being 0; a number, or a tensor that fits `shape`.
        seed: two integers.

    Returns:
        A tensor of 0 and 1 / (1 - probability).
    """
    keep = 1 - probability
    return tf.floor(keep + tf.random.stateless_uniform(shape, seed, dtype=dtype)) / keep


class Conv3x3(keras.layers.Layer):
    """3x3 convolution without bias, one row of zeros on every side, and BatchNorm with scale and offset."""

    def __init__(self, channels, stride, relu=False, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.stride, self.relu = channels, stride, relu
        self.bn = BatchNorm(name="bn")

    def build(self, shape):
        self.conv = self.add_weight(
            name="conv", shape=(3, 3, shape[-1], self.channels), initializer=fan_in_uniform(9 * shape[-1])
        )
        self.bn.build((*shape[:-1], self.channels))

    def call(self, x, training=None):
        x = tf.nn.relu(x) if self.relu else x
        y = tf.nn.conv2d(x, tf.convert_to_tensor(self.conv), self.stride, [[0, 0], [1, 1], [1, 1], [0, 0]])
        return self.bn(y, training=training)


class CifarStem(keras.layers.Layer):
    """One convolution; both inputs of the first cell are its result (DARTS, section 3.1.1).

    Call: `(batch, height, width, channels_in)` to a pair of `(batch, height, width, channels)`.
    """

    reduces = False

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.conv = Conv3x3(channels, 1)

    def call(self, x, training=None):
        s = self.conv(x, training=training)
        return s, s


class ImageNetStem(keras.layers.Layer):
    """Three convolutions of stride 2; the first cell gets the results of the second and the third.

    DARTS, section 3.3: 224x224 images reach the first cell as 56x56 and 28x28.

    Call: `(batch, height, width, channels_in)` to maps of a quarter and an eighth of the size.
    """

    reduces = True

    def __init__(self, channels, **kwargs):
        super().__init__(**kwargs)
        self.conv_1 = Conv3x3(channels // 2, 2)
        self.conv_2 = Conv3x3(channels, 2, relu=True)
        self.conv_3 = Conv3x3(channels, 2, relu=True)

    def call(self, x, training=None):
        s0 = self.conv_2(self.conv_1(x, training=training), training=training)
        return s0, self.conv_3(s0, training=training)


class TrainedNetwork(keras.Model):
    """What networks share that are trained, tested and shipped: `network(images, training=None)` gives logits.

    Its `options` are its constructor's arguments beside the first. `preprocessing` among them is a dictionary that
    describes the images it was trained on: `mean` and `std` of the channels, `classes`, `dataset`, `seed`,
    `image_size`, `augmentation`; None if unknown.
    """

    def preprocess(self, pixels):
        """Pixels from 0 to 255, `(batch, height, width, channels)`, to what the network was trained on."""
        known = self.options["preprocessing"]
        if known is None:
            raise ValueError("This network does not know the mean and deviation of its images.")
        mean, std = (tf.constant(known[name], tf.float32) for name in ("mean", "std"))
        return (tf.cast(pixels, tf.float32) / 255.0 - mean) / std


class CellNetwork(TrainedNetwork):
    """What networks share that stack the cells of a genotype, with drop-path and a second classifier.

    A subclass has `genotype`, `cells`, `auxiliary_head` (or None) and `auxiliary_after`, the cell whose map that gets.
    """

    drop_path_share = 1.0  # of the drop-path probability that a cell has; or one for each cell

    @property
    def drop_path_shape(self):
        """Cells, and entries of the longer of the two cells: the first axes of `drop_path`."""
        return len(self.cells), max(len(self.genotype.normal), len(self.genotype.reduce))

    def build(self, shape):
        # Runs the network once on symbolic maps, training form included, so that every layer knows its shapes.
        self.compute_output_spec(keras.KerasTensor(shape), training=True)
        self.built = True

    def run_cells(self, s0, s1, drop_path, training):
        """The last cell's map, and in training the logits of the auxiliary head, else None."""
        auxiliary = None
        for index, cell in enumerate(self.cells):
            masks = None if drop_path is None else drop_path[index]
            s0, s1 = s1, cell(s0, s1, masks=masks, training=training)
            if index == self.auxiliary_after and self.auxiliary_head is not None and training:
                auxiliary = self.auxiliary_head(s1, training=training)
        return s1, auxiliary

    def get_config(self):
        return {"genotype": self.genotype.to_dict(), **self.options}


class Linear(keras.layers.Layer):
    """`x @ kernel + bias`, with PyTorch's initialisation of both, or the kernel's within plus and minus `bound`."""

    def __init__(self, units, bound=None, **kwargs):
        super().__init__(**kwargs)
        self.units, self.bound = units, bound

    def build(self, shape):
        size = shape[-1]
        start = keras.initializers.RandomUniform(-self.bound, self.bound) if self.bound else fan_in_uniform(size)
        self.kernel = self.add_weight(name="kernel", shape=(size, self.units), initializer=start)
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer=fan_in_uniform(size))

    def call(self, x):
        return tf.matmul(x, tf.convert_to_tensor(self.kernel)) + self.bias


class AuxiliaryHead(keras.layers.Layer):
    """A second classifier on the map of the cell two thirds of the way, used in training only (DARTS, section 3.2).

    ReLU, average pool 5, convolution 1x1 to 128, BatchNorm, ReLU, convolution 2x2 to 768, BatchNorm, ReLU, linear.
    On a map smaller than the authors' 8x8 the windows shrink to fit; on a larger one the 768 channels are averaged.

    Args:
        classes: int.
        pool_stride: 3 in the CIFAR form, 2 in the ImageNet form.
        second_bn: False in the ImageNet form, whose authors left the second BatchNorm out.

    Call: `(batch, height, width, channels)` to logits `(batch, classes)`.
    """

    def __init__(self, classes, pool_stride, second_bn, **kwargs):
        super().__init__(**kwargs)
        self.pool_stride = pool_stride
        self.bn_1 = BatchNorm(name="bn_1")
        self.bn_2 = BatchNorm(name="bn_2") if second_bn else None
        self.classifier = Linear(classes, name="classifier")

    def build(self, shape):
        self.window = tuple(min(5, size) for size in shape[1:3])
        pooled = tuple((size - w) // self.pool_stride + 1 for size, w in zip(shape[1:3], self.window))
        kernel = tuple(min(2, size) for size in pooled)
        self.conv_1 = self.add_weight(
            name="conv_1", shape=(1, 1, shape[-1], 128), initializer=fan_in_uniform(shape[-1])
        )
        self.conv_2 = self.add_weight(
            name="conv_2", shape=(*kernel, 128, 768), initializer=fan_in_uniform(128 * kernel[0] * kernel[1])
        )
        self.bn_1.build((None, None, None, 128))
        if self.bn_2:
            self.bn_2.build((None, None, None, 768))
        self.classifier.build((None, 768))

    def call(self, x, training=None):
        y = tf.nn.avg_pool2d(tf.nn.relu(x), self.window, self.pool_stride, "VALID")
        y = tf.nn.relu(self.bn_1(tf.nn.conv2d(y, tf.convert_to_tensor(self.conv_1), 1, "VALID"), training=training))
        y = tf.nn.conv2d(y, tf.convert_to_tensor(self.conv_2), 1, "VALID")
        y = tf.nn.relu(self.bn_2(y, training=training) if self.bn_2 else y)
        return self.classifier(tf.reduce_mean(y, [1, 2]))
