"""Trains and tests the network of a genotype: `tfdarts train --arch DARTS_V2` or `--genotype_file FILE`.

`--init_from cifar10_model.pt` starts from the weights of a PyTorch program (docs/pytorch.md).

Writes `logs/eval_arch/<time>/`: metrics, TensorBoard events, a checkpoint, `results.json`, `model.keras`.
"""

import json
import pathlib
import sys

from absl import flags

from tfdarts import api, recipes, spaces, tasks
from tfdarts.cli import commands, meant, weights
from tfdarts.cli import flags as cli
from tfdarts.cli.recipes import table
from tfdarts.errors import UserError
from tfdarts.pytorch import networks
from tfdarts.runs import environment
from tfdarts.runs.folder import saved_config
from tfdarts.spaces import genotypes
from tfdarts.training import trainer

SIZES = ("nodes", "multiplier")  # flags of the source programs' training that a genotype determines


def main():
    """The command `tfdarts train`, and `train.py`."""
    cli.run(train, define(), positional=True)


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    own = {"flag_values": values}
    cli.define(values, "train")
    flags.DEFINE_string(
        "genotype_file",
        None,
        "genotype: a JSON file, a text with Genotype(...), or FILE:NAME for one of several in a Python file; several "
        "files are trained in turn",
        **own,
    )
    flags.DEFINE_alias("arch_path", "genotype_file", **own)
    names = ", ".join(genotypes.names())
    text = f"genotype by name: {names}; --space for other spaces' names; default: the one of the recipe's paper"
    flags.DEFINE_string("arch", None, text, **own)
    text = "PyTorch weight file to start from; sizes, and without --arch the genotype, are the file's"
    flags.DEFINE_string("init_from", None, text, **own)
    for name in SIZES:
        if name not in values:
            text = f"what the source programs call {name}; the genotype has its own, which must be the same"
            flags.DEFINE_integer(name, None, text, **own)
    text = "where the genotype's operation module lies now, if it has moved; another is refused"
    flags.DEFINE_string("ops", None, text, **own)
    return values


def load_genotypes(values, more, source=None):
    """The genotypes that the flags name (`more` are further files behind `--genotype_file`), or the resumed run's.

    `source` is the weight file to start from, whose genotype it is if no flag names one. None stands for a network that
    needs no genotype.
    """
    if more and values.genotype_file is None:
        raise UserError(f"unknown argument {more[0]!r}; options start with --")
    if values.resume is not None:
        if values.genotype_file is not None or values.arch is not None:
            raise UserError("--resume goes on with the run's own genotype; leave out --genotype_file and --arch")
        path = pathlib.Path(values.resume, "genotype.json")
        return [_with_module(values, genotypes.load(path, cli.named_space(values)))] if path.exists() else [None]
    if values.genotype_file is not None and values.arch is not None:
        raise UserError("give either --genotype_file FILE or --arch NAME")
    if source is not None and values.genotype_file is None and values.arch is None:
        genotype, where = networks.chosen(source)
        weights.tell([where])
        return [_with_module(values, genotype)]
    # A file tells its space itself, unless it holds numbers only.
    asked = recipes.space_of(values.recipe, cli.named_space(values))
    name = asked if values.genotype_file is not None else cli.space(values, "train")
    name = name if source is None else source.layout.space
    space, given = spaces.load(name), cli.given(values, "train")
    determining = {option: given[option] for option in space.determined_options if option in given}
    if determining and space.needs_no_genotype(**determining):
        if values.genotype_file is not None or values.arch is not None:
            named = ", ".join(f"--{option} {value}" for option, value in determining.items())
            raise UserError(f"{named} has no genotype; leave out --genotype_file and --arch")
        return [None]
    if values.genotype_file is not None:
        files = [values.genotype_file, *more]
    elif values.arch is not None:
        files = [values.arch]
        if genotypes.shipped(values.arch, name) is None:
            raise UserError(f"no genotype is called {values.arch!r}; there are {', '.join(genotypes.names(name))}")
    else:
        files = [_usual(space, values.recipe, determining)]
    return [_with_module(values, genotypes.load(file, name)) for file in files]


def _usual(space, recipe, determining):
    """The name of the genotype that is trained where the user names none."""
    arch = meant.arch(space, recipe, determining)
    if arch is None:
        raise UserError("give either --genotype_file FILE or --arch NAME")
    print(f"the genotype is {arch}, that of the paper; --arch or --genotype_file names another", file=sys.stderr)
    return arch


def _with_module(values, genotype):
    return genotype if values.ops is None else genotype.with_module(values.ops)


def _check_determined(values, found):
    """Raises UserError for a given option that a genotype determines otherwise."""
    given = cli.given(values, "train")
    for genotype in found:
        determined = spaces.load(genotype.space).options_of(genotype) if genotype else {}
        for name, value in determined.items():
            if given.get(name, value) != value:
                raise UserError(f"--{name} {given[name]} contradicts the genotype; leave it out")


def _check_sizes(values, genotype):
    """Raises UserError for a size that the genotype's cells do not have."""
    sizes = spaces.load(genotype.space).sizes_of(genotype) if genotype else {}
    options = cli.known_options("train")  # a space of the user's own may have an option of this name
    for name in (name for name in SIZES if name not in options):
        value = values[name].value
        if value is not None and sizes.get(name) != {value}:
            has = f"has {' and '.join(map(str, sorted(sizes[name])))}" if name in sizes else "knows no such size"
            raise UserError(f"--{name} {value} contradicts the genotype, which {has}; leave it out")


def train(values, more):
    """Trains what the flags and further files name, one after the other."""
    source = _source(values)
    found = load_genotypes(values, more, source)
    if source is not None:
        found = [networks.chosen(source, genotype)[0] for genotype in found]
    if values.resume is None:
        _check_determined(values, found)
    for genotype in found:
        _check_sizes(values, genotype)
    settings, remembered = cli.settings(values, "train", found)
    settings = settings if source is None else _of_source(values, settings, source)
    if values.show:
        return print(table(settings))
    environment.configure(**settings.pick(environment.configure))
    space = spaces.load(settings.space)
    task = tasks.load(space.task)
    if values.dry_run:
        inputs = task.known_inputs(**settings.pick(task.known_inputs))
        for genotype in found:
            print(json.dumps(trainer.costs(space, task, inputs, genotype, _own(settings, space, genotype))))
        return
    data = task.load(remembered=remembered, **settings.pick(task.load))
    results = []
    for genotype in found:
        environment.forget(settings.values["seed"])  # each is trained as if it were alone
        results.append(train_and_test(values, space, data, genotype, _own(settings, space, genotype), source))
    if len(results) > 1:
        print_table([values.genotype_file, *more], results)


def _own(settings, space, genotype):
    """The settings with the options that a genotype determines."""
    return settings.but(**space.options_of(genotype)) if genotype else settings


def _source(values):
    """The weight file to start from, read; None for none.

    A resumed run starts from its file again where it has no checkpoint yet.
    """
    path = values.init_from
    if values.resume is not None:
        if path is not None:
            raise UserError("--resume goes on with the run's own weights; leave out --init_from")
        begun = any(pathlib.Path(values.resume).glob("checkpoint_*"))
        path = None if begun else saved_config(values.resume, "train").get("init_from")
    return None if path is None else networks.read(path)


def _of_source(values, settings, source):
    """The settings with the sizes of the weight file to start from, and with the dropout rates that it names."""
    given, sizes = cli.given(values, "train"), source.layout.options(source.sizes)
    for name, value in sizes.items():
        if given.get(name, value) != value:
            raise UserError(f"--{name} {given[name]} contradicts {values.init_from}, whose is {value}; leave it out")
    rates = {name: rate for name, rate in source.weights.dropout.items() if name not in given}
    return settings.but(**sizes, **rates)


def train_and_test(values, space, data, genotype, settings, source=None):
    """One run: trains the network of a genotype, tests and saves it; returns its results."""

    def start(network):
        weights.tell(networks.start(source, network, genotype, settings.values.get("auxiliary", False)))

    job = trainer.job(space, data, genotype, settings, start if source is not None else None)
    config = settings.to_config() | {"data_info": data.remembered}
    if source is not None:
        config["init_from"] = str(pathlib.Path(source.weights.path).resolve())
    folder = cli.start_run(values, config)
    if genotype:
        folder.write("genotype.json", genotype.to_json())
    print(f"training, run in {folder.folder}")
    results, _ = api.fit_training(job, settings, data, folder)
    print(json.dumps(results))
    print(f"test it again: {commands.evaluate(config, folder.folder)}")
    return results


def print_table(names, results):
    """The results of several genotypes, one a line, the best first."""
    (column, *_) = results[0]  # test error or perplexity
    print(f"{column.removesuffix('_percent').replace('_', ' '):>15}  {'parameters':>10}  genotype")
    for result, name in sorted(zip(results, names), key=lambda pair: pair[0][column]):
        print(f"{result[column]:15.2f}  {result['parameters']:>10,}  {name}")
