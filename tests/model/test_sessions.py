"""The passes that are left out change no graph; what is left in does."""

import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import optimization, sessions
import golden_cases

pytestmark = pytest.mark.rewritten_graphs


def optimized_nodes(settings):
    """{name: op} of what a session runs for a step of training."""
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
