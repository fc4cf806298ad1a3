"""How long a network takes for one image."""

import statistics
import time

import tensorflow as tf


def milliseconds(network, shape, seconds=1.0):
    """Median time of a call on one image, here and now, as a compiled function; on all processors that TensorFlow has.

    Args:
        network: built, takes normalized images.
        shape: `(height, width, channels)`.
        seconds: how long it is measured, after half of that to warm up; at least ten calls each.
    """
    call = tf.function(lambda images: network(images, training=False), autograph=False, jit_compile=False)
    image = tf.zeros((1, *shape))
    _times(call, image, seconds / 2)
    return 1000 * statistics.median(_times(call, image, seconds))


def _times(call, image, seconds):
    times, until = [], time.perf_counter() + seconds
    while len(times) < 10 or time.perf_counter() < until:
        start = time.perf_counter()
        call(image).numpy()
        times.append(time.perf_counter() - start)
    return times
