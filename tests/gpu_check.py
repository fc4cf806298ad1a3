"""Checks the program on a machine with a GPU: `python3 -m tests.gpu_check`. Not part of the test run.

Prints a JSON line for each check, as it ends, and one verdict; exit code 1 if a check failed. It stops by itself
within `--minutes`; what it had no time for is said. Each check is a process of its own, so that one that crashes or
hangs takes no other along. `--only NAME,...` runs some, `--list` names all, `--without_gpu` tries them on a CPU.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = ["--init_channels", "2", "--layers", "1", "--batch_size", "120", "--epochs", "2"]
SEARCH = ["search_cell.py", "--recipe", "digits", *SIZES, "--nodes", "1", "--multiplier", "1"]
FEW_OPERATIONS = ["--ops", "examples/my_ops.py"]
EXACT = {"NVIDIA_TF32_OVERRIDE": "0"}  # for golden values: multiplications in all bits of float32
GOLDENS = {
    "operations": ["tests/test_ops.py", "-k", "matches_reference and float32"],
    "supernet": ["tests/test_supernet.py", "-k", "float32 and (logits or first_order or second_order)"],
    "evaluation network": ["tests/test_evalnet.py", "-k", "logits_losses"],
    "recurrent": ["tests/test_recurrent.py", "tests/test_language.py", "-k", "float32 and not trajectory"],
    "renet": ["tests/test_renet.py", "-k", "test_cell and float32"],
    "enas": ["tests/test_micro.py", "tests/test_macro.py", "-k", "authors or network_of_a_genotype"],
}
STEPS = {
    "attention": ["--ops", "attention"],
    "att-darts": ["--location", "after_every"],
    "approximate": ["--ops", "approximate"],
    "partial channels": ["--partial_channels", "2", "--edge_normalization", "--init_channels", "4"],
    "gumbel": ["--mixing", "gumbel"],
}


def run(words, variables=None, code=0):
    """Runs a command in the project's folder; returns its output.

    Raises:
        AssertionError: for another exit code, with the end of what it said.
    """
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        env=os.environ | (variables or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, f"exit code {done.returncode}: {done.stdout[-1500:]}"
    return done.stdout


def golden(name):
    """Golden values of the authors' programs, in float32 without TF32."""
    said = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *GOLDENS[name]], EXACT)
    return {"said": said.splitlines()[-1]}


def outcome_of(logs):
    from tests.support.runs import folder_of, outcome

    return outcome(folder_of(logs))


def determinism(logs):
    """Two searches with --deterministic end with the same bits."""
    for name in ("one", "two"):
        run([*SEARCH, "--unrolled", "--deterministic", "--logdir", logs / name])
    assert outcome_of(logs / "one") == outcome_of(logs / "two"), "the two searches differ"
    return {}


def kill_and_resume(logs):
    """A search that is killed after its first epoch and resumed ends with the bits of one that is not."""
    words = [*SEARCH, "--nounrolled", "--deterministic", "--epochs", "6", *FEW_OPERATIONS]
    run([*words, "--logdir", logs / "whole"])
    process = subprocess.Popen([sys.executable, *words, "--logdir", logs / "cut"], cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(logs.glob("cut/*/*/checkpoint_*")):
        time.sleep(0.05)
    process.kill()
    killed = process.wait() != 0
    (folder,) = logs.glob("cut/*/*")
    run([words[0], "--resume", folder])
    assert outcome_of(logs / "whole") == outcome_of(logs / "cut"), "the resumed search differs"
    return {"killed": killed}


def precision(name, logs):
    """A search of both orders and a training in a precision end, and learn something."""
    found = {}
    for order in ("--unrolled", "--nounrolled"):
        run([*SEARCH, order, "--epochs", "3", "--precision", name, "--logdir", logs / order])
        (lines,) = (logs / order).glob("*/*/metrics.jsonl")
        losses = [json.loads(line)["loss"] for line in lines.read_text().splitlines()]
        assert losses[-1] < losses[0], f"the loss does not fall: {losses}"
        found[order] = losses
    run(["train.py", "--recipe", "digits", "--arch", "digits", *SIZES, "--precision", name, "--logdir", logs / "train"])
    return found


def xla(logs):
    """--jit_compile, alone and with --remat cell: the first loss is that without."""
    losses = {}
    for name, words in {"plain": [], "remat": ["--remat", "cell"], "xla": ["--jit_compile"]}.items():
        begun = time.monotonic()
        run([*SEARCH, "--nounrolled", "--epochs", "1", *FEW_OPERATIONS, *words, "--logdir", logs / name], EXACT)
        (lines,) = (logs / name).glob("*/*/metrics.jsonl")
        losses[name] = json.loads(lines.read_text().splitlines()[0])["loss"]
        losses[f"{name}_seconds"] = round(time.monotonic() - begun, 1)
    for name in ("remat", "xla"):
        assert abs(losses[name] - losses["plain"]) < 1e-2, losses
    return losses


def step(name, logs):
    """An epoch of a tiny search with a part or an operation module."""
    run([*SEARCH, "--nounrolled", "--epochs", "1", *STEPS[name], "--logdir", logs])
    return {}


def memory(_):
    """The dry run's estimate against the measured peak: the paper's network, 64 images, first order."""
    words = ["--recipe", "darts_cifar10", "--dry_run"]
    estimate = json.loads(run(["search_cell.py", *words]).splitlines()[-1])["peak_memory_estimate_bytes"]
    code = """
import json, resource
import tensorflow as tf
from benchmarks import measure
from tfdarts import operations, optimizers
from tfdarts.runs import environment
from tfdarts.spaces.conv.supernet import Supernet
from tfdarts.strategies.darts import Darts
from tfdarts.tasks.images import ImageTask
environment.configure()
supernet = Supernet(operations.load("regular"), 10)
supernet.build((None, 32, 32, 3))
search = Darts(supernet, ImageTask(), optimizers.Sgd(0.025, 0.9, 3e-4, 5.0), "first")
batches = measure.cifar_batches(64)
step = search.stepping(tf.function(search.train_step, autograph=False))
for _ in range(2):
    float(step((batches.next(), batches.next()))["loss"])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
if tf.config.list_physical_devices("GPU"):
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
print(json.dumps(peak))
"""
    peak = json.loads(run(["-c", code]).splitlines()[-1])
    found = {"estimate_bytes": estimate, "peak_bytes": peak, "ratio": round(estimate / peak, 2)}
    assert 0.5 < found["ratio"] < 2, f"the estimate is far off: {found}"
    return found


def devices(logs):
    """A search that all GPUs share, if there are several."""
    words = ["--nounrolled", "--epochs", "1", "--devices", "all", "--batch_size", "120", *FEW_OPERATIONS]
    run([*SEARCH, *words, "--logdir", logs])
    return {}


def checks():
    """All checks, the quickest answers first: name to a function of a folder for logs."""
    found = {f"golden values: {name}": lambda logs, name=name: golden(name) for name in GOLDENS}
    found |= {"determinism": determinism, "kill and resume": kill_and_resume}
    for name in ("mixed_bfloat16", "mixed_float16"):
        found[f"precision: {name}"] = lambda logs, name=name: precision(name, logs)
    found |= {"remat and XLA": xla}
    found |= {f"a search: {name}": lambda logs, name=name: step(name, logs) for name in STEPS}
    return found | {"memory": memory, "all devices": devices}


def one(name):
    """Runs a check in this process; prints its line."""
    begun, line = time.monotonic(), {"check": name, "passed": True}
    with tempfile.TemporaryDirectory() as logs:
        try:
            line |= checks()[name](pathlib.Path(logs))
        except AssertionError as error:
            line |= {"passed": False, "why": str(error)}
    print(json.dumps(line | {"seconds": round(time.monotonic() - begun, 1)}), flush=True)


def gpus():
    """Names of the GPUs that TensorFlow sees, asked in another process."""
    code = "import tensorflow as tf; print([tf.config.experimental.get_device_details(g).get('device_name') "
    code += "for g in tf.config.list_physical_devices('GPU')])"
    return run(["-c", code], {"TF_CPP_MIN_LOG_LEVEL": "3"}).splitlines()[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--only", help="checks, with commas between")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--without_gpu", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return one(args.one)
    names = args.only.split(",") if args.only else list(checks())
    if unknown := [name for name in names if name not in checks()]:
        parser.error(f"no check is called {', '.join(unknown)}; --list names all")
    if args.list:
        return print("\n".join(names))
    found, end = gpus(), time.monotonic() + 60 * args.minutes
    if found == "[]" and not args.without_gpu:
        parser.error("TensorFlow sees no GPU; --without_gpu tries the checks on the CPU")
    failed, left = [], []
    for name in names:
        seconds = end - time.monotonic()
        if seconds < 5:
            left.append(name)
            continue
        words = [sys.executable, "-m", "tests.gpu_check", "--one", name]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            said, _ = process.communicate(timeout=seconds)
            line = said.splitlines()[-1] if said else json.dumps({"check": name, "passed": False, "why": "it crashed"})
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            line = json.dumps({"check": name, "passed": False, "why": "out of time", "seconds": round(seconds, 1)})
        print(line, flush=True)
        failed += [] if json.loads(line)["passed"] else [name]
    verdict = "passed" if not failed and not left else "failed" if failed else "incomplete"
    print(json.dumps({"verdict": verdict, "gpus": found, "failed": failed, "not_run": left}))
    sys.exit(verdict != "passed")


if __name__ == "__main__":
    main()
