"""albert_zh's `bert_utils`: tensor shapes, and UniLM's attention mask (arXiv 1905.03197)."""

from typing import Any, Optional

import tensorflow.compat.v1 as tf

from albert_zh.compatibility.modeling import assert_rank, reshape_from_matrix, reshape_to_matrix
from albert_zh.compatibility.pretraining_parts import gather_indexes
from albert_zh.model.modeling import get_shape_list

__all__ = [
    "assert_rank",
    "gather_indexes",
    "generate_seq2seq_mask",
    "get_shape_list",
    "reshape_from_matrix",
    "reshape_to_matrix",
]


def generate_seq2seq_mask(
    attention_mask: tf.Tensor, mask_sequence: Optional[tf.Tensor], seq_type: str, **kargs: Any
) -> tf.Tensor:
    """Creates UniLM's attention mask for a target that follows its source.

    Args:
        attention_mask: number tensor [B, F, F], from `create_attention_mask_from_input_mask`.
        mask_sequence: number tensor [B, F], 1 for tokens of the target and 0 for tokens of the
            source, which attend to the source only; None if all tokens belong to the target.
        seq_type: "seq2seq"; for other values the mask is returned unchanged.
        **kargs: ignored.

    Returns:
        float tensor [B, F, F]: target tokens attend to the source and to preceding tokens.
    """
    del kargs
    attention_mask = tf.cast(attention_mask, tf.float32)
    if seq_type != "seq2seq":
        return attention_mask
    length = get_shape_list(attention_mask, expected_rank=3)[1]
    is_before = tf.matrix_band_part(tf.ones([1, length, length]), -1, 0)  # with the token itself
    if mask_sequence is None:
        return attention_mask * is_before
    assert_rank(mask_sequence, 2, "mask_sequence")
    is_target = tf.cast(tf.expand_dims(mask_sequence, 2), tf.float32)  # [B, F, 1]
    at_source = 1.0 - tf.transpose(is_target, [0, 2, 1])  # [B, 1, F]
    return attention_mask * ((1.0 - is_target) * at_source + is_target * is_before)
