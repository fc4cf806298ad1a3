"""The pages for users, the commands on them, and what a command's flags and options must be like."""

import contextlib
import pathlib
import re
import shlex
import sys
import tomllib
import typing

from tests.support.commands import ROOT
from tfdarts import recipes, spaces
from tfdarts.cli import convert, evaluate, export, flags, main, report, search, study, train, visualize
from tfdarts.cli.plans import plan_of
from tfdarts.operations import load as load_operations
from tfdarts.paths import GENOTYPES
from tfdarts.spaces import genotypes

SCRIPTS = {
    "search_cell.py": "search",
    "train.py": "train",
    "evaluate.py": "evaluate",
    "visualize.py": "visualize",
    "study.py": "study",
    "export.py": "export",
}
MODULES = {"tfdarts.report": "report", "tfdarts.multipliers": "multipliers", "tfdarts.convert": "convert"}
WITH_FLAGS = {
    "search": search,
    "train": train,
    "evaluate": evaluate,
    "visualize": visualize,
    "study": study,
    "export": export,
    "report": report,
    "convert": convert,
}
POSITIONAL = ("train", "visualize", "report", "convert")
INLINE = re.compile(r"(?:python3 (?:-m \S|\w+\.py|\w+/)|tfdarts \w|make \w|(?:" + "|".join(SCRIPTS) + r") )")


class Command(typing.NamedTuple):
    """A command on a page: `page` names the page, `text` is the command without its comment."""

    page: str
    text: str


def pages():
    """Every page for users: name to Markdown, the generated ones as they are built."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    result = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in found}
    result["docs/recipes.md"] += "\n\n".join(recipe.doc for recipe in recipes.RECIPES.values())
    return result


def blocks(text):
    """The fenced blocks of a page: pairs of language and lines; a line that ends with a backslash has its next one."""
    for language, body in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.S | re.M):
        yield language, re.sub(r"\\\n\s*", "", body).splitlines()


def commands():
    """All commands: of every fenced block without a language, which holds nothing else, and of the running text."""
    found = []
    for page, text in pages().items():
        lines = [line for language, body in blocks(text) if not language for line in body]
        rest = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.S | re.M)
        spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest))
        found += [Command(page, line) for line in [*lines, *filter(INLINE.match, spans)]]
    without = (each._replace(text=shlex.join(shlex.split(each.text, comments=True))) for each in found)
    return list(dict.fromkeys(each for each in without if each.text))


class Checker:
    """Checks commands as far as that takes no network, no data and no process.

    Args:
        folder: where the runs and files are made that commands name.
    """

    def __init__(self, folder):
        self.folder = folder

    def check(self, text):
        """Raises an error if a command's flags do not exist, or its options do not go together.

        Raises:
            UserError, flags.Error, AssertionError: with what is wrong.
        """
        first, *words = shlex.split(text)
        if first == "make":
            for target in words:
                assert f"\n{target}:" in (ROOT / "Makefile").read_text(), f"make has no {target}"
        elif first == "pip":
            _check_pip(words)
        elif first == "tfdarts":
            self._run_of_ours(*words)
        elif first in SCRIPTS:
            self._run_of_ours(SCRIPTS[first], *words)
        elif first == "python3" and words[0] == "-m":
            self._run_of_ours(MODULES[words[1]], *words[2:])
        elif first == "python3" and words[0] in SCRIPTS:
            self._run_of_ours(SCRIPTS[words[0]], *words[1:])
        elif first == "python3":
            _check_script(*words)
        else:
            raise AssertionError(f"nobody checks {first!r}; add it here, or to NOT_RUN")

    def _run_of_ours(self, name, *words):
        assert name in main.COMMANDS or name in ("--help", "--version"), f"there is no command {name}"
        if "--help" in words or not (words or name in ("search", "train", "study")):  # a page may just name a command
            return
        if name == "recipes":
            assert set(words) <= recipes.RECIPES.keys(), f"not all of {words} are recipes"
        elif name == "multipliers":
            assert len(words) == 1 and re.fullmatch(r"exact|mitchell|\w+:[\d,]+|[A-Z]+", words[0]), words
        elif name == "table":
            assert len(words) == 2, words
        else:
            self._check_flags(name, words)

    def _check_flags(self, name, words):
        words = [word for word in words if word != "..."] if name == "study" else self._with_files(words)
        with _argv([name, *words]):
            values = WITH_FLAGS[name].define()
            _, *rest = values([name, *words])
            assert not rest or name in POSITIONAL, f"unknown argument {rest[0]!r}"
            if name == "search":
                found, _ = flags.settings(values, "search")
            elif name == "train":
                found, _ = flags.settings(values, "train", train.load_genotypes(values, rest))
            elif name == "study" and values.resume is None:
                found = plan_of(values)[0].train
            elif name == "visualize" and rest and not pathlib.Path(rest[0]).is_dir():
                genotypes.load(rest[0], values.space or visualize.meant.space({}, "train", rest[0]))
            elif name == "export" and not values.list:
                export.formats.FORMATS[values.format]
        if name == "search" and found.values.get("ops"):
            load_operations(found.values["ops"]) if found.space == "conv" else None

    def _with_files(self, words):
        """Words with files and folders that exist in place of those that a user has."""
        space = _space_of(words)
        return [self._file(word, words, space) for word in words]

    def _file(self, word, words, space):
        if re.fullmatch(r"(logs/\S*/)?genotype\.json|(logs/\S*/)?genotype_epoch_\d+|\.\.\.|FILE|ARC|[A-C]\.json", word):
            return str(self._genotype(space))
        if re.fullmatch(r"logs/(search|eval)_arch/[^/]+|RUN|FOLDER", word) and "--resume" in words:
            return str(self._run("search" if "search" in word or word == "RUN" else "train", "--derive" in words))
        return str(self.folder) if re.fullmatch(r"logs/search_arch/[^/]+|LOGFOLDER", word) else word

    def _genotype(self, space):
        """A genotype's file, of a space."""
        if space in spaces.NAMES:
            return sorted((GENOTYPES / space).glob("*.json"))[0]
        path = self.folder / "own.json"
        path.write_text(spaces.load(space).random(1, 0)[0].to_json())
        return path

    def _run(self, stage, by_controller):
        """The folder of a run, as far as `--resume` looks before it goes on."""
        from tfdarts.runs.folder import RunFolder

        recipe = "macro_digits" if by_controller else "digits"
        folder = RunFolder.start(self.folder, recipes.resolve(recipe, stage, {}).to_config())
        return folder.folder


def _space_of(words):
    given = dict(zip(words, words[1:]))
    if "--data" in given and "--space" not in given:
        return "recurrent"
    return given.get("--space") or recipes.space_of(given.get("--recipe"))


@contextlib.contextmanager
def _argv(words):
    """`sys.argv`, in which the flags look for a space of the user's own."""
    before, sys.argv = sys.argv, words
    try:
        yield
    finally:
        sys.argv = before


def _check_script(path, *words):
    """A script of the repository that parses its own arguments has all flags that are given."""
    text = (ROOT / path).read_text() + (ROOT / "benchmarks/measure.py").read_text()
    for flag in (word for word in words if word.startswith("--")):
        assert f'"{flag}"' in text, f"{path} has no {flag}"


def _check_pip(words):
    """`pip install` of this project or its requirements, with extras that there are."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    command, *things = words
    assert command == "install", words
    for thing in things:
        named = re.fullmatch(r"tfdarts\[(\w+)\]", thing)
        known = named[1] in extras if named else thing in (".", "-r", "ray") or (ROOT / thing).is_file()
        assert known, f"pip install {thing}"
