"""What a network costs, read off its graph: parameters, multiply-adds, memory of a step."""

import math
import resource
import sys

import tensorflow as tf

_VIEWS = {"Const", "Identity", "Reshape", "ReadVariableOp", "Placeholder", "NoOp", "Shape", "Cast", "StridedSlice"}


def count_parameters(layers):
    """Number of trainable scalars."""
    return sum(math.prod(v.shape) for layer in layers for v in layer.trainable_variables)


def multiply_adds(forward, shape):
    """Multiply-adds of one image: convolutions, and products of a map with a weight (biases and the rest not counted).

    Args:
        forward: function of images, in evaluation mode.
        shape: `(height, width, channels)`.
    """
    graph = _trace(forward, (1, *shape))
    total = 0
    for op in graph.get_operations():
        if op.type == "Conv2D":
            height, width, inputs, outputs = op.inputs[1].shape
            _, h, w, _ = op.outputs[0].shape
            total += height * width * inputs * outputs * h * w
        elif op.type == "DepthwiseConv2dNative":
            height, width, *_ = op.inputs[1].shape
            result = op.outputs[0]
            for consumer in result.consumers():
                if consumer.type == "BatchToSpaceND":  # a dilated convolution: the layout may hold rows to be cut off
                    result = consumer.outputs[0]
            total += height * width * math.prod(result.shape)
        elif op.type == "MatMul" and _is_weight(op.inputs[1]):
            total += op.inputs[1].shape[0] * math.prod(op.outputs[0].shape)
    return total


def _is_weight(tensor):
    while tensor.op.type in ("Identity", "Reshape", "Cast"):
        tensor = tensor.op.inputs[0]
    return tensor.op.type == "ReadVariableOp"


def _trace(forward, shape):
    return tf.function(forward, autograph=False).get_concrete_function(tf.TensorSpec(shape)).graph


def peak_memory(forward, batch_size, shape, parameters, bytes_per_byte, graph_bytes_per_node):
    """Estimated peak memory of a training step on the CPU, in bytes.

    What the process holds before the first step, the maps that the forward pass leaves for the gradient, the graph.

    Args:
        forward: function of images, in training mode.
        bytes_per_byte: measured peak per byte of the forward pass's maps, most of which are freed before its end;
            passes run one after the other, so that it does not depend on how many there are.
        graph_bytes_per_node: measured memory of the instantiated step per node of the forward graph.
    """
    graph = _trace(forward, (batch_size, *shape))
    maps = sum(
        math.prod(output.shape) * output.dtype.size
        for op in graph.get_operations()
        if op.type not in _VIEWS
        for output in op.outputs
        if output.shape.rank == 4 and output.shape.is_fully_defined()
    )
    nodes = len(graph.get_operations())
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return int(held + bytes_per_byte * maps + graph_bytes_per_node * nodes + 4 * 8 * parameters)
