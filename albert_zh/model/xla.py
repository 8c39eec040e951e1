"""Functions of large arrays as one pass over memory, where XLA can make them one.

moved = one_pass(moved)
"""

from typing import Any, Callable

import tensorflow.compat.v1 as tf


def pays() -> bool:
    """Whether XLA is worth its compiling: on CPUs, with TensorFlow 2."""
    return tf.__version__.startswith("2") and not tf.config.list_physical_devices("GPU")


def one_pass(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors compiled by XLA where that pays, and as it is elsewhere.

    Args:
        function: function of tensors; uses no variables.

    Returns:
        function of the same arguments; it has no gradient.
    """
    if not pays():
        return function

    def compiled(*tensors):
        with tf.init_scope():  # whichever function is being built
            graph = tf.get_default_graph()
        if not hasattr(graph, "one_pass_functions"):
            graph.one_pass_functions = {}  # kept elsewhere they would keep the graph, for good
        kept = graph.one_pass_functions
        if function not in kept:
            kept[function] = tf.function(function, jit_compile=True, autograph=False)
        return kept[function](*tensors)

    return compiled
