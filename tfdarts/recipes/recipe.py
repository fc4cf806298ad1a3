"""What a recipe is: a name for a paper's hyperparameters, as a difference from another."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Hyperparameters by name.

    Attributes:
        name: of the recipe.
        doc: command, time, expected result, source.
        space: name of its space.
        strategy: name of the strategy that it searches by; None if it is for training only.
        base: name of the recipe that it differs from; None for a space's own defaults.
        search, train: what differs from the defaults of the space's options, as dictionaries.
        stages: `"search"`, `"train"`, or both.
        changes: for each stage, what differs from the base.
        arch: name of the shipped genotype that training takes where none is named, as the paper's program does; None if
            one must be named.
    """

    name: str
    doc: str
    space: str
    strategy: str | None
    base: str | None = None
    search: dict = dataclasses.field(default_factory=dict)
    train: dict = dataclasses.field(default_factory=dict)
    stages: tuple = ("search", "train")
    changes: dict = dataclasses.field(default_factory=dict)
    arch: str | None = None

    def but(self, name, doc, search=None, train=None, stages=None, arch=None):
        """A recipe that differs from this one in some options of the stages, and in what it trains."""
        changes = {"search": search or {}, "train": train or {}}
        return dataclasses.replace(
            self,
            name=name,
            doc=doc,
            base=self.name,
            search=self.search | changes["search"],
            train=self.train | changes["train"],
            stages=stages or self.stages,
            changes=changes,
            arch=arch,
        )
