"""Known accuracies of the architectures of NAS-Bench-201, from files of a user's own or NATS-Bench's."""

import bz2
import csv
import functools
import json
import math
import pathlib
import re
import sys

import keras

from tfdarts.errors import UserError
from tfdarts.genotype import GenotypeError
from tfdarts.spaces.nb201 import pickles
from tfdarts.spaces.nb201.genotype import Nb201Genotype

COLUMNS = ("architecture", "dataset", "accuracy")
# Of NATS-Bench's results after 200 epochs: the set of images whose accuracy counts. `cifar10` is trained on all of
# CIFAR-10's training images, `cifar10-valid` on half of them.
_SETS = {"cifar10-valid": "x-valid", "cifar10": "ori-test", "cifar100": "x-test", "ImageNet16-120": "x-test"}
_EPOCHS = "200"
_MANY, _SECONDS = 200, 0.04  # files whose reading is announced, and how long one takes
_LARGEST = 1 << 26  # bytes of one architecture's results, which take 3e5


class TableError(UserError):
    """A table that cannot be read, with a sentence for the user."""


class Table:
    """Accuracies in percent, by data set and architecture.

    Args:
        rows: tuples `(Nb201Genotype, name of a data set, accuracy)`.

    Raises:
        TableError: if there are none, or two for the same architecture and data set.
    """

    def __init__(self, rows):
        self.accuracies = {}
        for genotype, dataset, accuracy in rows:
            known = self.accuracies.setdefault(dataset, {})
            if genotype in known:
                raise TableError(f"{genotype} has two accuracies on {dataset}; leave one out")
            known[genotype] = accuracy
        if not self.accuracies:
            raise TableError("it holds no accuracies")

    def of(self, genotype):
        """The known accuracies of an architecture in percent: data set to number."""
        return {name: known[genotype] for name, known in self.accuracies.items() if genotype in known}

    def best(self, dataset):
        """The largest accuracy on a data set, in percent."""
        return max(self.accuracies[dataset].values())

    def metrics(self, genotype):
        """An epoch's metrics: accuracies of its architecture, and what the table's best has more, in percent."""
        result = {}
        for dataset, accuracy in self.of(genotype).items():
            result[f"table_accuracy_{dataset}"] = accuracy
            result[f"table_regret_{dataset}"] = self.best(dataset) - accuracy
        return result

    def rows(self):
        """What it was made of."""
        return [(cell, name, accuracy) for name, known in self.accuracies.items() for cell, accuracy in known.items()]


class TableCallback(keras.callbacks.Callback):
    """Adds a table's metrics of a search's current cell to those of every epoch.

    Args:
        table: `Table`.
    """

    def __init__(self, table):
        super().__init__()
        self.table = table

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.table.metrics(self.model.genotype()))


def load(path):
    """Reads a table.

    Args:
        path: a CSV file with the header `architecture,dataset,accuracy`; a JSON file, a list of objects with these
            fields; or the folder `NATS-tss-v1_0-3ffb9-simple` of NATS-Bench, of which nothing is executed.

    Raises:
        TableError: if it cannot be read, with a sentence.
    """
    path = pathlib.Path(path)
    try:
        return _load(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise TableError(f"--nb201_table: cannot read {path} ({type(error).__name__}); give a file or folder") from None


@functools.lru_cache(maxsize=1)
def _load(path, changed):
    """The table in a file that was changed last at a time; it is kept, for a folder takes minutes to read."""
    try:
        if path.is_dir():
            return Table(_nats_bench(path))
        if path.suffix in (".pth", ".pbz2"):
            raise TableError(
                "the authors' single files take more memory than most machines have; give NATS-Bench's folder "
                "NATS-tss-v1_0-3ffb9-simple, which holds the same architectures, or a CSV file (docs/nb201.md)"
            )
        text = path.read_text(encoding="utf-8")
        return Table(_json(text) if path.suffix == ".json" else _csv(text))
    except UnicodeDecodeError:
        raise TableError(f"--nb201_table {path}: it is no text") from None
    except TableError as error:
        raise TableError(f"--nb201_table {path}: {error}") from None


def save(table, path):
    """Writes a table as CSV."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((str(genotype), dataset, accuracy) for genotype, dataset, accuracy in table.rows())


def _row(where, architecture, dataset, accuracy):
    """A checked row; `where` says which, for the sentence."""
    try:
        genotype = Nb201Genotype.from_architecture(architecture) if isinstance(architecture, str) else None
        number = float(accuracy) if type(accuracy) in (str, int, float) else math.nan
    except GenotypeError as error:
        raise TableError(f"{where}: {error}") from None
    except ValueError:
        number = math.nan
    if genotype is None or not isinstance(dataset, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", dataset):
        raise TableError(f"{where}: it needs an architecture and the name of a data set in letters, digits, - and _")
    if not 0 <= number <= 100:
        raise TableError(f"{where}: the accuracy must be a number from 0 to 100, in percent. Received: {accuracy!r}")
    return genotype, dataset, number


def _csv(text):
    try:
        lines = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise TableError(f"it is no CSV ({error})") from None
    if not lines or tuple(lines[0]) != COLUMNS:
        raise TableError(f"its first line must be {','.join(COLUMNS)}")
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(COLUMNS):
            raise TableError(f"line {number} must have {len(COLUMNS)} columns, it has {len(line)}")
        yield _row(f"line {number}", *line)


def _json(text):
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise TableError("it is no JSON") from None
    if not isinstance(found, list) or not all(isinstance(row, dict) and set(row) == set(COLUMNS) for row in found):
        raise TableError(f"it must be a list of objects with the fields {', '.join(COLUMNS)}")
    for number, row in enumerate(found, 1):
        yield _row(f"entry {number}", *(row[column] for column in COLUMNS))


def _nats_bench(folder):
    """The rows of NATS-Bench's folder: means over the seeds of what was reached in the last of 200 epochs."""
    paths = sorted(path for path in folder.glob("*.pickle.pbz2") if path.name.split(".")[0].isdecimal())
    if not paths:
        raise TableError("the folder has no files like 000000.pickle.pbz2")
    if len(paths) > _MANY:
        print(
            f"reading {len(paths):,} files of {folder}, about {_SECONDS * len(paths) / 60:.0f} minutes; `tfdarts table "
            f"{folder} table.csv` writes a table that is read at once",
            file=sys.stderr,
        )
    for path in paths:
        try:
            yield from _architecture(pickles.read(_decompressed(path)))
        except pickles.Refused as error:
            raise TableError(f"{path.name} is refused: {error}") from None
        except TableError as error:
            raise TableError(f"{path.name}, {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError):
            raise TableError(f"{path.name} does not hold the results of an architecture in NATS-Bench's form") from None


def _decompressed(path):
    decompressor = bz2.BZ2Decompressor()
    try:
        data = decompressor.decompress(path.read_bytes(), _LARGEST)
    except (OSError, EOFError) as error:
        raise pickles.Refused(f"it cannot be unpacked ({error})") from None
    if not decompressor.eof:
        raise pickles.Refused("it is cut short, or too large for one architecture")
    return data


def _architecture(found):
    """The rows of one architecture: `{"200": {"arch_str", "all_results": {(data set, seed): results}}}`."""
    found = found[_EPOCHS]
    reached = {}
    for (dataset, _), results in found["all_results"].items():
        if dataset in _SETS:
            last = f"{_SETS[dataset]}@{results['epochs'] - 1}"
            reached.setdefault(dataset, []).append(results["eval_acc1es"][last])
    for dataset, accuracies in reached.items():
        yield _row(found["arch_str"], found["arch_str"], dataset, sum(accuracies) / len(accuracies))
