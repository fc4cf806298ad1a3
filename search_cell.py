"""Searches a cell by DARTS: `python3 search_cell.py --unrolled`, or `--recipe digits` for a first try.

Writes `logs/search_arch/<time>/`: the genotype of every epoch, metrics, TensorBoard events, a checkpoint.
"""

import json

from absl import flags

from tfdarts import cli, cost, optimizers, run, space, visualize
from tfdarts.data import images
from tfdarts.strategies import random
from tfdarts.strategies.darts import Darts
from tfdarts.supernet import Supernet

FLAGS = flags.FLAGS
cli.define("search")


def build(options, shape, classes):
    """The supernet and the search, built for images of `shape`."""
    supernet = Supernet(
        space.load(options.ops),
        classes,
        options.init_channels,
        options.layers,
        options.nodes,
        options.multiplier,
        options.stem_multiplier,
    )
    supernet.build((None, *shape))
    search = Darts(
        supernet,
        order="second" if options.unrolled else "first",
        arch_learning_rate=options.arch_learning_rate,
        arch_weight_decay=options.arch_weight_decay,
        learning_rate=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        grad_clip=options.grad_clip,
        seed=options.seed,
    )
    search.compile(jit_compile=options.jit_compile)
    return supernet, search


def dry_run(options):
    """Prints one JSON object: what the supernet costs."""
    shape, classes = images.info(options.dataset, options.data_dir, options.image_size)
    supernet, search = build(options, shape, classes)
    parameters = cost.count_parameters([supernet])
    report = {
        "parameters": parameters,
        "parameters_auxiliary": 0,
        "multiply_adds": cost.multiply_adds(lambda x: supernet(x, search.mixing(), training=False), shape),
        "input_shape": shape,
        "classes": classes,
        "peak_memory_estimate_bytes": cost.peak_memory(
            lambda x: supernet(x, search.mixing(), training=True), options.batch_size, shape, parameters, 0.69, 130e3
        ),
    }
    print(json.dumps(report))


def main(_):
    options = cli.options("search")
    run.configure_tensorflow(options.seed, options.deterministic)
    if options.strategy == "random":
        if FLAGS.dry_run:
            raise cli.UserError("--strategy random costs nothing to try; leave out --dry_run")
        return draw(options)
    if FLAGS.dry_run:
        return dry_run(options)

    job = JOBS[options.space](options)
    log = cli.start_run(options)
    order = "second" if options.unrolled else "first"
    print(f"searching {options.space} cells, {order} order, run in {log.folder}")
    run.fit(log, job, options.epochs, options.checkpoint_minutes, [run.Genotypes(log)])
    finish(log, job.model.genotype(), options)


def on_images(options):
    """The search on images."""
    train, valid, _ = cli.load_images(options)
    train, valid = images.search_halves(train, valid, options.train_portion, options.use_validation, options.seed)
    for half in (train, valid):
        images.check_batch_size(half, options.batch_size)
    _, search = build(options, train.shape, train.classes)
    length = options.cutout_length if options.cutout else 0

    def batches(step):
        halves = ((train, options.seed), (valid, options.seed + 1))
        return images.pairs(*(images.train_batches(x, options.batch_size, seed, length, step) for x, seed in halves))

    return run.Job(
        search,
        batches,
        images.steps_per_epoch(train, options.batch_size),
        optimizers.cosine(options.learning_rate, options.learning_rate_min, options.epochs),
        images.test_batches(valid, options.batch_size),
    )


JOBS = {"conv": on_images}


def draw(options):
    """`--strategy random`: writes genotypes drawn uniformly, and says how to train them."""
    log = cli.start_run(options)
    operations = space.load(options.ops)
    drawn = random.genotypes(operations, options.nodes, options.multiplier, options.samples, options.seed)
    paths = [log.write(f"genotype_{i}.json", cells.to_json()) for i, cells in enumerate(drawn, 1)]
    print(f"{len(paths)} genotypes drawn at random, in {log.folder}")
    print(f"train them: {cli.train_command(options, paths)}")


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
