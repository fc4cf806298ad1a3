"""The command `tfdarts`, which runs one of its commands: `tfdarts search --recipe digits`."""

import importlib
import sys

from tfdarts.version import __version__

# Each is a module beside this one, with a function `main()`.
COMMANDS = {
    "search": "search a cell or a network by DARTS or ENAS",
    "train": "train and test the network of a genotype",
    "evaluate": "test a saved network",
    "export": "write a saved network for other programs",
    "study": "compare strategies over many seeds with random cells",
    "visualize": "draw a genotype or a search",
    "report": "write an HTML report on runs",
    "recipes": "print papers' hyperparameters by name",
    "convert": "convert weights of PyTorch programs to models, and back",
    "multipliers": "print the error figures of an approximate multiplier",
    "table": "write NAS-Bench-201's known accuracies as CSV",
}


def main():
    """Runs the command that `sys.argv` names, in this process; only that command's module is imported.

    Exit code 0 for `--help` and `--version`; 2, with one line on stderr, where no known command is named.
    """
    name, *arguments = sys.argv[1:] or [None]
    if name in ("--help", "-help", "-h"):
        print("usage: tfdarts COMMAND ...; `tfdarts COMMAND --help` explains a command's options\n")
        print("\n".join(f"  {command:<12} {text}" for command, text in COMMANDS.items()))
        sys.exit(0)
    if name == "--version":
        print(f"tfdarts {__version__}")
        sys.exit(0)
    if name not in COMMANDS:
        wrong = "give a command" if name is None else f"there is no command {name!r}; give one"
        print(f"error: {wrong} of {', '.join(COMMANDS)} (tfdarts --help explains them)", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"tfdarts {name}", *arguments]
    importlib.import_module(f"tfdarts.cli.{name}").main()
