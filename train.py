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
flags.DEFINE_string("genotype_file", None, "genotype: a JSON file, or a text with Genotype(...)")
flags.DEFINE_string("arch", None, f"genotype by name: {', '.join(genotype.names())}")
flags.DEFINE_string("ops", None, "operation module; the genotype names it, another one is refused")


def load_genotype():
    """The genotype that the flags name, or the resumed run's."""
    if FLAGS.resume is not None:
        if FLAGS.genotype_file is not None or FLAGS.arch is not None:
            raise cli.UserError("--resume goes on with the run's own genotype; leave out --genotype_file and --arch")
        return genotype.load(f"{FLAGS.resume}/genotype.json")
    if (FLAGS.genotype_file is None) == (FLAGS.arch is None):
        raise cli.UserError("give either --genotype_file FILE or --arch NAME")
    if FLAGS.arch is not None and FLAGS.arch not in [*genotype.names(), *genotype.ALIASES]:
        raise cli.UserError(f"no genotype is called {FLAGS.arch!r}; there are {', '.join(genotype.names())}")
    cells = genotype.load(FLAGS.genotype_file or FLAGS.arch)
    if FLAGS.ops is not None and FLAGS.ops != cells.ops:
        raise cli.UserError(f"--ops {FLAGS.ops} contradicts the genotype, which names {cells.ops}")
    return cells


def build(options, cells, shape, classes):
    """The network of the genotype, built for images of `shape`."""
    network = EvaluationNetwork(
        cells,
        classes,
        options.init_channels,
        options.layers,
        options.auxiliary,
        options.network,
        options.stem_multiplier,
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


def main(_):
    options = cli.options("train")
    cells = load_genotype()
    run.configure_tensorflow(options.seed, options.deterministic)
    if FLAGS.dry_run:
        return dry_run(options, cells)

    train, test = images.load(options.dataset, options.data_dir)
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
    length = options.cutout_length if options.cutout else 0
    log = cli.start_run("eval_arch", options)
    log.write("genotype.json", cells.to_json())
    print(f"training on {options.dataset}, run in {log.folder}")
    seconds = run.fit(
        log,
        training,
        lambda step: images.train_batches(train, options.batch_size, options.seed, length, step),
        images.steps_per_epoch(train, options.batch_size),
        options.epochs,
        optimizers.cosine(options.learning_rate, options.learning_rate_min, options.epochs),
        options.checkpoint_minutes,
    )
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


def dry_run(options, cells):
    """Prints one JSON object: what the network costs."""
    shape, classes = images.info(options.dataset)
    shape = (224, 224, 3) if options.network == "imagenet" else shape
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
    cli.run(main)
