"""Searches a cell by DARTS or ENAS: `tfdarts search --unrolled`, or `--recipe digits` for a first try.

Writes `logs/search_arch/<time>/`: the genotype of every epoch, metrics, TensorBoard events, a checkpoint.
"""

import json

from absl import flags

from tfdarts import api, spaces, strategies, tasks
from tfdarts.cli import commands
from tfdarts.cli import flags as cli
from tfdarts.cli.recipes import table
from tfdarts.errors import UserError
from tfdarts.report import drawing
from tfdarts.runs import checkpoint, environment


def main():
    """The command `tfdarts search`, and `search_cell.py`."""
    cli.run(search, define())


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    cli.define(values, "search")
    flags.DEFINE_bool(
        "derive",
        False,
        "without further training, draw --derive_num_sample architectures of the run to --resume, and keep the best",
        flag_values=values,
    )
    return values


def search(values, _):
    """Searches as the flags say; or only draws, derives or tells the costs."""
    if values.derive:
        return derive(values)
    settings, remembered = cli.settings(values, "search")
    if values.show:
        return print(table(settings))
    environment.configure(**settings.pick(environment.configure))
    if settings.strategy == "random":
        return draw(values, settings)
    space = spaces.load(settings.space)
    task, strategy = tasks.load(space.task), strategies.load(settings.strategy)
    if values.dry_run:
        inputs = task.known_inputs(**settings.pick(task.known_inputs))
        return print(json.dumps(strategy.costs(space, task, inputs, settings)))
    data = task.load(remembered=remembered, **settings.pick(task.load))
    space_info = space.remembered(**settings.pick(space.remembered))
    cli.check_remembered(values, space_info)
    job = strategy.job(space, data, settings)
    config = settings.to_config() | {"data_info": data.remembered, "space_info": space_info}
    folder = cli.start_run(values, config)
    print(f"searching the space {settings.space}, {how(settings)}, run in {folder.folder}")
    found = api.fit_search(job, settings, folder)
    finish(folder, found.genotype, settings)
    if found.stopped:
        after, taken = found.stopped["stopped_after_epoch"], found.stopped["genotype_of_epoch"]
        print(f"the search stopped after epoch {after}, with the genotype of epoch {taken}")


def how(settings):
    """The strategy of a search, for people."""
    if settings.strategy == "darts":
        return f"{'second' if settings.values['unrolled'] else 'first'} order"
    return {"enas": "by a controller", "random_ws": "by uniform draws with shared weights"}[settings.strategy]


def derive(values):
    """`--derive`: writes the best of the architectures that a run's controller draws now, as `derived.json`."""
    others = [f"--{name}" for name in cli.given(values, "search") if name != "derive_num_sample"]
    if values.resume is None or values.dry_run or others:
        raise UserError(
            "--derive goes with --resume, the folder of a search by --strategy enas or random_ws, and if you like "
            "--derive_num_sample and --logdir; leave out all else"
        )
    settings, remembered = cli.settings(values, "search")
    if settings.strategy not in ("enas", "random_ws"):
        raise UserError(f"--derive needs a search by --strategy enas or random_ws, not {settings.strategy}")
    environment.configure(**settings.pick(environment.configure))
    space = spaces.load(settings.space)
    task = tasks.load(space.task)
    data = task.load(remembered=remembered, **settings.pick(task.load))
    learner = strategies.load(settings.strategy).job(space, data, settings).model
    folder = cli.start_run(values, None)
    if checkpoint.restore(folder, learner)[0] is None:
        raise UserError(f"{folder.folder} has no checkpoint yet, so there is nothing to derive from")
    finish(folder, learner.genotype(), settings, "derived")
    print(json.dumps(learner.rewards()))


def draw(values, settings):
    """`--strategy random`: writes genotypes drawn uniformly, and says how to train them."""
    if values.dry_run:
        raise UserError("--dry_run has no effect with --strategy random, which trains nothing; leave it out")
    folder = cli.start_run(values, settings.to_config() | {"data_info": None})
    drawn = api.run_random(settings)
    paths = [folder.write(f"genotype_{i}.json", genotype.to_json()) for i, genotype in enumerate(drawn, 1)]
    space = spaces.load(settings.space)
    known = space.known(drawn, **settings.pick(space.known))
    if known is not None:
        folder.save_json("known.json", known)
        for path, accuracies in zip(paths, known):
            print(f"{path.name}: {said(accuracies)}")
    print(f"{len(paths)} genotypes drawn at random, in {folder.folder}")
    print(f"train them: {commands.train(settings.to_config(), paths)}")


def said(accuracies):
    """Known accuracies of a genotype, for people."""
    return ", ".join(f"{dataset} {accuracy:.2f} %" for dataset, accuracy in accuracies.items()) or "not in the table"


def finish(folder, genotype, settings, name="genotype"):
    """Writes and draws the genotype, and says how to train it."""
    path = folder.write(f"{name}.json", genotype.to_json())
    drawings = drawing.draw(genotype, folder.folder / name, "svg")
    print(genotype.to_json())
    print(drawing.ascii_drawing(genotype))
    space = spaces.load(settings.space)
    known = space.known([genotype], **settings.pick(space.known))
    if known is not None:
        print(f"known accuracies: {said(known[0])}")
    print("drawings: " + ", ".join(str(each) for each in drawings))
    print(f"train it: {commands.train(settings.to_config(), [path])}")
