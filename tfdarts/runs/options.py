"""Options of every run."""

from tfdarts.layers import cell_functions
from tfdarts.options import Option
from tfdarts.precision import POLICIES

OPTIONS = {
    "seed": Option(
        0, "number that weights, data order, augmentation and dropout are drawn from", zero=True, random=True
    ),
    "deterministic": Option(
        None,
        "whether the same seed gives the same bits on the same machine; unset: yes without a GPU and --jit_compile",
        kind=bool,
    ),
    "checkpoint_minutes": Option(
        10.0,
        "minutes between checkpoints within an epoch; every epoch ends with one besides",
        zero=True,
        resume="change",
    ),
    "devices": Option(
        "1",
        "devices of this machine that share each step, each with a piece of the batch: a number, or all (its GPUs); "
        "with TF_CONFIG, of each machine. Without a GPU the processor is divided, which is for trying it out",
        resume="change",
    ),
    "sync_batchnorm": Option(
        False, "let BatchNorm normalise by the whole batch where several devices share it, instead of by each's piece"
    ),
    "precision": Option(
        "float32",
        "in what the network computes: float32, or 16 bits for its maps (mixed_bfloat16, mixed_float16), for GPUs",
        choices=POLICIES,
    ),
    "jit_compile": Option(
        False, "compile each cell by XLA, one function for all of the same shape; for GPUs, slow on a CPU"
    ),
    "remat": Option(
        "none",
        "none, or cell: the gradient computes each cell's maps again, which takes less memory and more time",
        choices=cell_functions.REMAT,
    ),
}
EPOCHS = Option(50, "passes over the training data", resume="grow")
