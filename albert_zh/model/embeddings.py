"""The embedding layer: the sum of word, segment and position embeddings after LayerNorm.

Letters in shape comments: as in `encoder`.
"""

import collections
from typing import TYPE_CHECKING, Any

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model.layers import (
    dropout,
    get_shape_list,
    layer_norm,
    lookup,
    product,
)
from albert_zh.model.variables import new_variable
from albert_zh.model.written_gradients import normalized

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

Embedded = collections.namedtuple("Embedded", "table projection word_vectors rows")
Embedded.__doc__ = """A text's embeddings and the tables that they come from.

Fields:
    table: float variable [V, E], the word table.
    projection: float variable [E, H], brightmart's second word table; None in the other layouts.
    word_vectors: float tensor [B, F, E], rows of the word table.
    rows: float tensor [R, E] (brightmart's [R, H]), the sum of the tables after LayerNorm.
"""


def embeddings(
    config: "AlbertConfig",
    input_ids: tf.Tensor,
    token_type_ids: tf.Tensor,
    use_one_hot: bool = False,
    dtype: Any = tf.float32,
) -> Embedded:
    """Looks up the embeddings of a text; the variables are created in the current scope.

    Args:
        config: `AlbertConfig`, the copy that `AlbertModel` made.
        input_ids: int tensor [B, F].
        token_type_ids: int tensor [B, F].
        use_one_hot: bool; look words up by a product with one-hot rows (TPU).
        dtype: type of the rows.

    Returns:
        `Embedded`.

    Raises:
        UserError: if the text is longer than the table of positions.
    """
    batch, length = get_shape_list(input_ids, expected_rank=2)
    if config.position_ids is None:  # otherwise a row may be longer than the texts in it
        check_length(length, config.longest_sequence)
    width = config.word_width
    table = new_variable("word_embeddings", [config.vocab_size, width], config)
    embedded = lookup(table, input_ids, use_one_hot)  # [R, E]
    word_vectors = tf.reshape(embedded, [batch, length, width])
    projection = None
    if config.layout_row.projection == "word_embeddings_2":
        projection = new_variable("word_embeddings_2", [width, config.hidden_size], config)
        embedded = product(tf.cast(embedded, dtype), projection)  # [R, H]
        width = config.hidden_size
    segments = lookup(
        new_variable("token_type_embeddings", [config.type_vocab_size, width], config),
        token_type_ids,
        use_one_hot=True,  # two rows: a product is faster than a gather's gradient
    )
    rows = tf.cast(embedded, tf.float32) + segments
    if not config.use_relative_position:
        vectors = _position_vectors(config, length, width, use_one_hot)
        rows = tf.reshape(rows, [batch, length, width]) + vectors
    rows = tf.reshape(rows, [-1, width])  # [R, H]
    rows = layer_norm(rows, "LayerNorm", normalized if config.saves_memory else None)
    rows = dropout(tf.cast(rows, dtype), config.hidden_dropout_prob)
    return Embedded(table, projection, word_vectors, rows)


def _position_vectors(config, length, width, use_one_hot):
    """The position embeddings, [F, width]; with `position_ids` [B, F, width]."""
    shape = [config.max_position_embeddings, width]
    positions = new_variable("position_embeddings", shape, config)
    if config.position_ids is None:
        # The original's operator: int8 files keep slices of the hidden states in floating point.
        return tf.slice(positions, [0, 0], [length, -1])
    batch, length = get_shape_list(config.position_ids)
    return tf.reshape(lookup(positions, config.position_ids, use_one_hot), [batch, length, width])


def check_length(length: Any, max_position_embeddings: int) -> None:
    """Raises `UserError` if a sequence is too long; a tensor's length is unknown and passes."""
    if isinstance(length, int) and length > max_position_embeddings:
        raise UserError(
            "--max_seq_length=%d: expected at most %d, the config's max_position_embeddings: "
            "lower it, or use a model with more positions (extend_positions.py creates one)"
            % (length, max_position_embeddings)
        )
