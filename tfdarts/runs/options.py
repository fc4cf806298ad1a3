"""Options of every run."""

from tfdarts.options import Option
from tfdarts.precision import POLICIES

OPTIONS = {
    "seed": Option(
        0, "number that weights, data order, augmentation and dropout are drawn from", zero=True, random=True
    ),
    "deterministic": Option(
        None, "whether the same seed gives the same bits on the same machine; unset: yes without a GPU", kind=bool
    ),
    "checkpoint_minutes": Option(
        10.0,
        "minutes between checkpoints within an epoch; every epoch ends with one besides",
        zero=True,
        resume="change",
    ),
    "precision": Option(
        "float32",
        "in what the network computes: float32, or 16 bits for its maps (mixed_bfloat16, mixed_float16), for GPUs",
        choices=POLICIES,
    ),
    "jit_compile": Option(False, "compile the step by XLA; worth trying on a GPU, slow on a CPU"),
}
EPOCHS = Option(50, "passes over the training data", resume="grow")
