"""Logits of n-grams in a classifier: a linear model beside the encoder, trained together with it.

    logits = ngram_logits(ids, input_mask, num_rows, num_outputs)  # [B, C]

A few words often determine the topic of a text. Each token and each pair of adjacent tokens has a
row of a table, which learns a class from fewer texts than the encoder ("wide and deep" models,
Cheng et al., 2016):

    logits = b + SCALE / sqrt(N) sum of the N rows of W that t_i and pairs t_i t_(i+1) hash to

Letters in shape comments: B rows, F positions, C outputs.
"""

from typing import Any, Dict, Optional, Sequence

import tensorflow.compat.v1 as tf

SCOPE = "ngrams"
LOGITS = "ngram_logits"
RATE = 0.003  # learning rate, independent of the encoder's; with more, rare pairs overfit
SCALE = 4.0
FEWEST_ROWS, MOST_ROWS = 2**10, 2**24
TOKEN_RANGE = 2**15  # ids of tokens are taken modulo this number
_FACTOR = 40499  # factor of the first symbol of a pair; the sum fits an int32


def num_rows(head: Dict[str, Any]) -> int:
    """Number of rows of the n-gram table of a model with this `Settings.head`; 0: no table."""
    return head.get("ngram_rows", 0)


def beside_encoder(
    of_encoder: Dict[str, tf.Tensor], of_table: tf.Tensor, is_training: bool
) -> Dict[str, tf.Tensor]:
    """Combines the outputs of a classifier with the logits of a table.

    In training each of them has its own loss: with one loss for the sum, the encoder, which soon
    fits the training rows, would leave the table little to learn. Predictions use the mean.

    Args:
        of_encoder: `logits` float [B, C].
        of_table: float tensor [B, C].
        is_training: bool.

    Returns:
        `logits`, and in training also `LOGITS`, float [B, C] each.
    """
    if is_training:
        return dict(of_encoder, **{LOGITS: of_table})
    return dict(of_encoder, logits=0.5 * (of_encoder["logits"] + of_table))


def ngram_logits(
    ids: tf.Tensor,
    input_mask: tf.Tensor,
    rows: int,
    num_outputs: int,
    initial_bias: Optional[Sequence[float]] = None,
) -> tf.Tensor:
    """The logits of a text's tokens and pairs of tokens; variables under `ngrams`.

    Args:
        ids: int tensor [B, F].
        input_mask: int tensor [B, F].
        rows: number of rows of the table.
        num_outputs: int, C.
        initial_bias: initial values of the bias; zeros by default.

    Returns:
        float tensor [B, C].
    """
    with tf.variable_scope(SCOPE):
        symbols = tf.floormod(tf.cast(ids, tf.int32), TOKEN_RANGE)
        counted = tf.cast(input_mask[:, 1:], tf.float32)
        return table_logits(symbols, counted, rows, num_outputs, initial_bias)


def table_logits(
    symbols: tf.Tensor,
    counted: tf.Tensor,
    rows: int,
    num_outputs: int,
    initial_bias: Optional[Sequence[float]] = None,
) -> tf.Tensor:
    """The logits of symbols and their pairs; `table`, which starts as 0, and `bias`.

    Args:
        symbols: int32 tensor [B, F].
        counted: float tensor [B, F - 1], 1 if a symbol and its pair with the previous one count.
        rows: number of rows of the table.
        num_outputs: int, C.
        initial_bias: initial values of the bias; zeros by default.

    Returns:
        float tensor [B, C].
    """
    table = tf.get_variable("table", [rows, num_outputs], initializer=tf.zeros_initializer())
    bias = tf.get_variable(
        "bias", [num_outputs], initializer=tf.constant_initializer(initial_bias or 0.0)
    )
    counted = tf.concat([counted, counted], axis=1)  # [B, 2 * (F - 1)]
    found = tf.gather(table, table_places(symbols, rows)) * counted[:, :, None]
    norm = tf.rsqrt(tf.maximum(tf.reduce_sum(counted, axis=1, keepdims=True), 1.0))  # [B, 1]
    return bias + SCALE * norm * tf.reduce_sum(found, axis=1)


def table_places(symbols: tf.Tensor, rows: int) -> tf.Tensor:
    """The rows of the table that symbols after the first, and their pairs, hash to.

    Args:
        symbols: int32 tensor [B, F], less than 1.5 * `TOKEN_RANGE`.
        rows: number of rows of the table; a quarter of them is for single symbols.

    Returns:
        int32 tensor [B, 2 * (F - 1)].
    """
    before, here = symbols[:, :-1], symbols[:, 1:]  # [B, F - 1]
    singles = rows // 4
    pairs = singles + tf.floormod(before * _FACTOR + here, rows - singles)
    return tf.concat([tf.floormod(here, singles), pairs], axis=1)
