"""Error figures of an approximate multiplier: `tfdarts multipliers TABLE [MAP.png]`.

TABLE is `exact`, `truncated:K`, `broken_array:H,V`, `drum:K`, `mitchell`, or a FILE.bin of 65,536 little-endian uint16.
Prints one JSON object and draws the map of the errors of all 256 x 256 products.
"""

import json
import pathlib
import re

import numpy as np
from absl import flags
from PIL import Image

from tfdarts.approximation import load_table
from tfdarts.cli import flags as cli
from tfdarts.errors import UserError
from tfdarts.ops import multipliers


def error_map(table):
    """An image of the errors, two pixels to a product.

    Red for products that are too large, blue for ones too small, white for right ones; the full colour is the largest
    error. The activation's code grows downwards, the weight's to the right.

    Args:
        table: `(256, 256)`.

    Returns:
        A `PIL.Image`, 512 x 512.
    """
    error = table.astype(np.int64) - multipliers.exact()
    strength = error / max(1, np.abs(error).max())
    fade = (255 * (1 - np.abs(strength))).astype(np.uint8)
    full = np.full_like(fade, 255)
    colours = np.where((strength > 0)[..., None], np.stack([full, fade, fade], -1), np.stack([fade, fade, full], -1))
    return Image.fromarray(colours.repeat(2, 0).repeat(2, 1))


def main():
    """The command `tfdarts multipliers`, and `python3 -m tfdarts.multipliers`."""
    cli.run(describe, flags.FlagValues(), positional=True)


def describe(_, arguments):
    """Prints the error figures of the table that the first argument names, and draws the map of its errors."""
    if not 1 <= len(arguments) <= 2:
        raise UserError("give a TABLE (and MAP.png); --help says more")
    name = arguments[0]
    stem = re.sub(r"\W+", "_", pathlib.Path(name).stem if name.endswith(".bin") else name)
    path = arguments[1] if len(arguments) == 2 else f"{stem}_errors.png"
    table = load_table(name)
    try:
        error_map(table).save(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {path}: {error}") from error
    rank = multipliers.rank(table.astype(np.int64) - multipliers.exact())
    print(json.dumps({"multiplier": name, **multipliers.statistics(table), "rank_of_error": rank, "map": path}))
