"""Base classes of networks that are trained, tested and shipped, and the stack of cells with its reductions."""

import keras
import tensorflow as tf


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


def build_layers(network, shape, *arguments, **options):
    """Gives every layer of a network its shapes, by running it once in a graph that is then thrown away.

    Keras's `compute_output_spec` does the same, but draws the initial values of all variables in that graph too, which
    takes as long as everything else.

    Args:
        network: model with `call(images, *arguments, **options)`; it counts as built afterwards.
        shape: of the images; the batch may be None.
        arguments: structures whose `keras.KerasTensor`s become tensors of that graph.
        options: such as `training`, which form of the pass is run.
    """

    def tensor(x):
        return tf.compat.v1.placeholder(x.dtype, x.shape) if isinstance(x, keras.KerasTensor) else x

    with tf.__internal__.FuncGraph("shapes").as_default():
        network.call(*tf.nest.map_structure(tensor, (keras.KerasTensor(shape), *arguments)), **options)
    network.built = True


def apart(*maps):
    """Maps under names of their own, which may have been one map.

    With them no map of a stack of cells goes into more than two places, and its gradient is a sum of two. That has no
    order, so that the bits do not depend on how a gradient is taken (`cell_functions`).
    """
    return [tf.identity(x) for x in maps]


class TrainedNetwork(keras.Model):
    """What networks share that are trained, tested and shipped: `network(images, training=None)` gives logits.

    Its `options` are its constructor's arguments beside the first. `preprocessing` among them is a dictionary that
    describes the images it was trained on: `mean` and `std` of the channels, `classes`, `dataset`, `seed`,
    `image_size`, `augmentation`; None if unknown.
    """

    task = "images"
    shares_statistics = False  # every BatchNorm has moving statistics of its own

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
        """Cells, and entries or nodes of the larger of the two cells: the first axes of `drop_path`."""
        entries, nodes = (self.genotype.normal, self.genotype.reduce), map(self.genotype.inputs, (False, True))
        return len(self.cells), max(map(len, (*entries, *nodes)))

    def build(self, shape):
        build_layers(self, shape, training=True)  # in training, for the auxiliary head

    def run_cells(self, s0, s1, drop_path, training):
        """The last cell's map, and in training the logits of the auxiliary head, else None."""
        auxiliary, s0, s1 = None, *apart(s0, s1)
        for index, cell in enumerate(self.cells):
            masks = None if drop_path is None else drop_path[index]
            s0, s1 = s1, cell(s0, s1, masks=masks, training=training)
            if index == self.auxiliary_after and self.auxiliary_head is not None and training:
                of_head, s1 = apart(s1, s1)
                auxiliary = self.auxiliary_head(of_head, training=training)
        return s1, auxiliary

    def get_config(self):
        return {"genotype": self.genotype.to_dict(), **self.options}
