"""Runs the command lines quickly: one process imports everything, and each command runs in a fork of it.

A command sees what it would see in a process of its own, but for the seconds of importing TensorFlow, which has
started no threads yet when the fork is made. `python -m tests.support.commands` is the process; `Forks` talks to it.
"""

import contextlib
import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).parent.parent.parent


class Command:
    """A command in a fork, while it runs and afterwards; of `subprocess.Popen` what the tests use."""

    def __init__(self, forks, pid):
        self.forks, self.pid = forks, pid
        self.returncode = self.stdout = self.stderr = None

    def poll(self):
        """The exit code, or None while the command runs."""
        if self.returncode is None:
            vars(self).update(self.forks.ask(verb="poll", pid=self.pid))
        return self.returncode

    def send_signal(self, number):
        if self.poll() is None:  # until it is asked for, the process is there, even if it has ended
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self, code=0, timeout=300):
        """Returns the command, with its `stdout` and `stderr`, after checking its exit code; None stands for any.

        Raises:
            AssertionError: if the command ended with another code than `code`, or not within `timeout` seconds.
        """
        until, pause = time.monotonic() + timeout, 0.001
        while self.poll() is None:
            if time.monotonic() > until:
                self.kill()
                raise AssertionError(f"not done within {timeout} seconds\n{self.wait(-signal.SIGKILL).stderr[-3000:]}")
            time.sleep(pause)
            pause = min(0.05, 1.2 * pause)
        if code not in (None, self.returncode):
            raise AssertionError(f"exit code {self.returncode} instead of {code}\n{self.stderr[-3000:]}")
        return self


class Forks:
    """Starts commands in forks of a process that has imported everything."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.commands"],
            cwd=ROOT,
            env=environment() | {"TF_CPP_MIN_LOG_LEVEL": "3"},  # which a command sets for itself
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **order):
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def start(self, *arguments, cwd=ROOT, variables=None):
        """Starts a script, or `-m` and a module, with arguments and environment variables; returns a `Command`."""
        words = [str(argument) for argument in arguments]
        answer = self.ask(verb="start", arguments=words, cwd=str(cwd), variables=variables or {})
        return Command(self, answer["pid"])

    def run(self, *arguments, code=0, cwd=ROOT):
        """The same, and waits for its end."""
        return self.start(*arguments, cwd=cwd).wait(code)

    def close(self):
        """Ends the process, and what still runs of its commands."""
        with self.process:
            self.process.stdin.close()


def environment():
    """The variables of a user's shell: those of the tests but for the one that the tests set themselves."""
    return {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}


class Fresh(Command):
    """The same command in an interpreter of its own, as a user starts it; seconds slower."""

    def __init__(self, *arguments):
        self.files = [tempfile.TemporaryFile("w+") for _ in range(2)]
        out, err = self.files
        words = [sys.executable, *map(str, arguments)]
        self.process = subprocess.Popen(words, cwd=ROOT, env=environment(), stdout=out, stderr=err, text=True)
        super().__init__(None, self.process.pid)

    def poll(self):
        if self.returncode is None and self.process.poll() is not None:
            self.returncode = self.process.returncode
            self.stdout, self.stderr = map(_content, self.files)
        return self.returncode


def _content(file):
    with file:
        file.seek(0)
        return file.read()


def _child(arguments, cwd, variables, out, err):
    os.chdir(cwd)
    os.environ.update(variables)
    with open(os.devnull) as nothing:
        for descriptor, file in enumerate((nothing, out, err)):
            os.dup2(file.fileno(), descriptor)
    script, *rest = arguments
    sys.argv = arguments
    try:
        if script == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(ROOT))
            script = script if os.path.exists(script) else str(ROOT / script)
            runpy.run_path(script, run_name="__main__")
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _Server:
    """The process that forks; each method answers the order of its name."""

    def __init__(self):
        self.files = {}  # standard output and error of what runs, by process number

    def start(self, arguments, cwd, variables):
        out, err = files = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        pid = os.fork()
        if pid == 0:
            _child(arguments, cwd, variables, out, err)
        self.files[pid] = files
        return {"pid": pid}

    def poll(self, pid):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            return {}
        out, err = map(_content, self.files.pop(pid))
        return {"returncode": os.waitstatus_to_exitcode(status), "stdout": out, "stderr": err}

    def close(self):
        for pid in self.files:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main():
    # All that the command lines import.
    import PIL.Image
    import sklearn.datasets
    import tensorflow_datasets

    import tfdarts.cli.flags
    import tfdarts.cost
    import tfdarts.report.drawing  # noqa: F401

    del PIL, sklearn, tensorflow_datasets
    server = _Server()
    try:
        for line in sys.stdin:
            order = json.loads(line)
            print(json.dumps(getattr(server, order.pop("verb"))(**order)), flush=True)
    finally:
        server.close()
    os._exit(0)  # TensorFlow takes seconds to end in an orderly way


if __name__ == "__main__":
    main()
