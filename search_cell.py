"""Searches a cell by DARTS: `python3 search_cell.py --unrolled`, or `--recipe digits` for a first try.

Writes `logs/search_arch/<time>/`: the genotype of every epoch, metrics, TensorBoard events, a checkpoint.
"""

import json

from absl import flags

from tfdarts import cli, run, space, visualize
from tfdarts.strategies import random

FLAGS = flags.FLAGS
cli.define("search")


def main(_):
    options = cli.options("search")
    run.configure_tensorflow(options.seed, options.deterministic)
    if options.strategy == "random":
        if FLAGS.dry_run:
            raise cli.UserError("--strategy random costs nothing to try; leave out --dry_run")
        return draw(options)
    task = cli.TASKS[options.space]
    if FLAGS.dry_run:
        return print(json.dumps(task.search_costs(options)))

    job = task.search(options)
    log = cli.start_run(options)
    order = "second" if options.unrolled else "first"
    print(f"searching {options.space} cells, {order} order, run in {log.folder}")
    run.fit(log, job, options.epochs, options.checkpoint_minutes, [run.Genotypes(log)])
    finish(log, job.model.genotype(), options)


def draw(options):
    """`--strategy random`: writes genotypes drawn uniformly, and says how to train them."""
    log = cli.start_run(options)
    paths = [log.write(f"genotype_{i}.json", cells.to_json()) for i, cells in enumerate(drawn(options), 1)]
    print(f"{len(paths)} genotypes drawn at random, in {log.folder}")
    print(f"train them: {cli.train_command(options, paths)}")


def drawn(options):
    """The genotypes that `--strategy random` draws."""
    if options.space == "conv":
        operations = space.load(options.ops, location=options.location)
        return random.genotypes(operations, options.nodes, options.multiplier, options.samples, options.seed)
    operations = space.load(options.ops, recurrent=True)
    cell = {"cell": options.rnn_cell} if options.space == "renet" else {}
    return random.recurrent_genotypes(operations, options.space, options.nodes, options.samples, options.seed, **cell)


def finish(log, genotype, options):
    """Writes and draws the genotype, and says how to train it."""
    path = log.write("genotype.json", genotype.to_json())
    drawings = visualize.draw(genotype, log.folder / "genotype", "svg")
    print(genotype.to_json())
    print(visualize.ascii_drawing(genotype))
    print("drawings: " + ", ".join(str(drawing) for drawing in drawings))
    print(f"train it: {cli.train_command(options, [path])}")


if __name__ == "__main__":
    cli.run(main)
