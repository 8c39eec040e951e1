"""Multi-head self-attention of a block, with absolute or relative positions.

Letters in shape comments: as in `encoder`; T is the number of key positions.
"""

import math
from typing import TYPE_CHECKING, Any, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.model.channel_scales import NO_SCALES
from albert_zh.model.gradient_checkpointing import recomputed
from albert_zh.model.layers import dense, dropout, get_shape_list, joint_dense

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig
    from albert_zh.model.relative_positions import RelativePositions


def self_attention(
    config: "AlbertConfig",
    scope: str,
    rows: tf.Tensor,
    mask: tf.Tensor,
    batch_shape: Sequence[Any],
    seed: Any = None,
    from_rows: Optional[tf.Tensor] = None,
    relative_positions: Optional["RelativePositions"] = None,
) -> tf.Tensor:
    """Multi-head self-attention and its output layer.

    Args:
        config: `AlbertConfig`.
        scope: name of the attention's variable scope.
        rows: float tensor [R, H].
        mask: float tensor [B, 1, 1, F] or [B, 1, K, F].
        batch_shape: B and F.
        seed: int tensor [2], seed of the attention dropout; not used without dropout.
        from_rows: float tensor [B * K, H], the only rows used as queries; None: all rows.
        relative_positions: `RelativePositions` of the queries; None: no relative positions.

    Returns:
        float tensor [R, H], or [B * K, H] with `from_rows`.
    """

    def attended(query, key, value):
        return attention_context(
            query,
            key,
            value,
            mask,
            config.attention_probs_dropout_prob,
            seed,
            relative_positions,
        )  # [B, N, F, D]

    names = ["%s/self/%s" % (scope, name) for name in ("query", "key", "value")]
    if from_rows is None and config.saves_memory:
        inputs = _projected(config, names, rows, batch_shape)
    else:  # in inference in every layer, so that an exported file holds each kernel once
        querying = rows if from_rows is None else from_rows
        inputs = _projected(config, names[:1], querying, (batch_shape[0], -1))
        inputs += _projected(config, names[1:], rows, batch_shape)
    if config.attention_inputs is not None:
        config.attention_inputs.append(inputs)
    if config.decoding_step is not None:
        inputs = inputs[:1] + config.decoding_step.extended(*inputs[1:])
    context = recomputed(attended, inputs, config.saves_memory)
    context = tf.transpose(context, [0, 2, 1, 3])  # [B, F, N, D]
    context = tf.reshape(context, [-1, config.hidden_size])  # [R, H]
    scale = (config.channel_scales or NO_SCALES).attention_out
    return dense(context, config.hidden_size, config, scope + "/output/dense", out_scale=scale)


def attention_context(
    query: tf.Tensor,
    key: tf.Tensor,
    value: tf.Tensor,
    mask: tf.Tensor,
    dropout_prob: float,
    seed: Any = None,
    relative_positions: Optional["RelativePositions"] = None,
) -> tf.Tensor:
    """Scaled dot-product attention of every head; T is the number of key positions.

    Args:
        query: float tensor [B, N, F, D].
        key: float tensor [B, N, T, D].
        value: float tensor [B, N, T, D].
        mask: float tensor that broadcasts to [B, N, F, T], added to the scores.
        dropout_prob: float, dropout probability of the attention weights.
        seed: int tensor [2], seed of the dropout; not used without dropout.
        relative_positions: `RelativePositions` of the queries; None: no relative positions.

    Returns:
        float tensor [B, N, F, D].
    """
    scores = attention_scores(query, key, relative_positions)  # [B, N, F, T]
    weights = tf.nn.softmax(scores + mask)
    weights = dropout(tf.cast(weights, value.dtype), dropout_prob, seed)
    context = tf.matmul(weights, value)
    return context if relative_positions is None else context + relative_positions.context(weights)


def attention_scores(
    query: tf.Tensor, key: tf.Tensor, relative_positions: Optional["RelativePositions"] = None
) -> tf.Tensor:
    """Attention scores of queries and keys: [B, N, F, D], [B, N, T, D] -> float32 [B, N, F, T].

    They are neither masked nor normalized by a softmax.
    """
    scores = tf.matmul(query, key, transpose_b=True)
    if relative_positions is not None:
        scores += relative_positions.scores(query, get_shape_list(key)[2])
    return tf.cast(scores, tf.float32) / math.sqrt(int(query.shape[-1]))


def _projected(config, scopes, rows, batch_shape):
    """Projects rows [R, H] by each dense layer of `scopes` and splits heads: [B, N, F, D] each."""
    batch, length = batch_shape
    heads = config.num_attention_heads
    head_size = config.hidden_size // heads
    if config.is_plain or config.channel_scales is not None:
        scale = (config.channel_scales or NO_SCALES).attention_in
        columns = [
            dense(rows, config.hidden_size, config, scope, in_scale=scale) for scope in scopes
        ]
        columns = [tf.reshape(x, [batch, length, heads, head_size]) for x in columns]
        return [tf.transpose(x, [0, 2, 1, 3]) for x in columns]
    x = joint_dense(rows, config.hidden_size, config, scopes)
    x = tf.reshape(x, [batch, length, len(scopes), heads, head_size])
    return tf.unstack(tf.transpose(x, [2, 0, 3, 1, 4]))
