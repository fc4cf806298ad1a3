"""Draws a genotype: `python3 visualize.py DARTS_V2 --format png`; a name, a JSON file or a `Genotype(...)` text."""

import pathlib

from absl import flags

from tfdarts import cli, genotype, visualize

FLAGS = flags.FLAGS
flags.DEFINE_enum("format", "svg", visualize.FORMATS, "file format")
flags.DEFINE_string("output", ".", "folder of the drawings")


def main(arguments):
    if len(arguments) != 1:
        raise cli.UserError(f"give one genotype: a file, or one of {', '.join(genotype.names())}")
    cells = genotype.load(arguments[0])
    folder = pathlib.Path(FLAGS.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = visualize.draw(cells, folder / pathlib.Path(arguments[0]).stem, FLAGS.format)
    except OSError as error:
        raise cli.UserError(f"cannot write into {folder}: {error.strerror}") from error
    print(visualize.ascii_drawing(cells))
    for path in paths:
        print(path)
    if any(path.suffix == ".dot" for path in paths):
        print(f"Graphviz's `dot` is missing, so this is DOT text instead of {FLAGS.format}. {visualize.INSTALL}")


if __name__ == "__main__":
    cli.run(main, positional=True)
