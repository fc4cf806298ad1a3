"""What a space is: the contract that strategies, training, reports and command lines build on."""

import math
import re
import typing

import numpy as np


class ImageInputs(typing.NamedTuple):
    """What a network for images needs to know of them.

    Attributes:
        shape: `(height, width, channels)`.
        classes: int.
        preprocessing: what a trained network remembers of its images, as in `layers.network.TrainedNetwork`; or None.
    """

    shape: tuple
    classes: int
    preprocessing: dict | None = None


class TextInputs(typing.NamedTuple):
    """What a language model needs to know of its text.

    Attributes:
        words: int, size of the vocabulary.
        corpus: what a trained model remembers of its text, as in `EvaluationLanguageModel`; or None.
    """

    words: int
    corpus: dict | None = None


class Space:
    """A search space. What one space alone knows stands in its subclass; nothing else asks which space it is.

    Methods take options by name, as keyword arguments: the caller picks from a run's options those that the signature
    names.

    Attributes:
        name: as `--space` and genotypes have it.
        task: `"images"` or `"text"`: what its networks are trained on.
        genotype: class of its genotypes, a subclass of `Genotype`.
        network_class: class of the networks that are trained and saved, registered as Keras's.
        recipe: name of its default recipe; None if there is none, and its options' defaults are used.
        determined_options: names of the training options that `options_of` gives.
        strategies: names of the strategies that can search it, besides `"random"`; the first is the default.
        reads_numbers: whether `genotype.from_numbers` reads the numbers of ENAS's scripts.
        clips_virtual_step: whether the authors clip the gradients of DARTS's virtual step.
        reward_per_decision: whether each of a controller's decisions has a reward and a baseline of its own.
        controller_adam: arguments of the Adam that steps a controller.
        drop_path_by_step: whether drop-path rises from step to step, instead of from epoch to epoch.
        search_memory, train_memory: what `cost.peak_memory` needs, measured for the space's networks.
    """

    name = None
    task = "images"
    genotype = None
    network_class = None
    recipe = None
    determined_options = ()
    strategies = ("darts",)
    reads_numbers = False
    clips_virtual_step = False
    reward_per_decision = False
    controller_adam = {"betas": (0.9, 0.999), "epsilon": 1e-8}
    drop_path_by_step = False
    search_memory = {"bytes_per_byte": 0.69, "graph_bytes_per_node": 130e3}
    train_memory = {"bytes_per_byte": 0.57, "graph_bytes_per_node": 58e3}

    def options(self, stage, strategy=None):
        """The options of a stage, as a dictionary from name to `options.Option`.

        Args:
            stage: `"search"` or `"train"`.
            strategy: of a search.
        """
        raise NotImplementedError

    def check(self, stage, strategy, values):
        """Raises UserError for options that do not go together in this space."""

    def supernet(self, inputs, **options):
        """The network that DARTS searches, built.

        Args:
            inputs: `ImageInputs` or `TextInputs`.
            options: by name; and `edges`, the class of the layers on the edges, where a space has such.

        Returns:
            A model called with inputs and `mixing`, a dictionary from table to mixing weights; with `choices`, a
            dictionary from table to a tuple of `Choice`, and `genotype(mixing)`.
        """
        raise NotImplementedError

    def shared_network(self, inputs, **options):
        """The network whose weights all architectures share (ENAS), built.

        Returns:
            A model called with inputs and an architecture; with `genotype(arc)`.
        """
        raise NotImplementedError

    def controller(self, **options):
        """The controller that draws architectures for `shared_network`, built."""
        raise NotImplementedError

    def network(self, genotype, inputs, **options):
        """The network of a genotype, built; called with inputs."""
        raise NotImplementedError

    def random(self, count, seed, **options):
        """Genotypes drawn uniformly from what DARTS could find: a list of `count`; the same seed gives the same."""
        raise NotImplementedError

    def random_architectures(self, count, seed, **options):
        """Architectures that the controller draws uniformly, as nested lists."""
        controller = self.controller(**options)
        # Eager draws, one after the other: a trace would cost more than it saves.
        arcs = (controller(seed=(seed, number), uniform=True).arc for number in range(count))
        return [_nested_lists(arc) for arc in arcs]

    def graphs(self, genotype):
        """The cells of a genotype, or its whole network, for drawings: kind to `graph.Graph`."""
        raise NotImplementedError

    def parse(self, text):
        """Reads a text form of genotypes that only this space has; None if the text is not of that form."""
        return self.genotype.from_numbers(text) if self.reads_numbers and re.fullmatch(r"[0-9\s]+", text) else None

    def needs_no_genotype(self, **options):
        """Whether options stand for a network that is trained without a genotype."""
        return False

    def options_of(self, genotype):
        """Options of training that a genotype determines, as a dictionary."""
        return {}

    def sizes_of(self, genotype):
        """What programs ask for beside a genotype, which has it: `nodes`, `multiplier`, to the numbers in its cells."""
        return {}

    def weight_sgd(self, *, learning_rate, momentum, weight_decay, grad_clip=math.inf, nesterov=False):
        """Arguments of the `optimizers.Sgd` that steps weights, in DARTS's search and in training, as a dictionary."""
        names = ("learning_rate", "momentum", "weight_decay", "grad_clip", "nesterov")
        return dict(zip(names, (learning_rate, momentum, weight_decay, grad_clip, nesterov)))

    def search_callbacks(self, **options):
        """Keras callbacks of a search by DARTS that only this space has, a tuple; they may add to the metrics."""
        return ()

    def known(self, genotypes, **options):
        """What is known of genotypes beforehand: for each a dictionary of accuracies in percent; None for nothing."""
        return None

    def remembered(self, **options):
        """What a search keeps of the files that its options name, as JSON: a resumed run with another is refused."""
        return {}

    def shared_sgd(self, **options):
        """Arguments of the `optimizers.Sgd` that steps shared weights, as a dictionary."""
        raise NotImplementedError


def _nested_lists(arc):
    if isinstance(arc, (tuple, list)):
        return tuple(_nested_lists(part) for part in arc)
    return np.asarray(arc).tolist()
