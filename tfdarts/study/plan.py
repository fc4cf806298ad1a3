"""What a study does: which searches, which choice between what they find, which trainings."""

import dataclasses
import pathlib
import re

from tfdarts import api, spaces, tasks
from tfdarts.errors import UserError
from tfdarts.runs import environment
from tfdarts.spaces import genotypes
from tfdarts.study import runs
from tfdarts.study.runs import Run
from tfdarts.training import trainer

RANDOM = "random"
# By task: the result that is compared, the one that is chosen by after a short training, whether more is better.
SCORES = {
    "images": ("test_accuracy_percent", "validation_accuracy_percent", True),
    "text": ("test_perplexity", "valid_perplexity", False),
}
_DRAWS_PER_CELL = 25  # so many random cells are tried for each that is to lie within the budget


@dataclasses.dataclass(frozen=True)
class Strategy:
    """A way to search that a study compares.

    Attributes:
        label: as the user wrote it.
        name: of its folder.
        words: flags of its searches, but for the seed; empty for cells drawn at random.
    """

    label: str
    name: str
    words: tuple

    @property
    def drawn(self):
        """Whether its cells are drawn at random instead of searched."""
        return self.label == RANDOM


@dataclasses.dataclass(frozen=True)
class Cell:
    """A genotype that was found or drawn.

    Attributes:
        owner: name of its strategy, or `"baseline"` for the random cells that all are compared with.
        number: the seed of its search, or its number among the drawn ones.
        path: of its JSON file.
    """

    owner: str
    number: int
    path: pathlib.Path

    @property
    def name(self):
        return f"{self.owner}_{self.number}"


BASELINE = "baseline"


@dataclasses.dataclass(frozen=True)
class Plan:
    """The options of a study.

    Attributes:
        strategies: tuple of `Strategy`.
        seeds: searches of each.
        select: how one cell of each strategy is chosen: `"short"` by a short training, `"best"` by the search's own
            validation, `"all"` for no choice.
        select_epochs: of a short training.
        hold_out: share of the training images on which short trainings are scored.
        train_seeds: full trainings of each cell.
        random: number of random cells to compare with.
        budget: dictionary from `"parameters"` or `"multiply_adds"` to the most that a cell's network may have.
        train_words: flags of all trainings.
        search: `Settings` of the searches, from which random cells are drawn.
        train: `Settings` of the trainings.
    """

    strategies: tuple
    seeds: int
    select: str
    select_epochs: int
    hold_out: float
    train_seeds: int
    random: int
    budget: dict
    train_words: tuple
    search: object
    train: object

    @property
    def task(self):
        """`"images"` or `"text"`."""
        return spaces.load(self.train.space).task

    @property
    def expected(self):
        """How many runs there will be of each kind, if none fails and no cell is above the budget; a dictionary."""
        found = self.seeds * len(self.strategies)
        trained = found if self.select == "all" else len(self.strategies)
        return {
            "search": self.seeds * sum(not strategy.drawn for strategy in self.strategies),
            "short": 0 if self.select == "best" else found + self.random,
            "full": self.train_seeds * (trained + self.random),
        }


class Study:
    """A plan in a folder, and how far it is.

    Args:
        plan: `Plan`.
        folder: `pathlib.Path`, which exists.
    """

    def __init__(self, plan, folder):
        self.plan, self.folder = plan, folder
        self._costs = {}
        for owner, count, seed in self._draws():
            self._draw(owner, count, seed)

    def place(self, run):
        """The folder of a run's logs."""
        return self.folder / "runs" / run.name

    def finished(self, run):
        """The folder of a run that has ended as it should, or None."""
        return runs.finished(self.place(run), run.stage)

    def runs(self, failed=()):
        """All runs that can be named so far: those that depend on others only once these have ended.

        Trainings come first, and searches seed by seed, so that early results are of all strategies.

        Args:
            failed: names of the runs that have failed.
        """
        plan = self.plan
        result = []
        if plan.select != "best":
            result += [self.short(cell) for owner in self.owners() for cell in self.cells(owner)]
        trained = [cell for strategy in plan.strategies for cell in self.chosen(strategy, failed) or ()]
        trained += self.cells(BASELINE)
        result += [self.full(cell, seed) for cell in trained for seed in range(plan.train_seeds)]
        searched = [strategy for strategy in plan.strategies if not strategy.drawn]
        return result + [self.search(strategy, seed) for seed in range(plan.seeds) for strategy in searched]

    def owners(self):
        """Names of the strategies, and the random cells'."""
        return [*(strategy.name for strategy in self.plan.strategies), BASELINE]

    def search(self, strategy, seed):
        """The search of a strategy with a seed."""
        return Run(f"{strategy.name}/search_{seed}", "search", (*strategy.words, "--seed", str(seed)), "search")

    def short(self, cell):
        """The short training of a cell, on whose held out images it is scored."""
        own = ["--epochs", str(self.plan.select_epochs)]
        if self.plan.task == "images":
            own += ["--hold_out", str(self.plan.hold_out)]
        return self._training(f"{cell.owner}/short_{cell.number}", cell, 0, own, "short")

    def full(self, cell, seed):
        """A full training of a cell."""
        return self._training(f"{cell.owner}/full_{cell.number}_{seed}", cell, seed, [], "full")

    def _training(self, name, cell, seed, own, kind):
        words = (*self.plan.train_words, "--genotype_file", str(cell.path), "--seed", str(seed), *own)
        return Run(name, "train", words, kind)

    def cells(self, owner):
        """The cells of a strategy, or the random ones, that there are; those above the budget are left out."""
        strategies = {strategy.name: strategy for strategy in self.plan.strategies if not strategy.drawn}
        if owner not in strategies:
            count = self.plan.random if owner == BASELINE else self.plan.seeds
            return [Cell(owner, number, self._drawn(owner, number)) for number in range(count)]
        searches = {seed: self.finished(self.search(strategies[owner], seed)) for seed in range(self.plan.seeds)}
        found = [Cell(owner, seed, place / "genotype.json") for seed, place in searches.items() if place]
        return [cell for cell in found if self.affordable(genotypes.load(cell.path, self.plan.train.space))]

    def chosen(self, strategy, failed=()):
        """The cells of a strategy that are trained fully; None while that cannot be told yet.

        Args:
            strategy: `Strategy`.
            failed: names of the runs that have failed.
        """
        searches = [] if strategy.drawn else [self.search(strategy, seed) for seed in range(self.plan.seeds)]
        cells = self.cells(strategy.name)
        if self.plan.select == "all":
            return cells
        if self.plan.select == "short":
            scores = {cell: self.short_score(cell) for cell in cells}
            undecided = [*searches, *map(self.short, cells)]
        else:
            scores = {cell: self.own_score(cell) for cell in cells}
            undecided = searches
        if not all(run.name in failed or self.finished(run) for run in undecided):
            return None
        scored = [cell for cell in cells if scores[cell] is not None]
        return [max(scored, key=scores.get)] if scored else []

    def short_score(self, cell):
        """What the short training of a cell reached, the higher the better; None before its end."""
        _, name, higher = SCORES[self.plan.task]
        place = self.finished(self.short(cell))
        value = runs.read_json(place / "results.json")[name] if place else None
        return value if value is None or higher else -value

    def own_score(self, cell):
        """What the search that found a cell says of it, the higher the better; None of a drawn one."""
        return None if cell.path.parent == self.folder / "cells" else runs.own_score(cell.path.parent)

    def affordable(self, genotype):
        """Whether a genotype's network lies within the budget."""
        if not self.plan.budget:
            return True
        text = genotype.to_json()
        if text not in self._costs:
            space, settings = spaces.load(self.plan.train.space), self.plan.train
            task = tasks.load(space.task)
            inputs = task.known_inputs(**settings.pick(task.known_inputs))
            settings = settings.but(**space.options_of(genotype))
            self._costs[text] = trainer.costs(space, task, inputs, genotype, settings)
            environment.forget(0)
        return all(self._costs[text][name] <= most for name, most in self.plan.budget.items())

    def _draws(self):
        """Which random cells there are to be: whose, how many, by which seed."""
        drawn = [(strategy.name, self.plan.seeds, 1) for strategy in self.plan.strategies if strategy.drawn]
        return [*drawn, (BASELINE, self.plan.random, 0)]

    def _drawn(self, owner, number):
        """The file of a random cell."""
        return self.folder / "cells" / f"{owner}_{number}.json"

    def _draw(self, owner, count, seed):
        paths = [self._drawn(owner, number) for number in range(count)]
        if all(path.is_file() for path in paths):
            return
        limit = count * _DRAWS_PER_CELL + 1 if self.plan.budget else count
        tried = api.run_random(self.plan.search.but(strategy=RANDOM, samples=limit, seed=seed))
        kept = []
        for number, genotype in enumerate(tried):
            if len(kept) == count:
                break
            if number == (1 + len(kept)) * _DRAWS_PER_CELL:
                limits = ", ".join(f"{name}<={most:g}" for name, most in self.plan.budget.items())
                raise UserError(f"of {number} random cells only {len(kept)} are within {limits}; raise the budget")
            if self.affordable(genotype):
                kept.append(genotype)
        paths[0].parent.mkdir(parents=True, exist_ok=True) if paths else None
        for path, genotype in zip(paths, kept):
            path.write_text(genotype.to_json())


def budget_of(text):
    """A budget from `"parameters<=100000,multiply_adds<=2e6"`, as a dictionary.

    Raises:
        UserError: for another form.
    """
    result = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.fullmatch(r"(parameters|multiply_adds)\s*<=\s*([0-9.]+(?:e\+?\d+)?)", part)
        if not match:
            raise UserError(f"--budget {text}: write it as parameters<=100000,multiply_adds<=2e6, or one of the two")
        result[match[1]] = float(match[2])
    return result
