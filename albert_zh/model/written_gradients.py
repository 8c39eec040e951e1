"""Parts of a layer with hand-written gradients, for training.

    y = normalized(x, beta, gamma)  # LayerNorm
    y = activated_product(x, bias, kernel, activation, multiply)  # of a feed-forward network

TensorFlow would derive each gradient as several dozen operations, each a pass over memory. Here
sums over rows and columns are matrix products, and the elementwise operations between them are one
pass if XLA compiles them.

Letters in shape comments: R rows, W width, I inner width.
"""

import functools
from typing import Any, Callable, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.model.xla import one_pass, pays


def normalized(x: tf.Tensor, beta: tf.Tensor, gamma: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Layer normalization (Ba et al. 2016) of rows, computed in float32 whatever their precision.

    Args:
        x: float tensor [R, W].
        beta: float32 tensor [W].
        gamma: float32 tensor [W].
        epsilon: float, added to the variance.

    Returns:
        float tensor [R, W] in the precision of x.
    """

    @tf.custom_gradient
    def apply(x, beta, gamma):
        wide = tf.cast(x, tf.float32)
        centered = wide - tf.reduce_mean(wide, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centered * centered, axis=-1, keepdims=True)
        scale = tf.rsqrt(variance + epsilon)  # [R, 1]
        standard = centered * scale  # [R, W]
        kept = tf.cast(standard, x.dtype)

        def gradient(dy):
            with tf.control_dependencies([dy]):  # else the forward pass would keep a float32 copy
                late = tf.identity(kept)
            wide_dy = tf.cast(dy, tf.float32)
            product = wide_dy * tf.cast(late, tf.float32)
            mean_weights = tf.expand_dims(gamma, 1) / int(x.shape[-1])  # [W, 1]
            means = [tf.matmul(rows, mean_weights) for rows in (wide_dy, product)]  # [R, 1]
            dx = _normalized_gradient()(dy, late, gamma, scale, *means)
            return dx, column_sums(wide_dy), column_sums(product)

        with tf.control_dependencies([kept]):  # else `standard` would stay in memory until the cast
            return tf.cast(standard * gamma + beta, x.dtype), gradient

    return apply(x, *[tf.identity(variable) for variable in (beta, gamma)])


@functools.lru_cache(maxsize=None)
def _normalized_gradient():
    """The function (dy, x normalized, gamma, scale, mean dy, mean dy * x) -> dx of LayerNorm."""

    def gradient(dy, standard, gamma, scale, mean_dy, mean_product):
        wide_dy, standard = tf.cast(dy, tf.float32), tf.cast(standard, tf.float32)
        dx = scale * (wide_dy * gamma - mean_dy - standard * mean_product)
        return tf.cast(dx, dy.dtype)

    return one_pass(gradient)


def activated_product(
    x: tf.Tensor,
    bias: tf.Tensor,
    kernel: tf.Tensor,
    activation: Callable[[tf.Tensor], tf.Tensor],
    multiply: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """Multiplies the activated output of the layer before with a kernel; keeps only x in memory.

    Args:
        x: float tensor [R, I].
        bias: float32 tensor [I], added to x before the activation.
        kernel: float32 tensor, kernel of this layer.
        activation: elementwise function.
        multiply: function (activated [R, I], kernel) -> float tensor [R, W].

    Returns:
        float tensor [R, W].
    """
    activated, activated_and_gradient = _activated(activation)

    @tf.custom_gradient
    def apply(x, bias, kernel):
        def gradient(dy):
            # Waiting for dy keeps TensorFlow from merging this with the first computation.
            with tf.control_dependencies([dy]):
                late_x = tf.identity(x)
            # The gradient of a product with respect to a factor does not depend on that factor.
            (da,) = tf.gradients(multiply(late_x, kernel), late_x, dy)
            again, dx = activated_and_gradient(late_x, bias, da)
            again = tf.stop_gradient(again)
            (dkernel,) = tf.gradients(multiply(again, kernel), kernel, dy)
            return dx, column_sums(dx), dkernel

        return multiply(activated(x, bias), kernel), gradient

    return apply(x, *[tf.identity(variable) for variable in (bias, kernel)])


@functools.lru_cache(maxsize=None)
def _activated(activation) -> Tuple[Callable[..., Any], Callable[..., Any]]:
    """The functions (x, bias) -> activated, and (x, bias, its gradient) -> (activated, dx)."""

    def wide(x):  # within one pass, float32 costs nothing
        return tf.cast(x, tf.float32) if pays() else x

    def activated(x, bias):
        return tf.cast(activation(wide(x) + tf.cast(bias, wide(x).dtype)), x.dtype)

    def activated_and_gradient(x, bias, da):
        inner = wide(x) + tf.cast(bias, wide(x).dtype)
        result = activation(inner)
        (dx,) = tf.gradients(result, inner, wide(da))
        return tf.cast(result, da.dtype), tf.cast(dx, da.dtype)

    return one_pass(activated), one_pass(activated_and_gradient)


def column_sums(x: tf.Tensor) -> tf.Tensor:
    """The sums over all rows: [R, W] -> float32 [W], as a matrix product."""
    if x.dtype == tf.float16:  # products of float16 are summed in float16 on CPUs
        x = tf.cast(x, tf.float32)
    ones = tf.ones([1, tf.shape(x)[0]], x.dtype)
    return tf.cast(tf.reshape(tf.matmul(ones, x), [-1]), tf.float32)
