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
    return tf.function(function, jit_compile=True, autograph=False)
