"""UniLM's mix of masked LMs (Dong et al. 2019): each row uses one of four attention patterns.

    features = with_patterns(features, is_training)
    mask = attention_mask(features)

A third of the rows is bidirectional, a third is sequence-to-sequence, a sixth is left-to-right and
a sixth is right-to-left. The pattern is a hash of the row's tokens and the step: a row has
different patterns in different epochs, and its pattern does not depend on how a batch is divided.
In records of one segment, the first half is the source.
"""

from typing import TYPE_CHECKING, Dict, List, Optional

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import attention_masks
from albert_zh.model.layers import get_shape_list
from albert_zh.pretraining.objectives.reading_patterns import (
    BIDIRECTIONAL,
    LEFT_TO_RIGHT,
    PATTERNS,
    RIGHT_TO_LEFT,
    SEQUENCE_TO_SEQUENCE,
)
from albert_zh.pretraining.objectives.terms import Term

if TYPE_CHECKING:
    from albert_zh.model.heads import MaskedLmOutput

_SIXTHS = (
    BIDIRECTIONAL,
    BIDIRECTIONAL,
    LEFT_TO_RIGHT,
    RIGHT_TO_LEFT,
    SEQUENCE_TO_SEQUENCE,
    SEQUENCE_TO_SEQUENCE,
)
_STEP = 0x9E3779B1  # difference between the keys of two consecutive steps
_ROUNDS = ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1))  # of the hash: shifts and factors


def with_patterns(features: Dict[str, tf.Tensor], is_training: bool) -> Dict[str, tf.Tensor]:
    """Adds the attention pattern of each row to the features.

    Args:
        features: features of a batch, [B, F], [B, P] and [B, 1].
        is_training: whether to train; in evaluation the patterns do not depend on the step.

    Returns:
        the features with `PATTERNS`; in sequence-to-sequence rows of one segment the second half
        becomes segment 1.
    """
    keys = tf.cast(tf.reduce_sum(features["input_ids"], axis=1), tf.int32)
    if is_training:
        keys += tf.cast(tf.train.get_or_create_global_step(), tf.int32) * _wrapped(_STEP)
    patterns = tf.gather(tf.constant(_SIXTHS), tf.math.floormod(_hashed(keys), len(_SIXTHS)))
    mask, segments = features["input_mask"], features["segment_ids"]
    has_one = tf.equal(tf.reduce_sum(segments, axis=1), 0)
    is_divided = has_one & tf.equal(patterns, SEQUENCE_TO_SEQUENCE)
    half = tf.reduce_sum(mask, axis=1, keepdims=True) // 2
    is_second = tf.cast(tf.range(get_shape_list(mask)[1])[None, :] >= half, mask.dtype) * mask
    divided = tf.cast(is_divided, mask.dtype)[:, None] * is_second
    return dict(features, segment_ids=segments + divided, **{PATTERNS: patterns})


def _wrapped(number):
    """Converts an unsigned 32-bit number to an int32 constant with the same bits."""
    return tf.constant(np.uint32(number).astype(np.int32))


def _hashed(keys):
    """Hashes keys, int32 [B], so that every bit depends on every bit of the key (MurmurHash3)."""
    for shift, factor in _ROUNDS:
        shifted = tf.bitwise.right_shift(keys, tf.fill(tf.shape(keys), shift))
        shifted = tf.bitwise.bitwise_and(shifted, tf.constant((1 << (32 - shift)) - 1))
        keys = tf.bitwise.bitwise_xor(keys, shifted) * _wrapped(factor)
    return keys


def attention_mask(features: Dict[str, tf.Tensor]) -> Optional[tf.Tensor]:
    """Returns the visible positions of each position, int [B, F, F]; None without patterns."""
    if PATTERNS not in features:
        return None
    return attention_masks.visible_positions(
        features[PATTERNS], features["input_mask"], features["segment_ids"]
    )


def measured_terms(words: "MaskedLmOutput", features: Dict[str, tf.Tensor]) -> List[Term]:
    """Returns a term per pattern that an evaluation measures, without a loss.

    Args:
        words: the masked LM output for the batch.
        features: features of the batch, with `PATTERNS`.
    """
    count = get_shape_list(features["masked_lm_positions"])[1]
    of_words = tf.reshape(tf.tile(features[PATTERNS][:, None], [1, count]), [-1])  # [B * P]
    weights = tf.reshape(features["masked_lm_weights"], [-1])
    return [
        Term(
            name,
            losses=words.per_example_loss,
            weights=weights * tf.cast(tf.equal(of_words, number), tf.float32),
            labels=tf.reshape(features["masked_lm_ids"], [-1]),
            predicted=words.predicted,
        )
        for number, name in enumerate(attention_masks.PATTERNS)
    ]
