"""Trains and tests the network of a genotype: `python3 train.py --arch DARTS_V2` or `--genotype_file FILE`.

Writes `logs/eval_arch/<time>/`: metrics, TensorBoard events, a checkpoint, `results.json`, `model.keras`.
"""

import json
import time

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
flags.DEFINE_string("data_dir", None, "folder of data prepared by TensorFlow Datasets; default: its own")
flags.DEFINE_string("logdir", "logs", "folder of all runs")
flags.DEFINE_integer("seed", 0, "gives weights, data order, augmentation and drop-path")
flags.DEFINE_bool("jit_compile", False, "compile the step by XLA; worth trying on a GPU, slow on a CPU")
flags.DEFINE_bool("dry_run", False, "print what the network costs as JSON, without data, and stop")


def load_genotype():
    """The genotype that the flags name."""
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
    options.seed, options.data_dir, options.jit_compile = FLAGS.seed, FLAGS.data_dir, FLAGS.jit_compile
    cells = load_genotype()
    run.configure_tensorflow(options.seed)
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
    batches, steps = images.train_batches(train, options.batch_size, options.seed, length)
    log = run.Run(FLAGS.logdir, "eval_arch", options)
    log.write("genotype.json", cells.to_json())
    print(f"training on {options.dataset}, run in {log.folder}")
    start = time.time()
    training.fit(
        batches,
        steps_per_epoch=steps,
        epochs=options.epochs,
        shuffle=False,
        verbose=run.verbosity(),
        callbacks=[
            run.Schedule(optimizers.cosine(options.learning_rate, options.learning_rate_min, options.epochs)),
            run.Record(log, options.epochs),
        ],
    )
    result = training.evaluate(images.test_batches(test, options.batch_size), return_dict=True, verbose=0)
    results = {
        "test_error_percent": 100 * (1 - result["accuracy"]),
        "test_accuracy_percent": 100 * result["accuracy"],
        "top5_accuracy_percent": 100 * result["top5"],
        **costs(network, train.shape),
        "seconds": round(time.time() - start, 1),
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
