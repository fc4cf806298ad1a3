"""What search and training have in common: the weights' optimizer, the state of a run, the metrics."""

import itertools
import math

import keras
import tensorflow as tf

from tfdarts import collectives, gradients, optimizers, precision
from tfdarts.layers import cell_functions
from tfdarts.tasks.base import TRAIN, Pass
from tfdarts.training import vectors
from tfdarts.training.devices import FIRST, GATHER, MEAN, SUM, Shared


class Call:
    """A network as a function of its inputs, on given weights and for a given architecture.

    Attributes:
        network: the model.
        state: after a call, the new values of the network's non-trainable variables, as vectors (`vectors.join`); None
            before it.

    Args:
        weights: all trainable weights as one vector.
        architecture: further arguments of the network behind its inputs: mixing weights, say.
        statistics: its other variables, as vectors (`vectors.join`); None for the network's own.
    """

    def __init__(self, network, weights, *architecture, statistics=None):
        self.network, self.weights, self.architecture = network, weights, architecture
        self.statistics, self.state = statistics, None

    def __call__(self, *inputs, **options):
        variables, others = self.network.trainable_variables, self.network.non_trainable_variables
        weights = values(self.weights, variables, self.network)
        statistics = [v.value for v in others] if self.statistics is None else vectors.cut(self.statistics, others)
        if not self.network._call_has_training_arg:  # as Keras leaves it out
            options.pop("training", None)
        with precision.Values([*zip(variables, weights), *zip(others, statistics)]) as scope:
            results = self.network.call(*inputs, *self.architecture, **options)
        self.state = vectors.join([scope.get_current_value(v) for v in others])
        return results


class Spread:
    """A `Call` of a test on images, of which the devices of this machine each take a piece.

    Args:
        call: `Call` with `statistics`.
        devices: `devices.Devices`; every machine tests on the whole batch.
    """

    def __init__(self, call, devices):
        self.call, self.network, self.devices = call, call.network, devices.of_this_machine()

    def __call__(self, *inputs, training=None):
        if training:  # it is normalised by the batch, which therefore stays whole
            return self.call(*inputs, training=training)

        def logits(weights, statistics, architecture, inputs):
            return Call(self.network, weights, *architecture, statistics=statistics)(*inputs, training=False)

        run = Shared(self.devices, logits, (None, None, None, 0), 0)
        return run(self.call.weights, self.call.statistics, self.call.architecture, inputs)


class Learner(keras.Model):
    """A model that steps a network's weights, trained by `fit`.

    Restoring its variables and the position in the data resumes training exactly.

    A compiled step works on vectors of all weights and statistics (`vectors.Vectors`). The network's own variables are
    brought up to date when someone asks for `network` or `state()`, at the end of an epoch before any callback's
    `on_epoch_end`, before validation and tests, and when `fit` ends: a callback that looks at them within an epoch goes
    through `model.network`.

    Args:
        network: built model, whose trainable variables are stepped.
        task: `tasks.images.ImageTask` or `tasks.text.TextTask`: how a batch becomes a loss.
        optimizer: `optimizers.Sgd` or `optimizers.Adam`, for the weights.
        seed: int, of all random numbers.
        epochs: int, over which `progress` rises.
        devices: `devices.Devices` that share each pass; None for the one that TensorFlow chooses.
    """

    def __init__(self, network, task, optimizer, seed=0, epochs=1, devices=None, **kwargs):
        super().__init__(**kwargs)
        self.network, self.task, self.weight_optimizer = network, task, optimizer
        self._vectors = vectors.Vectors(network)
        self.seed, self.epochs, self.devices = seed, epochs, devices
        optimizer.build(sum(math.prod(v.shape) for v in network.trainable_variables))
        self.step = self.add_weight(name="step", shape=(), dtype="int64", initializer="zeros", trainable=False)
        self.epoch = self.add_weight(name="epoch", shape=(), initializer="zeros", trainable=False)
        self.learning_rate = self.add_weight(
            name="learning_rate",
            shape=(),
            initializer=keras.initializers.Constant(optimizer.learning_rate),
            trainable=False,
        )
        self.loss_scale = precision.LossScale() if network.compute_dtype == "float16" else None
        self.loss_metric = keras.metrics.Mean(name="loss")
        self.score_metrics = tuple(keras.metrics.Mean(name=name) for name in task.scores)
        self._make_passes()

    def _make_passes(self):
        self._gradient = self.gradient_of
        if self.devices is not None:
            axes, merges = (None, self.task.axes, None), (SUM, (self.merged_pass, FIRST))
            self._gradient = self.shared(self.gradient_of, axes, merges)

    def shared(self, method, axes, merges):
        """A pass that is traced once, and run on each device if several share it.

        Args:
            method: the pass.
            axes, merges: as in `devices.Shared`.
        """
        if self.devices is not None:
            return Shared(self.devices, method, axes, merges)
        # Not inlined: a function that is called three times is instantiated once, not copied into the step.
        return tf.function(method, autograph=False, experimental_attributes={"_noinline": True})

    @property
    def merged_pass(self):
        """What becomes of the devices' `Pass`es; see `devices.Shared`."""
        return Pass(MEAN, self.task.axes[1], None, GATHER)

    def labelled(self, result, inputs):
        """A `Pass` with the labels of what it ran on, which it came without."""
        labels = inputs[1]
        return result._replace(labels=labels if self.devices is None else self.devices.own(labels, self.task.axes[1]))

    @property
    def progress(self):
        """How much of the run is done, from 0 to 1; it rises from epoch to epoch."""
        return self.epoch.value / self.epochs

    def draw(self, part=TRAIN):
        """Seed of the random numbers of this step's pass on a training or a validation batch, two integers."""
        return self.task.draw(self.seed, self.step.value, part)

    @property
    def network(self):
        """The network, its variables up to date."""
        self.settle()
        return vars(self).get("network")

    @network.setter
    def network(self, network):
        vars(self)["network"] = network  # the name that checkpoints know it by

    def settle(self):
        """Brings the network's own variables up to date, unless a step is being traced."""
        known = vars(self).get("_vectors")
        if known is not None and not tf.inside_function():
            known.settle()

    def stepping(self, function):
        """A function that takes compiled steps, which may be called once it went through here.

        Args:
            function: a graph with `train_step` in it, or what traces one.
        """

        def step(*arguments):
            with self._vectors.lead():
                return function(*arguments)

        return step

    def make_train_function(self, force=False):
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = self.stepping(self.train_function)

    def fit(self, *args, callbacks=None, **options):
        try:
            return super().fit(*args, callbacks=[Settle(), *(callbacks or ())], **options)
        finally:
            self.settle()

    def evaluate(self, *args, **options):
        self.settle()
        return super().evaluate(*args, **options)

    @property
    def _on_vectors(self):
        return self._vectors.stepping and tf.inside_function()

    def weights_vector(self):
        """All trainable weights of the network as one vector."""
        if self._on_vectors:
            return self._vectors.weights.value()
        return optimizers.flatten(self.network.trainable_variables)

    def statistics(self):
        """The network's other variables as vectors, one for each dtype."""
        if self._on_vectors:
            return tuple(vector.value() for vector in self._vectors.statistics)
        return vectors.join(self.network.non_trainable_variables)

    def set_weights_vector(self, weights):
        """Sets the network's trainable variables from one vector."""
        if self._on_vectors:
            self._vectors.weights.assign(weights)
        elif tf.inside_function():
            raise RuntimeError("A graph of `train_step` is called through `Learner.stepping`.")
        else:
            vectors.assign(self.network.trainable_variables, weights)

    def set_statistics(self, statistics):
        """Sets the network's other variables from what `Call.state` gives."""
        if self._on_vectors:
            self._vectors.assign_statistics(statistics)
        else:
            others = self.network.non_trainable_variables
            for variable, value in zip(others, vectors.cut(statistics, others)):
                variable.assign(value)

    def differentiate(self, tape, loss, sources, **options):
        """Gradients of a loss, which is scaled for that where the network computes in float16; as `tape.gradient`.

        On a piece of a batch, it is that of the piece's share of the loss.

        Args:
            sources: a list of float32 tensors.
        """
        share, factor = collectives.share(), None
        if self.loss_scale is not None and precision.mixed(self.network):
            factor = tf.convert_to_tensor(self.loss_scale.factor)
        if share is None and factor is None:
            return tape.gradient(loss, sources, **options)
        scales = [tf.cast(each, loss.dtype) for each in (share, factor) if each is not None]
        gradients = tape.gradient(loss, sources, output_gradients=math.prod(scales), **options)
        gradients = map(tf.convert_to_tensor, gradients)
        return list(gradients) if factor is None else [gradient / factor for gradient in gradients]

    def if_sound(self, gradient, step, otherwise):
        """What `step` gives, a function without arguments; `otherwise` if a gradient in float16 has overflowed.

        The loss's scale takes note of the gradient. In other types it is used as it is.
        """
        if self.loss_scale is None:
            return step()
        return tf.cond(self.loss_scale.judge(gradient), step, lambda: otherwise)

    def weight_gradient(self, inputs, *architecture):
        """Runs the network on its weights as they are, in training, which may change its other variables.

        Args:
            inputs: what `task.inputs` gave.
            architecture: as in `Call`.

        Returns:
            The weights, the gradient of the task's loss for them, each as one vector, and the `Pass`.
        """
        weights = self.weights_vector()
        gradient, (result, state) = self._gradient(weights, inputs, self.statistics(), *architecture)
        self.set_statistics(state)
        return weights, gradient, self.labelled(result, inputs)

    def gradient_of(self, weights, inputs, statistics, *architecture):
        """Gradient for the weights, then the `Pass` without labels, and the network's other variables.

        Args:
            weights: vector.
            inputs: what `task.inputs` gave.
            statistics, architecture: as in `Call`.
        """
        call = Call(self.network, weights, *architecture, statistics=statistics)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            total, result = self.task.loss(call, inputs)
        (gradient,) = self.differentiate(tape, total, [weights], unconnected_gradients="zero")
        return gradient, (result._replace(labels=None), call.state)

    def descend(self, weights, gradient, scale=1.0, count=None):
        """One step of the weights, left out where a gradient in float16 has overflowed.

        Args:
            weights, gradient: vectors.
            scale: of the learning rate.
            count: number of this step, from 1; None for the number of the run's step.

        Returns:
            The new weights.
        """
        count = self.step.value if count is None else count
        new = self.if_sound(gradient, lambda: self.stepped(weights, gradient, scale, count), weights)
        self.set_weights_vector(new)
        return new

    def stepped(self, weights, gradient, scale, count):
        """The weights after a step of the optimizer; arguments as in `descend`."""
        return self.weight_optimizer.update(weights, gradient, self.learning_rate.value * scale, count)

    def evaluated_network(self):
        """The network that validation and tests run, a `Call`."""
        return Call(self.network, self.weights_vector(), statistics=self.statistics())

    @property
    def over(self):
        """Of a run that ended before its last epoch and cannot go on: what is to be said of that, a dictionary of ints
        with `stopped_after_epoch`; None of any other.
        """
        return None

    def take_best(self):
        """Sets the model to what a run that has ended gives: here, it stays as it is after the last step."""

    def forget_graphs(self):
        """Lets go of what was traced, and of its memory; a further step traces it anew."""
        self.settle()
        cell_functions.forget(self.network)
        gradients.forget()
        self.train_function = self.test_function = None
        self._make_passes()
        self._vectors = vectors.Vectors(self.network)

    def test_step(self, data):
        self.task.test(self.tested(), data, self.update_metrics)
        return self.results()

    def tested(self):
        """What a test runs: `evaluated_network`, spread over the devices if there are several."""
        return self.evaluated_network() if self.devices is None else Spread(self.evaluated_network(), self.devices)

    def update_metrics(self, result):
        """Adds a `Pass` to loss and scores."""
        self.loss_metric.update_state(result.loss, sample_weight=tf.size(result.labels))
        for metric, values in zip(self.score_metrics, self.task.scored(result)):
            metric.update_state(values)

    def results(self):
        """The metrics as they are now, by name."""
        values = {metric.name: metric.result() for metric in (self.loss_metric, *self.score_metrics)}
        return self.task.with_derived(values)

    def state(self):
        """Every variable, in an order that depends on the program alone: the network's, the optimizers', metrics.

        The network's are up to date, and may be assigned to.
        """
        self.settle()
        variables = {id(v): v for v in self.variables}
        variables |= {id(v): v for metric in self.metrics for v in metric.variables}
        return list(variables.values())


class Settle(keras.callbacks.Callback):
    """Brings a `Learner`'s network up to date at the end of an epoch, before other callbacks look at it."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.settle()


def values(vector, variables, network):
    """Cuts a vector into the values of a network's variables, of the types in which it reads them.

    Neighbours are cast together: one by one they would be a kernel each.

    Returns:
        A list of tensors; all of the vector's type unless the network is `mixed`.
    """
    if not precision.mixed(network):
        return optimizers.unflatten(vector, variables)
    runs = [(cast, list(run)) for cast, run in itertools.groupby(variables, lambda v: v._autocast)]
    sizes = [[math.prod(v.shape) for v in run] for _, run in runs]
    result = []
    for (cast, run), own, part in zip(runs, sizes, tf.split(vector, [sum(own) for own in sizes])):
        pieces = tf.split(tf.cast(part, network.compute_dtype) if cast else part, own)
        result += [tf.reshape(piece, v.shape) for piece, v in zip(pieces, run)]
    return result
