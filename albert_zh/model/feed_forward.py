"""The feed-forward network of a block: two dense layers with an activation between them."""

from typing import TYPE_CHECKING, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model.activations import get_activation
from albert_zh.model.layers import kernel_and_bias, product
from albert_zh.model.written_gradients import activated_product

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig


def feed_forward(x: tf.Tensor, config: "AlbertConfig", scopes: Sequence[str]) -> tf.Tensor:
    """Two dense layers with the config's activation between them.

    With G groups (google_fast's `ffn_groups`) columns h * G + g of the input feed only columns
    g * out / G + o of the output (so groups mix from layer to layer); a kernel is
    [in / G, out / G, G].

    Args:
        x: float tensor [R, H].
        config: `AlbertConfig`.
        scopes: variable scopes of the two layers.

    Returns:
        float tensor [R, H].
    """
    if config.ffn_apart is not None:
        return _with_channels_apart(x, config, scopes)
    inner, groups = config.intermediate_size, config.ffn_groups
    activation = get_activation(config.hidden_act)
    with tf.variable_scope(scopes[0]):
        kernel, bias = kernel_and_bias(config.hidden_size, inner, config, groups)
        x = grouped_product(x, kernel)  # [R, I]
        if not config.saves_memory:
            x = tf.nn.bias_add(x, tf.cast(bias, x.dtype))
    with tf.variable_scope(scopes[1]):
        kernel, bias_out = kernel_and_bias(inner, config.hidden_size, config, groups)
        if config.saves_memory:
            x = activated_product(x, bias, kernel, activation, grouped_product)
        else:
            x = grouped_product(activation(x), kernel)
        return tf.nn.bias_add(x, tf.cast(bias_out, x.dtype))


def _with_channels_apart(x, config, scopes):
    """`feed_forward` in which the channels of `config.ffn_apart` are computed as a convolution.

    A converter that computes products in integers can leave convolutions in floating point.
    """
    apart = config.ffn_apart
    others = np.setdiff1d(np.arange(config.intermediate_size), apart)
    activation = get_activation(config.hidden_act)
    with tf.variable_scope(scopes[0]):
        kernel, bias = kernel_and_bias(config.hidden_size, config.intermediate_size, config)
        x_apart = _convolved(x, tf.gather(kernel, apart, axis=1))  # [R, A]
        x_apart = tf.nn.bias_add(x_apart, tf.gather(bias, apart))
        x = product(x, tf.gather(kernel, others, axis=1))  # [R, I - A]
        x = tf.nn.bias_add(x, tf.gather(bias, others))
    with tf.variable_scope(scopes[1]):
        kernel, bias = kernel_and_bias(config.intermediate_size, config.hidden_size, config)
        x = tf.nn.bias_add(product(activation(x), tf.gather(kernel, others)), bias)
        # The convolution is the first operand: TensorFlow Lite writes the sum over it, and its
        # calibration takes what it finds there for the operand's range.
        return _convolved(activation(x_apart), tf.gather(kernel, apart)) + x


def _convolved(x, kernel):
    """The product of rows [R, in] with a kernel [in, out], as a 1 x 1 convolution: [R, out]."""
    size, width = kernel.shape.as_list()
    x = tf.reshape(x, [1, -1, 1, size])
    x = tf.nn.conv2d(x, tf.reshape(kernel, [1, 1, size, width]), 1, "VALID")
    return tf.reshape(x, [-1, width])


def grouped_product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Matrix product with a kernel [in, out] or, with G groups, [in / G, out / G, G]."""
    if kernel.shape.rank == 2:
        return product(x, kernel)
    size, width, groups = kernel.shape.as_list()
    x = tf.reshape(x, [-1, size, groups])
    x = tf.einsum("rhg,hog->rgo", x, tf.cast(kernel, x.dtype))
    return tf.reshape(x, [-1, groups * width])
