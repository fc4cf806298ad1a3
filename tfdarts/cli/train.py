"""Trains and tests the network of a genotype: `tfdarts train --arch DARTS_V2` or `--genotype_file FILE`.

Writes `logs/eval_arch/<time>/`: metrics, TensorBoard events, a checkpoint, `results.json`, `model.keras`.
"""

import json
import pathlib

from absl import flags

from tfdarts import genotype
from tfdarts.cli import flags as cli
from tfdarts.runs import run


def main():
    """The command `tfdarts train`, and `train.py`."""
    cli.run(train, define(), positional=True)


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    own = {"flag_values": values}
    cli.define(values, "train")
    names = ", ".join(genotype.names())
    flags.DEFINE_string(
        "genotype_file",
        None,
        "genotype: a JSON file, or a text with Genotype(...); several files are trained in turn",
        **own,
    )
    flags.DEFINE_alias("arch_path", "genotype_file", **own)
    flags.DEFINE_string("arch", None, f"genotype by name: {names}; --space for other spaces' names", **own)
    flags.DEFINE_string(
        "ops", None, "where the genotype's operation module lies now, if it has moved; another is refused", **own
    )
    return values


def load_genotypes(values, more):
    """The genotypes that the flags name (`more` are further files behind `--genotype_file`), or the resumed run's.

    None stands for the baseline cells `--rnn_cell lstm` and `gru`, which have no genotype.
    """
    if more and values.genotype_file is None:
        raise cli.UserError(f"unknown argument {more[0]!r}; options start with --")
    if values.resume is not None:
        if values.genotype_file is not None or values.arch is not None:
            raise cli.UserError("--resume goes on with the run's own genotype; leave out --genotype_file and --arch")
        path = pathlib.Path(values.resume, "genotype.json")
        return [_with_module(values, genotype.load(path))] if path.exists() else [None]
    space = cli.space(values)
    if space == "renet" and values.rnn_cell in genotype.BASELINE_CELLS:
        if values.genotype_file is not None or values.arch is not None:
            raise cli.UserError(f"--rnn_cell {values.rnn_cell} has no genotype; leave out --genotype_file and --arch")
        return [None]
    if (values.genotype_file is None) == (values.arch is None):
        raise cli.UserError("give either --genotype_file FILE or --arch NAME")
    if values.arch is not None and values.arch not in [*genotype.names(space), *genotype.ALIASES]:
        raise cli.UserError(f"no genotype is called {values.arch!r}; there are {', '.join(genotype.names(space))}")
    names = [values.genotype_file or values.arch, *more]
    loaded = [_with_module(values, genotype.load(name, space)) for name in names]
    for cells in loaded:
        if values.rnn_cell is not None and values.rnn_cell != getattr(cells, "cell", None):
            raise cli.UserError(f"--rnn_cell {values.rnn_cell} contradicts the genotype; leave it out")
    return loaded


def _with_module(values, cells):
    return cells if values.ops is None else cells.with_module(values.ops)


def train(values, more):
    """Trains the network of each genotype in turn; `more` are further files behind `--genotype_file`."""
    genotypes = load_genotypes(values, more)
    options = cli.options(values, "train", genotypes)
    run.configure_tensorflow(options.seed, options.deterministic)
    task = cli.task(options)
    if values.dry_run:
        for cells in genotypes:
            print(json.dumps(task.training_costs(options, cells)))
        return
    data = task.load(options)
    results = []
    for cells in genotypes:
        run.forget(options.seed)  # each is trained as if it were alone
        results.append(train_and_test(values, task, options, cells, data))
    if len(results) > 1:
        print_table([values.genotype_file, *more], results)


def train_and_test(values, task, options, cells, data):
    """One run: trains the network of a genotype, tests and saves it; returns its results."""
    if options.space == "renet" and cells:
        options.rnn_cell = cells.cell
    job = task.training(options, cells, data)
    log = cli.start_run(values, options)
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
