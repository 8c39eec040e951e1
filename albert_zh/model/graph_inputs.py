"""Inputs of inference graphs: names and placeholders; also the output name of sentence vectors."""

from typing import Any, Optional, Tuple

import tensorflow.compat.v1 as tf

ENCODER_INPUTS = ("input_ids", "input_mask", "segment_ids")
SENTENCE_OUTPUT = "sentence_embedding"


def further_input(
    name: str, column: Any, shape: Tuple[Optional[int], Optional[int]] = (None, None)
) -> tf.Tensor:
    """The placeholder of a per-token input of a head: int32 or float32 [B, F, ...].

    Args:
        name: name of the input.
        column: has `dtype` and `shape` of a token's value, see `task_type.Column`.
        shape: (B, F), None for any size.
    """
    dtype = tf.float32 if column.dtype == "float" else tf.int32
    return tf.placeholder(dtype, list(shape) + list(column.shape), name)
