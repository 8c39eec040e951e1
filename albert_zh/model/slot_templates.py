"""Slot templates in a classifier: logits of words and word pairs, with entries as slot names.

    logits = template_logits(ids, input_mask, slots, num_outputs)  # [B, C]

In "潍坊到济南的火车票" both cities become the same symbol, which stands for their set of slot
names {city}, so that two texts agree in "{city} 到" and "的 火" whatever their cities are. The
symbols (word pieces, or sets of slot names) and pairs of them have the table of `ngram_table`.

A repeated symbol (within one entry, or of adjacent entries with the same names) counts once.
Letters in shape comments: B rows, F positions, S names of slots, C outputs.
"""

import math
from typing import Any, Dict, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.model import ngram_table

SCOPE = "slot_templates"
RATE = 0.01  # learning rate, independent of the encoder's
_MOST_ROWS, _FEWEST_ROWS, _MOST_WEIGHTS = 2**16, 2**10, 2**22
_NUM_SYMBOLS = 1021  # symbols for sets of slot names
_FIRST_SYMBOL = ngram_table.TOKEN_RANGE  # above the ids of word pieces


def are_in(head: Dict[str, Any]) -> bool:
    """Whether a model with this head, `Settings.head`, has templates."""
    return bool(head.get("slots", {}).get("templates"))


def table_shape(num_outputs: int) -> ngram_table.TableShape:
    """The shape of the table; with many outputs it has fewer rows, always a power of 2."""
    fitting = 2 ** int(math.log2(max(_MOST_WEIGHTS // num_outputs, 1)))
    rows = max(_FEWEST_ROWS, min(_MOST_ROWS, fitting))
    return ngram_table.TableShape(rows, rows // 4, 2)


def symbols(ids: tf.Tensor, slots: tf.Tensor) -> tf.Tensor:
    """Replaces labelled word pieces by the symbol of their set of slot names.

    Args:
        ids: int tensor [B, F].
        slots: int or float tensor [B, F, S], 1 if a position has a label.

    Returns:
        int32 tensor [B, F].
    """
    slots, num_names = tf.cast(slots, tf.int32), int(slots.shape[-1])
    weights = tf.constant([977 * (j + 1) * (j + 3) % _NUM_SYMBOLS for j in range(num_names)])
    of_names = _FIRST_SYMBOL + tf.floormod(tf.reduce_sum(slots * weights, axis=-1), _NUM_SYMBOLS)
    is_labelled = tf.reduce_max(slots, axis=-1) > 0  # [B, F]
    return tf.where(is_labelled, of_names, tf.floormod(tf.cast(ids, tf.int32), _FIRST_SYMBOL))


def counted_symbols(found: tf.Tensor, input_mask: tf.Tensor) -> tf.Tensor:
    """Which symbols after the first count: those that do not repeat the symbol of slots before.

    Args:
        found: int32 tensor [B, F], see `symbols`.
        input_mask: int tensor [B, F].

    Returns:
        float tensor [B, F - 1], 0 or 1.
    """
    before, here = found[:, :-1], found[:, 1:]  # [B, F - 1]
    continues = tf.logical_and(tf.equal(before, here), here >= _FIRST_SYMBOL)
    return tf.cast(input_mask[:, 1:], tf.float32) * (1.0 - tf.cast(continues, tf.float32))


def template_logits(
    ids: tf.Tensor,
    input_mask: tf.Tensor,
    slots: tf.Tensor,
    num_outputs: int,
    initial_bias: Optional[Sequence[float]] = None,
) -> tf.Tensor:
    """The logits of a text's templates; variables under `slot_templates`.

    Args:
        ids: int tensor [B, F].
        input_mask: int tensor [B, F].
        slots: int or float tensor [B, F, S].
        num_outputs: int, C.
        initial_bias: initial values of the bias; zeros by default.

    Returns:
        float tensor [B, C].
    """
    with tf.variable_scope(SCOPE):
        found = symbols(ids, slots)
        counted = counted_symbols(found, input_mask)
        shape = table_shape(num_outputs)
        return ngram_table.table_logits(found, counted, shape, num_outputs, initial_bias)
