"""Runs the command lines quickly: one process imports everything, and each command runs in a fork of it.

A command sees what it would see in a process of its own, but for the seconds of importing TensorFlow, which has
started no threads yet when the fork is made. `python -m tests.forks` is the process; `Forks` talks to it.
"""

import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import traceback
import types

ROOT = pathlib.Path(__file__).parent.parent


class Forks:
    """Starts the process; `run` is the only thing that it does."""

    def __init__(self):
        environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments, code=0, cwd=ROOT):
        """Runs a script with arguments; returns its `stdout` and `stderr` after checking its exit code."""
        order = {"arguments": [str(argument) for argument in arguments], "cwd": str(cwd)}
        print(json.dumps(order), file=self.process.stdin, flush=True)
        result = types.SimpleNamespace(**json.loads(self.process.stdout.readline()))
        if result.returncode != code:
            raise AssertionError(f"exit code {result.returncode} instead of {code}\n{result.stderr[-3000:]}")
        return result

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def _child(arguments, cwd, out, err):
    os.chdir(cwd)
    for descriptor, file in ((1, out), (2, err)):
        os.dup2(file.fileno(), descriptor)
    script, *rest = arguments
    sys.argv = arguments
    try:
        if script == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(ROOT))
            runpy.run_path(str(ROOT / script), run_name="__main__")
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main():
    # All that the command lines import.
    import PIL.Image
    import sklearn.datasets
    import tensorflow_datasets

    import tfdarts.cli.flags
    import tfdarts.cost
    import tfdarts.report.drawing  # noqa: F401

    del PIL, sklearn, tensorflow_datasets
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            pid = os.fork()
            if pid == 0:
                _child(**json.loads(line), out=out, err=err)
            _, status = os.waitpid(pid, 0)
            texts = {}
            for name, file in (("stdout", out), ("stderr", err)):
                file.seek(0)
                texts[name] = file.read()
            print(json.dumps({"returncode": os.waitstatus_to_exitcode(status)} | texts), flush=True)


if __name__ == "__main__":
    main()
