"""Writes a report on runs, finished or not: `tfdarts report logs/search_arch/<time> [FOLDER ...]`.

One HTML page, `report.html` in the first folder (`--output` names another file), which works offline and without a
server.
"""

import pathlib

from absl import flags

from tfdarts.cli import commands
from tfdarts.cli import flags as cli
from tfdarts.errors import UserError
from tfdarts.report.html import page
from tfdarts.runs import history


def main():
    """The command `tfdarts report`, and `python3 -m tfdarts.report`."""
    cli.run(report, define(), positional=True)


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    text = "file of the report; default: report.html in the first folder"
    flags.DEFINE_string("output", None, text, flag_values=values)
    flags.DEFINE_string("space", None, "module of a space of your own, if runs are of one", flag_values=values)
    return values


def report(values, arguments):
    """Writes the report on the runs in the folders `arguments`, and prints its path."""
    if not arguments:
        raise UserError("give the folder of a run, logs/search_arch/<time> or logs/eval_arch/<time>, or several")
    text = page([history.read(folder, values.space) for folder in arguments], commands.going_on)
    path = pathlib.Path(values.output or pathlib.Path(arguments[0]) / "report.html")
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; give another --output") from error
    print(path)
