"""Keeps TensorFlow's start-up messages off the terminal, where an error should be one line."""

import contextlib
import os

SILENT = "3"  # the level of TensorFlow's messages that shows none


@contextlib.contextmanager
def quiet():
    """Drops what native code writes to stderr; not if `TF_CPP_MIN_LOG_LEVEL` is set to see it. Python's errors show.

    For the lines that TensorFlow 2.21 writes while it is loaded and when it first looks for GPUs, some of them before
    it reads that variable.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", SILENT) != SILENT:
        yield
        return
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)
