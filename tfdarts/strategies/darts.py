"""DARTS: architecture parameters by gradient descent (Liu et al. 2019, arXiv:1806.09055, algorithm 1)."""

import math

import keras
import numpy as np
import tensorflow as tf

from tfdarts import optimizers, precision
from tfdarts.layers import cell_functions, choices
from tfdarts.options import OptionError
from tfdarts.strategies import hypergradient, stages
from tfdarts.strategies.monitors import Monitor, asked, costly
from tfdarts.strategies.parts import (
    HOOKS,
    SINGLE,
    Moment,
    chosen,
    darts_pt,
    overriding,
    p_darts,
    robust_darts,
    softmax,
)
from tfdarts.tasks.base import TRAIN, VALID
from tfdarts.training import devices
from tfdarts.training.devices import FIRST, GATHER, MEAN, SUM
from tfdarts.training.job import Job
from tfdarts.training.learner import Call, Learner

ORDERS = ("weights", "first", "second")
_PARTS_STREAM = 1 << 33  # added to the seed, for the random numbers of parts


class Darts(Learner):
    """Searches a supernet: at each step one step of the architecture, then one of the weights.

    Trained by `fit` on a data set of pairs, a training and a validation batch of the task.

    Args:
        supernet: built network with `choices`, called with inputs and mixing weights.
        task: how a batch becomes a loss, as in `Learner`.
        optimizer: `optimizers.Sgd`, of the weights.
        order: `"second"`, `"first"`, or `"weights"` to leave the architecture alone.
        arch_optimizer: `optimizers.Adam`, of the architecture parameters.
        unrolled_clip: largest norm of the gradients in the virtual step of the second order.
        arch_clip: largest norm of the architecture's gradient.
        begin: int, epoch from which on the architecture is stepped, counted from 0; `WarmUp` keeps to it.
        parts: `parts.Part`s, what is to differ from plain DARTS.
        masks: dictionary from table to bools of its `choices.shape`, which candidates a search may weigh at first; None
            for all. Given one, the masks are variables that a part may change.
        decides: whether operations and edges are decided on one by one (`parts.darts_pt`).
        remembers: None, or a dictionary with the `delta` and `start` of `parts.robust_darts.Memory`: a `memory` of what
            is measured in the search is kept.
        seed: of the architecture parameters' start, 1e-3 * N(0, 1) unless a part has another, and of all random
            numbers.
        epochs: int, of the whole search.
        first_step: int, steps of the run that other models took before, of an earlier stage.
    """

    def __init__(
        self,
        supernet,
        task,
        optimizer,
        order="second",
        arch_optimizer=None,
        unrolled_clip=math.inf,
        arch_clip=math.inf,
        begin=0,
        parts=(),
        masks=None,
        decides=False,
        remembers=None,
        seed=0,
        epochs=1,
        first_step=0,
        **kwargs,
    ):
        super().__init__(supernet, task, optimizer, seed, epochs, **kwargs)
        self.step.assign(first_step)
        if order not in ORDERS:
            raise ValueError(f"`order` must be one of {', '.join(ORDERS)}. Received: {order!r}.")
        self.order, self.unrolled_clip, self.arch_clip, self.begin = order, unrolled_clip, arch_clip, begin
        self.warming_up = begin > 0
        self._hooks = {hook: overriding(parts, hook) for hook in HOOKS}
        for hook in SINGLE:
            if len(self._hooks[hook]) > 1:
                raise ValueError(f"`parts` may hold one part that overrides {hook!r}.")
        self.shapes = {name: choices.shape(table) for name, table in supernet.choices.items()}
        size = sum(math.prod(shape) for shape in self.shapes.values())  # all tables as one vector
        deviation = next((part.start_deviation for part in parts if part.start_deviation is not None), 1e-3)
        start = keras.initializers.RandomNormal(0.0, deviation, seed=seed)
        self.alphas = self.add_weight(name="alphas", shape=(size,), initializer=start)
        existing = np.concatenate([choices.mask(table).ravel() for table in supernet.choices.values()])
        self.mask = self.kept = None
        if decides:
            rows = sum(rows for rows, _ in self.shapes.values())
            self.kept = self.add_weight(name="kept", shape=(rows,), initializer="ones", trainable=False)
            self.decisions = self.add_weight(name="decisions", shape=(), initializer="zeros", trainable=False)
        if decides or masks is not None or not existing.all():
            allowed = np.concatenate([np.ravel(masks[name]) for name in self.shapes]) if masks else existing
            start = keras.initializers.Constant((existing & allowed.astype(bool)).astype(float))
            self.mask = self.add_weight(name="mask", shape=(size,), initializer=start, trainable=False)
        self.arch_optimizer = arch_optimizer or optimizers.Adam(3e-4, (0.5, 0.999), 1e-3, name="arch_adam")
        self.arch_optimizer.build(size)
        self.stopped_after = None  # how many epochs were done when a part stopped the search; 0 before that
        if self._hooks["stop"]:
            self.stopped_after = self.add_weight(
                name="stopped_after", shape=(), dtype="int64", initializer="zeros", trainable=False
            )
        self.memory = None if remembers is None else robust_darts.Memory(size, **remembers)
        self.arch_step = self.step
        if begin or first_step:
            self.arch_step = self.add_weight(
                name="arch_step", shape=(), dtype="int64", initializer="zeros", trainable=False
            )
        self.valid_loss_metric = keras.metrics.Mean(name="arch_loss")
        self.built = True

    def _make_passes(self):
        super()._make_passes()
        axes, passed = (None, None, (self.task.axes, None), None), (self.merged_pass, FIRST)
        self._both = self.shared(self.both_gradients, axes, (SUM, SUM, passed))
        self._architecture = self.shared(self.architecture_gradient, axes, (SUM, (MEAN, GATHER)))
        self._perturbed = self.shared(self.perturbed_gradient, axes, (SUM, passed))
        self._quotient = self._architecture
        if precision.mixed(self.network):
            self._quotient = self.shared(self.exact_architecture_gradient, axes, (SUM, (MEAN, GATHER)))

    @property
    def progress(self):
        """How much of the search is done, from 0 to 1; it stays at 1 while decisions follow."""
        return super().progress if self.kept is None else tf.minimum(super().progress, 1)

    @property
    def supernet(self):
        """The network that is searched."""
        return self.network

    @property
    def choices(self):
        """The choices that the architecture consists of: table of mixing weights to a tuple of `Choice`."""
        return self.supernet.choices

    @property
    def over(self):
        after = 0 if self.stopped_after is None else int(self.stopped_after.numpy())
        taken = int(self.memory.named.numpy()) + 1 if self._named else after
        return {"stopped_after_epoch": after, "genotype_of_epoch": taken} if after else None

    @property
    def _named(self):
        """Whether a part has named the epoch whose architecture is the search's."""
        return self.memory is not None and self.memory.named.numpy() != robust_darts.NOTHING

    def take_best(self):
        """Sets the architecture parameters to those of the epoch that a part named, if one did."""
        if self._named:
            self.alphas.assign(self.memory.named_alphas())

    def rewound(self):
        """The variables that a search that goes back sets: weights, statistics, architecture, their optimizers."""
        layers = (self.supernet, self.weight_optimizer, self.arch_optimizer, self.task)
        decay = self.weight_optimizer.weight_decay
        found = [variable for layer in layers for variable in layer.variables if variable is not decay]
        return [*found, self.alphas, *([self.arch_step] if self.arch_step is not self.step else [])]

    def moment(self, part):
        """The `Moment` of this step's passes on a training or a validation batch; None if no part asks for it."""
        if not (self._hooks["mixing"] or self._hooks["perturb"]):
            return None
        seed = tf.constant(self.seed + (1 + part) * _PARTS_STREAM, tf.int64)
        return Moment(tf.stack([seed, self.step.value]), self.progress)

    def tables(self, alphas):
        """Cuts the vector of architecture parameters into tables: name to `(choices, candidates)`."""
        parts = tf.split(alphas, [math.prod(shape) for shape in self.shapes.values()])
        return {name: tf.reshape(part, shape) for (name, shape), part in zip(self.shapes.items(), parts)}

    def masked_tables(self, alphas):
        """The same, with minus infinity where a candidate does not exist or is masked."""
        if self.mask is not None:
            alphas = tf.where(self.mask.value > 0, alphas, tf.constant(-np.inf, alphas.dtype))
        return self.tables(alphas)

    def of_operations(self, tables):
        """Those of some tables that belong to choices between operations, which parts see."""
        return {name: table for name, table in tables.items() if not self.choices[name][0].of_inputs}

    def mixing_of(self, alphas, moment=None):
        """The mixing weights of architecture parameters.

        Args:
            alphas: all parameters as one vector.
            moment: `Moment` of a pass in training; None for validation.

        Returns:
            A dictionary from table to weights.
        """
        return self._weighed(alphas, lambda part, tables: part.mixing(tables, moment))

    def mixing(self):
        """The weights by which candidates are ranked and shown, as they are now: table to weights."""
        return self._weighed(self.alphas.value, lambda part, tables: part.strengths(tables))

    def _weighed(self, alphas, weigh):
        tables = self.masked_tables(alphas)
        if not self._hooks["mixing"]:
            mixing = softmax(tables)
            return mixing if self.kept is None else self._of_kept_edges(mixing)
        own = self.of_operations(tables)
        rest = softmax({name: table for name, table in tables.items() if name not in own})
        return weigh(self._hooks["mixing"][0], own) | rest

    def _of_kept_edges(self, mixing):
        """Mixing weights whose rows are 0 where an edge was dropped."""
        kept = tf.split(self.kept.value, [rows for rows, _ in self.shapes.values()])
        return {name: table * rows[:, None] for (name, table), rows in zip(mixing.items(), kept)}

    def decided(self):
        """What choices may still be and which edges are there: two dictionaries from table to bools."""
        rows = np.cumsum([rows for rows, _ in self.shapes.values()])[:-1]
        kept = dict(zip(self.shapes, np.split(self.kept.numpy() > 0, rows)))
        return {name: table.numpy() > 0 for name, table in self.tables(self.mask.value).items()}, kept

    def set_decided(self, mask, kept):
        """Sets what `decided` gives."""
        self.mask.assign(np.concatenate([mask[name].ravel() for name in self.shapes]).astype(float))
        self.kept.assign(np.concatenate([kept[name] for name in self.shapes]).astype(float))

    def pass_on(self, weights, mixing, inputs, statistics=None):
        """Runs the supernet in training.

        Args:
            weights: one vector.
            mixing: dictionary from table to mixing weights.
            inputs: what `task.inputs` gave.
            statistics: as in `Call`.

        Returns:
            The loss, the `Pass`, and the new values of the network's other variables, as `Call.state` has them.
        """
        call = Call(self.supernet, weights, mixing, statistics=statistics)
        total, result = self.task.loss(call, inputs)
        return total, result, call.state

    def both_gradients(self, weights, alphas, batch, statistics=None):
        """Gradients for weights and architecture, then the `Pass` without labels, and the network's other variables.

        Args:
            weights, alphas: vectors.
            batch: what `task.inputs` gave, and the `Moment`.
            statistics: as in `Call`.
        """
        inputs, moment = batch
        with tf.GradientTape() as tape:
            tape.watch([weights, alphas])
            loss, result, state = self.pass_on(weights, self.mixing_of(alphas, moment), inputs, statistics)
        return *self.differentiate(tape, loss, [weights, alphas]), (result._replace(labels=None), state)

    def architecture_gradient(self, weights, alphas, batch, statistics=None):
        """Gradient for the architecture; then the loss without penalties, and what is carried on."""
        inputs, moment = batch
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(alphas)
            loss, result, _ = self.pass_on(weights, self.mixing_of(alphas, moment), inputs, statistics)
        (gradient,) = self.differentiate(tape, loss, [alphas])
        return gradient, (result.loss, result.carry)

    def exact_architecture_gradient(self, weights, alphas, batch, statistics=None):
        """The same, computed in float32: what the second order subtracts differs in digits that 16 bits do not have."""
        with precision.exact(self.supernet):
            return self.architecture_gradient(weights, alphas, batch, statistics)

    def perturbed_gradient(self, weights, alphas, batch, statistics=None):
        """Gradient for the weights under perturbed mixing weights; then as `both_gradients`."""
        inputs, moment = batch
        mixing = self.mixing_of(alphas, moment)

        def loss_of(changed):
            call = Call(self.supernet, weights, mixing | changed, statistics=statistics)
            with precision.exact(self.supernet):
                return self.task.loss(call, inputs, training=False)[0]

        for part in self._hooks["perturb"]:
            mixing = mixing | part.perturb(self.of_operations(mixing), loss_of, moment)
        mixing = tf.nest.map_structure(tf.stop_gradient, mixing)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss, result, state = self.pass_on(weights, mixing, inputs, statistics)
        (gradient,) = self.differentiate(tape, loss, [weights])
        return gradient, (result._replace(labels=None), state)

    def hypergradient(self, weights, train, valid, scale=1.0, statistics=None):
        """Gradient for the architecture parameters, and of the pass on validation data the loss and what it carries on.

        Args:
            weights: one vector.
            train, valid: of either batch what `task.inputs` gave, and the `Moment`.
            scale: of the learning rate, as in `descend`.
            statistics: as in `Call`.
        """
        alphas, sgd = self.alphas.value, self.weight_optimizer
        if self.order == "first":
            return self._architecture(weights, alphas, valid, statistics)
        sound = []
        result = hypergradient.second_order(
            lambda *arguments: self._sound_both(sound, *arguments, statistics),
            lambda *arguments: self._quotient(*arguments, statistics)[0],
            weights,
            alphas,
            sgd.buffer.value,
            train,
            valid,
            self.learning_rate.value * scale,
            sgd.momentum,
            sgd.weight_decay,
            self.unrolled_clip,
        )
        passed, _ = result.valid
        value = tf.where(tf.reduce_all(sound), result.value, np.nan) if sound else result.value
        return value, (passed.loss, passed.carry)

    def _sound_both(self, sound, *arguments):
        """`both_gradients`; one for the weights that has overflowed in float16 becomes 0, which `sound` takes note of.

        So the loss at the weights behind the virtual step stays a number, though that step is none.
        """
        gradient, *rest = self._both(*arguments)
        if self.loss_scale is not None:
            sound.append(tf.reduce_all(tf.math.is_finite(gradient)))
            gradient = tf.where(sound[-1], gradient, 0.0)
        return gradient, *rest

    def step_architecture(self, gradient):
        """One step of Adam for the architecture parameters, the parts' penalties added to their loss."""
        alphas, adam = self.alphas.value, self.arch_optimizer
        for part in self._hooks["penalty"]:
            with tf.GradientTape() as tape:
                tape.watch(alphas)
                penalty = part.penalty(self.of_operations(self.masked_tables(alphas)), self.progress)
            gradient = gradient + tape.gradient(penalty, alphas)
        if math.isfinite(self.arch_clip):
            gradient, _ = optimizers.clip(gradient, self.arch_clip)

        def step():
            if self.arch_step is not self.step:
                self.arch_step.assign_add(1)
            return adam.update(alphas, gradient, adam.learning_rate, self.arch_step.value)

        self.alphas.assign(self.if_sound(gradient, step, alphas))

    def train_step(self, data):
        self.step.assign_add(1)
        weights, statistics, scale = self.weights_vector(), self.statistics(), self.task.rate_scale(data[0])
        if self.order != "weights" and not self.warming_up:
            train, valid = (self._inputs(data[part], part, penalized=False) for part in (TRAIN, VALID))
            gradient, (valid_loss, carried) = self.hypergradient(weights, train, valid, scale, statistics)
            self.valid_loss_metric.update_state(valid_loss)
            self.task.keep(carried, VALID)
            self.step_architecture(gradient)
        gradient, result, state = self._weight_pass(weights, self._inputs(data[TRAIN], TRAIN), statistics)
        self.descend(weights, gradient, scale)
        self.task.keep(result.carry)
        self.set_statistics(state)
        self.update_metrics(result)
        return self.results()

    def _inputs(self, batch, part, penalized=True):
        inputs = self.task.inputs(
            self.supernet, batch, lambda: self.draw(part), part, lambda: self.progress, penalized=penalized
        )
        return inputs, self.moment(part)

    def _weight_pass(self, weights, batch, statistics):
        if self._hooks["perturb"]:
            gradient, (result, state) = self._perturbed(weights, self.alphas.value, batch, statistics)
        else:
            gradient, _, (result, state) = self._both(weights, self.alphas.value, batch, statistics)
        inputs, _ = batch
        return gradient, self.labelled(result, inputs), state

    def results(self):
        values = super().results()
        stepped = self.order != "weights" and not self.warming_up
        return values | ({"arch_loss": self.valid_loss_metric.result()} if stepped else {})

    def evaluated_network(self):
        mixing = self.mixing_of(self.alphas.value)
        return Call(self.supernet, self.weights_vector(), mixing, statistics=self.statistics())

    def test_step(self, data):
        self.task.test(self.tested(), data, self.update_metrics)
        return super().results()

    def genotype(self):
        """The genotype that the architecture parameters stand for now (section 2.4)."""
        if self._hooks["select"]:
            return self._hooks["select"][0].select(self)
        return self.supernet.genotype({name: np.asarray(table) for name, table in self.mixing().items()})

    def reason_to_stop(self, logs):
        """A sentence if one of the parts wants the search to stop at the end of this epoch, else None."""
        reasons = (part.stop(self, logs) for part in self._hooks["stop"])
        return next((reason for reason in reasons if reason), None)


class WarmUp(keras.callbacks.Callback):
    """Lets a search step its weights only until the epoch that is its `begin`; then the step is traced anew."""

    def on_epoch_begin(self, epoch, logs=None):
        warming_up = int(self.model.epoch.numpy()) < self.model.begin
        if warming_up != self.model.warming_up:
            self.model.warming_up = warming_up
            self.model.make_train_function(force=True)


class Stop(keras.callbacks.Callback):
    """Stops a search at the end of an epoch when one of its parts says so."""

    def on_epoch_end(self, epoch, logs=None):
        reason = self.model.reason_to_stop(logs)
        if reason:
            print(f"stopped after epoch {epoch + 1}: {reason}")
            self.model.stopped_after.assign(epoch + 1)
            self.model.stop_training = True


def check(values):
    """Raises OptionError for options of a search that do not go together."""
    chosen.check(values)
    stages.check(values)
    if values["unrolled"] and values.get("nesterov"):
        raise OptionError("--unrolled goes with --nonesterov: its virtual step is one of plain momentum.")


def job(space, data, settings, parts=()):
    """A search as a `Job`, with the parts that its options choose and further ones.

    Args:
        space: `spaces.base.Space`.
        data: `tasks.image_data.ImageData` or `tasks.text_data.TextData`.
        settings: `options.Settings`.
        parts: `parts.Part`s.
    """
    plan, stream = stages.plan(settings), data.search(**settings.pick(data.search))

    def build(number, candidates=None, model=None):
        made = single(space, data, stream, plan[number], parts, candidates)
        if model is not None and plan[number].in_place:
            stages.take_over(model, made.model, settings.values["seed"])
        return stages.linked(made, plan, number, build)

    return build(0)


def single(space, data, stream, stage, parts, candidates=None):
    """A search on one supernet, as a `Job`.

    Args:
        space, data, parts: as in `job`.
        stream: what `data.search` gave.
        stage: `stages.Stage`.
        candidates: dictionary from kind of cell to the candidates of each edge; None for those of the options.
    """
    settings = stage.settings
    parts = (*chosen.parts(space, settings), *parts)
    restricted = {} if candidates is None else {"candidates": candidates}
    with precision.policy(settings.precision):
        supernet = space.supernet(data.inputs, **edges_of(space, parts), **restricted, **settings.pick(space.supernet))
    cell_functions.use(supernet, **settings.pick(cell_functions.use))
    task = data.search_task(supernet, **dropout_of(stage), **settings.pick(data.search_task))
    back = next((part for part in parts if isinstance(part, robust_darts.Adaptive)), None)
    sgd = optimizers.Sgd(**space.weight_sgd(**settings.pick(space.weight_sgd)), decay_varies=back is not None)
    clip = sgd.grad_clip if space.clips_virtual_step else math.inf
    shared, first_step = devices.chosen(**settings.pick(devices.chosen)), stage.first_epoch * stream.steps
    model = search(supernet, task, sgd, clip, parts, first_step, shared, **settings.pick(search))
    schedule = optimizers.schedule(**settings.pick(optimizers.schedule))
    states = back and back.states
    callbacks = (
        WarmUp(),
        *([robust_darts.GoBack(states)] if states else []),
        Monitor(),
        *space.search_callbacks(**settings.pick(space.search_callbacks)),
        *costly(stream, **settings.pick(costly)),
        Stop(),
    )
    made = Job(model, stream.batches, stream.steps, schedule, stream.validation, callbacks, states=states)
    return darts_pt.projected(made, **settings.pick(darts_pt.projected)) if model.kept is not None else made


def dropout_of(stage):
    """What `data.search_task` takes for a stage's dropout behind skip connections; a dictionary."""
    values = stage.settings.values
    probability = p_darts.skip_dropout(stage.skip_dropout, values["epochs"], values["arch_begin"])
    return {"skip_dropout": probability} if probability else {}


def edges_of(space, parts):
    """What `space.supernet` takes for the parts that bring a class of edges; a dictionary.

    Raises:
        ValueError: if there is more than one, or the space's supernet takes none.
    """
    brought = [part.edges for part in parts if part.edges is not None]
    if not brought:
        return {}
    if len(brought) > 1 or not chosen.takes_edges(space):
        raise ValueError(
            f"`parts` may hold one part with `edges`, in a space that takes them; {space.name} is searched."
        )
    return {"edges": brought[0]}


def search(
    supernet,
    task,
    sgd,
    unrolled_clip,
    parts,
    first_step,
    shared,
    *,
    unrolled,
    arch_learning_rate,
    arch_weight_decay,
    arch_beta_1,
    arch_grad_clip,
    arch_begin,
    select="magnitude",
    monitors="",
    stop="none",
    stop_delta=robust_darts.DELTA,
    stop_start=robust_darts.START,
    seed,
    epochs,
):
    """A compiled `Darts` by options."""
    adam = optimizers.Adam(arch_learning_rate, (arch_beta_1, 0.999), arch_weight_decay, name="arch_adam")
    order, clips = "second" if unrolled else "first", {"unrolled_clip": unrolled_clip}
    clips["arch_clip"] = arch_grad_clip or math.inf
    options = clips | {"begin": arch_begin, "parts": parts, "decides": select == "perturbation"}
    if "eigenvalue" in asked(monitors, stop):
        options["remembers"] = {"delta": stop_delta, "start": stop_start}
    options |= {"seed": seed, "epochs": epochs, "devices": shared}
    model = Darts(supernet, task, sgd, order, adam, **options, first_step=first_step)
    model.compile(jit_compile=False)  # XLA compiles the cells, if asked
    return model


def costs(space, task, inputs, settings):
    """What the network that is searched costs, as a dictionary; arguments as in `job`, `task` from `tasks.load`.

    Of several stages, it is the one that takes most memory, if each edge keeps the last of its candidates.
    """
    parts, found, candidates, supernet = chosen.parts(space, settings), [], {}, None
    for stage in stages.plan(settings):
        if stage.keep:
            candidates = {"candidates": stages.last(supernet.choices, stage.keep)}
        own = stage.settings
        with precision.policy(settings.precision):
            supernet = space.supernet(inputs, **edges_of(space, parts), **candidates, **own.pick(space.supernet))
        if settings.values["unrolled"]:  # two of whose passes are in float32
            precision.make_exact(supernet)
        cell_functions.use(supernet, **own.pick(cell_functions.use))
        mixing = {name: choices.uniform(table) for name, table in supernet.choices.items()}
        found.append(task.costs(supernet, inputs, space.search_memory, {"mixing": mixing}, **own.pick(task.costs)))
    return max(found, key=lambda each: each["peak_memory_estimate_bytes"])


def random(space, settings):
    """Genotypes drawn uniformly from what a search could find, `settings.samples` of them."""
    return space.random(settings.values["samples"], settings.values["seed"], **settings.pick(space.random))
