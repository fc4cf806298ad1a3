"""What a network costs, read off its graph: parameters, multiply-adds, memory of a step."""

import math
import resource
import sys

import tensorflow as tf

_VIEWS = {
    *("Const", "Identity", "IdentityN", "Reshape", "ReadVariableOp", "Placeholder", "NoOp", "Shape", "Cast"),
    "StridedSlice",
}


def count_parameters(layers):
    """Number of trainable scalars."""
    return sum(math.prod(v.shape) for layer in layers for v in layer.trainable_variables)


def multiply_adds(forward, shape):
    """Multiply-adds of one image: convolutions, products of a map with a weight, batched products of two maps.

    Biases and the rest are not counted. What a loop does counts as often as the loop runs.

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
        elif op.type == "BatchMatMulV2":
            total += _matrix_product(op.inputs[0].shape, op.outputs[0].shape, op.get_attr("adj_x"))
    for rounds, nodes, shapes in _loops(graph):
        for node in nodes:
            if node.op == "BatchMatMulV2":
                left = shapes[node.input[0].split(":")[0]]
                total += rounds * _matrix_product(left, shapes[node.name], node.attr["adj_x"].b)
    return total


def _matrix_product(left, result, transposed):
    return left[-2 if transposed else -1] * math.prod(result)


def _loops(graph):
    """The graph's loops: for each how often it runs, the nodes of its body, and shapes by node (its first output).

    A loop of unknown length, one that was made without `maximum_iterations`, counts as running once.
    """
    loops = [op for op in graph.get_operations() if op.type in ("While", "StatelessWhile")]
    functions = graph.as_graph_def(add_shapes=True).library.function if loops else ()
    functions = {function.signature.name: function for function in functions}
    result = []
    for op in loops:
        body = functions[op.get_attr("body").name]
        attributes = {argument.name: body.arg_attr[k].attr for k, argument in enumerate(body.signature.input_arg)}
        attributes |= {node.name: node.attr for node in body.node_def}
        shapes = {name: _first_shape(attribute) for name, attribute in attributes.items()}
        result.append((max(1, int(tf.get_static_value(op.inputs[1]) or 1)), body.node_def, shapes))
    return result


def _first_shape(attributes):
    shapes = attributes["_output_shapes"].list.shape if "_output_shapes" in attributes else ()
    return tuple(dimension.size for dimension in shapes[0].dim) if shapes else ()


def _is_weight(tensor):
    while tensor.op.type in ("Identity", "Reshape", "Cast"):
        tensor = tensor.op.inputs[0]
    return tensor.op.type == "ReadVariableOp"


def _trace(forward, shape):
    return tf.function(forward, autograph=False).get_concrete_function(tf.TensorSpec(shape)).graph


def peak_memory(forward, batch_size, shape, parameters, bytes_per_byte, graph_bytes_per_node):
    """Estimated peak memory of a training step on the CPU, in bytes.

    What the process holds before the first step, the maps that the forward pass leaves for the gradient, the graph, and
    the maps of one round of the largest loop: a loop is taken to leave nothing but its results, as attention's does.

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
    loops = _loops(graph)
    nodes = len(graph.get_operations()) + sum(len(body) for _, body, _ in loops)
    rounds = [
        sum(4 * math.prod(shapes[node.name]) for node in body if node.op not in _VIEWS and len(shapes[node.name]) == 4)
        for _, body, shapes in loops
    ]
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return int(
        held + bytes_per_byte * maps + max(rounds, default=0) + graph_bytes_per_node * nodes + 4 * 8 * parameters
    )
