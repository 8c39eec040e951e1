"""Settings of TensorFlow's sessions.

with tf.Session(config=sessions.settings(threads=1)) as session:
"""

from typing import Any, Callable, Dict, Sequence

import numpy as np
import tensorflow.compat.v1 as tf


def callable_of(
    session: tf.Session, outputs: Any, feeds: Sequence[tf.Tensor]
) -> Callable[..., Any]:
    """Creates a function that takes arrays for placeholders and returns the values of tensors.

    It is faster than `Session.make_callable`, which looks up names, shapes and types at each call.

    Args:
        session: session of a graph that is complete as far as these tensors need it.
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
    """Frees a graph of closed sessions and its constants; the graph cannot be used afterwards.

    A graph and its operations refer to each other: without this function they stay in memory until
    Python's garbage collector finds the cycle, which is rare with TensorFlow's many objects.
    """
    from tensorflow.python.framework import ops

    ops.dismantle_graph(graph)


def registered_gradients() -> Dict[str, Any]:
    """Gradients registered by `tf.custom_gradient`, by name; they keep their graphs in memory."""
    from tensorflow.python.framework import ops

    is_old = hasattr(ops, "_gradient_registry")  # 1.15
    return (ops._gradient_registry if is_old else ops.gradient_registry)._registry


def forget_gradients(graph: tf.Graph) -> None:
    """Unregisters the gradients that `tf.custom_gradient` has registered for a graph.

    Gradients of graphs that other threads are building stay registered.
    """
    registered = registered_gradients()
    for operation in graph.get_operations():
        if operation.type == "IdentityN":  # the operation with the gradient's name
            registered.pop(operation.node_def.attr["_gradient_op_type"].s.decode(), None)


def settings(threads: int = 0, operations: int = 0) -> tf.ConfigProto:
    """Settings of a session that allocates GPU memory only as needed.

    Args:
        threads: threads per operation; 0 for the number of cores.
        operations: maximum number of concurrent operations; 0 for the number of cores.
    """
    config = tf.ConfigProto(
        intra_op_parallelism_threads=threads, inter_op_parallelism_threads=operations
    )
    config.gpu_options.allow_growth = True
    _leave_out_passes(config.graph_options.rewrite_options)
    return config


def _leave_out_passes(rewriting):
    """Disables slow graph-optimization passes that have no effect on the project's graphs.

    These graphs have no convolutions and hardly any branches. TensorFlow 1.15 has only the last of
    these passes.
    """
    left_out = {
        "disable_tfg_optimizer": True,
        "experimental_conditional_code_motion": rewriting.OFF,
        "layout_optimizer": rewriting.OFF,
    }
    for name, value in left_out.items():
        if name in rewriting.DESCRIPTOR.fields_by_name:
            setattr(rewriting, name, value)
