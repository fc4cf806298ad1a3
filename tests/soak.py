"""Kills runs again and again: `python -m tests.soak --kills 30`. Not part of the test run; minutes for each ten kills.

Searches (second and first order) and trainings in turn are killed by SIGKILL at random moments, resumed, killed again,
and in the end compared, bit for bit, with an uninterrupted run. Ends with one JSON line; exit code 1 if any differs.
"""

import argparse
import itertools
import json
import pathlib
import random
import sys
import tempfile
import time

from tests.support.commands import Fresh
from tests.support.runs import COMMANDS, folder_of, outcome, steps_done


def kill(process, logs):
    """Kills the process a random time after some more steps; returns whether it was still alive."""
    target = steps_done(logs) + random.randint(0, 5)
    while process.poll() is None and steps_done(logs) < target:
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.2))
    alive = process.poll() is None
    process.kill()
    process.wait(None)
    return alive


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    expected, kills, differing = {}, dict.fromkeys(COMMANDS, 0), []
    for number, kind in enumerate(itertools.cycle(COMMANDS)):
        if sum(kills.values()) >= arguments.kills:
            break
        command = COMMANDS[kind]
        with tempfile.TemporaryDirectory() as logs:
            if kind not in expected:
                Fresh(*command, "--logdir", f"{logs}/whole").wait()
                expected[kind] = outcome(folder_of(f"{logs}/whole"))
            cut = pathlib.Path(logs, "cut")
            process = Fresh(*command, "--logdir", cut)
            while sum(kills.values()) < arguments.kills and kill(process, cut):
                kills[kind] += 1
                made = list(cut.glob("*_arch/*/config.json"))
                process = Fresh(*([command[0], "--resume", made[0].parent] if made else [*command, "--logdir", cut]))
                print(f"run {number} ({kind}): killed at step {steps_done(cut)}", file=sys.stderr)
            process.wait()
            if outcome(folder_of(cut)) != expected[kind]:
                differing.append(number)
    print(json.dumps({"kills": kills, "runs": number, "differing": differing}))
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
