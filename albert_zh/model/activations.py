"""Activation functions, looked up by the names that configs use."""

import math
from typing import Any, Callable

import tensorflow.compat.v1 as tf


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Gaussian error linear unit in its tanh form (Hendrycks and Gimpel 2016), any shape."""
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)
    return 0.5 * x * (1.0 + tf.tanh(inner))


def gelu_by_logistic(x: tf.Tensor) -> tf.Tensor:
    """`gelu` in a form that the converter of TensorFlow Lite neither fuses nor folds elsewhere."""
    inner = x * (1.0 + 0.044715 * (x * x))
    return x * tf.sigmoid(math.sqrt(8.0 / math.pi) * inner)


def gelu_erf(x: tf.Tensor) -> tf.Tensor:
    """Gaussian error linear unit in its exact (erf) form, as in ELECTRA, any shape."""
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
    """Returns the activation function of a name; a function is returned as is, None: identity.

    Raises:
        ValueError: for an unknown name.
    """
    if callable(name):
        return name
    if name is None:
        return tf.identity
    try:
        return ACTIVATIONS[name.lower()]
    except (KeyError, AttributeError):
        raise ValueError(
            "hidden_act: unknown activation %r, expected one of %s"
            % (name, ", ".join(sorted(ACTIVATIONS)))
        ) from None
