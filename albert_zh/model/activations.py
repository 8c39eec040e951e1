"""Activation functions by their names in configs, compiled where that pays."""

import functools
import math
from typing import Any, Callable

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import xla


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Gaussian error linear unit in its tanh form (Hendrycks and Gimpel 2016), any shape."""
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1.0 + tf.tanh(inner))


def gelu_erf(x: tf.Tensor) -> tf.Tensor:
    """Gaussian error linear unit in its exact form, as ELECTRA has it, any shape."""
    return 0.5 * x * (1.0 + tf.math.erf(x / math.sqrt(2.0)))


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_erf": gelu_erf,
    "relu": tf.nn.relu,
    "tanh": tf.tanh,
    "swish": tf.nn.swish,
    "linear": tf.identity,
}


def get_activation(name: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function of an activation's name, or the function itself; None: the identity.

    Raises:
        UserError: for an unknown name.
    """
    if callable(name):
        return name
    if name is None:
        return tf.identity
    try:
        return ACTIVATIONS[name.lower()]
    except (KeyError, AttributeError):
        raise UserError(
            "hidden_act: unknown activation %r, expected one of %s"
            % (name, ", ".join(sorted(ACTIVATIONS)))
        ) from None


@functools.lru_cache(maxsize=None)
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """An elementwise function of one tensor as one pass over memory, and its gradient as another.

    Where compiling does not pay it is the function.
    """
    if not xla.pays():
        return function

    def in_float32(x):
        return tf.cast(function(tf.cast(x, tf.float32)), x.dtype)

    def gradient(x, dy):
        return tf.gradients(in_float32(x), x, dy)[0]

    forward, backward = xla.one_pass(in_float32), xla.one_pass(gradient)

    @tf.custom_gradient
    def apply(x):
        return forward(x), lambda dy: backward(x, dy)

    return apply
