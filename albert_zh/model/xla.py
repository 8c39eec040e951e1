"""Compiles elementwise functions of large arrays with XLA into one pass over memory.

moved = one_pass(moved)
"""

from typing import Any, Callable

import tensorflow.compat.v1 as tf


def pays() -> bool:
    """Whether XLA is worth its compilation time: on CPUs, with TensorFlow 2."""
    return tf.__version__.startswith("2") and not tf.config.list_physical_devices("GPU")


def one_pass(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of tensors with XLA if that pays off; otherwise returns it unchanged.

    Args:
        function: function of tensors; uses no variables.

    Returns:
        function of the same arguments; it has no gradient.
    """
    if not pays():
        return function

    def compiled(*tensors):
        with tf.init_scope():  # the graph, even while a function is being built
            graph = tf.get_default_graph()
        if not hasattr(graph, "one_pass_functions"):
            graph.one_pass_functions = {}  # elsewhere they would keep the graph alive
        kept = graph.one_pass_functions
        if function not in kept:
            kept[function] = tf.function(function, jit_compile=True, autograph=False)
        return kept[function](*tensors)

    return compiled
