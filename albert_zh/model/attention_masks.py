"""Attention masks: bidirectional, unidirectional and sequence-to-sequence.

These are UniLM's patterns (Dong et al. 2019). Each pattern assigns a rank to every position, and a
position sees the positions whose rank is not above its own: all ranks are equal, or they rise or
fall with the position, or they are equal in the source and rise in the target.

Letters in shape comments: B batch, F tokens.
"""

from typing import Any, Optional

import tensorflow.compat.v1 as tf

from albert_zh.model.layers import FIRST_TOKEN, gather_positions, get_shape_list

MASKED_LOGIT = -10000.0  # added to the attention scores of positions that are not seen
# The index of a name is the pattern's number in an int tensor.
PATTERNS = ("bidirectional", "left_to_right", "right_to_left", "sequence_to_sequence")


def visible_positions(pattern: Any, input_mask: tf.Tensor, segment_ids: tf.Tensor) -> tf.Tensor:
    """The positions that each position sees.

    Args:
        pattern: a name of `PATTERNS`, or int tensor [B] of their indices.
        input_mask: int tensor [B, F], 1 for tokens and 0 for padding, which no position sees.
        segment_ids: int tensor [B, F]; for `sequence_to_sequence` 0 for the source and 1 for
            the target.

    Returns:
        int tensor [B, F, F]; [b, i, j] is 1 if position i sees position j.
    """
    positions = tf.cumsum(tf.ones_like(input_mask), axis=1)  # [B, F]
    ranks = (tf.zeros_like(positions), positions, -positions, tf.cumsum(segment_ids, axis=1))
    if isinstance(pattern, str):
        rank = ranks[PATTERNS.index(pattern)]
    else:
        chosen = tf.one_hot(pattern, len(PATTERNS), dtype=positions.dtype)  # [B, 4]
        rank = tf.reduce_sum(tf.stack(ranks, axis=1) * chosen[:, :, None], axis=1)  # [B, F]
    is_seen = tf.cast(rank[:, None, :] <= rank[:, :, None], input_mask.dtype)
    return is_seen * input_mask[:, None, :]


def of_inputs(
    input_ids: tf.Tensor, input_mask: Optional[tf.Tensor], attention_mask: Optional[tf.Tensor]
) -> tf.Tensor:
    """Which positions are seen, int [B, F, F] or [B, 1, F]: `attention_mask`, or all tokens.

    Args:
        input_ids: int tensor [B, F].
        input_mask: int tensor [B, F], or None if there is no padding.
        attention_mask: int tensor [B, F, F], or None: all tokens of `input_mask` are seen.
    """
    if attention_mask is not None:
        return attention_mask
    return tf.expand_dims(tf.ones_like(input_ids) if input_mask is None else input_mask, 1)


def added_to_scores(attention_mask: tf.Tensor) -> tf.Tensor:
    """Additive mask of attention scores: int [B, F, F] or [B, 1, F] -> float [B, 1, F or 1, F]."""
    mask = tf.expand_dims(attention_mask, 1)
    return (1.0 - tf.cast(mask, tf.float32)) * MASKED_LOGIT


def of_queries(mask: tf.Tensor, output_positions: Any) -> tf.Tensor:
    """The rows of an additive mask for the positions whose output is computed.

    Args:
        mask: float tensor [B, 1, F, F], or [B, 1, 1, F], which applies to all positions.
        output_positions: see `encoder.AlbertModel`.

    Returns:
        float tensor [B, 1, K, F], or [B, 1, 1, F].
    """
    if output_positions is None or mask.shape.as_list()[2] == 1:
        return mask
    if output_positions is FIRST_TOKEN:
        return mask[:, :, :1, :]
    _, num_queries = get_shape_list(output_positions)
    batch, _, _, length = get_shape_list(mask)
    rows = gather_positions(tf.squeeze(mask, axis=1), output_positions)  # [B * K, F]
    return tf.reshape(rows, [batch, 1, num_queries, length])
