"""A study's `study.json`: the options that it began with, and in the end its result."""

import datetime
import json
import pathlib
import sys

from tfdarts.errors import UserError
from tfdarts.version import __version__

FORMAT = 1  # of the file


def start(logdir, options):
    """Makes the folder of a new study.

    Args:
        logdir: folder of all runs.
        options: dictionary of JSON values, which `options_of` gives back.

    Returns:
        `pathlib.Path`.

    Raises:
        UserError: if it cannot be made.
    """
    folder = pathlib.Path(logdir, "study", datetime.datetime.now().strftime("%Y%m%d-%H%M%S"))
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}; give another --logdir") from None
    save(folder, {"format": FORMAT, "tfdarts": __version__, "command": sys.argv, "options": options})
    return folder


def options_of(folder):
    """The options that the study in a folder began with.

    Raises:
        UserError: if there is no study, or one of another version of the program.
    """
    try:
        saved = json.loads((folder / "study.json").read_text())
        written, options = saved.get("format"), saved["options"]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        reason = type(error).__name__
        raise UserError(f"{folder} is not the folder of a study ({reason}); give logs/study/<time>") from None
    if written != FORMAT:
        raise UserError(f"{folder} was written by another version of tfdarts; start a new study")
    return options


def save(folder, values):
    """Adds values to the folder's `study.json`; a kill leaves the old file whole."""
    path = folder / "study.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    following = path.with_name("study.json.next")
    following.write_text(json.dumps(before | values, indent=2) + "\n")
    following.replace(path)
