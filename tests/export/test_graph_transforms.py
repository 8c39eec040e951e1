"""Weights that layers share are stored once in a graph."""

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.export import graph_transforms


def two_layers(session, num_layers=2):
    """Returns a frozen GraphDef with output `sum` whose layers concatenate the same kernels."""
    ids = tf.placeholder(tf.float32, [None, 3], "ids")
    kernels = [
        tf.get_variable(
            name, [3, 2], initializer=tf.random_normal_initializer(), use_resource=False
        )
        for name in ("query", "key")
    ]
    outputs = []
    for layer in range(num_layers):
        with tf.name_scope("layer_%d" % layer):
            outputs.append(tf.tanh(tf.matmul(ids, tf.concat(kernels, axis=1)), "output"))
    tf.add_n(outputs, name="sum")
    session.run(tf.global_variables_initializer())
    return tf.graph_util.convert_variables_to_constants(
        session, session.graph.as_graph_def(), ["sum", "layer_1/output"]
    )


def count(graph_def, op):
    return sum(node.op == op for node in graph_def.node)


def test_what_depends_on_weights_alone_is_computed_once():
    with tf.Graph().as_default(), tf.Session() as session:
        frozen = two_layers(session)
    merged = graph_transforms.merge_equal_weights(frozen)
    assert (count(frozen, "ConcatV2"), count(merged, "ConcatV2")) == (2, 1)
    # Nodes that depend on the input are not merged, so that every layer's nodes can be fetched.
    assert count(merged, "MatMul") == count(merged, "Tanh") == 2
    outputs = []
    for graph_def in (frozen, merged):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.import_graph_def(graph_def, name="")
            outputs.append(session.run(["sum:0", "layer_1/output:0"], {"ids:0": np.eye(3)}))
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_kept_nodes_stay():
    with tf.Graph().as_default(), tf.Session() as session:
        frozen = two_layers(session)
    kept = ["layer_1/concat"]
    merged = graph_transforms.merge_equal_weights(frozen, kept)
    assert kept[0] in {node.name for node in merged.node}


def test_weights_that_differ_stay_apart():
    with tf.Graph().as_default():
        one, other = tf.constant([1.0]), tf.constant([2.0])
        tf.concat([one, other], axis=0)
        tf.concat([other, one], axis=0)
        tf.random_normal([2])  # equal nodes with different results
        tf.random_normal([2])
        graph_def = tf.get_default_graph().as_graph_def()
    merged = graph_transforms.merge_equal_weights(graph_def)
    assert count(merged, "ConcatV2") == 2
    assert count(merged, "RandomStandardNormal") == 2


def test_equal_weights_are_one_and_nodes_beside_them_find_it():
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [
            tf.get_variable(name, [3], initializer=tf.zeros_initializer(), use_resource=False)
            for name in ("first", "second", "third")
        ]
        tf.add_n([3 * variables[0], 5 * variables[1], 7 * variables[2]], name="sum")
        session.run(tf.global_variables_initializer())
        frozen = tf.graph_util.convert_variables_to_constants(
            session, session.graph.as_graph_def(), ["sum"]
        )
    merged = graph_transforms.merge_equal_weights(frozen)
    zeros = [n for n in merged.node if n.op == "Const" and n.attr["value"].tensor.tensor_shape.dim]
    assert len(zeros) == 1 and count(merged, "Identity") == 1  # tf.Variable's `read`
    with tf.Graph().as_default(), tf.Session() as session:
        tf.import_graph_def(merged, name="")
        np.testing.assert_array_equal(session.run("sum:0"), np.zeros(3))
