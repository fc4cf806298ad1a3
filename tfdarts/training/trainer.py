"""Training of the network of a genotype (DARTS, arXiv:1806.09055, section 3.2; AWD-LSTM, arXiv:1708.02182)."""

import keras
import numpy as np
import tensorflow as tf

from tfdarts import optimizers, precision
from tfdarts.layers import cell_functions
from tfdarts.training import devices
from tfdarts.training.job import Job
from tfdarts.training.learner import Call, Learner


class Trainer(Learner):
    """Trains a network by `fit` on the task's batches, and tests it by `evaluate`.

    Args:
        network, task, optimizer, seed, epochs: as in `Learner`.
        steps: int, of the whole run, if `progress` rises from step to step; None for from epoch to epoch.
    """

    def __init__(self, network, task, optimizer, seed=0, epochs=1, steps=None, **kwargs):
        super().__init__(network, task, optimizer, seed, epochs, **kwargs)
        self.steps = steps
        self.built = True

    @property
    def progress(self):
        """How much of the run is done, from 0 to 1."""
        if self.steps is None:
            return super().progress
        return tf.minimum(1.0, tf.cast(self.step.value, tf.float32) / self.steps)

    def train_step(self, data):
        self.step.assign_add(1)
        inputs = self.task.inputs(self.network, data, self.draw, progress=lambda: self.progress)
        weights, gradient, result = self.weight_gradient(inputs)
        self.descend(weights, gradient, self.task.rate_scale(data))
        self.task.keep(result.carry)
        self.update_metrics(result)
        return self.results()


class AveragedTrainer(Trainer):
    """Trains a language model by SGD, and from the non-monotonic trigger on by averaged SGD (AWD-LSTM, section 4).

    Once the validation loss is above the best one of more than `nonmono` epochs ago, weights are averaged, for good,
    and the average is what is evaluated.

    Args:
        network, task, optimizer, seed, epochs: as in `Trainer`.
        nonmono: int.
    """

    def __init__(self, network, task, optimizer, seed=0, epochs=1, nonmono=5, **kwargs):
        super().__init__(network, task, optimizer, seed, epochs, **kwargs)

        def state(name, shape=(), initializer="zeros", **options):
            return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False, **options)

        size, infinite = optimizer.buffer.shape, keras.initializers.Constant(np.inf)
        self.average = state("average", size)  # the newest weights until the averaging begins
        self.best = state("best", size)
        self.best_loss = state("best_loss", initializer=infinite)
        self.averaging = state("averaging", dtype="int64")  # 0 or 1
        self.averaged_steps = state("averaged_steps", dtype="int64")
        self.last_scale = state("last_scale")
        self.older_loss = state("older_loss", initializer=infinite)  # best of more than `nonmono` epochs ago
        self.recent_losses = state("recent_losses", (nonmono,), infinite)
        for variable in (self.average, self.best):
            variable.assign(self.weights_vector())

    def stepped(self, weights, gradient, scale, count):
        # PyTorch's averaged SGD takes each step with the learning rate that was set for the one before.
        lagging = self.averaged_steps.value > 0
        weights = super().stepped(weights, gradient, tf.where(lagging, self.last_scale.value, scale), count)
        self.last_scale.assign(scale)
        self.averaged_steps.assign_add(self.averaging.value)
        self.average.assign(optimizers.averaged(self.average.value, weights, self.averaged_steps.value))
        return weights

    def evaluated_network(self):
        return Call(self.network, self.average.value, statistics=self.statistics())

    def finish_epoch(self, loss):
        """Takes an epoch's validation loss: keeps the best weights, and begins the averaging when it is time."""
        if loss < float(self.best_loss.numpy()):
            self.best_loss.assign(loss)
            self.best.assign(self.average.value)
        if loss > float(self.older_loss.numpy()):
            self.averaging.assign(1)
        if not int(self.averaging.numpy()):
            recent = self.recent_losses.numpy()
            self.older_loss.assign(min(float(self.older_loss.numpy()), float(recent[0])))
            self.recent_losses.assign(np.append(recent[1:], loss))

    def take_best(self):
        """Sets the network, and what is evaluated, to the weights of the best epoch."""
        self.average.assign(self.best.value)
        self.set_weights_vector(self.best.value)


class FinishEpoch(keras.callbacks.Callback):
    """Tells `AveragedTrainer` an epoch's validation loss."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.finish_epoch(logs["val_loss"])


def job(space, data, genotype, settings, start=None):
    """The training of a genotype's network as a `Job`.

    Args:
        space: `spaces.base.Space`.
        data: `tasks.image_data.ImageData` or `tasks.text_data.TextData`.
        genotype: of the space; None where options stand for a network without one.
        settings: `options.Settings`.
        start: function that gives the new network the weights that it starts from; None for random ones.
    """
    stream = data.training(**settings.pick(data.training))
    with precision.policy(settings.precision):
        network = space.network(genotype, data.inputs, **settings.pick(space.network))
    cell_functions.use(network, **settings.pick(cell_functions.use))
    if start is not None:
        start(network)
    task = data.training_task(network, **settings.pick(data.training_task))
    sgd = optimizers.Sgd(**space.weight_sgd(**settings.pick(space.weight_sgd)))
    steps = settings.values["epochs"] * stream.steps if space.drop_path_by_step else None
    shared = devices.chosen(**settings.pick(devices.chosen))
    model = trainer(network, task, sgd, steps, shared, **settings.pick(trainer))
    callbacks = (FinishEpoch(),) if isinstance(model, AveragedTrainer) else ()
    schedule = optimizers.schedule(**settings.pick(optimizers.schedule))
    return Job(model, stream.batches, stream.steps, schedule, stream.validation, callbacks)


def trainer(network, task, sgd, steps, shared, *, seed, epochs, nonmono=None):
    """A compiled `Trainer` by options; with `nonmono` an `AveragedTrainer`.

    Args:
        network, task, sgd, steps: as in `Trainer`.
        shared: the `devices` of a `Learner`.
    """
    if nonmono is None:
        model = Trainer(network, task, sgd, seed, epochs, steps, devices=shared)
    else:
        model = AveragedTrainer(network, task, sgd, seed, epochs, nonmono, devices=shared)
    model.compile(jit_compile=False)  # XLA compiles the cells, if asked
    return model


def tester(network, task):
    """A compiled `Trainer` that only tests a network."""
    model = Trainer(network, task, optimizers.Sgd(0.0))
    model.compile(jit_compile=False)
    return model


def costs(space, task, inputs, genotype, settings):
    """What training a genotype costs, as a dictionary; arguments as in `job`, `task` from `tasks.load`."""
    with precision.policy(settings.precision):
        network = space.network(genotype, inputs, **settings.pick(space.network))
    cell_functions.use(network, **settings.pick(cell_functions.use))
    return task.costs(network, inputs, space.train_memory, **settings.pick(task.costs))
