"""Session settings: the disabled rewriting passes would change no graph; threads; callables."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import optimization, sessions
import golden_cases

pytestmark = pytest.mark.rewritten_graphs


def optimized_nodes(settings):
    """Returns {name: op} of the nodes that a session runs for a training step."""
    config, _, arrays, values = golden_cases.load_case("google_small")
    with tf.Graph().as_default(), tf.Session(config=settings) as session:
        loss = golden_cases.build(config, arrays)["total_loss"]
        train_op = optimization.create_optimizer(loss, 0.01, 12, 3, False, "lamb")
        golden_cases.set_variables(session, values)
        metadata = tf.RunMetadata()
        with_graphs = tf.RunOptions(output_partition_graphs=True)
        session.run(train_op, options=with_graphs, run_metadata=metadata)
    return {node.name: node.op for graph in metadata.partition_graphs for node in graph.node}


@pytest.mark.slow
def test_passes_that_are_left_out_change_nothing():
    found = optimized_nodes(sessions.settings())
    assert found == optimized_nodes(tf.ConfigProto())
    unoptimized = tf.ConfigProto()
    unoptimized.graph_options.rewrite_options.disable_meta_optimizer = True
    assert found != optimized_nodes(unoptimized)


@pytest.mark.parametrize("given", [(), (3,), (1, -1)])
def test_threads_are_as_asked_for(given):
    found = sessions.settings(*given)
    threads = (found.intra_op_parallelism_threads, found.inter_op_parallelism_threads)
    assert threads == (given + (0, 0))[:2]


def test_a_callable_takes_arrays_in_the_order_of_its_placeholders():
    with tf.Graph().as_default(), tf.Session() as session:
        ids, scale = tf.placeholder(tf.int32, [None, None]), tf.placeholder(tf.float32, [])
        product = tf.cast(ids, tf.float32) * scale
        single = sessions.callable_of(session, product, [ids, scale])
        several = sessions.callable_of(session, [tf.reduce_sum(product), ids + 1], [scale, ids])
        rows = np.array([[1, 2], [3, 4]])  # int64, as from Python lists
        np.testing.assert_array_equal(single(rows, 0.5), [[0.5, 1.0], [1.5, 2.0]])
        np.testing.assert_array_equal(single(rows[:, :1], 2), [[2.0], [6.0]])
        total, following = several(0.5, rows)
    assert total == 5.0 and following.tolist() == [[2, 3], [4, 5]]
    assert following.dtype == np.int32
