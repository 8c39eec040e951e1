"""Predicts masked words from the pieces around their span, as in SpanBERT (Joshi et al. 2020).

    targets = targets_of(features)
    words = boundary_output(config, left_rows, right_rows, targets, table, label_ids)

A span is a run of masked pieces; adjacent spans count as one. The i-th word of a span is predicted
from the outputs at the pieces before and after the span and an embedding of i, without the output
at the word itself. Spans next to [CLS] or [SEP] have no such boundary and are skipped, as are words
of a span after the first `LONGEST_SPAN`. Records need no further features: spans are derived from
the masked positions.
"""

import collections
from typing import TYPE_CHECKING, Dict

import tensorflow.compat.v1 as tf

from albert_zh.model.heads import MaskedLmOutput, word_predictions
from albert_zh.model.layers import dense, layer_norm, lookup
from albert_zh.model.variables import new_variable

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

SCOPE = "cls/span_boundary"  # variable scope of the head, which exists only in training
LONGEST_SPAN = 20
_BEHIND_ALL = 1 << 30

Targets = collections.namedtuple("Targets", "left right index weights")
Targets.__doc__ = """The spans of masked words, [B, P] each; all are 0 for a word without boundary.

Fields:
    left, right: int tensors, the positions before and after the word's span.
    index: int tensor, the word's position in its span, from 0.
    weights: float tensor, the weights of the predictions.
"""


def targets_of(features: Dict[str, tf.Tensor]) -> Targets:
    """Computes the `Targets` of a batch.

    Args:
        features: features of the batch, [B, F] and [B, P]; positions of masked words must be in
            ascending order.
    """
    positions = tf.cast(features["masked_lm_positions"], tf.int32)  # [B, P]
    is_used = features["masked_lm_weights"] > 0
    goes_on = tf.equal(positions[:, 1:], positions[:, :-1] + 1) & is_used[:, :-1]
    begins = tf.pad(tf.cast(~goes_on, tf.int32), [[0, 0], [1, 0]], constant_values=1)
    spans = tf.cumsum(begins, axis=1)
    same = tf.equal(spans[:, :, None], spans[:, None, :]) & is_used[:, None, :]  # [B, P, P]
    others = positions[:, None, :]
    left = tf.reduce_min(tf.where_v2(same, others, _BEHIND_ALL), axis=2) - 1
    right = tf.reduce_max(tf.where_v2(same, others, -1), axis=2) + 1
    last_sep = tf.reduce_sum(features["input_mask"], axis=1, keepdims=True) - 1
    first_sep = last_sep - tf.reduce_sum(features["segment_ids"], axis=1, keepdims=True)
    last_sep, first_sep = tf.cast(last_sep, tf.int32), tf.cast(first_sep, tf.int32)
    is_bounded = is_used & (left > 0) & (right < last_sep)
    is_bounded &= tf.not_equal(left, first_sep) & tf.not_equal(right, first_sep)
    if "input_ids" in features:
        is_bounded &= ~_separates(features["input_ids"], last_sep, left, right)
    index = positions - left - 1
    is_bounded &= index < LONGEST_SPAN
    left, right, index = (tf.where_v2(is_bounded, x, 0) for x in (left, right, index))
    weights = features["masked_lm_weights"] * tf.cast(is_bounded, tf.float32)
    return Targets(left, right, index, weights)


def _separates(input_ids, last_sep, left, right):
    """bool [B, P], whether a boundary is a `[SEP]`, which a single segment may contain, too."""
    sep_id = tf.gather(input_ids, last_sep, batch_dims=1)  # [B, 1]
    last = tf.shape(input_ids)[1] - 1
    left, right = (tf.clip_by_value(boundary, 0, last) for boundary in (left, right))  # unused: any
    ids = [tf.gather(input_ids, boundary, batch_dims=1) for boundary in (left, right)]
    return tf.equal(ids[0], sep_id) | tf.equal(ids[1], sep_id)


def boundary_output(
    config: "AlbertConfig",
    left_rows: tf.Tensor,
    right_rows: tf.Tensor,
    targets: Targets,
    table: tf.Variable,
    label_ids: tf.Tensor,
    parts: int = 1,
) -> MaskedLmOutput:
    """Predicts the words of spans; the variables are under `SCOPE`.

    Args:
        config: the model's config.
        left_rows, right_rows: float tensors [B * P, H], the outputs at the spans' boundaries.
        targets: the `Targets` of the batch.
        table: float variable [V, E], the word table.
        label_ids: int tensor [B, P], the original words.
        parts: see `heads.masked_lm_output`.
    """
    width = int(table.shape[-1])
    with tf.variable_scope(SCOPE):
        places = new_variable("position_embeddings", [LONGEST_SPAN, width], config)
        of_places = lookup(places, targets.index, use_one_hot=True)  # [B * P, E]
        of_places = tf.cast(of_places, left_rows.dtype)
        rows = tf.concat([left_rows, right_rows, of_places], axis=1)  # [B * P, 2 H + E]
        rows = dense(rows, config.hidden_size, config, "dense", config.hidden_act)
        rows = layer_norm(rows, "LayerNorm")
        rows = dense(rows, width, config, "dense_1", config.hidden_act)
        rows = layer_norm(rows, "LayerNorm_1")
        bias = tf.get_variable(
            "output_bias", [int(table.shape[0])], initializer=tf.zeros_initializer()
        )
        return word_predictions(rows, table, bias, label_ids, targets.weights, parts)
