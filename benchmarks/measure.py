"""What the benchmarks share: the clock, the profile, and taking turns with another program."""

import collections
import json
import math
import os
import pathlib
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

# Events of the executor that move no data.
IDLE = set(
    "Const Identity IdentityN NoOp Reshape Shape _Arg _Retval ReadVariableOp VarHandleOp PartitionedCall "
    "StatefulPartitionedCall Placeholder Squeeze ExpandDims StopGradient".split()
)


def seconds_since_process_start():
    """Seconds since the operating system started this process (Linux)."""
    ticks = int(pathlib.Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes():
    """What this process holds in memory now (Linux)."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Batches:
    """Batches of a data set, and the time spent waiting for them."""

    def __init__(self, dataset):
        self.iterator = iter(dataset)
        self.waited = 0.0

    def next(self):
        start = time.perf_counter()
        batch = next(self.iterator)
        self.waited += time.perf_counter() - start
        return batch


def cifar_batches(batch_size):
    """CIFAR-shaped batches through the program's own input pipeline."""
    from tfdarts.data import images

    return Batches(images.train_batches(images.random_images(4096, (32, 32, 3), 10), batch_size, 0))


def measure(kind, learner, batch, batches, steps, functions, pure):
    """Runs `steps` steps of a `Learner` after the first and returns the line to print.

    Args:
        kind: str, of the step.
        batch: function without arguments, what a step is given.
        batches: `Batches`, the time of which is taken.
        functions: whose graphs are counted too.
        pure: function without arguments, a step without its update; or None.
    """
    import tensorflow as tf

    traced_step, data = tf.function(learner.train_step, autograph=False), batch()
    learner.stepping(traced_step.get_concrete_function)(data)
    step, variables = learner.stepping(traced_step), learner.network.trainable_variables
    traced = resident_bytes()
    tf.print(step(data)["loss"], output_stream=sys.stderr)
    first = seconds_since_process_start()
    times, batches.waited = [], 0.0
    for _ in range(steps):
        start = time.perf_counter()
        step(batch())["loss"].numpy()
        times.append(time.perf_counter() - start)
    waited = batches.waited / sum(times)
    graphs = [f.graph for function in (traced_step, *functions) for f in function._list_all_concrete_functions()]
    line = {
        "program": "tfdarts",
        "step": kind,
        "median_seconds": round(statistics.median(times), 3),
        "seconds": [round(t, 3) for t in times],
        "parameters": sum(math.prod(v.shape) for v in variables),
        "first_step_done_after_seconds": round(first, 1),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "traced_rss_bytes": traced,  # before the graph is instantiated, which the first step does
        "graph_nodes": sum(len(graph.get_operations()) for graph in graphs),
        "data_wait_share": round(waited, 4),
    }
    data = batch()
    line["kernels_step"] = kernels(lambda: step(data))
    if pure:
        pure()
        line["kernels"] = kernels(pure)  # without the optimizer's update
    return line


def kernels(act):
    """Number of op events that do work in one call's host trace; None where the profile cannot be read."""
    import tensorflow as tf

    try:
        from tensorflow.tsl.profiler.protobuf import xplane_pb2
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder, tf.profiler.experimental.ProfilerOptions(host_tracer_level=2)):
            act()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    counts = collections.Counter()
    for plane in space.planes:
        for trace in plane.lines:
            for event in trace.events:
                name = plane.event_metadata[event.metadata_id].name
                if ":" in name and "::" not in name and ": " not in name:  # with a blank it is a call from Python
                    counts[name.rsplit(":", 1)[1].split("#")[0]] += 1
    return sum(count for op, count in counts.items() if op not in IDLE)


def main(parser, kinds, one_kind):
    """Parses the options; measures one kind here, or all of them in processes of their own.

    Options that `parser` has already are handed to those processes.
    """
    sizes = [action.dest for action in parser._actions if action.dest != "help"]
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--only", choices=list(kinds))
    parser.add_argument("--against", metavar="CMD", help="another program that prints such lines")
    parser.add_argument("--rounds", type=int, default=2, help="turns that either program takes")
    parser.add_argument("--here", action="store_true", help="measure --only in this process")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(one_kind(args)))
        return
    for kind in [args.only] if args.only else list(kinds):
        ours = [sys.executable, sys.argv[0], "--only", kind, "--here", "--steps", str(args.steps)]
        for name in sizes:
            ours += [f"--{name}", str(getattr(args, name))]
        if not args.against:
            run(ours)
            continue
        only = ["--only", kind] if len(kinds) > 1 else []
        turns = [(run(ours), run(shlex.split(args.against) + only)) for _ in range(args.rounds)]
        speeds = [b["median_seconds"] / a["median_seconds"] for a, b in turns]
        memory = [a["peak_rss_bytes"] / b["peak_rss_bytes"] for a, b in turns]
        first = [[line["first_step_done_after_seconds"] for line in turn] for turn in turns]
        result = {"step": kind, "times_faster": round(statistics.median(speeds), 2)}
        result |= {"spread": [round(min(speeds), 2), round(max(speeds), 2)]}
        result |= {"memory_ratio": round(statistics.median(memory), 2), "first_step_seconds": first}
        print(json.dumps(result), flush=True)


def run(command):
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"{shlex.join(command)} failed:\n{result.stderr[-2000:]}")
    line = result.stdout.strip().splitlines()[-1]
    print(line, flush=True)
    return json.loads(line)
