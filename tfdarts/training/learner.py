"""What search and training have in common: the weights' optimizer, the state of a run, the metrics."""

import itertools
import math

import keras
import tensorflow as tf

from tfdarts import optimizers, precision
from tfdarts.tasks.base import TRAIN


class Call:
    """A network as a function of its inputs, on given weights and for a given architecture.

    Attributes:
        network: the model.
        state: after a call, the new values of the network's non-trainable variables; None before it.

    Args:
        weights: all trainable weights as one vector.
        architecture: further arguments of the network behind its inputs: mixing weights, say.
    """

    def __init__(self, network, weights, *architecture):
        self.network, self.weights, self.architecture, self.state = network, weights, architecture, None

    def __call__(self, *inputs, **options):
        trained, others = self.network.trainable_variables, self.network.non_trainable_variables
        weights = values(self.weights, trained, self.network)
        with precision.Values([*zip(trained, weights), *((v, v.value) for v in others)]) as scope:
            results = self.network.call(*inputs, *self.architecture, **options)
        self.state = [scope.get_current_value(v) for v in others]
        return results


class InPlace:
    """Like `Call`, on the network's own variables, which a call in training may change.

    Args:
        network: the model.
        architecture: as in `Call`.
    """

    def __init__(self, network, *architecture):
        self.network, self.architecture = network, architecture

    def __call__(self, *inputs, **options):
        return self.network(*inputs, *self.architecture, **options)


class Learner(keras.Model):
    """A model that steps a network's weights, trained by `fit`.

    Restoring its variables and the position in the data resumes training exactly.

    Args:
        network: built model, whose trainable variables are stepped.
        task: `tasks.images.ImageTask` or `tasks.text.TextTask`: how a batch becomes a loss.
        optimizer: `optimizers.Sgd` or `optimizers.Adam`, for the weights.
        seed: int, of all random numbers.
        epochs: int, over which `progress` rises.
    """

    def __init__(self, network, task, optimizer, seed=0, epochs=1, **kwargs):
        super().__init__(**kwargs)
        self.network, self.task, self.weight_optimizer = network, task, optimizer
        self.seed, self.epochs = seed, epochs
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

    @property
    def progress(self):
        """How much of the run is done, from 0 to 1; it rises from epoch to epoch."""
        return self.epoch.value / self.epochs

    def draw(self, part=TRAIN):
        """Seed of the random numbers of this step's pass on a training or a validation batch, two integers."""
        return self.task.draw(self.seed, self.step.value, part)

    def weights_vector(self):
        """All trainable weights of the network as one vector."""
        return optimizers.flatten(self.network.trainable_variables)

    def set_weights_vector(self, weights):
        """Sets the network's trainable variables from one vector."""
        assign(self.network.trainable_variables, weights)

    def whole_gradient(self, gradient):
        """What a vector of gradients becomes before it is used: the one place for averaging over devices, or scaling.

        Here it is left as it is. It is called for the weights', the architecture's and the controller's gradients.
        """
        return gradient

    def differentiate(self, tape, loss, sources, **options):
        """Gradients of a loss, which is scaled for that where the network computes in float16; as `tape.gradient`.

        Args:
            sources: a list of float32 tensors.
        """
        if self.loss_scale is None or not precision.mixed(self.network):
            return tape.gradient(loss, sources, **options)
        factor = tf.convert_to_tensor(self.loss_scale.factor)
        gradients = tape.gradient(loss, sources, output_gradients=factor, **options)
        return [gradient / factor for gradient in map(tf.convert_to_tensor, gradients)]

    def if_sound(self, gradient, step, otherwise):
        """What `step` gives, a function without arguments; `otherwise` if a gradient in float16 has overflowed.

        The loss's scale takes note of the gradient. In other types it is used as it is.
        """
        if self.loss_scale is None:
            return step()
        return tf.cond(self.loss_scale.judge(gradient), step, lambda: otherwise)

    def weight_gradient(self, inputs, *architecture):
        """Runs the network on its own variables, in training.

        Args:
            inputs: what `task.inputs` gave.
            architecture: as in `Call`.

        Returns:
            The gradient of the task's loss for the weights, as one vector, and the `Pass`.
        """
        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            total, result = self.task.loss(InPlace(self.network, *architecture), inputs)
        gradients = self.differentiate(tape, total, [v.value for v in variables], unconnected_gradients="zero")
        return optimizers.flatten(gradients), result

    def descend(self, weights, gradient, scale=1.0, count=None):
        """One step of the weights.

        Args:
            weights, gradient: vectors.
            scale: of the learning rate.
            count: number of this step, from 1; None for the number of the run's step.

        Returns:
            The new weights.
        """
        gradient, rate = self.whole_gradient(gradient), self.learning_rate.value * scale
        count = self.step.value if count is None else count
        update = self.weight_optimizer.update
        new = self.if_sound(gradient, lambda: update(weights, gradient, rate, count), weights)
        self.set_weights_vector(new)
        return new

    def evaluated_network(self):
        """The network that validation and tests run: a `Call` or `InPlace`."""
        return InPlace(self.network)

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
        self.train_function = self.test_function = None

    def test_step(self, data):
        self.task.test(self.evaluated_network(), data, self.update_metrics)
        return self.results()

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
        """Every variable, in an order that depends on the program alone: the network's, the optimizers', metrics."""
        variables = {id(v): v for v in self.variables}
        variables |= {id(v): v for metric in self.metrics for v in metric.variables}
        return list(variables.values())


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


def assign(variables, vector):
    """Sets variables from one vector of all their values."""
    for variable, value in zip(variables, optimizers.unflatten(vector, variables)):
        variable.assign(value)
