"""Settings of TensorFlow's sessions.

with tf.Session(config=sessions.settings(threads=1)) as session:
"""

from typing import Any, Callable, Dict, Sequence

import numpy as np
import tensorflow.compat.v1 as tf


def callable_of(
    session: tf.Session, outputs: Any, feeds: Sequence[tf.Tensor]
) -> Callable[..., Any]:
    """A function of the arrays of some placeholders that returns some tensors' values.

    `Session.make_callable` looks names, shapes and types up at each call, in Python.

    Args:
        session: whose graph gets no further operations that these tensors need.
        outputs: tensor, or list of tensors.
        feeds: the placeholders.
    """
    from tensorflow.core.protobuf import config_pb2

    fetches = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    options = config_pb2.CallableOptions(
        feed=[tensor.name for tensor in feeds], fetch=[tensor.name for tensor in fetches]
    )
    run = session._make_callable_from_options(options)
    dtypes = [tensor.dtype.as_numpy_dtype for tensor in feeds]

    def call(*arrays):
        values = run(*map(np.asarray, arrays, dtypes))
        return values if fetches is outputs else values[0]

    return call


def free(graph: tf.Graph) -> None:
    """Frees a graph of closed sessions, and the constants in it; it cannot be used any more.

    A graph and its operations refer to each other: Python would keep them until it looks for such
    cycles, which in a process with TensorFlow's many objects is rare.
    """
    from tensorflow.python.framework import ops

    ops.dismantle_graph(graph)


def registered_gradients() -> Dict[str, Any]:
    """What `tf.custom_gradient` has registered, and TensorFlow keeps with its graph, by names."""
    from tensorflow.python.framework import ops

    is_old = hasattr(ops, "_gradient_registry")  # 1.15
    return (ops._gradient_registry if is_old else ops.gradient_registry)._registry


def forget_gradients(graph: tf.Graph) -> None:
    """Has TensorFlow keep none of what `tf.custom_gradient` has registered for a graph built here.

    Others that are being built in other threads keep theirs.
    """
    registered = registered_gradients()
    for operation in graph.get_operations():
        if operation.type == "IdentityN":  # the one with the name
            registered.pop(operation.node_def.attr["_gradient_op_type"].s.decode(), None)


def settings(threads: int = 0, operations: int = 0) -> tf.ConfigProto:
    """Settings of a session that takes of a GPU's memory only what it needs.

    Args:
        threads: of an operation; 0 for as many as there are cores.
        operations: the most at a time; 0 for as many as there are cores.
    """
    config = tf.ConfigProto(
        intra_op_parallelism_threads=threads, inter_op_parallelism_threads=operations
    )
    config.gpu_options.allow_growth = True
    _leave_out_passes(config.graph_options.rewrite_options)
    return config


def _leave_out_passes(rewriting):
    """Leaves out passes over a graph that change nothing in the project's, and take long.

    There are no convolutions in them and hardly any branches. TensorFlow 1.15 has the last only.
    """
    left_out = {
        "disable_tfg_optimizer": True,
        "experimental_conditional_code_motion": rewriting.OFF,
        "layout_optimizer": rewriting.OFF,
    }
    for name, value in left_out.items():
        if name in rewriting.DESCRIPTOR.fields_by_name:
            setattr(rewriting, name, value)
