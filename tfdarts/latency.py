"""How long a network takes for one image."""

import statistics
import time

import tensorflow as tf


def milliseconds(network, shape, calls=60):
    """Median time of a call on one image, here and now, as a compiled function; on all processors that TensorFlow has.

    Args:
        network: built, takes normalized images.
        shape: `(height, width, channels)`.
        calls: int; of a third as many before them the times are left out.
    """
    call = tf.function(lambda images: network(images, training=False), autograph=False, jit_compile=False)
    image, times = tf.zeros((1, *shape)), []
    for _ in range(calls + calls // 3):
        start = time.perf_counter()
        call(image).numpy()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[-calls:])
