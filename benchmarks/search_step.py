"""Times one search step on the CPU or GPU that is there.

    python3 benchmarks/search_step.py [--only KIND] [--monitors 1] [--against "python torch_search_step.py"]

Prints one JSON line per kind of step, each measured in a process of its own. With `--against`, another program that
prints such lines takes turns with ours, and a last line per kind has the ratios. With `--monitors 1`, the lines also
say how many steps one measurement of the eigenvalue, and one of the gap on a batch, cost. `search_parts.py` compares
the parts of DARTS.
"""

import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from benchmarks import measure

KINDS = {"weights": "weights", "first_order": "first", "second_order": "second"}


def one_kind(args):
    """Measures one kind of step in this process."""
    from tfdarts import operations, optimizers, precision
    from tfdarts.layers import cell_functions
    from tfdarts.layers.edges import MixedEdges
    from tfdarts.runs import environment
    from tfdarts.spaces.conv.supernet import Supernet
    from tfdarts.strategies.darts import Darts
    from tfdarts.strategies.parts import chosen
    from tfdarts.tasks.images import ImageTask

    jit_compile = bool(args.jit_compile)
    environment.configure(jit_compile=jit_compile)
    imported = measure.resident_bytes()
    mixing = chosen.mixing_part(True, mixing=args.mixing, tau_max=10.0, tau_min=0.1, epochs=1)
    parts = [mixing, chosen.perturbation(perturb=args.perturb, epsilon_alpha=0.3)]
    parts = [part for part in parts if part is not None]
    edges = next((part.edges for part in parts if part.edges), MixedEdges)
    partial = {"partial_channels": args.partial_channels, "edge_normalization": args.partial_channels > 1}
    with precision.policy(args.precision):
        supernet = Supernet(operations.load("regular"), 10, args.init_channels, args.layers, edges=edges, **partial)
        supernet.build((None, 32, 32, 3))
    cell_functions.use(supernet, remat=args.remat, jit_compile=jit_compile)
    darts = Darts(supernet, ImageTask(), optimizers.Sgd(0.025, 0.9, 3e-4, 5.0), KINDS[args.only], parts=parts)
    batches = measure.cifar_batches(args.batch_size)
    functions = {"weights": [darts._both], "first_order": [darts._both, darts._architecture]}
    functions["second_order"] = functions["first_order"]

    weights, statistics, batch = darts.weights_vector(), darts.statistics(), batches.next()

    def pure():  # loss, gradients and new statistics of a weight step, without the optimizer
        darts._both(weights, darts.alphas.value, ((*batch, {}), None), statistics)

    line = measure.measure(
        args.only,
        darts,
        lambda: (batches.next(), batches.next()),
        batches,
        args.steps,
        functions[args.only],
        pure if args.only == "weights" else None,
    )
    line |= {"imported_rss_bytes": imported}
    return line | (monitors(darts, batches, line["median_seconds"]) if args.monitors else {})


def monitors(darts, batches, step):
    """What the costly monitors cost in multiples of a step of so many seconds."""
    from tfdarts.strategies.curvature import Hessian
    from tfdarts.strategies.monitors import Gap

    batch = batches.next()
    gap = Gap([batch])
    gap(darts)  # traces
    hessian = Hessian(darts, batch)
    hessian.check()
    start = time.perf_counter()
    found = hessian.largest()
    between = time.perf_counter()
    gap(darts)
    end = time.perf_counter()
    return {
        "eigenvalue_in_steps": round((between - start) / step, 1),
        "eigenvalue_products": found.products,
        "gap_of_a_batch_in_steps": round((end - between) / step, 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--init_channels", type=int, default=16)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--mixing", default="softmax", choices=("softmax", "sigmoid", "gumbel", "dirichlet"))
    parser.add_argument("--perturb", default="none", choices=("none", "random", "adversarial"))
    parser.add_argument("--monitors", type=int, default=0, choices=(0, 1), help="1: time the costly monitors, too")
    parser.add_argument("--partial_channels", type=int, default=1, help="with edge normalisation, if above 1")
    parser.add_argument("--precision", default="float32", choices=("float32", "mixed_bfloat16", "mixed_float16"))
    parser.add_argument("--remat", default="none", choices=("none", "cell"))
    parser.add_argument("--jit_compile", type=int, default=0, choices=(0, 1), help="1: compile each cell by XLA")
    measure.main(parser, KINDS, one_kind)
