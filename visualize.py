"""Draws a genotype or a search: `python3 visualize.py DARTS_V2 --format png`, `python3 visualize.py LOGFOLDER`.

A genotype is a name (of another space than conv with `--space`), a JSON file or a `Genotype(...)` text. Of a search's
folder, every epoch's cells are drawn, an animation of each cell (GIF), and a chart of the mixing weights over the
epochs (SVG).
"""

import pathlib
import re

from absl import flags

from tfdarts import genotype
from tfdarts.cli import flags as cli
from tfdarts.report import charts
from tfdarts.report import drawing as visualize
from tfdarts.runs import history

FLAGS = flags.FLAGS
flags.DEFINE_enum("format", "svg", visualize.FORMATS, "file format of the cells")
flags.DEFINE_enum("space", None, list(genotype.SPACES), "space of the name; default: conv")
flags.DEFINE_string("output", None, "folder of the drawings; default: the current one, or LOGFOLDER/drawings")


def main(arguments):
    if len(arguments) != 1:
        names = ", ".join(genotype.names(FLAGS.space or "conv"))
        raise cli.UserError(f"give one genotype: a file, or one of {names}; or the folder of a search")
    source = pathlib.Path(arguments[0])
    run = history.read(source) if source.is_dir() else None
    if run is not None and FLAGS.space:
        raise cli.UserError("the folder of a search knows its space; leave out --space")
    if run is not None and not run.genotypes:
        reason = "it is a training; draw its genotype.json" if run.training else "no epoch has ended yet"
        raise cli.UserError(f"{source} holds no cells of epochs: {reason}")
    cells = genotype.load(arguments[0], FLAGS.space or "conv") if run is None else list(run.genotypes.values())[-1]
    folder = pathlib.Path(FLAGS.output or ("." if run is None else source / "drawings"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = visualize.draw(cells, folder / source.stem, FLAGS.format) if run is None else draw_run(run, folder)
    except OSError as error:
        raise cli.UserError(f"cannot write into {folder}: {error.strerror}") from error
    print(visualize.ascii_drawing(cells))
    for path in paths:
        print(path)
    if any(path.suffix == ".dot" for path in paths):
        print(f"Graphviz's `dot` is missing, so this is DOT text instead of {FLAGS.format}. {visualize.INSTALL}")
    for note in run.notes if run else ():
        print(f"note: {note}")


def draw_run(run, folder):
    """Draws a search's cells, their evolution and its mixing weights; returns the paths that were written."""
    palette, paths = visualize.operation_colours(run.operations()), []
    for number, cells in run.genotypes.items():
        paths.extend(visualize.draw(cells, folder / f"{run.unit}_{number}", FLAGS.format))
    captions = [f"{run.unit} {number} of {run.total}" for number in run.genotypes]
    for kind in visualize.graphs(cells):
        drawing = visualize.Drawing([visualize.graphs(each)[kind] for each in run.genotypes.values()], palette)
        paths.append(folder / f"evolution_{kind}.gif")
        visualize.animate(drawing, captions, paths[-1])
    for name, canvas in (charts.mixing(run.mixing, palette) if run.mixing else {}).items():
        paths.append(folder / f"mixing_{re.sub(r'[^A-Za-z0-9-]', '_', name)}.svg")
        paths[-1].write_text(canvas.svg())
    return paths


if __name__ == "__main__":
    cli.run(main, positional=True)
