"""The package as users install it: a wheel, used from an empty folder; the command `tfdarts`; versions that agree."""

import importlib
import json
import os
import pathlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement

import tfdarts.cli
from tfdarts.cli import evaluate, main, search, train, visualize
from tfdarts.version import __version__

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = {"tfdarts": "tfdarts", "ops": "tfdarts/ops", "genotypes": "tfdarts/genotypes"}  # here: in the wheel
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Path of a wheel, built from a copy, since setuptools leaves folders beside what it builds."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    _pip("wheel", "--no-build-isolation", "--wheel-dir", built, source)
    (path,) = built.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Function that runs a program where the wheel is installed, from an empty folder; returns its output."""
    site, empty = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    _pip("install", "--target", site, wheel)
    programs = {"tfdarts": site / "bin/tfdarts", "python": sys.executable}
    environment = os.environ | {"PYTHONPATH": str(site), "TF_CPP_MIN_LOG_LEVEL": "2"}

    def run(program, *arguments):
        words = [programs[program], *arguments]
        done = subprocess.run(words, cwd=empty, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _pip(command, *arguments):
    """Runs pip without any index: packages that it lacks are not downloaded."""
    words = [sys.executable, "-m", "pip", command, "--quiet", "--no-deps", "--no-index", *map(str, arguments)]
    subprocess.run(words, check=True)


def test_the_wheel_holds_every_file_and_installs_nothing_but_tfdarts(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (about,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        entry = archive.read(f"{about}/entry_points.txt").decode()
        metadata = archive.read(f"{about}/METADATA").decode()
        licence = archive.read(f"{about}/licenses/LICENSE").decode()
    sources = {
        f"{there}/{path.relative_to(ROOT / here)}"
        for here, there in FOLDERS.items()
        for path in (ROOT / here).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert "tfdarts = tfdarts.cli.main:main" in entry
    assert f"Version: {__version__}\n" in metadata and "License-Expression: Apache-2.0\n" in metadata
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence


def test_a_network_of_a_shipped_genotype_is_estimated_from_an_empty_folder(installed):
    report = installed("tfdarts", "train", "--arch", "DARTS_V2", "--dry_run")
    assert json.loads(report.splitlines()[-1])["parameters"] == 3349342


def test_a_search_is_estimated_from_an_empty_folder(installed):
    report = installed("tfdarts", "search", "--recipe", "digits", "--dry_run")
    assert json.loads(report.splitlines()[-1])["classes"] == 10


def test_a_shipped_genotype_is_drawn_from_an_empty_folder(installed):
    assert "DARTS_V2_normal.svg" in installed("tfdarts", "visualize", "DARTS_V2")


def test_the_operations_are_installed_inside_the_package(installed):
    code = (
        "import importlib.util, tfdarts.ops.regular; print(tfdarts.ops.regular.__file__, *tfdarts.__path__, "
        "importlib.util.find_spec('ops'), importlib.util.find_spec('genotypes'), sep='\\n')"
    )
    module, package, *absent = installed("python", "-c", code).splitlines()
    assert module == f"{package}/ops/regular.py" and not package.startswith(str(ROOT))
    assert absent == ["None", "None"]


@pytest.mark.parametrize(
    "arguments,code,text",
    [
        ([], 2, "error: give a command of search, train"),
        (["serch"], 2, "error: there is no command 'serch'; give one of search, train"),
        (["--help"], 0, "draw a genotype or a search"),
        (["--version"], 0, f"tfdarts {__version__}\n"),
        (["train", "--help"], 0, "Trains and tests the network of a genotype: `tfdarts train --arch DARTS_V2`"),
        (["visualize", "--format"], 2, "error: Missing value for flag --format"),
        (["visualize", "DARTS_V3"], 2, "error: "),
    ],
)
def test_the_command_says_what_there_is(arguments, code, text, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["tfdarts", *arguments])
    with pytest.raises(SystemExit) as stop:
        main.main()
    out, err = capsys.readouterr()
    assert stop.value.code == code and text in (err if code else out)
    assert code == 0 or (err.count("\n") == 1 and not out)


def test_every_command_is_in_the_table():
    modules = {module.name for module in pkgutil.iter_modules(tfdarts.cli.__path__)}
    commands = {name for name in modules if hasattr(importlib.import_module(f"tfdarts.cli.{name}"), "main")}
    assert commands - {"main"} == set(main.COMMANDS)


def test_commands_parse_side_by_side_in_one_process():
    first, second = search.define(), search.define()
    first(["search", "--epochs", "3", "--unrolled"])
    second(["search", "--layers", "5"])
    assert (first.epochs, first.unrolled, first.layers) == (3, True, None)
    assert (second.epochs, second.unrolled, second.layers) == (None, None, 5)
    training, testing, drawing = train.define(), evaluate.define(), visualize.define()
    assert training(["train", "--genotype_file", "a.json", "b.json"])[1:] == ["b.json"]
    testing(["evaluate", "--batch_size", "7"])
    drawing(["visualize", "--format", "png", "DARTS_V2"])
    assert (training.genotype_file, training.batch_size, testing.batch_size) == ("a.json", None, 7)
    assert drawing.format == "png" and "derive" not in training and "derive" in first


def test_each_pin_lies_in_the_range_of_the_package():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pins = dict(re.fullmatch(r"([\w-]+)==([\w.]+)", line).groups() for line in lines)
    ranges = {requirement.name: requirement.specifier for requirement in map(Requirement, PROJECT["dependencies"])}
    assert pins.keys() == ranges.keys()
    assert [name for name, pin in pins.items() if pin not in ranges[name]] == []


def test_this_python_is_one_that_the_package_promises():
    promised = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in promised
