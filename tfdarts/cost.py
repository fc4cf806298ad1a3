"""What a network costs, read off its graph: parameters, multiply-adds, memory of a step."""

import math
import resource
import sys

import tensorflow as tf

from tfdarts.layers.cell_functions import RECOMPUTED

_VIEWS = {
    *("Const", "Identity", "IdentityN", "Reshape", "ReadVariableOp", "Placeholder", "NoOp", "Shape", "Cast"),
    "StridedSlice",
}
_CALLS = {"PartitionedCall": "f", "StatefulPartitionedCall": "f", "Case": "branches", "StatelessCase": "branches"}


def count_parameters(layers):
    """Number of trainable scalars."""
    return sum(math.prod(v.shape) for layer in layers for v in layer.trainable_variables)


def multiply_adds(forward, shape):
    """Multiply-adds of one image: convolutions, products of a map with a weight, batched products of two maps.

    Biases and the rest are not counted. What a loop does counts as often as the loop runs, and of a choice that is made
    while the graph runs the costliest.

    Args:
        forward: function of images, in evaluation mode.
        shape: `(height, width, channels)`.
    """
    return _multiply_adds(_trace(forward, (1, *shape)))


def _multiply_adds(graph, weights=()):
    """Those of a graph, some of whose inputs are weights: a collection of their names."""
    total = 0
    for op in graph.get_operations():
        if "table_errors" in op.name:  # how a multiplier is emulated (ops.quantised)
            continue
        total += max((_multiply_adds(called, _weights(op, called, weights)) for called in _called(op)), default=0)
        if op.type in ("Conv2D", "DepthwiseConv2dNative"):
            height, width, inputs, _ = op.inputs[1].shape
            result = op.outputs[0]
            for consumer in result.consumers():
                if consumer.type == "BatchToSpaceND":  # a dilated convolution: the layout may hold rows to be cut off
                    result = consumer.outputs[0]
            inputs = inputs if op.type == "Conv2D" else 1
            total += height * width * inputs * math.prod(result.shape)
        elif op.type == "Mul" and op.inputs[1].shape.rank == 4 and _is_weight(op.inputs[1], weights):
            total += math.prod(op.outputs[0].shape)  # a kernel of the map's size, to be summed over the map
        elif op.type == "MatMul" and _is_weight(op.inputs[1], weights):
            total += op.inputs[1].shape[0] * math.prod(op.outputs[0].shape)
        elif op.type == "BatchMatMulV2":
            total += _matrix_product(op.inputs[0].shape, op.outputs[0].shape, op.get_attr("adj_x"))
    for _, rounds, nodes, shapes in _loops(graph):
        for node in nodes:
            if node.op == "BatchMatMulV2":
                left = shapes[node.input[0].split(":")[0]]
                total += rounds * _matrix_product(left, shapes[node.name], node.attr["adj_x"].b)
    return total


def _weights(op, called, weights):
    """Names of the inputs of a called graph that are weights."""
    outer = list(op.inputs)[-len(called.inputs) :] if called.inputs else []  # behind a choice's number, if it is one
    return {inner.name for inner, x in zip(called.inputs, outer) if _is_weight(x, weights)}


def _called(op):
    """The graphs of what an operation calls: a function, or for a choice each of its branches, one of which runs."""
    functions = op.get_attr(_CALLS[op.type]) if op.type in _CALLS else []
    functions = functions if isinstance(functions, list) else [functions]
    return [op.graph._get_function(function.name).graph for function in functions]


def _with_called(graph):
    """A graph and all that it calls, each once: for that often it is instantiated."""
    result, new = {}, [graph]
    while new:
        result |= {id(graph): graph for graph in new}
        new = [called for graph in new for op in graph.get_operations() for called in _called(op)]
        new = [graph for graph in new if id(graph) not in result]
    return list(result.values())


def _maps(graph, ranks):
    """Bytes of the maps that a pass leaves, those being tensors of some ranks; of a choice the mean of its branches.

    Of a cell whose maps are computed again it is the cell's output.
    """
    total = 0
    for op in graph.get_operations():
        if "table_errors" in op.name:  # how a multiplier is emulated has no gradient
            continue
        called = _called(op)
        if called and not _again(op):
            total += sum(_maps(graph, ranks) for graph in called) / len(called)
        elif op.type not in _VIEWS:
            total += sum(
                math.prod(output.shape) * output.dtype.size
                for output in op.outputs
                if output.shape.rank in ranks and output.shape.is_fully_defined() and output.dtype.is_floating
            )
    return total


def _again(op):
    """Whether an operation is the call of a cell whose maps are computed again in the gradient."""
    return RECOMPUTED in op.name.split("/")[-2:]


def _matrix_product(left, result, transposed):
    return left[-2 if transposed else -1] * math.prod(result)


def _loops(graph):
    """The graph's loops: for each its name, how often it runs, the nodes of its body, shapes by node (first output).

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
        result.append((op.name, max(1, int(tf.get_static_value(op.inputs[1]) or 1)), body.node_def, shapes))
    return result


def _first_shape(attributes):
    shapes = attributes["_output_shapes"].list.shape if "_output_shapes" in attributes else ()
    return tuple(dimension.size for dimension in shapes[0].dim) if shapes else ()


def _is_weight(tensor, weights):
    while tensor.op.type in ("Identity", "Reshape", "Cast"):
        tensor = tensor.op.inputs[0]
    return tensor.op.type == "ReadVariableOp" or tensor.name in weights


def _trace(forward, *shapes, dtypes=(tf.float32, tf.float32)):
    specs = [tf.TensorSpec(shape, dtype) for shape, dtype in zip(shapes, dtypes)]
    return tf.function(forward, autograph=False).get_concrete_function(*specs).graph


def peak_memory(forward, batch_size, shape, parameters, bytes_per_byte, graph_bytes_per_node):
    """Estimated peak memory of a training step on images on the CPU, in bytes.

    What the process holds before the first step, the maps that the forward pass leaves for the gradient, the graph, and
    the maps of one round of the largest loop that leaves nothing but its results, as attention's does. Measured and
    estimated in GB, first-order search on 32x32 with 3 cells of 16 channels: regular, 16 images 1.65 and 1.58;
    attention, 16 images 3.23 and 3.15, 48 images 6.56 and 6.45; approximate (truncated:4), 8 images 3.45 and 3.40.

    With 8 cells, in GiB: regular, 16 images 2.70 and 2.72 (a step of the weights, 64 images, 6.15 and 6.19); `--mixing
    gumbel`, 16 images 1.68 and 1.41 (of a choice the mean of its branches counts; what is drawn varies);
    `--partial_channels 4` with `--edge_normalization`, 16 images 2.09 and 2.28.

    Args:
        forward: function of images, in training mode.
        bytes_per_byte: measured peak per byte of the forward pass's maps, most of which are freed before its end;
            passes run one after the other, so that it does not depend on how many there are.
        graph_bytes_per_node: measured memory of the instantiated step per node of the forward graph.
    """
    graph = _trace(forward, (batch_size, *shape))
    return _peak(graph, (4,), parameters, bytes_per_byte, bytes_per_byte, graph_bytes_per_node)


def peak_memory_of_text(forward, time, batch_size, units, parameters):
    """Estimated peak memory of a training step of a language model on the CPU, in bytes, in search or training.

    Measured and estimated in GB, 10,000 words, second-order search: 64 units, 16 columns 1.19 and 1.13; 300 units, 256
    columns 6.41 and 6.02. Training, batches of 55 words: 128 units, 16 columns 1.10 and 1.04; 300 units, 64 columns
    2.07 and 2.04; 850 units, 64 columns 3.11 and 3.56. The logits are most of it, and what the loop over time keeps.

    Args:
        forward: function of tokens `(time, batch_size)` and hidden state `(batch_size, units)`, in training mode.
        time: steps of a batch.
    """
    graph = _trace(forward, (time, batch_size), (batch_size, units), dtypes=(tf.int32, tf.float32))
    return _peak(graph, (2, 3), parameters, 2.1, 0.47, 450e3)


def _bytes(node, shape):
    """Bytes of what a node gives, a number of which takes two where the node works on numbers of 16 bits, else four."""
    halves = (tf.float16.as_datatype_enum, tf.bfloat16.as_datatype_enum)
    return (2 if node.attr["T"].type in halves else 4) * math.prod(shape)


def _peak(graph, ranks, parameters, bytes_per_byte, bytes_per_unrolled_byte, graph_bytes_per_node):
    maps, graphs = _maps(graph, ranks), _with_called(graph)
    again = [called for op in graph.get_operations() if _again(op) for called in _called(op)]
    maps += max((_maps(called, ranks) for called in again), default=0)  # one at a time
    ops = [op for graph in graphs for op in graph.get_operations()]
    differentiated = [op for op in ops if "table_errors" not in op.name]
    loops, largest, unrolled = [loop for graph in graphs for loop in _loops(graph)], 0, 0
    nodes = (len(ops) + len(differentiated)) / 2  # without a gradient a node takes half
    for name, rounds, body, shapes in loops:
        if "unroll" in name:  # recurrent cells: each round leaves its maps for the gradient
            each = sum(_bytes(n, shapes[n.name]) for n in body if n.op not in _VIEWS and shapes[n.name])
            unrolled += rounds * each
            nodes += len(body)
        else:  # leaves its results alone: the gradient runs it again
            made = (n for n in body if n.op not in _VIEWS and len(shapes[n.name]) == 4)
            largest = max(largest, sum(_bytes(n, shapes[n.name]) for n in made))
            nodes += 0.5 * len(body) if "table_errors" in name else 3 * len(body)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    maps = bytes_per_byte * maps + bytes_per_unrolled_byte * unrolled
    return int(held + maps + largest + graph_bytes_per_node * nodes + 4 * 8 * parameters)
