"""The feed-forward network of a block: two dense layers with an activation between them."""

from typing import TYPE_CHECKING, Sequence

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


def grouped_product(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Matrix product with a kernel [in, out] or, with G groups, [in / G, out / G, G]."""
    if kernel.shape.rank == 2:
        return product(x, kernel)
    size, width, groups = kernel.shape.as_list()
    x = tf.reshape(x, [-1, size, groups])
    x = tf.einsum("rhg,hog->rgo", x, tf.cast(kernel, x.dtype))
    return tf.reshape(x, [-1, groups * width])
