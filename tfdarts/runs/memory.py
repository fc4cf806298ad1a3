"""Running out of memory: how it shows on a CPU, on a GPU and under XLA, and the sentence for it."""

import contextlib
import re

import tensorflow as tf

from tfdarts.errors import UserError

# What CUDA, cuDNN and XLA write where they raise something else than ResourceExhaustedError.
_SIGNS = re.compile(r"out[ _]of[ _]memory|OOM when allocating|RESOURCE_EXHAUSTED|STATUS_ALLOC_FAILED", re.IGNORECASE)


def ran_out(error):
    """Whether an exception says that there is no memory left, on the CPU or on a GPU."""
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        return True
    return isinstance(error, tf.errors.OpError) and bool(_SIGNS.search(str(error)))


def advice(batch_size=None):
    """The sentence for it, which proposes half of a batch size; None if that is not known."""
    smaller = f"--batch_size {max(1, batch_size // 2)}" if batch_size else "a smaller --batch_size"
    return f"out of memory; try {smaller} (--dry_run estimates what a step needs)"


@contextlib.contextmanager
def explained(batch_size=None):
    """Raises UserError with the advice where what is done within runs out of memory."""
    try:
        yield
    except (MemoryError, tf.errors.OpError) as error:
        if ran_out(error):
            raise UserError(advice(batch_size)) from error
        raise
