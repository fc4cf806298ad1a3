"""Does a search find better cells than chance? A study on CIFAR-10's pixels, written as docs/evidence.md.

    python3 benchmarks/evidence.py --preset small --data_dir FOLDER [--folder logs/evidence] [--jobs 2]

It may be stopped at any time, and started again with the same folder; `--report` only writes the page, of what there is.
`--data_dir` holds CIFAR-10 as TensorFlow Datasets prepares it; without it the whole set is downloaded.
"""

import argparse
import json
import pathlib
import platform
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PRESETS = {
    "small": {
        "strategies": [
            "darts --nounrolled",
            "darts --unrolled",
            "darts --nounrolled --partial_channels 2 --edge_normalization",
            "darts --nounrolled --perturb random",
        ],
        "flags": "--dataset cifar10 --image_size 16 --seeds 4 --select all --select_epochs 2 --train_seeds 2 "
        "--random 16",
        "search_flags": "--init_channels 4 --layers 5 --epochs 10 --arch_learning_rate 0.003",
        "train_flags": "--init_channels 8 --layers 5 --epochs 10 --batch_size 64 --noauxiliary --nocutout "
        "--drop_path_prob 0",
    },
}


def words(preset, args):
    """The command of the study, without what goes on with one."""
    result = [*shlex.split(preset["flags"]), "--search_flags", preset["search_flags"]]
    result += ["--train_flags", preset["train_flags"]]
    for strategy in preset["strategies"]:
        result += ["--strategies", strategy]
    return result + (["--data_dir", args.data_dir] if args.data_dir else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--data_dir")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "logs" / "evidence")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="write the page of what there is, and run nothing")
    parser.add_argument("--machine", default=f"{platform.machine()}, no GPU", help="what the page says it ran on")
    args = parser.parse_args()
    preset, logs = PRESETS[args.preset], args.folder / args.preset
    begun = sorted(logs.glob("study/*/study.json"))
    command = [sys.executable, "study.py", "--jobs", str(args.jobs)]
    command += ["--resume", str(begun[-1].parent)] if begun else [*words(preset, args), "--logdir", str(logs)]
    code = 0 if args.report else subprocess.run(command, cwd=ROOT, check=False).returncode
    (path, *_) = reversed(sorted(logs.glob("study/*/study.json")))
    write(args, preset, path.parent)
    sys.exit(code)


if __name__ == "__main__":
    main()
