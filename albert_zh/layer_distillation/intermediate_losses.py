"""Losses between a student's and a teacher's attention and hidden states, as pure functions.

There are two families. `attention_loss`, `hidden_loss` and `relation_loss` are means over real
tokens only; the caller may pass the counts that sums are divided by (the counts of the whole batch,
if it is processed in parts). `original_attention_loss` and `original_hidden_loss` are TinyBERT's
losses as its programs compute them: padding counts, and scores up to -100 are treated as masked.

Letters in shape comments: B rows, F tokens, N heads, R relation heads, D head size, H width.
"""

import math
from typing import Any, NamedTuple, Optional

import tensorflow.compat.v1 as tf

from albert_zh.model.attention import attention_scores

LARGEST_COMMON_HEADS = 24  # upper limit of relation heads that divide both widths
_MASKED_BELOW = -100.0  # TinyBERT's threshold
_HIDDEN_KEY = -1e9  # added to relations to padding tokens


class Counts(NamedTuple):
    """Counts by which the sums over a batch are divided, float scalar tensors."""

    rows: tf.Tensor
    tokens: tf.Tensor  # without padding
    token_pairs: tf.Tensor  # pairs of tokens of the same row


def counts_of(mask: tf.Tensor) -> Counts:
    """Returns the `Counts` of a batch.

    Args:
        mask: int tensor [B, F], 0 for padding.
    """
    lengths = tf.reduce_sum(tf.cast(mask, tf.float32), axis=1)  # [B]
    rows = tf.cast(tf.shape(mask)[0], tf.float32)
    return Counts(rows, tf.reduce_sum(lengths), tf.reduce_sum(tf.square(lengths)))


def attention_loss(
    student: tf.Tensor, teacher: tf.Tensor, mask: tf.Tensor, counts: Optional[Counts] = None
) -> tf.Tensor:
    """Mean squared difference of attention scores over heads and pairs of real tokens.

    Args:
        student: float tensor [B, N, F, F], the student's scores before mask and softmax.
        teacher: float tensor [B, N, F, F], the teacher's scores.
        mask: int tensor [B, F], 0 for padding.
        counts: counts by which sums are divided; None: the counts of the mask.

    Returns:
        float scalar tensor.
    """
    counts = counts or counts_of(mask)
    is_token = tf.cast(mask, tf.float32)
    is_pair = is_token[:, None, :, None] * is_token[:, None, None, :]  # [B, 1, F, F]
    squares = tf.reduce_sum(tf.square(student - teacher) * is_pair)
    return squares / (counts.token_pairs * float(int(student.shape[1])))


def hidden_loss(
    student: tf.Tensor, teacher: tf.Tensor, mask: tf.Tensor, counts: Optional[Counts] = None
) -> tf.Tensor:
    """Mean squared difference of hidden states over the width and real tokens.

    Args:
        student: float tensor [B, F, H], the student's states.
        teacher: float tensor [B, F, H], the teacher's states.
        mask, counts: as in `attention_loss`.

    Returns:
        float scalar tensor.
    """
    counts = counts or counts_of(mask)
    is_token = tf.cast(mask, tf.float32)[:, :, None]  # [B, F, 1]
    squares = tf.reduce_sum(tf.square(student - teacher) * is_token)
    return squares / (counts.tokens * float(int(student.shape[-1])))


def relation_loss(
    student: tf.Tensor,
    teacher: tf.Tensor,
    mask: tf.Tensor,
    num_heads: int,
    counts: Optional[Counts] = None,
) -> tf.Tensor:
    """MiniLM's divergence of self-attention relations; numbers of heads and widths may differ.

    Queries (or keys, or values) are split again, into relation heads. Each token's relation to all
    tokens of its row is a softmax of scaled dot products. The loss is the Kullback-Leibler
    divergence of the student's relations from the teacher's, averaged over rows, heads and tokens.

    Args:
        student: float tensor [B, N, F, D], the student's queries, keys or values.
        teacher: the same tensor of the teacher, with any number of heads.
        mask, counts: as in `attention_loss`.
        num_heads: relation heads, R, which divide both widths; see `num_relation_heads`.

    Returns:
        float scalar tensor.

    Source: Wang et al. 2021, MiniLMv2.
    """
    counts = counts or counts_of(mask)
    is_token = tf.cast(mask, tf.float32)
    hides_keys = (1.0 - is_token[:, None, None, :]) * _HIDDEN_KEY  # [B, 1, 1, F]
    log_student, log_teacher = (
        tf.nn.log_softmax(_relations(x, num_heads) + hides_keys) for x in (student, teacher)
    )  # [B, R, F, F]
    divergences = tf.reduce_sum(tf.exp(log_teacher) * (log_teacher - log_student), axis=-1)
    of_rows = tf.reduce_sum(divergences * is_token[:, None, :], axis=[1, 2])  # [B]
    return tf.reduce_sum(of_rows / tf.reduce_sum(is_token, axis=1)) / (counts.rows * num_heads)


def num_relation_heads(student_width: int, teacher_width: int) -> int:
    """Largest number of heads up to `LARGEST_COMMON_HEADS` that divides both widths."""
    divisor = math.gcd(student_width, teacher_width)
    return max(n for n in range(1, LARGEST_COMMON_HEADS + 1) if divisor % n == 0)


def _relations(x, num_heads):
    """Scaled dot products of token vectors [B, N, F, D], split into R heads: [B, R, F, F]."""
    _, heads, _, size = x.shape.as_list()
    shape = tf.shape(x)
    x = tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [shape[0], shape[2], heads * size])
    x = tf.reshape(x, [shape[0], shape[2], num_heads, heads * size // num_heads])
    x = tf.transpose(x, [0, 2, 1, 3])  # [B, R, F, D']
    return attention_scores(x, x)


def original_attention_loss(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """TinyBERT's attention loss: mean squared difference over all scores, masked ones set to 0.

    Args:
        student: float tensor [B, N, F, F], the student's scores with the mask (-10000) added.
        teacher: float tensor [B, N, F, F], the teacher's scores with the mask added.

    Returns:
        float scalar tensor.
    """
    kept = [tf.where(x <= _MASKED_BELOW, tf.zeros_like(x), x) for x in (student, teacher)]
    return tf.reduce_mean(tf.square(kept[0] - kept[1]))


def original_hidden_loss(student: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """TinyBERT's loss of states [B, F, H]: mean squared difference, padding included."""
    return tf.reduce_mean(tf.square(student - teacher))


def fitted(hidden: tf.Tensor, kernel: Any, bias: Any) -> tf.Tensor:
    """Projects hidden states [B, F, H] to the teacher's width H' (`fit_dense`): [B, F, H'].

    Args:
        hidden: float tensor [B, F, H].
        kernel: [H, H'].
        bias: [H'].
    """
    shape = tf.shape(hidden)
    rows = tf.reshape(hidden, [-1, int(hidden.shape[-1])])
    rows = tf.nn.bias_add(tf.matmul(rows, kernel), bias)
    return tf.reshape(rows, [shape[0], shape[1], int(rows.shape[-1])])
