"""Searches a cell by DARTS or ENAS: `tfdarts search --unrolled`, or `--recipe digits` for a first try.

Writes `logs/search_arch/<time>/`: the genotype of every epoch, metrics, TensorBoard events, a checkpoint.
"""

import json

from absl import flags

from tfdarts import on_enas, recipes
from tfdarts import operations as space
from tfdarts.cli import flags as cli
from tfdarts.report import drawing as visualize
from tfdarts.runs import run
from tfdarts.strategies import random


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
    """Searches, or only derives, draws at random or estimates costs, as the flags say."""
    if values.derive:
        return derive(values)
    options = cli.options(values, "search")
    run.configure_tensorflow(options.seed, options.deterministic)
    if options.strategy == "random":
        if values.dry_run:
            raise cli.UserError("--strategy random costs nothing to try; leave out --dry_run")
        return draw(values, options)
    task = cli.task(options)
    if values.dry_run:
        return print(json.dumps(task.search_costs(options)))

    job = task.search(options)
    log = cli.start_run(values, options)
    print(f"searching the space {options.space}, {how(options)}, run in {log.folder}")
    run.fit(log, job, options.epochs, options.checkpoint_minutes, [run.Genotypes(log)])
    finish(log, job.model.genotype(), options)


def how(options):
    """The strategy of a search, for people."""
    if options.strategy == "darts":
        return f"{'second' if options.unrolled else 'first'} order"
    return {"enas": "by a controller", "random_ws": "by uniform draws with shared weights"}[options.strategy]


def derive(values):
    """`--derive`: writes the best of the architectures that a run's controller draws now, as `derived.json`."""
    others = [f"--{name}" for name in cli.given(values, "search") if name != "derive_num_sample"]
    if values.resume is None or values.dry_run or others:
        raise cli.UserError(
            "--derive goes with --resume, the folder of a search by --strategy enas or random_ws, and if you like "
            "--derive_num_sample and --logdir; leave out all else"
        )
    options = cli.options(values, "search")
    if cli.task(options) is not on_enas:
        raise cli.UserError(f"--derive needs a search by --strategy enas or random_ws, not {options.strategy}")
    run.configure_tensorflow(options.seed, options.deterministic)
    learner = on_enas.search(options).model
    log = cli.start_run(values, None)
    if log.restore(learner)[0] is None:
        raise cli.UserError(f"{log.folder} has no checkpoint yet, so there is nothing to derive from")
    finish(log, learner.genotype(), options, "derived")
    print(json.dumps(learner.rewards()))


def draw(values, options):
    """`--strategy random`: writes genotypes drawn uniformly, and says how to train them."""
    log = cli.start_run(values, options)
    paths = [log.write(f"genotype_{i}.json", cells.to_json()) for i, cells in enumerate(drawn(options), 1)]
    print(f"{len(paths)} genotypes drawn at random, in {log.folder}")
    print(f"train them: {cli.train_command(options, paths)}")


def drawn(options):
    """The genotypes that `--strategy random` draws."""
    if recipes.RECIPES[options.recipe]["search"]["strategy"] in recipes.SHARED_WEIGHTS:
        return on_enas.drawn(options)
    if options.space == "conv":
        operations = space.load(options.ops, location=options.location)
        return random.genotypes(operations, options.nodes, options.multiplier, options.samples, options.seed)
    operations = space.load(options.ops, recurrent=True)
    cell = {"cell": options.rnn_cell} if options.space == "renet" else {}
    return random.recurrent_genotypes(operations, options.space, options.nodes, options.samples, options.seed, **cell)


def finish(log, genotype, options, name="genotype"):
    """Writes and draws the genotype, and says how to train it."""
    path = log.write(f"{name}.json", genotype.to_json())
    drawings = visualize.draw(genotype, log.folder / name, "svg")
    print(genotype.to_json())
    print(visualize.ascii_drawing(genotype))
    print("drawings: " + ", ".join(str(drawing) for drawing in drawings))
    print(f"train it: {cli.train_command(options, [path])}")
