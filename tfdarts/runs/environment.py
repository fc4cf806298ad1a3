"""What is set for the whole process: commands and the API do it, importing the package does not."""

import ctypes
import json
import os
import sys

import keras
import tensorflow as tf

from tfdarts import gradients
from tfdarts.errors import UserError

ALL = "all"  # of the option `devices`
_joined = []  # what keeps this process in its cluster
_TOP_PAD, _MMAP_THRESHOLD = -2, -3  # numbers of glibc's `mallopt`


def configure(*, seed=0, deterministic=None, jit_compile=False, devices=None):
    """Sets the process up: memory, determinism, the seed, Grappler off (half of the first step's time, no gain seen).

    Given `devices`, a process whose environment has a `TF_CONFIG` with several workers joins their cluster, and waits
    for the others.

    Args:
        seed: int.
        deterministic: whether kernels must give the same bits twice; None for yes without a GPU and without XLA.
        jit_compile: whether XLA will compile cells.
        devices: how many devices of this machine are to share a step; `"all"` for all its GPUs; None for no run.

    Raises:
        UserError: if XLA is to be deterministic, if there are not so many devices, or TensorFlow has started without
            them.
    """
    if jit_compile and deterministic:
        raise UserError(
            "--jit_compile does not go with --deterministic: XLA has no such gradient of the maximum pooling; leave "
            "one of them out"
        )
    if devices is not None:
        _take(str(devices))
        if cluster()[1] > 1 and not _joined:
            _join()
    _keep_freed_memory()
    keras.utils.set_random_seed(seed)
    # Exact second derivatives in a tf.function come out wrong with this setting (TensorFlow 2.21; seen with max
    # pooling). First derivatives, all that the library takes, are the same; do not add an exact Hessian under it.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if deterministic is None:
        deterministic = not (jit_compile or tf.config.list_physical_devices("GPU"))
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def _keep_freed_memory():
    """Lets the C library keep what is freed, since the next step takes it again (glibc; not if the user has set it up).

    Left to itself it gives most of it back: a pass of a recurrent search takes a gigabyte anew, page by page, which is
    a tenth of its time.
    """
    if sys.platform != "linux" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_TOP_PAD, 64 << 20)
        mallopt(_MMAP_THRESHOLD, 32 << 20)


def cluster():
    """This machine's number and how many machines share a run, by the environment's `TF_CONFIG`: `(0, 1)` without one.

    Raises:
        UserError: for a `TF_CONFIG` that cannot be read, or that has other tasks than workers.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        config = json.loads(text or "{}")
        tasks, task = config.get("cluster", {}), config.get("task", {})
        workers = tasks.get("worker", [])
        machine, kind = int(task.get("index", 0)), task.get("type", "worker")
    except (ValueError, AttributeError, TypeError):
        raise UserError(
            "the environment variable TF_CONFIG is not JSON with a cluster and a task; mend or unset it"
        ) from None
    if len(workers) <= 1 and not set(tasks) - {"worker"}:
        return 0, 1
    if set(tasks) != {"worker"} or kind != "worker" or not 0 <= machine < len(workers):
        raise UserError(
            "TF_CONFIG must have a cluster of workers alone, and a task of type worker with its index; mend or unset it"
        )
    return machine, len(workers)


def devices(wanted):
    """The names of this machine's devices that share a step, as many as are wanted; after `configure`."""
    machine, machines = cluster()
    gpus = tf.config.list_logical_devices("GPU")
    names = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
    if machines > 1:  # all machines' devices are listed
        names = [name for name in names if f"/task:{machine}/" in name]
    return names[: len(gpus) or 1] if wanted == ALL else names[: int(wanted)]


def _take(wanted):
    """Sees to it that there are as many devices as are wanted: of a processor without GPUs, parts."""
    if wanted == ALL:
        return
    if not wanted.isdigit() or int(wanted) < 1:
        raise UserError(f"--devices must be a number above 0, or all. Received: {wanted!r}.")
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        if int(wanted) > len(gpus):
            raise UserError(f"--devices {wanted} are more than the {len(gpus)} GPUs that TensorFlow sees here")
        return
    try:
        if int(wanted) > 1:
            parts = [tf.config.LogicalDeviceConfiguration()] * int(wanted)
            tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) < int(wanted):
            raise UserError(
                f"TensorFlow has started in this process without --devices {wanted}; start another process for it"
            ) from None


def _join():
    """Makes this process one of its cluster's workers."""
    try:
        _joined.append(tf.distribute.MultiWorkerMirroredStrategy())
    except RuntimeError:
        raise UserError("TensorFlow has started in this process without its TF_CONFIG; start another process") from None


def exact_float32():
    """Turns TensorFloat-32 off, which on a GPU would round what must be exact."""
    tf.config.experimental.enable_tensor_float_32_execution(False)


def forget(seed):
    """Frees what Keras and TensorFlow remember of networks before, and begins its random numbers anew."""
    keras.utils.clear_session()
    gradients.forget()
    keras.utils.set_random_seed(seed)
