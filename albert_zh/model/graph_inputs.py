"""What graphs for use take: names of inputs, and placeholders; the name of a vector's output."""

from typing import Any, Optional, Tuple

import tensorflow.compat.v1 as tf

ENCODER_INPUTS = ("input_ids", "input_mask", "segment_ids")
SENTENCE_OUTPUT = "sentence_embedding"


def further_input(
    name: str, column: Any, shape: Tuple[Optional[int], Optional[int]] = (None, None)
) -> tf.Tensor:
    """The placeholder of what a head takes for each token: int32 or float32 [B, F, ...].

    Args:
        name: of the input.
        column: with `dtype` and `shape` of a token's value, see `task_type.Column`.
        shape: (B, F), None for any.
    """
    dtype = tf.float32 if column.dtype == "float" else tf.int32
    return tf.placeholder(dtype, list(shape) + list(column.shape), name)
