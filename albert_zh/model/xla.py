"""Functions of large arrays as one pass over memory, where XLA can make them one.

moved = one_pass(moved)
"""

import functools
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


@functools.lru_cache(maxsize=None)
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """An elementwise function of one tensor as one pass over memory, and its gradient as another.

    Where compiling does not pay it is the function.
    """
    if not pays():
        return function

    def in_float32(x):
        return tf.cast(function(tf.cast(x, tf.float32)), x.dtype)

    def gradient(x, dy):
        return tf.gradients(in_float32(x), x, dy)[0]

    forward, backward = one_pass(in_float32), one_pass(gradient)

    @tf.custom_gradient
    def apply(x):
        return forward(x), lambda dy: backward(x, dy)

    return apply
