"""Slot templates in a classifier: logits of words and word pairs, with entries as slot names.

    logits = template_logits(ids, input_mask, slots, num_outputs)  # [B, C]

In "潍坊到济南的火车票" both cities become the same symbol, which stands for their set of slot
names {city}, so that two texts agree in "{city} 到" and "的 火" whatever their cities are. Each
word and each pair has a row of a table, which learns a class from fewer texts than the encoder:

    t_i = the word piece, or the symbol of the slot names at position i
    logits = b + SCALE / sqrt(N) sum of the N rows of W that t_i and pairs t_i t_(i+1) hash to

A repeated symbol (within one entry, or of adjacent entries with the same names) counts once.
Letters in shape comments: B rows, F positions, S names of slots, C outputs.
"""

import math
from typing import Any, Dict, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

SCOPE = "slot_templates"
LOGITS = "template_logits"
RATE = 0.01  # learning rate, independent of the encoder's
SCALE = 4.0
_MOST_ROWS, _FEWEST_ROWS, _MOST_WEIGHTS = 2**16, 2**10, 2**22
_NUM_SYMBOLS = 1021  # symbols for sets of slot names
_FIRST_SYMBOL = 2**15  # above the ids of word pieces, which are taken modulo this number
_FACTOR = 40499  # factor of the first symbol of a pair; the product fits an int32


def are_in(head: Dict[str, Any]) -> bool:
    """Whether a model with this head, `Settings.head`, has templates."""
    return bool(head.get("slots", {}).get("templates"))


def outputs(
    of_encoder: Dict[str, tf.Tensor],
    features: Dict[str, tf.Tensor],
    initial_bias: Optional[Sequence[float]],
    is_training: bool,
) -> Dict[str, tf.Tensor]:
    """Combines the outputs of a classifier with the outputs of its templates.

    In training each of them has its own loss: with one loss for the sum, the encoder, which soon
    fits the training rows, would leave the templates little to learn. Predictions use the mean.

    Args:
        of_encoder: `logits` float [B, C].
        features: `input_ids`, `input_mask` int [B, F], `slots` int or float [B, F, S].
        initial_bias: see `template_logits`.
        is_training: bool.

    Returns:
        `logits`, and in training also `LOGITS`, float [B, C] each.
    """
    logits = of_encoder["logits"]
    of_templates = template_logits(
        features["input_ids"],
        features["input_mask"],
        features["slots"],
        int(logits.shape[-1]),
        initial_bias,
    )
    if is_training:
        return dict(of_encoder, **{LOGITS: of_templates})
    return dict(of_encoder, logits=0.5 * (logits + of_templates))


def table_rows(num_outputs: int) -> int:
    """Number of rows of the table, a power of 2: fewer if there are many outputs."""
    fitting = 2 ** int(math.log2(max(_MOST_WEIGHTS // num_outputs, 1)))
    return max(_FEWEST_ROWS, min(_MOST_ROWS, fitting))


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


def table_places(
    ids: tf.Tensor, input_mask: tf.Tensor, slots: tf.Tensor, num_rows: int
) -> Tuple[tf.Tensor, tf.Tensor]:
    """The rows of the table that a text's words and pairs hash to, and which of them count.

    Args:
        ids: int tensor [B, F].
        input_mask: int tensor [B, F].
        slots: int or float tensor [B, F, S].
        num_rows: number of rows of the table; a quarter of them is for single words.

    Returns:
        (places, counted): int32 and float [B, 2 * (F - 1)].
    """
    found = symbols(ids, slots)
    before, here = found[:, :-1], found[:, 1:]  # [B, F - 1]
    singles = num_rows // 4
    pairs = singles + tf.floormod(before * _FACTOR + here, num_rows - singles)
    continues = tf.logical_and(tf.equal(before, here), here >= _FIRST_SYMBOL)
    counted = tf.cast(input_mask[:, 1:], tf.float32) * (1.0 - tf.cast(continues, tf.float32))
    places = tf.concat([tf.floormod(here, singles), pairs], axis=1)
    return places, tf.concat([counted, counted], axis=1)


def template_logits(
    ids: tf.Tensor,
    input_mask: tf.Tensor,
    slots: tf.Tensor,
    num_outputs: int,
    initial_bias: Optional[Sequence[float]] = None,
) -> tf.Tensor:
    """The logits of a text's templates; variables under `slot_templates`, the table starts as 0.

    Args:
        ids: int tensor [B, F].
        input_mask: int tensor [B, F].
        slots: int or float tensor [B, F, S].
        num_outputs: int, C.
        initial_bias: initial values of the bias; zeros by default.

    Returns:
        float tensor [B, C].
    """
    num_rows = table_rows(num_outputs)
    with tf.variable_scope(SCOPE):
        table = tf.get_variable(
            "table", [num_rows, num_outputs], initializer=tf.zeros_initializer()
        )
        bias = tf.get_variable(
            "bias", [num_outputs], initializer=tf.constant_initializer(initial_bias or 0.0)
        )
        places, counted = table_places(ids, input_mask, slots, num_rows)
        rows = tf.gather(table, places) * counted[:, :, None]  # [B, 2 * (F - 1), C]
        norm = tf.rsqrt(tf.maximum(tf.reduce_sum(counted, axis=1, keepdims=True), 1.0))  # [B, 1]
        return bias + SCALE * norm * tf.reduce_sum(rows, axis=1)
