"""What a graph costs that calls functions and chooses while it runs."""

import tensorflow as tf

from tfdarts import cost

MAP = 2 * 4 * 4 * 3 * 4  # bytes of a map of two images
KERNELS = tf.ones((3, 3, 3, 3)), tf.ones((1, 1, 3, 3))


def drawn(x):
    """Two calls of one function, each of which runs one of three branches: two maps, one, none; then one map."""

    def big():
        return tf.nn.relu(tf.nn.conv2d(x, KERNELS[0], 1, "SAME"))

    branches = [big, lambda: tf.nn.conv2d(x, KERNELS[1], 1, "SAME"), lambda: tf.identity(x)]
    return tf.switch_case(tf.cast(tf.reduce_sum(x), tf.int32), branches)


def forward(x):
    edge = tf.function(drawn, autograph=False, experimental_attributes={"_noinline": True})
    return edge(edge(x)) + 1.0


def test_maps_of_called_functions_count_once_a_call_and_those_of_branches_on_average():
    graph = cost._trace(forward, (2, 4, 4, 3))
    assert cost._maps(graph, (4,)) == (2 * (2 + 1 + 0) / 3 + 1) * MAP


def test_functions_are_instantiated_once():
    graph = cost._trace(forward, (2, 4, 4, 3))
    graphs = cost._with_called(graph)
    assert len(graphs) == 1 + 1 + 3 and graphs[0] is graph
    kinds = [op.type for graph in graphs for op in graph.get_operations()]
    assert kinds.count("Conv2D") == 2 and kinds.count("PartitionedCall") == 2 and kinds.count("Relu") == 1


def test_multiply_adds_of_a_choice_are_those_of_its_costliest_branch():
    assert cost.multiply_adds(forward, (4, 4, 3)) == 2 * 4 * 4 * 3 * 3 * 3 * 3


def test_memory_grows_with_what_is_called():
    few, many = (cost.peak_memory(forward, batch, (64, 64, 3), 0, 1.0, 0) for batch in (1, 1001))
    assert abs(many - few - 1000 * 3 * 64 * 64 * 3 * 4) < 20e6  # what the process holds grows in between
