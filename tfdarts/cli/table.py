"""Writes NAS-Bench-201's known accuracies as CSV: `tfdarts table NATS-tss-v1_0-3ffb9-simple table.csv`.

Takes what `--nb201_table` takes. Reading NATS-Bench's folder takes minutes, the CSV less than a second.
"""

from absl import flags

from tfdarts.cli import flags as cli
from tfdarts.errors import UserError
from tfdarts.spaces.nb201 import table


def main():
    """The command `tfdarts table`."""
    cli.run(convert, flags.FlagValues(), positional=True)


def convert(_, arguments):
    """Reads the table that the first argument names, and writes it to the second."""
    if len(arguments) != 2:
        raise UserError("give a table as --nb201_table takes it, and the CSV file to write")
    source, target = arguments
    found = table.load(source)
    try:
        table.save(found, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}") from None
    for dataset, known in found.accuracies.items():
        print(f"{dataset}: {len(known):,} architectures, the best has {found.best(dataset):.2f} %")
