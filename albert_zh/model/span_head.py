"""Reading-comprehension head: scores each piece as the first and as the last one of an answer.

Letters in shape comments: B batch, F pieces, H width of the encoder.
"""

import collections
from typing import Optional

import tensorflow.compat.v1 as tf

from albert_zh.model.config import AlbertConfig
from albert_zh.model.layers import layer_norm
from albert_zh.model.variables import new_variable

SCOPE = "cls/squad"  # as in BERT: checkpoints of its run_squad.py have variables of these names
_MASKED = -10000.0  # added to the logits of pieces that cannot be part of an answer

SpanOutput = collections.namedtuple(
    "SpanOutput", ["loss", "per_example_loss", "start_logits", "end_logits"]
)


def span_head(
    config: AlbertConfig,
    sequence_output: tf.Tensor,
    span_mask: Optional[tf.Tensor] = None,
    start_positions: Optional[tf.Tensor] = None,
    end_positions: Optional[tf.Tensor] = None,
) -> SpanOutput:
    """Scores the pieces; variables `cls/squad/output_weights` [2, H], `cls/squad/output_bias` [2].

    Pre-LN encoders end without LayerNorm, so the head adds one, `cls/squad/LayerNorm`.

    Args:
        config: `AlbertConfig`.
        sequence_output: float tensor [B, F, H], the encoder's output.
        span_mask: int tensor [B, F], 1 for the pieces that an answer may contain and for [CLS],
            which stands for "no answer"; None if masking is done outside the graph.
        start_positions: int tensor [B], the first piece of each answer; None if unknown.
        end_positions: int tensor [B], the last piece of each answer; None if unknown.

    Returns:
        `SpanOutput`: loss [], per_example_loss [B] (both None without positions), the mean of the
        cross-entropies of start and end; start_logits [B, F], end_logits [B, F], in float32.
    """
    with tf.variable_scope(SCOPE):
        weights = new_variable("output_weights", [2, config.hidden_size], config)
        bias = tf.get_variable("output_bias", [2], initializer=tf.zeros_initializer())
        if config.is_pre_norm:
            sequence_output = layer_norm(sequence_output, "LayerNorm")
        rows = tf.reshape(tf.cast(sequence_output, tf.float32), [-1, config.hidden_size])
        logits = tf.nn.bias_add(tf.matmul(rows, weights, transpose_b=True), bias)  # [B * F, 2]
        logits = tf.reshape(logits, tf.concat([tf.shape(sequence_output)[:2], [2]], axis=0))
        start_logits, end_logits = logits[:, :, 0], logits[:, :, 1]  # [B, F]
        if span_mask is not None:
            start_logits, end_logits = (
                masked_logits(start_logits, span_mask),
                masked_logits(end_logits, span_mask),
            )
        if start_positions is None:
            return SpanOutput(None, None, start_logits, end_logits)
        per_example_loss = span_losses(start_logits, end_logits, start_positions, end_positions)
        return SpanOutput(
            tf.reduce_mean(per_example_loss), per_example_loss, start_logits, end_logits
        )


def masked_logits(logits: tf.Tensor, span_mask: tf.Tensor) -> tf.Tensor:
    """Lowers the logits of pieces at which no answer can start or end.

    Args:
        logits: float tensor [B, F].
        span_mask: int tensor [B, F], as in `span_head`.

    Returns:
        float tensor [B, F].
    """
    return logits + (1.0 - tf.cast(span_mask, tf.float32)) * _MASKED


def span_losses(
    start_logits: tf.Tensor,
    end_logits: tf.Tensor,
    start_positions: tf.Tensor,
    end_positions: tf.Tensor,
) -> tf.Tensor:
    """The mean of the cross-entropies of start and end, float tensor [B].

    Args:
        start_logits, end_logits: float tensors [B, F], masked.
        start_positions, end_positions: int tensors [B].
    """
    losses = [
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=positions, logits=scores)
        for positions, scores in ((start_positions, start_logits), (end_positions, end_logits))
    ]
    return (losses[0] + losses[1]) / 2.0
