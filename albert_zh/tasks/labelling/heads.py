"""Heads that assign a tag to each word piece: softmax and conditional random field.

    output = crf_head(encoder_output, features, config, num_tags=7, is_training=True)
    output.per_example_loss, output.predictions["logits"], output.transitions

The heads that score spans are in `global_pointer`. Letters in shape comments: B rows, F positions,
H hidden size, K tags, P positions that have a tag: the positions from the first piece (after [CLS]
and, with several granularities, the granularity's token) on.
"""

import collections
from typing import Any, Dict

import tensorflow.compat.v1 as tf

from albert_zh.model.heads import CLASSIFIER_DROPOUT, cross_entropy
from albert_zh.model.layers import dropout, layer_norm
from albert_zh.model.variables import new_variable
from albert_zh.tasks.labelling import crf

FIRST_PIECE = 1  # position after [CLS]

HeadOutput = collections.namedtuple(
    "HeadOutput", ["per_example_loss", "predictions", "transitions"]
)
HeadOutput.__doc__ = """The outputs of a head.

Fields:
    per_example_loss: float tensor [B]; None without labels.
    predictions: {name: tensor [B, ...]}.
    transitions: float tensor [K, K] of a CRF, row: previous tag, column: next tag; None for other
        heads.
"""


def softmax_head(
    encoder_output: tf.Tensor,
    features: Dict[str, tf.Tensor],
    config: Any,
    num_tags: int,
    is_training: bool,
    first_piece: int = FIRST_PIECE,
) -> HeadOutput:
    """Predicts each piece's tag independently; the loss is the mean over the row's pieces.

    Args:
        encoder_output: float tensor [B, F, H].
        features: `input_mask` int [B, F] and, with labels, `tag_ids` int [B, F], whose values only
            count at the positions of pieces.
        config: `AlbertConfig`.
        num_tags: int, K.
        is_training: bool; dropout of 0.1 in training.
        first_piece: int, the first position that has a tag.

    Returns:
        `HeadOutput` with the predictions `logits` float [B, P, K] and `lengths` int [B].
    """
    logits, lengths = _logits_of_pieces(
        encoder_output, features, config, num_tags, is_training, first_piece
    )
    loss = None
    if "tag_ids" in features:
        tag_ids = features["tag_ids"][:, first_piece:]  # [B, P]
        losses, _ = cross_entropy(tf.reshape(tag_ids, [-1]), tf.reshape(logits, [-1, num_tags]))
        losses = tf.reshape(losses, tf.shape(tag_ids))
        mask = tf.sequence_mask(lengths, tf.shape(tag_ids)[1], dtype=tf.float32)
        loss = _mean_of_pieces(tf.reduce_sum(losses * mask, axis=1), lengths)
    return HeadOutput(loss, {"logits": logits, "lengths": lengths}, None)


def crf_head(
    encoder_output: tf.Tensor,
    features: Dict[str, tf.Tensor],
    config: Any,
    num_tags: int,
    is_training: bool,
    first_piece: int = FIRST_PIECE,
) -> HeadOutput:
    """Predicts tags with a CRF, whose transition scores are the variable `crf/transitions` [K, K].

    The loss is the negative log-likelihood, divided by the row's number of pieces. Args as in
    `softmax_head`.

    Returns:
        `HeadOutput` with the predictions `logits` float [B, P, K] and `lengths` int [B].
    """
    logits, lengths = _logits_of_pieces(
        encoder_output, features, config, num_tags, is_training, first_piece
    )
    with tf.variable_scope("crf"):
        transitions = tf.get_variable(
            "transitions", [num_tags, num_tags], initializer=tf.zeros_initializer()
        )
    loss = None
    if "tag_ids" in features:
        tag_ids = features["tag_ids"][:, first_piece:]  # [B, P]
        likelihood = crf.crf_log_likelihood(logits, tag_ids, lengths, transitions)
        loss = _mean_of_pieces(-likelihood, lengths)
    return HeadOutput(loss, {"logits": logits, "lengths": lengths}, transitions)


def piece_rows(encoder_output: tf.Tensor, config: Any, is_training: bool) -> tf.Tensor:
    """Prepares the encoder's output for heads: layer norm if the encoder lacks it, and dropout.

    Args:
        encoder_output: float tensor [B, F, H].
        config: `AlbertConfig`.
        is_training: bool.

    Returns:
        float32 tensor [B, F, H].
    """
    rows = tf.cast(encoder_output, tf.float32)
    if config.is_pre_norm:
        with tf.variable_scope("loss"):
            rows = layer_norm(rows, "LayerNorm")
    return dropout(rows, CLASSIFIER_DROPOUT if is_training else 0.0)


def num_pieces(features: Dict[str, tf.Tensor], first_piece: int = FIRST_PIECE) -> tf.Tensor:
    """Counts each row's pieces, int tensor [B]: all positions but special tokens and padding."""
    lengths = tf.reduce_sum(tf.cast(features["input_mask"], tf.int32), axis=1)
    return tf.maximum(lengths - first_piece - 1, 0)


def _logits_of_pieces(encoder_output, features, config, num_tags, is_training, first_piece):
    """(logits [B, P, K], lengths [B]); variables `output_weights` [K, H], `output_bias` [K]."""
    width = int(encoder_output.shape[2])
    weights = new_variable("output_weights", [num_tags, width], config)
    bias = tf.get_variable("output_bias", [num_tags], initializer=tf.zeros_initializer())
    rows = piece_rows(encoder_output[:, first_piece:], config, is_training)  # [B, P, H]
    logits = tf.matmul(tf.reshape(rows, [-1, width]), weights, transpose_b=True)
    logits = tf.reshape(tf.nn.bias_add(logits, bias), [-1, tf.shape(rows)[1], num_tags])
    return logits, num_pieces(features, first_piece)


def _mean_of_pieces(summed, lengths):
    return summed / tf.cast(tf.maximum(lengths, 1), tf.float32)
