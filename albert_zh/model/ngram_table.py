"""Logits of n-grams in a classifier: a linear model beside the encoder, trained together with it.

    logits = ngram_logits(ids, input_mask, table_shape(head, vocab_size), num_outputs)  # [B, C]

A few words often determine the topic of a text. Each token, and each pair and triple of adjacent
tokens, has a row of a table, which learns a class from fewer texts than the encoder ("wide and
deep" models, Cheng et al., 2016):

    logits = b + SCALE / sqrt(N) sum of the N rows of W that the text's n-grams hash to

Letters in shape comments: B rows, F positions, C outputs.
"""

from typing import Any, Dict, NamedTuple, Optional, Sequence

import tensorflow.compat.v1 as tf

SCOPE = "ngrams"
LOGITS = "ngram_logits"
RATE = 0.0045  # learning rate, independent of the encoder's; with more, rare n-grams overfit
SCALE = 4.0
FEWEST_ROWS, MOST_ROWS = 2**10, 2**24
TOKEN_RANGE = 2**15  # ids of tokens are taken modulo this number
LONGEST = 3  # length of the longest n-grams of new models
_FACTOR = 40499  # factor of the first symbol of a pair; the sum fits an int32
_PAIRS = 32749  # a pair's number is taken modulo this prime before it begins a triple


class TableShape(NamedTuple):
    """Which n-grams a table has, and how many rows for them."""

    rows: int  # of the whole table
    singles: int  # the first rows, for single symbols
    length: int  # of the longest n-grams: 2 or 3


def num_rows(head: Dict[str, Any]) -> int:
    """Number of rows of the n-gram table of a model with this `Settings.head`; 0: no table."""
    return head.get("ngram_rows", 0)


def is_of_first_version(head: Dict[str, Any]) -> bool:
    """Whether a model with this `Settings.head` has a table of the first version, of pairs only."""
    return bool(num_rows(head)) and "ngram_length" not in head


def table_shape(head: Dict[str, Any], vocab_size: int) -> TableShape:
    """The shape of the n-gram table of a model with this `Settings.head` and vocabulary size.

    In a table of the first version a quarter of the rows is for single tokens, even if the
    vocabulary is smaller.
    """
    rows = num_rows(head)
    if is_of_first_version(head):
        return TableShape(rows, rows // 4, 2)
    singles = min(rows // 4, vocab_size, TOKEN_RANGE)
    return TableShape(rows, singles, head["ngram_length"])


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
    shape: TableShape,
    num_outputs: int,
    initial_bias: Optional[Sequence[float]] = None,
) -> tf.Tensor:
    """The logits of a text's n-grams; variables under `ngrams`.

    Args:
        ids: int tensor [B, F].
        input_mask: int tensor [B, F].
        shape: shape of the table.
        num_outputs: int, C.
        initial_bias: initial values of the bias; zeros by default.

    Returns:
        float tensor [B, C].
    """
    with tf.variable_scope(SCOPE):
        symbols = tf.floormod(tf.cast(ids, tf.int32), TOKEN_RANGE)
        counted = tf.cast(input_mask[:, 1:], tf.float32)
        return table_logits(symbols, counted, shape, num_outputs, initial_bias)


def table_logits(
    symbols: tf.Tensor,
    counted: tf.Tensor,
    shape: TableShape,
    num_outputs: int,
    initial_bias: Optional[Sequence[float]] = None,
) -> tf.Tensor:
    """The logits of n-grams of symbols; `table`, which starts as 0, and `bias`.

    Args:
        symbols: int32 tensor [B, F].
        counted: float tensor [B, F - 1], 1 if the n-grams that end with a symbol count.
        shape: shape of the table.
        num_outputs: int, C.
        initial_bias: initial values of the bias; zeros by default.

    Returns:
        float tensor [B, C].
    """
    weights = [shape.rows, num_outputs]
    table = tf.get_variable("table", weights, initializer=tf.zeros_initializer())
    bias = tf.get_variable(
        "bias", [num_outputs], initializer=tf.constant_initializer(initial_bias or 0.0)
    )
    counted = tf.concat([counted, counted, counted[:, 1:]][: shape.length], axis=1)  # [B, N]
    found = tf.gather(table, table_places(symbols, shape)) * counted[:, :, None]
    norm = tf.rsqrt(tf.maximum(tf.reduce_sum(counted, axis=1, keepdims=True), 1.0))  # [B, 1]
    return bias + SCALE * norm * tf.reduce_sum(found, axis=1)


def table_places(symbols: tf.Tensor, shape: TableShape) -> tf.Tensor:
    """The rows of the table that the n-grams of symbols hash to.

    Args:
        symbols: int32 tensor [B, F], less than 1.5 * `TOKEN_RANGE`.
        shape: shape of the table.

    Returns:
        int32 tensor [B, N]: the symbols after the first, then all pairs, then all triples.
    """
    before, here = symbols[:, :-1], symbols[:, 1:]  # [B, F - 1]
    pairs = before * _FACTOR + here
    triples = tf.floormod(pairs[:, :-1], _PAIRS) * _FACTOR + symbols[:, 2:]  # [B, F - 2]
    longer = tf.concat([pairs, triples][: shape.length - 1], axis=1)
    of_longer = shape.singles + tf.floormod(longer, shape.rows - shape.singles)
    return tf.concat([tf.floormod(here, shape.singles), of_longer], axis=1)
