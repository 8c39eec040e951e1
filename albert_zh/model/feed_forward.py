"""The feed-forward network of a block: two dense layers with an activation between them."""

from typing import TYPE_CHECKING, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model.activations import gelu_by_logistic, get_activation
from albert_zh.model.channel_scales import divided, with_scaled_input
from albert_zh.model.layers import kernel_and_bias, product
from albert_zh.model.written_gradients import activated_product

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

# Forms of activations that TensorFlow Lite's converter does not fuse into an operator of integers.
FLOAT_FORMS = {"fusible_gelu": gelu_by_logistic}


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
    if config.channel_scales is not None:
        return _with_channel_scales(x, config, scopes)
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


def _with_channel_scales(x, config, scopes):
    """`feed_forward` with the scales of an export; its outputs are divided by `ffn_out`.

    The channels of `ffn_apart` are computed as a convolution: a converter that computes products in
    integers can leave convolutions in floating point, and the activation in one of `FLOAT_FORMS`.
    """
    scales, inner, groups = config.channel_scales, config.intermediate_size, config.ffn_groups
    activation = get_activation(config.hidden_act)
    apart, activation_apart = scales.ffn_apart, FLOAT_FORMS.get(config.hidden_act, activation)
    with tf.variable_scope(scopes[0]):
        kernel, bias = kernel_and_bias(config.hidden_size, inner, config, groups)
        x, kernel = with_scaled_input(x, kernel, scales.ffn_in)
        if apart is not None:
            others = np.setdiff1d(np.arange(inner), apart)
            x_apart = _convolved(x, tf.gather(kernel, apart, axis=1))  # [R, A]
            x_apart = tf.nn.bias_add(x_apart, tf.gather(bias, apart))
            kernel, bias = tf.gather(kernel, others, axis=1), tf.gather(bias, others)
        x = tf.nn.bias_add(grouped_product(x, kernel), bias)  # [R, I - A]
    with tf.variable_scope(scopes[1]):
        kernel, bias = kernel_and_bias(inner, config.hidden_size, config, groups)
        kernel, bias = divided(kernel, scales.ffn_out), divided(bias, scales.ffn_out)
        if apart is None:
            return tf.nn.bias_add(grouped_product(activation(x), kernel), bias)
        x = tf.nn.bias_add(product(activation(x), tf.gather(kernel, others)), bias)
        # The convolution is the first operand: TensorFlow Lite writes the sum over it, and its
        # calibration takes what it finds there for the operand's range.
        return _convolved(activation_apart(x_apart), tf.gather(kernel, apart)) + x


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
