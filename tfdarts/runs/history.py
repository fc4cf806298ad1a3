"""Reads a run's folder, finished or not, for drawings and reports."""

import dataclasses
import json
import math
import pathlib

from tfdarts import spaces
from tfdarts.errors import UserError
from tfdarts.spaces import genotypes


@dataclasses.dataclass(frozen=True)
class History:
    """What a run has written so far.

    Attributes:
        folder: `pathlib.Path`.
        config: `config.json`, a dictionary.
        metrics: lines of `metrics.jsonl`, dictionaries with `epoch`, in the order of epochs.
        mixing: lines of `mixing.jsonl`, likewise.
        genotypes: epoch to `Genotype`, in the order of epochs, of a search; number to `Genotype` of a random one.
        genotype: the run's result, or what it trains; None while a search is under way, and of a random one.
        results: `results.json` of a training, None before its end.
        notes: sentences about what could not be read.
        exports: `exports.json` of a training, dictionaries that say how exported files compare with the model.
    """

    folder: pathlib.Path
    config: dict
    metrics: list
    mixing: list
    genotypes: dict
    genotype: object
    results: dict | None
    notes: list
    exports: list

    @property
    def training(self):
        """Whether it trains a genotype; otherwise it searches one."""
        return self.config.get("stage") == "train"

    @property
    def unit(self):
        """What the numbers of its genotypes count: `"sample"` if they were drawn at random, otherwise `"epoch"`."""
        return "sample" if self.config.get("strategy") == "random" else "epoch"

    @property
    def total(self):
        """How many of these units there will be."""
        return self.config.get("samples" if self.unit == "sample" else "epochs")

    @property
    def epochs(self):
        """Epochs done."""
        return self.metrics[-1]["epoch"] if self.metrics else 0

    def cells(self):
        """Epoch to `Genotype`, of a training its one genotype; empty where there is none yet."""
        return self.genotypes or ({self.epochs: self.genotype} if self.genotype else {})

    @property
    def newest(self):
        """The genotype that there is: what a search found, before its end the last epoch's; None if there is none."""
        return self.genotype or next(reversed(self.cells().values()), None)

    def operations(self):
        """Names of all operations, in the order of the tables of mixing weights, then of the cells."""
        tables = [table for line in self.mixing for table in line["tables"].values()]
        names = [name for table in tables for row in candidates(table) for name in row]
        for genotype in self.cells().values():
            graphs = spaces.load(genotype.space).graphs(genotype)
            labels = [label for graph in graphs.values() for *_, label in graph.edges]
            names.extend(label.split("\n")[0] for label in labels if label)
        return tuple(dict.fromkeys(names))

    @property
    def finished(self):
        if self.unit == "sample":
            return len(self.genotypes) == self.total
        return (self.results if self.training else self.genotype) is not None


def read(folder, space=None):
    """Reads the run in `folder`.

    Args:
        folder: path.
        space: name of a space of the user's own that the run may be of; None for the program's spaces.

    Files other than `config.json` may be missing or damaged: they are left out, and `notes` says so.

    Raises:
        UserError: if `folder` is not the folder of a run.
    """
    folder, notes = pathlib.Path(folder), []
    try:
        config = _object((folder / "config.json").read_text())
        command = config.get("command")
        if not (isinstance(command, list) and command and isinstance(command[0], str)):
            raise ValueError("no command")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{folder} is not the folder of a run: cannot read {folder / 'config.json'} ({type(error).__name__}); "
            "give logs/search_arch/<time> or logs/eval_arch/<time>"
        ) from None
    found = {}
    for path in sorted([*folder.glob("train/genotype_epoch_*"), *folder.glob("genotype_*.json")]):
        number = path.stem.split("_")[-1]
        cells = _optional(lambda path=path: genotypes.load(path, space), path, notes) if number.isdecimal() else None
        if cells is not None:
            found[int(number)] = cells
    last = folder / "genotype.json"
    results, exports = folder / "results.json", folder / "exports.json"
    return History(
        folder=folder,
        config=config,
        metrics=_lines(folder / "metrics.jsonl", _is_metrics, notes),
        mixing=_lines(folder / "mixing.jsonl", _is_mixing, notes),
        genotypes=dict(sorted(found.items())),
        genotype=_optional(lambda: genotypes.load(last, space), last, notes) if last.exists() else None,
        results=_optional(lambda: _object(results.read_text()), results, notes) if results.exists() else None,
        notes=notes,
        exports=(_optional(lambda: _exports(exports.read_text()), exports, notes) or []) if exports.exists() else [],
    )


def candidates(table):
    """The candidates of each choice of a table of mixing weights, a list each.

    The line of a table whose choices all have the same candidates names them once.
    """
    operations = table["operations"]
    each = bool(operations) and all(isinstance(row, list) for row in operations)
    return operations if each else [operations] * len(table["edges"])


def _object(text):
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


_EXPORTED = {"format": str, "quantize": (str, type(None)), "file": str, "size_bytes": int}
_EXPORTED |= dict.fromkeys(("agreement", "largest_difference", "latency_ms", "keras_latency_ms"), (int, float))


def _exports(text):
    value = json.loads(text)
    known = isinstance(value, list) and all(isinstance(each, dict) for each in value)
    if not (known and all(isinstance(each.get(name), kind) for each in value for name, kind in _EXPORTED.items())):
        raise ValueError("not a list of exports")
    return value


def _optional(load, path, notes):
    """`load()`, or None and a note."""
    try:
        return load()
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"{path} cannot be read and is left out ({type(error).__name__})")
        return None


def _lines(path, valid, notes):
    """The valid lines of a `.jsonl` file, one per epoch, and a note about the others."""
    text = _optional(path.read_text, path, notes) if path.exists() else ""
    found, lines = {}, (text or "").splitlines()
    damaged = 0
    for line in lines:
        try:
            value = _object(line)
        except (ValueError, RecursionError):
            value = {}
        if type(value.get("epoch")) is int and 0 < value["epoch"] < 1e9 and valid(value):
            found[value["epoch"]] = value
        else:
            damaged += 1
    if damaged:
        notes.append(f"{path}: {damaged} of {len(lines)} lines cannot be read and are left out")
    return [found[epoch] for epoch in sorted(found)]


def is_number(value):
    """Whether a value of a JSON file is a number (or NaN or infinity) that one can calculate with."""
    return type(value) in (int, float) and not 1e300 <= abs(value) < math.inf


def _is_metrics(line):
    return all(is_number(value) for value in line.values())


def _is_mixing(line):
    tables = line.get("tables")
    return isinstance(tables, dict) and bool(tables) and all(map(_is_table, tables.values()))


def _is_table(table):
    if not isinstance(table, dict) or not all(
        isinstance(table.get(x), list) for x in ("edges", "operations", "weights")
    ):
        return False
    edges, weights, rows = table["edges"], table["weights"], candidates(table)
    return (
        len(weights) == len(edges) == len(rows) > 0
        and all(isinstance(row, list) for row in rows)
        and all(isinstance(name, str) and name.isprintable() for row in (edges, *rows) for name in row)
        and all(isinstance(row, list) and len(row) == len(names) > 0 for row, names in zip(weights, rows))
        and all(is_number(value) and not value < 0 for row in weights for value in row)
    )
