"""Masks as in google-research/electra, including its quirk with repeated positions.

    features = masked_again(features, settings)
    filled = averaged_update(text, drawn, positions)

Positions are drawn with replacement in each step, so that some are drawn twice; at 85 % of them
`[MASK]` is shown, at the others the original text. If several words are drawn for one position, the
original uses the mean of their ids.
"""

import collections
from typing import Dict

import tensorflow.compat.v1 as tf

from albert_zh.model.layers import dropout_seed, get_shape_list
from albert_zh.pretraining.objectives import replaced_tokens

_SHOWN_AS_MASK = 0.85
_MARGIN = 0.005  # added to the share, for the maximum number of predictions per row

OriginalMasks = collections.namedtuple("OriginalMasks", "share max_seq_length mask_id special_ids")
OriginalMasks.__doc__ = """The settings of masks.

Fields:
    share: float, the share of pieces to mask in a row.
    max_seq_length: int.
    mask_id: int, id of [MASK].
    special_ids: ids that are never masked.
"""


def masked_again(features: Dict[str, tf.Tensor], masks: OriginalMasks) -> Dict[str, tf.Tensor]:
    """Replaces the masks of the records with masks drawn like in the original.

    Args:
        features: features of a batch, [B, F] and [B, P].
        masks: the settings of masks.

    Returns:
        features; unused slots of `masked_lm_positions` are 0.
    """
    text = original_text(features)
    most = int((masks.share + _MARGIN) * masks.max_seq_length)
    lengths = tf.cast(tf.reduce_sum(features["input_mask"], axis=1), tf.float32)
    counts = tf.minimum(most, tf.maximum(1, tf.cast(tf.round(lengths * masks.share), tf.int32)))
    is_word = tf.equal(features["input_mask"], 1)
    for special in masks.special_ids:
        is_word &= tf.not_equal(text, special)
    scores = tf.where_v2(is_word, 0.0, -1e9)
    drawn = tf.random.stateless_categorical(scores, most, dropout_seed(), dtype=tf.int32)
    weights = tf.cast(tf.range(most)[None, :] < counts[:, None], tf.float32)
    positions = drawn * tf.cast(weights, tf.int32)
    shown = tf.random.stateless_uniform(tf.shape(positions), dropout_seed()) < _SHOWN_AS_MASK
    hidden = positions * tf.cast(shown, tf.int32)
    return dict(
        features,
        input_ids=averaged_update(text, tf.fill(tf.shape(hidden), masks.mask_id), hidden),
        masked_lm_positions=positions,
        masked_lm_ids=tf.gather(text, positions, batch_dims=1),
        masked_lm_weights=weights,
    )


def original_text(features: Dict[str, tf.Tensor]) -> tf.Tensor:
    """Int [B, F], the text before masking."""
    return replaced_tokens.filled_with(features, features["masked_lm_ids"]).input_ids


def filled_with(features: Dict[str, tf.Tensor], drawn: tf.Tensor) -> replaced_tokens.Filled:
    """Like `replaced_tokens.filled_with`, but a position with several ids gets their mean."""
    text = original_text(features)
    filled = averaged_update(
        text,
        tf.reshape(drawn, tf.shape(features["masked_lm_positions"])),
        features["masked_lm_positions"],
    )
    return replaced_tokens.Filled(filled, tf.cast(tf.not_equal(filled, text), tf.float32))


def averaged_update(ids: tf.Tensor, updates: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Updates ids at positions; repeated positions get the mean, and position 0 is not updated.

    Args:
        ids: int tensor [B, F].
        updates: int tensor [B, P].
        positions: int tensor [B, P].

    Returns:
        int tensor [B, F].
    """
    batch, count = get_shape_list(positions)
    rows = tf.tile(tf.range(batch)[:, None], [1, count])
    places = tf.stack([rows, tf.cast(positions, tf.int32)], axis=-1)
    shape = tf.shape(ids)
    sums = tf.scatter_nd(places, updates, shape)
    numbers = tf.scatter_nd(places, tf.ones_like(updates), shape)
    is_updated = (numbers > 0) & (tf.range(shape[1])[None, :] > 0)
    return tf.where_v2(is_updated, sums // tf.maximum(numbers, 1), ids)
