"""Trains and tests the network of a genotype: `python3 train.py --arch DARTS_V2` or `--genotype_file FILE`.

Writes `logs/eval_arch/<time>/`: metrics, TensorBoard events, a checkpoint, `results.json`, `model.keras`.
"""

import json
import pathlib

from absl import flags

from tfdarts import genotype
from tfdarts.cli import flags as cli
from tfdarts.runs import run

FLAGS = flags.FLAGS
cli.define("train")
flags.DEFINE_string(
    "genotype_file", None, "genotype: a JSON file, or a text with Genotype(...); several files are trained in turn"
)
flags.DEFINE_alias("arch_path", "genotype_file")
flags.DEFINE_string("arch", None, f"genotype by name: {', '.join(genotype.names())}; --space for other spaces' names")
flags.DEFINE_string("ops", None, "where the genotype's operation module lies now, if it has moved; another is refused")


def load_genotypes(more):
    """The genotypes that the flags name (`more` are further files behind `--genotype_file`), or the resumed run's.

    None stands for the baseline cells `--rnn_cell lstm` and `gru`, which have no genotype.
    """
    if more and FLAGS.genotype_file is None:
        raise cli.UserError(f"unknown argument {more[0]!r}; options start with --")
    if FLAGS.resume is not None:
        if FLAGS.genotype_file is not None or FLAGS.arch is not None:
            raise cli.UserError("--resume goes on with the run's own genotype; leave out --genotype_file and --arch")
        path = pathlib.Path(FLAGS.resume, "genotype.json")
        return [_with_module(genotype.load(path))] if path.exists() else [None]
    space = cli.space()
    if space == "renet" and FLAGS.rnn_cell in genotype.BASELINE_CELLS:
        if FLAGS.genotype_file is not None or FLAGS.arch is not None:
            raise cli.UserError(f"--rnn_cell {FLAGS.rnn_cell} has no genotype; leave out --genotype_file and --arch")
        return [None]
    if (FLAGS.genotype_file is None) == (FLAGS.arch is None):
        raise cli.UserError("give either --genotype_file FILE or --arch NAME")
    if FLAGS.arch is not None and FLAGS.arch not in [*genotype.names(space), *genotype.ALIASES]:
        raise cli.UserError(f"no genotype is called {FLAGS.arch!r}; there are {', '.join(genotype.names(space))}")
    loaded = [_with_module(genotype.load(name, space)) for name in [FLAGS.genotype_file or FLAGS.arch, *more]]
    for cells in loaded:
        if FLAGS.rnn_cell is not None and FLAGS.rnn_cell != getattr(cells, "cell", None):
            raise cli.UserError(f"--rnn_cell {FLAGS.rnn_cell} contradicts the genotype; leave it out")
    return loaded


def _with_module(cells):
    return cells if FLAGS.ops is None else cells.with_module(FLAGS.ops)


def main(more):
    genotypes = load_genotypes(more)
    options = cli.options("train", genotypes)
    run.configure_tensorflow(options.seed, options.deterministic)
    task = cli.task(options)
    if FLAGS.dry_run:
        for cells in genotypes:
            print(json.dumps(task.training_costs(options, cells)))
        return
    data = task.load(options)
    results = []
    for cells in genotypes:
        run.forget(options.seed)  # each is trained as if it were alone
        results.append(train_and_test(task, options, cells, data))
    if len(results) > 1:
        print_table([FLAGS.genotype_file, *more], results)


def train_and_test(task, options, cells, data):
    """One run: trains the network of a genotype, tests and saves it; returns its results."""
    if options.space == "renet" and cells:
        options.rnn_cell = cells.cell
    job = task.training(options, cells, data)
    log = cli.start_run(options)
    if cells:
        log.write("genotype.json", cells.to_json())
    print(f"training, run in {log.folder}")
    seconds = run.fit(log, job, options.epochs, options.checkpoint_minutes)
    results = task.results(job.model, options, data) | {"seconds": round(seconds, 1)}
    log.save_json("results.json", results)
    job.model.network.save(log.folder / "model.keras")
    print(json.dumps(results))
    data_dir = f" --data_dir {options.data_dir}" if getattr(options, "data_dir", "") else ""
    print(f"test it again: python3 evaluate.py{data_dir} --model_path {log.folder / 'model.keras'}")
    return results


def print_table(names, results):
    """The results of several genotypes, one a line, the best first."""
    (column, *_) = results[0]  # test error or perplexity
    print(f"{column.removesuffix('_percent').replace('_', ' '):>15}  {'parameters':>10}  genotype")
    for result, name in sorted(zip(results, names), key=lambda pair: pair[0][column]):
        print(f"{result[column]:15.2f}  {result['parameters']:>10,}  {name}")


if __name__ == "__main__":
    cli.run(main, positional=True)
