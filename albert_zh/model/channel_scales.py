"""Scales that leave a model's outputs the same, but make the channels of a product similar in size.

A product of 8-bit integers has one range for all channels of its input and one for all channels of
its output, so that a channel that is much larger than the others takes their precision.
"""

from typing import NamedTuple, Optional, Tuple

import numpy as np
import tensorflow.compat.v1 as tf


class ChannelScales(NamedTuple):
    """The scales of a graph for export; all layers have the same, so shared weights stay shared.

    A scale that is None is 1. In a graph with scales each product is separate, so that each has its
    ranges; other graphs join queries, keys and values.

    Attributes:
        attention_in: float array [H]; the input of queries, keys and values is divided by it.
        attention_out: float array [H]; the outputs of attention are divided by it until they are
            added to the layer's input.
        ffn_in: float array [H]; the input of the first feed-forward layer is divided by it.
        ffn_out: float array [H]; the outputs of the second feed-forward layer, as `attention_out`.
        ffn_apart: int array, channels between the feed-forward layers that are computed apart.
    """

    attention_in: Optional[np.ndarray] = None
    attention_out: Optional[np.ndarray] = None
    ffn_in: Optional[np.ndarray] = None
    ffn_out: Optional[np.ndarray] = None
    ffn_apart: Optional[np.ndarray] = None


NO_SCALES = ChannelScales()  # of every other graph


def with_scaled_input(
    x: tf.Tensor, kernel: tf.Tensor, scale: Optional[np.ndarray]
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Factors of the same product: the input divided by a scale, the kernel's rows multiplied.

    Args:
        x: float tensor [R, in].
        kernel: float tensor [in, out].
        scale: float array [in]; None: the factors as they are. Larger inputs than the scale become
            as large as it, as in integers.
    """
    if scale is None:
        return x, kernel
    # The converter would fold a factor without bounds into the kernel.
    x = tf.minimum(tf.maximum(x * (1.0 / scale), -1.0), 1.0)
    return x, kernel * scale[:, None]


def divided(weights: tf.Tensor, scale: Optional[np.ndarray]) -> tf.Tensor:
    """Kernel or bias of a layer whose outputs are divided by a scale.

    Args:
        weights: float tensor [in, out], with G groups [in / G, out / G, G]; or [out].
        scale: float array [out]; None: the weights as they are.
    """
    if scale is None:
        return weights
    if weights.shape.rank == 3:
        scale = scale.reshape(int(weights.shape[2]), -1).T  # [out / G, G]
    return weights * (1.0 / scale)


def sum_with_divided(x: tf.Tensor, outputs: tf.Tensor, scale: Optional[np.ndarray]) -> tf.Tensor:
    """The sum of x and a layer's outputs that are divided by a scale, both [R, out].

    The factor comes after the sum, since the converter would fold it into the layer's kernel. A
    product is the first operand: TensorFlow Lite may write a sum over an operand, and its
    calibration takes what it finds there for the operand's range.
    """
    if scale is None:
        return x + outputs
    return (x * (1.0 / scale) + outputs) * scale
