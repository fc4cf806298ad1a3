"""Golden tests take all that they compare with, sizes included, from the folder that `--goldens` names."""

import os
import shutil
import subprocess
import sys

import numpy as np

from tests.support import commands, reference

CASES = [f"stride1/affine_true/{size}" for size in ("8x8", "10x10")]
TESTS = [f"tests/test_ops.py::test_matches_reference[float64-skip_connect-{case}]" for case in CASES]


def test_another_folder_of_goldens_is_what_is_compared_with(tmp_path):
    """Of two cases in a copy, the one that is unchanged passes and the one with another number fails."""
    (tmp_path / "ops").mkdir()
    shutil.copy(reference.OURS / "ops/manifest.json", tmp_path / "ops")
    arrays = reference.load("ops/skip_connect", reference.OURS)
    arrays[f"{CASES[0]}/output"][0, 3, 2, 1] += 0.1
    np.savez(tmp_path / "ops/skip_connect.npz", **arrays)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--goldens", tmp_path, *TESTS]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    result = subprocess.run(words, cwd=commands.ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 1 and "1 failed, 1 passed" in result.stdout, result.stdout
    assert f"[float64-skip_connect-{CASES[0]}] _" in result.stdout and "AssertionError: output" in result.stdout
