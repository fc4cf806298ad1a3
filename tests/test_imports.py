"""The import graph: rooms import only rooms below them, and no files import each other in a circle."""

import ast
import pathlib
import re
import subprocess
import sys

PACKAGE = pathlib.Path(__file__).parent.parent / "tfdarts"
# Floors, the lowest first; rooms of one floor may import each other's files.
FLOORS = [
    {
        "errors",
        "version",
        "quiet",
        "paths",
        "modules",
        "textfiles",
        "graph",
        "naming",
        "genotype",
        "options",
        "precision",
        "backend",
        "gradients",
        "collectives",
        "ops",
    },
    {"runs.environment", "pickled"},
    {"optimizers", "data", "layers", "operations"},
    {"cost", "runs.options", "tasks.options", "training.options", "strategies.options"},
    {"spaces"},
    {"classifier", "recipes.recipe", "tasks"},
    {"training"},
    {"strategies", "saving", "approximation"},
    {"recipes", "runs"},
    {"report", "api", "pytorch"},
    {"export"},
    {"study"},
    {"", "cli"},
    {"multipliers", "convert", "__main__", "report.__main__"},
]


def modules():
    """Every module of the package: dotted name below `tfdarts` to path."""
    paths = [*PACKAGE.rglob("*.py"), *(path for path in (PACKAGE.parent / "ops").glob("*.py"))]
    found = {}
    for path in paths:
        parts = path.relative_to(PACKAGE if PACKAGE in path.parents else PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name, path, known):
    """The modules of the package that a file imports, as dotted names below `tfdarts`."""
    result = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "tfdarts":
            base = node.module.removeprefix("tfdarts").removeprefix(".")
            for alias in node.names:
                full = f"{base}.{alias.name}" if base else alias.name
                result.add(full if full in known else base)
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            result |= {each.removeprefix("tfdarts.") for each in names if each.startswith("tfdarts.")}
    return {each for each in result - {name} if each in known and (each or name not in ("", "cli"))}


def floor(name):
    """The floor of a module: that of the longest of its own name's beginnings that is listed."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        for number, rooms in enumerate(FLOORS):
            if ".".join(parts[:length]) in rooms:
                return number
    raise AssertionError(f"tfdarts/{name.replace('.', '/')}.py has no floor; add its room to FLOORS")


def test_imports_leave_tensorflow_to_be_configured():
    """A tensor that is made while a module is imported starts TensorFlow, whose threads cannot be set any more."""
    names = [f"tfdarts.{name}" for name in modules() if name and "__main__" not in name]
    lines = ["import importlib", f"for name in {names}:", "    importlib.import_module(name)"]
    lines += ["import tensorflow as tf", "tf.config.threading.set_inter_op_parallelism_threads(1)"]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr[-2000:]


def test_imports_go_one_way():
    known = modules()
    assert len(known) > 80
    upward = [
        f"{name} imports {other}"
        for name, path in known.items()
        for other in imported(name, path, known)
        if floor(other) > floor(name)
    ]
    assert not upward


def test_there_is_no_circle():
    known = modules()
    graph = {name: imported(name, path, known) for name, path in known.items()}
    done, under_way = set(), []

    def visit(name):
        assert name not in under_way, " -> ".join([*under_way[under_way.index(name) :], name])
        if name in done:
            return
        under_way.append(name)
        for other in graph[name]:
            visit(other)
        under_way.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_the_check_itself_sees_a_circle_and_an_upward_import(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("from tfdarts import api\nfrom tfdarts.cli import flags\nimport tfdarts.spaces.conv.genotype\n")
    assert imported("optimizers", path, modules()) == {"api", "cli.flags", "spaces.conv.genotype"}
    assert floor("api") > floor("optimizers") and floor("spaces.conv.options") == floor("spaces")


def test_only_spaces_know_which_space_it_is():
    for name, path in modules().items():
        if not name.startswith("spaces"):
            asked = re.findall(r"""space (?:==|!=|in) [("'].*""", path.read_text())
            assert not asked, f"{name}: {asked}"
