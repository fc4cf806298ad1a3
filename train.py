"""Trains and tests the network of a genotype: `python3 train.py --arch DARTS_V2` or `--genotype_file FILE`.

Writes `logs/eval_arch/<time>/`: metrics, TensorBoard events, a checkpoint, `results.json`, `model.keras`.
"""

import json

from absl import flags

from tfdarts import cli, cost, genotype, optimizers, run
from tfdarts.data import images
from tfdarts.evalnet import EvaluationNetwork
from tfdarts.training import Training

FLAGS = flags.FLAGS
cli.define("train")
flags.DEFINE_string(
    "genotype_file", None, "genotype: a JSON file, or a text with Genotype(...); several files are trained in turn"
)
flags.DEFINE_string("arch", None, f"genotype by name: {', '.join(genotype.names())}")
flags.DEFINE_string("ops", None, "where the genotype's operation module lies now, if it has moved; another is refused")


def load_genotypes(more):
    """The genotypes that the flags name (`more` are further files behind `--genotype_file`), or the resumed run's."""
    if more and FLAGS.genotype_file is None:
        raise cli.UserError(f"unknown argument {more[0]!r}; options start with --")
    if FLAGS.resume is not None:
        if FLAGS.genotype_file is not None or FLAGS.arch is not None:
            raise cli.UserError("--resume goes on with the run's own genotype; leave out --genotype_file and --arch")
        return [_with_module(genotype.load(f"{FLAGS.resume}/genotype.json"))]
    if (FLAGS.genotype_file is None) == (FLAGS.arch is None):
        raise cli.UserError("give either --genotype_file FILE or --arch NAME")
    space = cli.space()
    if FLAGS.arch is not None and FLAGS.arch not in [*genotype.names(space), *genotype.ALIASES]:
        raise cli.UserError(f"no genotype is called {FLAGS.arch!r}; there are {', '.join(genotype.names(space))}")
    return [_with_module(genotype.load(name, space)) for name in [FLAGS.genotype_file or FLAGS.arch, *more]]


def _with_module(cells):
    return cells if FLAGS.ops is None else cells.with_module(FLAGS.ops)


def build(options, cells, shape, classes):
    """The network of the genotype, built for images of `shape`."""
    preprocessing = None
    if options.data:
        names = ("dataset", "seed", "image_size", "augmentation")
        preprocessing = options.data | {name: getattr(options, name) for name in names}
    network = EvaluationNetwork(
        cells,
        classes,
        options.init_channels,
        options.layers,
        options.auxiliary,
        options.network,
        options.stem_multiplier,
        preprocessing,
    )
    network.build((None, *shape))
    return network


def costs(network, shape):
    """Parameters without and with the auxiliary head, multiply-adds per image."""
    auxiliary = cost.count_parameters([network.auxiliary_head] if network.auxiliary_head else [])
    total = cost.count_parameters([network])
    return {
        "parameters": total - auxiliary,
        "parameters_auxiliary": auxiliary,
        "multiply_adds": cost.multiply_adds(lambda x: network(x, training=False), shape),
    }


def main(more):
    options = cli.options("train")
    genotypes = load_genotypes(more)
    run.configure_tensorflow(options.seed, options.deterministic)
    if FLAGS.dry_run:
        for cells in genotypes:
            dry_run(options, cells)
        return
    train, _, test = cli.load_images(options)
    images.check_batch_size(train, options.batch_size)
    results = []
    for cells in genotypes:
        run.forget(options.seed)  # each is trained as if it were alone
        results.append(train_and_test(options, cells, train, test))
    if len(results) > 1:
        print_table([FLAGS.genotype_file, *more], results)


def train_and_test(options, cells, train, test):
    """One run: trains the network of a genotype, tests and saves it; returns its results."""
    network = build(options, cells, train.shape, train.classes)
    training = Training(
        network,
        options.learning_rate,
        options.momentum,
        options.weight_decay,
        options.grad_clip,
        options.auxiliary_weight,
        options.label_smooth,
        options.drop_path_prob,
        options.epochs,
        options.seed,
    )
    training.compile(jit_compile=options.jit_compile)
    schedule = optimizers.cosine(options.learning_rate, options.learning_rate_min, options.epochs)
    if options.schedule == "exponential":
        schedule = optimizers.exponential(options.learning_rate, options.gamma)
    length = options.cutout_length if options.cutout else 0
    job = run.Job(
        training,
        lambda step: images.train_batches(train, options.batch_size, options.seed, length, step),
        images.steps_per_epoch(train, options.batch_size),
        schedule,
    )
    log = cli.start_run(options)
    log.write("genotype.json", cells.to_json())
    print(f"training on {options.dataset}, run in {log.folder}")
    seconds = run.fit(log, job, options.epochs, options.checkpoint_minutes)
    result = training.evaluate(images.test_batches(test, options.batch_size), return_dict=True, verbose=0)
    results = {
        "test_error_percent": 100 * (1 - result["accuracy"]),
        "test_accuracy_percent": 100 * result["accuracy"],
        "top5_accuracy_percent": 100 * result["top5"],
        **costs(network, train.shape),
        "seconds": round(seconds, 1),
    }
    log.save_json("results.json", results)
    network.save(log.folder / "model.keras")
    print(json.dumps(results))
    data = f" --data_dir {options.data_dir}" if options.data_dir else ""
    print(f"test it again: python3 evaluate.py{data} --model_path {log.folder / 'model.keras'}")
    return results


def print_table(names, results):
    """The results of several genotypes, one a line, the best first."""
    print(f"{'test error':>10}  {'parameters':>10}  genotype")
    for result, name in sorted(zip(results, names), key=lambda pair: pair[0]["test_error_percent"]):
        print(f"{result['test_error_percent']:9.2f}%  {result['parameters']:>10,}  {name}")


def dry_run(options, cells):
    """Prints one JSON object: what the network costs."""
    shape, classes = images.info(options.dataset, options.data_dir, options.image_size)
    network = build(options, cells, shape, classes)
    report = costs(network, shape) | {"input_shape": shape, "classes": classes}
    report["peak_memory_estimate_bytes"] = cost.peak_memory(
        lambda x: network(x, training=True),
        options.batch_size,
        shape,
        report["parameters"] + report["parameters_auxiliary"],
        0.57,
        58e3,
    )
    print(json.dumps(report))


if __name__ == "__main__":
    cli.run(main, positional=True)
