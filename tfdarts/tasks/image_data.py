"""Image data sets as search and training take them: in batches, with what networks and runs must know of them."""

import typing

import tensorflow as tf

from tfdarts import cost
from tfdarts.data import arrays, images
from tfdarts.errors import UserError
from tfdarts.spaces.base import ImageInputs
from tfdarts.tasks.images import ImageTask
from tfdarts.version import __version__

SOURCE = "dataset"  # the option that names the data; None for data in memory


class Stream(typing.NamedTuple):
    """Batches of a run.

    Attributes:
        batches: `step -> tf.data.Dataset`, the endless batches from a global step on.
        steps: batches in an epoch.
        validation: `tf.data.Dataset` for the end of an epoch, or None.
    """

    batches: typing.Callable
    steps: int
    validation: tf.data.Dataset | None = None


class SharedStream(typing.NamedTuple):
    """Batches of a search with shared weights.

    Attributes:
        train, valid: `start -> tf.data.Dataset`, the endless batches from the batch of that number on.
        steps: training batches in one pass.
        held_out: a validation batch, the same always.
    """

    train: typing.Callable
    valid: typing.Callable
    steps: int
    held_out: tuple


class ImageData:
    """A data set: training, validation and test images.

    Args:
        train, validation, test: `data.images.Images`; validation may be None.
        origin: dictionary of what names the images beside their statistics: `dataset`, `seed`, `image_size`,
            `augmentation`.
    """

    def __init__(self, train, validation, test, origin):
        self.train, self.validation, self.test, self.origin = train, validation, test, origin

    @property
    def remembered(self):
        """What a run must remember of its data, as a dictionary: statistics, classes, the number of images."""
        return self.train.statistics | {"images": len(self.train)}

    @property
    def inputs(self):
        """`ImageInputs` for networks, which remember the program's version too."""
        known = self.remembered | self.origin | {"tfdarts": __version__}
        return ImageInputs(self.train.shape, self.train.classes, known)

    def _halves(self, batch_size, train_portion, arch_portion, use_validation, seed):
        sets = self.train, self.validation
        halves = images.search_halves(*sets, train_portion, use_validation, seed, arch_portion)
        for half in halves:
            images.check_batch_size(half, batch_size)
        return halves

    def search(self, *, batch_size, train_portion, arch_portion, use_validation, cutout, cutout_length, seed):
        """Pairs of a training and a validation batch, as a `Stream`."""
        train, valid = self._halves(batch_size, train_portion, arch_portion, use_validation, seed)
        length = cutout_length if cutout else 0

        def batches(step):
            halves = ((train, seed), (valid, seed + 1))
            return images.pairs(*(images.train_batches(x, batch_size, own, length, step) for x, own in halves))

        steps = images.steps_per_epoch(train, batch_size)
        return Stream(batches, steps, images.test_batches(valid, batch_size))

    def shared(self, *, batch_size, train_portion, arch_portion, use_validation, cutout, cutout_length, seed):
        """Batches for shared weights and, not augmented, for the controller, as a `SharedStream`."""
        train, valid = self._halves(batch_size, train_portion, arch_portion, use_validation, seed)
        length = cutout_length if cutout else 0

        def of_train(start):
            return images.train_batches(train, batch_size, seed, length, start)

        def of_valid(start):
            return images.train_batches(valid, batch_size, seed + 1, start=start, augmented=False)

        held_out = next(iter(images.test_batches(valid, batch_size)))
        return SharedStream(of_train, of_valid, images.steps_per_epoch(train, batch_size), held_out)

    def training(self, *, batch_size, cutout, cutout_length, seed, hold_out=0.0):
        """Training batches, as a `Stream`, which validates on what is held out, if anything is."""
        train, held_out = images.held_out(self.train, hold_out)
        images.check_batch_size(train, batch_size)
        length = cutout_length if cutout else 0

        def batches(step):
            return images.train_batches(train, batch_size, seed, length, step)

        validation = images.test_batches(held_out, batch_size) if held_out else None
        return Stream(batches, images.steps_per_epoch(train, batch_size), validation)

    def search_task(self, network, skip_dropout=None):
        """The task of a search by DARTS; `skip_dropout` as in `ImageTask`."""
        return ImageTask(skip_dropout=skip_dropout)

    def shared_task(self, network, *, dropout):
        """The task of a search with shared weights."""
        return ImageTask(dropout=dropout)

    def training_task(self, network, *, label_smooth, auxiliary_weight=0.0, drop_path_prob=0.0, dropout=0.0):
        """The task of training the network of a genotype."""
        return ImageTask(label_smooth, auxiliary_weight, drop_path_prob, dropout, top5=True)

    def test_task(self, network):
        """The task of testing a network."""
        return ImageTask(top5=True)

    def test_results(self, learner, *, batch_size):
        """Test error, accuracy and top-5 accuracy of a `Trainer`'s network, in percent."""
        return _percentages("test", learner, self.test, batch_size)

    def results(self, learner, *, batch_size, hold_out=0.0):
        """What a trained network reached, on the held out images if there are any, and what it costs."""
        _, held_out = images.held_out(self.train, hold_out)
        if held_out:
            reached = _percentages("validation", learner, held_out, batch_size)
        else:
            reached = self.test_results(learner, batch_size=batch_size)
        return reached | network_costs(learner.network, self.train.shape)


def _percentages(which, learner, examined, batch_size):
    """Error, accuracy and top-5 accuracy on some images; `which` they are is in the names."""
    result = learner.evaluate(images.test_batches(examined, batch_size), return_dict=True, verbose=0)
    return {
        f"{which}_error_percent": 100 * (1 - result["accuracy"]),
        f"{which}_accuracy_percent": 100 * result["accuracy"],
        "top5_accuracy_percent": 100 * result["top5"],
    }


def load(
    *,
    dataset,
    data_dir,
    image_size,
    augmentation,
    flip,
    seed,
    split_seed=None,
    use_extra=False,
    remembered=None,
):
    """Reads a data set, or learns where its images are.

    Args:
        dataset, data_dir, image_size, augmentation, flip, seed, split_seed, use_extra: options.
        remembered: `ImageData.remembered` of a run that is resumed; None for a new one.

    Raises:
        UserError: if the images cannot be read, or are not the ones that a resumed run began with.
    """
    if dataset is None:
        raise UserError("this run is on arrays, which a command does not have; start a new one from Python")
    seed = seed if split_seed is None else split_seed
    sets = images.load(dataset, data_dir, seed, image_size, augmentation, flip, use_extra, remembered)
    names = {"dataset": dataset, "seed": seed, "image_size": image_size, "augmentation": augmentation}
    data = ImageData(*sets, names)
    if remembered not in (None, data.remembered):
        was, now = remembered["images"], data.remembered["images"]
        raise UserError(f"{dataset} has changed since the run began ({was} training images, now {now})")
    return data


def from_memory(data, test=None, *, augmentation, flip, image_size, seed, split_seed=None):
    """A data set of arrays, or of a `tf.data.Dataset`.

    Args:
        data: `(x, y)`: pixels from 0 to 255 `(n, height, width[, channels])` and integer labels; or a
            `tf.data.Dataset` of such `(image, label)`, single or in batches, which is read into memory.
        test: images to test on, likewise; None to hold out a tenth, chosen by the seed.
        augmentation, flip, image_size, seed, split_seed: options.

    Raises:
        UserError: if they are no labelled images.
    """
    parts = arrays.from_memory(data, test)
    seed = seed if split_seed is None else split_seed
    sets = images.of_parts("these arrays", parts, seed, image_size, augmentation, flip)
    return ImageData(*sets, {"dataset": None, "seed": seed, "image_size": image_size, "augmentation": augmentation})


def for_testing(network, data):
    """Images in memory to test a saved network on; `data` as in `from_memory`.

    Raises:
        UserError: if they are no labelled images, or the network does not know what images it takes.
    """
    known = network.options["preprocessing"]
    if known is None:
        raise UserError("the model does not know what images it was trained on; give it to evaluate as train made it")
    parts = arrays.from_memory(data, data, tuple(known["classes"]))
    names = {name: known[name] for name in ("seed", "image_size", "augmentation")}
    sets = images.of_parts("these arrays", parts, **names, statistics=known)
    return ImageData(*sets, names | {"dataset": None})


def load_for(network, dataset=None, data_dir=None):
    """The images for a saved network.

    Args:
        network: a `TrainedNetwork`.
        dataset: name of a data set with the same classes; None for the one that it was trained on.
        data_dir: folder of data prepared by TensorFlow Datasets; None for its own.

    Raises:
        UserError: if the network does not know what images it takes, or the data set is another.
    """
    known = network.options["preprocessing"]
    if known is None:
        raise UserError("the model does not know what images it was trained on; train.py saves that with a model")
    if dataset is None and known["dataset"] is None:
        of_arrays = bool(known["classes"])  # a model that comes from a PyTorch file has no names of classes
        why = "was trained on arrays" if of_arrays else "does not say which data set it was trained on"
        raise UserError(f"the model {why}; give images to test it on (in a command, --dataset)")
    names = {name: known[name] for name in ("seed", "image_size", "augmentation")}
    sets = images.load(dataset or known["dataset"], data_dir, **names, statistics=known)
    if sets[0].classes != network.options["classes"]:
        classes = f"{sets[0].classes} classes, the model has {network.options['classes']}"
        raise UserError(f"{dataset or known['dataset']} has {classes}")
    return ImageData(*sets, names | {"dataset": dataset or known["dataset"]})


def known_inputs(*, dataset, data_dir, image_size):
    """`ImageInputs` of a data set; of the well-known ones without reading it."""
    return ImageInputs(*images.info(dataset, data_dir, image_size))


def network_costs(network, shape, architecture=None):
    """Parameters without and with the auxiliary head, and multiply-adds per image; arguments as in `costs`."""
    head = getattr(network, "auxiliary_head", None)
    auxiliary = cost.count_parameters([head] if head else [])
    total = cost.count_parameters([network])
    return {
        "parameters": total - auxiliary,
        "parameters_auxiliary": auxiliary,
        "multiply_adds": cost.multiply_adds(lambda x: network(x, **(architecture or {}), training=False), shape),
    }


def costs(network, inputs, memory, architecture=None, *, batch_size):
    """What searching or training a network costs, as a dictionary.

    Args:
        network: built for `inputs`.
        inputs: `ImageInputs`.
        memory: `search_memory` or `train_memory` of its space.
        architecture: dictionary of what the network takes beside images, `mixing` or `arc`; None for nothing.
    """
    shape, architecture = inputs.shape, architecture or {}
    report = network_costs(network, shape, architecture) | {"input_shape": shape, "classes": inputs.classes}
    parameters = report["parameters"] + report["parameters_auxiliary"]
    report["peak_memory_estimate_bytes"] = cost.peak_memory(
        lambda x: network(x, **architecture, training=True), batch_size, shape, parameters, **memory
    )
    return report
