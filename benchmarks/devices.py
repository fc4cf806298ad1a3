"""Times a search step that several devices share, and the part of it in which they add up what they found.

    python3 benchmarks/devices.py [--devices 1,2,4] [--order second] [--sync_batchnorm 0]

Prints a JSON line for each number of devices, measured in a process of its own, with how many times as fast as on one
device the step is. Without GPUs the processor is divided into as many: its cores stay the same, so that what is seen is
what dividing costs.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))


PASSES = {"weights": 1, "first": 2, "second": 5}  # of a step, after each of which gradients are added up


def one(args):
    """Measures one number of devices in this process."""
    from benchmarks import measure
    from tfdarts import operations, optimizers
    from tfdarts.runs import environment
    from tfdarts.spaces.conv.supernet import Supernet
    from tfdarts.strategies.darts import Darts
    from tfdarts.tasks.images import ImageTask
    from tfdarts.training import devices

    environment.configure(devices=args.devices)
    common = {"devices": args.devices, "sync_batchnorm": bool(args.sync_batchnorm), "batch_size": args.batch_size}
    shared = devices.chosen(**common)
    supernet = Supernet(operations.load("regular"), 10, args.init_channels, args.layers)
    supernet.build((None, 32, 32, 3))
    sgd = optimizers.Sgd(0.025, 0.9, 3e-4, 5.0)
    search = Darts(supernet, ImageTask(), sgd, args.order, devices=shared)
    search.compile(jit_compile=False)
    search.make_train_function()
    batches, seconds = measure.cifar_batches(args.batch_size), []
    step = search.train_function
    for _ in range(args.steps + 1):
        begun = time.perf_counter()
        float(step(iter([(batches.next(), batches.next())]))["loss"])
        seconds.append(time.perf_counter() - begun)
    first, *seconds = seconds
    line = common | {
        "order": args.order,
        "seconds": round(statistics.median(seconds), 4),
        "first_step": round(first, 1),
    }
    return line | {
        "spread": [round(min(seconds), 4), round(max(seconds), 4)],
        "sum_share": round(PASSES[args.order] * sum_seconds(shared, search) / statistics.median(seconds), 5),
    }


def sum_seconds(shared, search):
    """How many seconds the sum of so many gradients over the devices takes alone; 0 with one device."""
    import tensorflow as tf

    if shared is None:
        return 0.0
    weights = [tf.identity(search.weights_vector()) for _ in shared.names]
    add = tf.function(lambda parts: tf.add_n(parts) / len(parts), autograph=False, jit_compile=False)
    add(weights)
    begun = time.perf_counter()
    for _ in range(20):
        add(weights).numpy()
    return round((time.perf_counter() - begun) / 20, 6)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", default="1,2,4")
    parser.add_argument("--order", default="second", choices=("weights", "first", "second"))
    parser.add_argument("--sync_batchnorm", type=int, default=0, choices=(0, 1))
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--init_channels", type=int, default=16)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--only", action="store_true", help="measure in this process; for the program itself")
    args = parser.parse_args()
    if args.only:
        return print(json.dumps(one(args)))
    alone = None
    for count in args.devices.split(","):
        words = [
            item
            for name in ("order", "sync_batchnorm", "batch_size", "init_channels", "layers", "steps")
            for item in (f"--{name}", str(getattr(args, name)))
        ]
        command = [sys.executable, __file__, "--only", "--devices", count, *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        line = json.loads(done.stdout.splitlines()[-1])
        alone = alone or line["seconds"]
        print(json.dumps(line | {"times_as_fast": round(alone / line["seconds"], 2)}), flush=True)


if __name__ == "__main__":
    main()
