"""The attention patterns of `unilm`, as a feature of a batch."""

from typing import Dict

import tensorflow.compat.v1 as tf

PATTERNS = "patterns"  # name of the feature, int [B], indices of `attention_masks.PATTERNS`
BIDIRECTIONAL, LEFT_TO_RIGHT, RIGHT_TO_LEFT, SEQUENCE_TO_SEQUENCE = range(4)


def is_bidirectional(features: Dict[str, tf.Tensor]) -> tf.Tensor:
    """Float [B]: 1 for rows that have the second task; without patterns, all rows have it."""
    if PATTERNS not in features:
        return tf.ones([tf.shape(features["input_ids"])[0]])
    return tf.cast(tf.equal(features[PATTERNS], BIDIRECTIONAL), tf.float32)
