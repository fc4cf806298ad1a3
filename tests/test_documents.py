"""README and docs: their commands are right, their pages build, and what they name exists."""

import ast
import re
import warnings

import pytest

import tfdarts
from tests.support import documents
from tests.support.commands import ROOT
from tests.support.source_commands import table

# Commands that are not checked, with the reason.
NOT_RUN = {
    ". .venv/bin/activate": "of the shell",
    "ray start --head": "Ray's own; tests/test_study_ray.py starts a cluster by itself",
    "ray start --address HEAD:6379": "Ray's own",
    "tensorboard --logdir logs": "TensorBoard's own",
    "mkdocs serve": "MkDocs's own; the build is a test below",
    ".venv/bin/mkdocs serve": "MkDocs's own",
    "python3 -m tensorflow_datasets.scripts.cli.main build cifar10": "TensorFlow Datasets' own; downloads CIFAR-10",
    ".venv/bin/python -m pytest -q -x tests/test_parts.py": "a run of tests",
    ".venv/bin/python -m pytest -q tests/test_goldens.py --goldens DIR": "a run of tests",
    "python3 -m tests.gpu_check": "needs a GPU",
}
COMMANDS = [each for each in documents.commands() if each.text not in NOT_RUN]


@pytest.fixture(scope="module")
def checker(tmp_path_factory):
    return documents.Checker(tmp_path_factory.mktemp("documents"))


@pytest.mark.parametrize("command", COMMANDS, ids=[f"{each.page}: {each.text}"[:110] for each in COMMANDS])
def test_a_command_has_flags_that_exist_and_options_that_go_together(command, checker):
    checker.check(command.text)


def test_commands_are_found():
    assert len(COMMANDS) > 150 and {each.page for each in COMMANDS} >= {"README.md", "docs/recipes.md"}


@pytest.mark.parametrize(
    "text",
    [
        "python3 search_cell.py --unrollled",
        "python3 search_cell.py --recipe digit",
        "python3 search_cell.py --space renet --init_channels 3",
        "python3 search_cell.py --resume logs/search_arch/... --layers 9",
        "python3 train.py --recipe digits --learning_rate -1",
        "python3 train.py --arch DARTS_V9",
        "python3 evaluate.py --model_pth model.keras",
        "python3 export.py --model_path model.keras --format caffe --output x",
        "python3 study.py --recipe digits --strategies dart",
        "python3 visualize.py DARTS_V9",
        "python3 benchmarks/search_step.py --agianst CMD",
        "tfdarts serch",
        "tfdarts recipes digit",
        "make serch",
        "pip install 'tfdarts[onyx]'",
        "python3 -m tfdarts.reports",
        "nobody --knows",
    ],
)
def test_the_check_sees_what_is_wrong(text, checker):
    with pytest.raises(Exception):  # noqa: B017  of absl, of ours, or an assertion
        checker.check(text)


FOREIGN = {"--model_base_path", "--mode", "--gpu", "--report_freq", "--goldens"}  # flags of other programs


def test_every_flag_that_a_page_names_exists():
    known = set(FOREIGN) | {"--help"}
    for module in documents.WITH_FLAGS.values():
        for name in module.define():
            known |= {f"--{name}", f"--no{name}"}
    for path in (ROOT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'"(--\w+)"', path.read_text()))
    wrong = []
    for page, text in documents.pages().items():
        ours = re.sub(r"^\| \S[^|]*: `[^`]+` \|", "|", text, flags=re.M)  # the other programs' side of the table
        for span in re.findall(r"`(--[^`]+)`", ours):
            wrong += [f"{page}: {flag}" for flag in re.findall(r"(?<!\S)--\w+", span) if flag not in known]
    assert not wrong


def test_files_that_pages_name_exist():
    missing = []
    for page, text in documents.pages().items():
        for path in re.findall(r"`((?:tfdarts|ops|examples|benchmarks|tests|genotypes)/[\w./]+)`", text):
            if not (ROOT / path).exists():
                missing.append(f"{page}: {path}")
    assert not missing


def test_code_on_pages_is_python_and_names_what_there_is():
    found = [(page, "\n".join(lines)) for page, text in documents.pages().items()
             for language, lines in documents.blocks(text) if language == "python"]  # fmt: skip
    assert len(found) > 8
    for page, code in found:
        ast.parse(code, page)
        for name in re.findall(r"\btfdarts\.(\w+)\(", code):
            assert name in tfdarts.__all__, f"{page}: tfdarts.{name}"


def test_the_readme_is_short_and_its_links_lead_somewhere():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text) + re.findall(r"\]\((?!https?:)([^)#]+)", contributing())
    assert len(links) > 30 and [link for link in links if not (ROOT / link).exists()] == []


def contributing():
    return (ROOT / "CONTRIBUTING.md").read_text()


def test_the_pages_have_the_source_programs_commands():
    assert table() in documents.pages()["docs/other_programs.md"]


def test_the_site_builds_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    monkeypatch.chdir(ROOT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages that build it
        from mkdocs.commands.build import build
        from mkdocs.config import load_config

        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"), strict=True))
    page = (tmp_path / "site/recipes/index.html").read_text()
    assert "pc_darts_cifar10" in page and "<!-- recipes -->" not in page
    page = (tmp_path / "site/api/index.html").read_text()
    assert 'id="tfdarts.api.search"' in page and "random_genotypes" in page
