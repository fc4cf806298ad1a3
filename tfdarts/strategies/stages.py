"""Searches in stages: after each, the edges keep their strongest candidates, and a larger network goes on with these.

P-DARTS (Chen et al. 2019, arXiv:1904.12760) makes the network deeper, and begins each stage afresh. DrNAS (Chen et al.
2021, arXiv:2006.10355, section 4) lets operations see more of the channels, and goes on with what has been learnt.
"""

import typing

import numpy as np

from tfdarts import naming, optimizers
from tfdarts.errors import UserError
from tfdarts.operations import LOCATIONS
from tfdarts.options import OptionError, Settings
from tfdarts.strategies.monitors import RISES
from tfdarts.training.job import Following

KINDS = ("normal", "reduce")


class Stage(typing.NamedTuple):
    """One stage of a search.

    Attributes:
        settings: its options.
        first_epoch: epoch of the run that it begins with.
        keep: how many candidates an edge has at most; None for all.
        in_place: whether it goes on with the weights of the stage before, and counts epochs from the run's first.
        skip_dropout: rate of the dropout behind skip connections.
    """

    settings: Settings
    first_epoch: int = 0
    keep: int | None = None
    in_place: bool = False
    skip_dropout: float = 0.0


def plan(settings):
    """The stages of a search, a tuple of `Stage`; a single one where none are asked for."""
    values = settings.values
    if values.get("stages", "none") == "none":
        return (Stage(settings),)
    keep = (None, *_numbers("stage_candidates", values["stage_candidates"], int))
    count, in_place = len(keep), values["stages"] == "in_place"
    lists = {"layers": values["stage_layers"], "partial_channels": values["stage_partial_channels"]}
    lists = {name: _numbers(f"stage_{name}", text, int, count) for name, text in lists.items() if text}
    dropout = (0.0,) * count
    if values["skip_dropout"]:
        dropout = _numbers("skip_dropout", values["skip_dropout"], float, count)
    epochs, rest = divmod(values["epochs"], count)
    if rest:
        raise OptionError(f"--epochs must be a multiple of the {count} stages. Received: {values['epochs']}.")
    if values["arch_begin"] >= epochs:
        raise OptionError(
            f"--arch_begin must be below the {epochs} epochs of a stage, or the architecture never learns. "
            f"Received: {values['arch_begin']}."
        )
    result = []
    for number in range(count):
        own, first = {name: numbers[number] for name, numbers in lists.items()}, number * epochs
        own |= {"arch_begin": first + values["arch_begin"]} if in_place else {"epochs": epochs}
        result.append(Stage(settings.but(**own), first, keep[number], in_place, dropout[number]))
    return tuple(result)


def check(values):
    """Raises OptionError for options that do not go together; the rest is found by `plan`."""
    if values.get("stages", "none") == "none":
        return
    if not values["stage_candidates"]:
        raise OptionError(f"--stages {values['stages']} needs --stage_candidates: how many an edge keeps, as in 5,3.")
    if values["stop"] in RISES:
        raise OptionError(f"--stages does not go with --stop {values['stop']}, which looks back over one supernet.")
    if values["select"] == "perturbation":
        raise OptionError("--stages does not go with --select perturbation, which goes on with one supernet.")
    if "after" in LOCATIONS[values["location"]]:
        raise OptionError(
            f"--stages does not go with --location {values['location']}: edges come to differ in their candidates, "
            "which they may not where attention follows."
        )
    if values["stages"] == "in_place" and values["mixing"] == "gumbel":
        raise OptionError("--stages in_place does not go with --mixing gumbel, whose edges keep one vector of weights.")
    if values["skip_dropout"] and values["mixing"] == "gumbel":
        raise OptionError(
            "--skip_dropout does not go with --mixing gumbel, which computes skip connections when drawn."
        )
    channels = values["init_channels"]
    for stage in plan(Settings("search", None, "", values)):
        share = stage.settings.values["partial_channels"]
        if channels % share:
            raise OptionError(
                f"--init_channels must be a multiple of every number of --stage_partial_channels, {share} too. "
                f"Received: {channels}."
            )


def _numbers(name, text, kind, count=None):
    """The numbers of a list such as `5,3`; `count` is how many there must be, None for any."""
    try:
        found = tuple(kind(word) for word in text.split(","))
    except ValueError:
        found = ()
    smallest, largest = (1, np.inf) if kind is int else (0, 1)
    wrong = not found or count not in (None, len(found)) or not all(smallest <= n < largest for n in found)
    if wrong:
        how_many = "numbers" if count is None else f"{count} numbers, one a stage"
        what = f"{how_many} from 1 on" if kind is int else f"{how_many} from 0 to below 1"
        raise OptionError(f"--{name} must be {what}, separated by commas. Received: {text!r}.")
    return found


def linked(job, stages, number, build):
    """A stage's job that knows when it begins and what follows it.

    Args:
        job: `Job` of the stage.
        stages: what `plan` gave.
        number: of the stage, from 0.
        build: function of the next number, its candidates, and the model that ends or None; the next `Job`.
    """
    own = stages[number]
    job = job._replace(first=0 if own.in_place else own.first_epoch)
    if number + 1 == len(stages):
        return job
    after = stages[number + 1]

    def hand_on():
        return {"first_epoch": after.first_epoch, "candidates": kept(job.model, after.keep)}

    def following(handed, model):
        if handed["first_epoch"] != after.first_epoch:
            raise UserError("the second stage of this run has begun, so that --epochs can no longer grow; leave it out")
        candidates = {kind: tuple(map(tuple, handed["candidates"][kind])) for kind in KINDS}
        what = f"{after.settings.values['layers']} cells, at most {after.keep} candidates an edge"
        print(f"stage {number + 2} of {len(stages)}: {what}", flush=True)
        return build(number + 1, candidates, model)

    return job._replace(following=Following(after.first_epoch, hand_on, following))


def kept(search, count):
    """The strongest candidates of every edge, in their order, by the weights as they are now.

    Args:
        search: `Darts`.
        count: how many an edge keeps at most.

    Returns:
        A dictionary from kind of cell to a list of names for each edge.
    """
    mixing = {kind: np.asarray(table) for kind, table in search.mixing().items()}
    return {
        kind: [strongest(row, choice.candidates, count) for row, choice in zip(mixing[kind], search.choices[kind])]
        for kind in KINDS
    }


def strongest(weights, names, count):
    """The `count` names that weigh most, in their order; of equal ones the last. One at least is not `none`."""
    order = np.argsort(np.asarray(weights)[: len(names)], kind="stable")
    chosen = sorted(order[max(0, len(names) - count) :])
    found = [names[k] for k in chosen]
    if found == ["none"]:
        found = [names[order[-2]]]
    return found


def last(choices, count):
    """The last candidates of every edge, as `kept` gives them."""
    return {kind: tuple(choice.candidates[-count:] for choice in choices[kind]) for kind in KINDS}


def take_over(before, after, seed):
    """Sets a search to what another one has: weights, statistics, momenta, architecture, where both have them.

    Where the other's operations have fewer channels, each further one begins as a copy of one of them, chosen at
    random.

    Args:
        before, after: `Darts`; the candidates of `after` are among those of `before`.
        seed: int, of what is copied.
    """
    names, ours = naming.named(before.network), naming.named(after.network)
    generator, places = np.random.default_rng([seed, after.step.numpy()]), {}

    def widened(array, shape):
        for axis, (size, wanted) in enumerate(zip(array.shape, shape)):
            if size != wanted:
                if (size, wanted) not in places:
                    copies = generator.integers(size, size=wanted - size)
                    places[size, wanted] = np.concatenate([np.arange(size), copies])
                array = np.take(array, places[size, wanted], axis)
        return array

    shapes = {name: np.empty(variable.shape)[index].shape for name, (variable, index) in ours.items()}
    values = naming.read(names)
    naming.assign(ours, {name: widened(values[name], shape) for name, shape in shapes.items()})
    theirs, variables = before.network.trainable_variables, after.network.trainable_variables
    momenta = naming.arrays(names, theirs, optimizers.unflatten(before.weight_optimizer.buffer.value, theirs))
    vectors = {id(variable): np.zeros(variable.shape, variable.dtype) for variable in variables}
    for name, (variable, index) in ours.items():
        if id(variable) in vectors:
            vectors[id(variable)][index] = widened(momenta[name], shapes[name])
    after.weight_optimizer.buffer.assign(optimizers.flatten([vectors[id(variable)] for variable in variables]))
    adams = before.arch_optimizer, after.arch_optimizer
    for old, new in ((before.alphas, after.alphas), *((getattr(adams[0], m), getattr(adams[1], m)) for m in "mv")):
        new.assign(_chosen(old, before, new, after))
    after.arch_step.assign(before.arch_step.value)


def _chosen(old, before, new, after):
    """The entries of one vector over all candidates of `before` that are candidates of `after`, as a vector of its."""
    theirs, ours = before.tables(old.value), {name: np.array(t) for name, t in after.tables(new.value).items()}
    for name, table in ours.items():
        for row, (choice, other) in enumerate(zip(after.choices[name], before.choices[name])):
            columns = [other.candidates.index(candidate) for candidate in choice.candidates]
            table[row, : len(columns)] = np.asarray(theirs[name])[row, columns]
    return np.concatenate([table.ravel() for table in ours.values()])
