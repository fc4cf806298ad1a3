"""Searches a cell by DARTS or ENAS: `python3 search_cell.py --unrolled`, or `--recipe digits` for a first try.

Writes `logs/search_arch/<time>/`: the genotype of every epoch, metrics, TensorBoard events, a checkpoint.
"""

import json

from absl import flags

from tfdarts import cli, on_enas, run, space, visualize
from tfdarts.strategies import random

FLAGS = flags.FLAGS
cli.define("search")
flags.DEFINE_bool(
    "derive", False, "without further training, draw --derive_num_sample architectures of the run to --resume, and "
    "keep the best"
)  # fmt: skip


def main(_):
    options = cli.options("search")
    run.configure_tensorflow(options.seed, options.deterministic)
    if options.strategy == "random":
        if FLAGS.dry_run:
            raise cli.UserError("--strategy random costs nothing to try; leave out --dry_run")
        return draw(options)
    task = cli.task(options)
    if FLAGS.derive and (task is not on_enas or FLAGS.resume is None):
        raise cli.UserError("--derive needs --resume, the folder of a search by --strategy enas or random_ws")
    if FLAGS.dry_run:
        return print(json.dumps(task.search_costs(options)))

    job = task.search(options)
    log = cli.start_run(options)
    if FLAGS.derive:
        return derive(log, job.model, options)
    print(f"searching the space {options.space}, {how(options)}, run in {log.folder}")
    run.fit(log, job, options.epochs, options.checkpoint_minutes, [run.Genotypes(log)])
    finish(log, job.model.genotype(), options)


def how(options):
    """The strategy of a search, for people."""
    if options.strategy == "darts":
        return f"{'second' if options.unrolled else 'first'} order"
    return {"enas": "by a controller", "random_ws": "by uniform draws with shared weights"}[options.strategy]


def derive(log, learner, options):
    """`--derive`: the best of the architectures that a run's controller draws now."""
    log.restore(learner)
    finish(log, learner.genotype(), options)
    print(json.dumps(learner.rewards()))


def draw(options):
    """`--strategy random`: writes genotypes drawn uniformly, and says how to train them."""
    log = cli.start_run(options)
    paths = [log.write(f"genotype_{i}.json", cells.to_json()) for i, cells in enumerate(drawn(options), 1)]
    print(f"{len(paths)} genotypes drawn at random, in {log.folder}")
    print(f"train them: {cli.train_command(options, paths)}")


def drawn(options):
    """The genotypes that `--strategy random` draws."""
    if options.space in ("macro", "micro"):
        return on_enas.drawn(options)
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
