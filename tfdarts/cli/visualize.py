"""Draws a genotype or a search: `tfdarts visualize DARTS_V2 --format png`, `tfdarts visualize LOGFOLDER`.

A genotype is a name (of another space than conv with `--space`), a JSON file or a `Genotype(...)` text. Of a search's
folder, every epoch's cells are drawn, an animation of each cell (GIF), and a chart of the mixing weights over the
epochs (SVG). With `--to` nothing is drawn: the genotype is printed for another program.
"""

import json
import pathlib
import re
import sys

from absl import flags

from tfdarts.cli import flags as cli
from tfdarts.cli import meant
from tfdarts.errors import UserError
from tfdarts.report import charts, drawing
from tfdarts.runs import history
from tfdarts.spaces import NAMES, genotypes


def main():
    """The command `tfdarts visualize`, and `visualize.py`."""
    cli.run(visualize, define(), positional=True)


def define():
    """The command's flags, not yet parsed."""
    values = flags.FlagValues()
    own = {"flag_values": values}
    flags.DEFINE_enum("format", "svg", drawing.FORMATS, "file format of the cells", **own)
    text = f"space of the name: {', '.join(NAMES)}, or a module with SPACE; default: conv"
    flags.DEFINE_string("space", None, text, **own)
    text = "print the genotype instead: pytorch, text for the authors' programs; nni, for NNI; json, our own form"
    flags.DEFINE_enum("to", None, ("pytorch", "nni", "json"), text, **own)
    flags.DEFINE_string(
        "output", None, "folder of the drawings; default: the current one, or LOGFOLDER/drawings", **own
    )
    return values


def visualize(values, arguments):
    """Draws what the one argument names, and prints the genotype and the paths of the drawings."""
    if len(arguments) != 1:
        names = ", ".join(genotypes.names(values.space or "conv"))
        raise UserError(f"give one genotype: a file, or one of {names}; or the folder of a search")
    source = pathlib.Path(arguments[0])
    run = history.read(source, values.space) if source.is_dir() else None
    if run is not None and values.space in NAMES:
        raise UserError("the folder of a search knows its space; leave out --space")
    if run is not None and not run.genotypes:
        reason = "it is a training; draw its genotype.json" if run.training else "no epoch has ended yet"
        raise UserError(f"{source} holds no cells of epochs: {reason}")
    if run is None:
        genotype = genotypes.load(arguments[0], values.space or meant.space({}, "train", arguments[0]))
    else:
        genotype = list(run.genotypes.values())[-1]
    if values.to is not None:
        return print_for(genotype, values.to)
    folder = pathlib.Path(values.output or ("." if run is None else source / "drawings"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if run is None:
            name = re.sub(r"\.\w+:", "_", source.name)  # FILE.py:NAME is drawn as FILE_NAME
            paths = drawing.draw(genotype, folder / pathlib.Path(name).stem, values.format)
        else:
            paths = draw_run(run, folder, values.format)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}") from error
    print(drawing.ascii_drawing(genotype))
    for path in paths:
        print(path)
    if any(path.suffix == ".dot" for path in paths):
        print(f"Graphviz's `dot` is missing, so this is DOT text instead of {values.format}. {drawing.INSTALL}")
    for note in run.notes if run else ():
        print(f"note: {note}")


def print_for(genotype, program):
    """Prints a genotype as another program takes it; what that does not know is told on stderr."""
    if program == "json":
        return print(genotype.to_json(), end="")
    if program == "nni":
        return print(json.dumps(genotype.to_nni(), indent=2))
    text, more = genotype.to_text()
    print(text)
    if more:
        print(f"note: the authors' Genotype lacks {', '.join(more)}: leave that out there", file=sys.stderr)


def draw_run(run, folder, file_format):
    """Draws a search's cells, their evolution and its mixing weights; returns the paths that were written."""
    palette, paths = drawing.operation_colors(run.operations()), []
    for number, genotype in run.genotypes.items():
        paths.extend(drawing.draw(genotype, folder / f"{run.unit}_{number}", file_format))
    captions = [f"{run.unit} {number} of {run.total}" for number in run.genotypes]
    for kind in drawing.graphs(genotype):
        graphs = [drawing.graphs(each)[kind] for each in run.genotypes.values()]
        paths.append(folder / f"evolution_{kind}.gif")
        drawing.animate(drawing.Drawing(graphs, palette), captions, paths[-1])
    for name, canvas in (charts.mixing(run.mixing, palette) if run.mixing else {}).items():
        paths.append(folder / f"mixing_{re.sub(r'[^A-Za-z0-9-]', '_', name)}.svg")
        paths[-1].write_text(canvas.svg())
    return paths
