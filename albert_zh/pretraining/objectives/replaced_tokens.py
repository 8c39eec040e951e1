"""Replaced token detection as in ELECTRA (Clark et al. 2020), with one model in both roles.

    filled = fill(features, log_probs)
    losses = detection_losses(config, model_of_filled_text, filled.is_replaced)

The model fills the masks of a batch with pieces sampled from its predictions, then reads the filled
text and detects which pieces are not the original ones. Like the texts of fine-tuning, this text
has no [MASK], and all of its pieces have a label instead of one in seven. ELECTRA uses a separate,
smaller model to fill the masks; here the same weights learn both tasks at once.
"""

import collections
from typing import TYPE_CHECKING, Dict

import tensorflow.compat.v1 as tf

from albert_zh.model.layers import dense, dropout_seed, get_shape_list

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig
    from albert_zh.model.encoder import AlbertModel

SCOPE = "cls/replaced_tokens"  # variable scope of the head, which exists only in training

Filled = collections.namedtuple("Filled", "input_ids is_replaced")
Filled.__doc__ = """A batch whose masks are filled.

Fields:
    input_ids: int tensor [B, F], pieces instead of masks, and otherwise the original text.
    is_replaced: float tensor [B, F], 1 if a piece differs from the original one.
"""


def fill(features: Dict[str, tf.Tensor], log_probs: tf.Tensor) -> Filled:
    """Fills the masks of a batch with sampled pieces.

    Args:
        features: features of the batch, [B, F] and [B, P].
        log_probs: float tensor [B * P, V], log probabilities of pieces at the masked positions.

    Returns:
        the filled batch, through which no gradient flows.
    """
    drawn = tf.random.stateless_categorical(
        tf.stop_gradient(log_probs), 1, dropout_seed(), dtype=tf.int32
    )
    return filled_with(features, drawn)


def filled_with(features: Dict[str, tf.Tensor], drawn: tf.Tensor) -> Filled:
    """Fills the masks of a batch with given pieces.

    Args:
        features: features of the batch, [B, F] and [B, P].
        drawn: int tensor of B * P pieces, one for each masked position.

    Returns:
        the filled batch; a piece that equals the original one counts as original.
    """
    batch, length = get_shape_list(features["input_ids"], expected_rank=2)
    _, count = get_shape_list(features["masked_lm_positions"], expected_rank=2)
    # Unused slots are written to an extra column, which is removed again.
    is_used = features["masked_lm_weights"] > 0
    positions = tf.cast(features["masked_lm_positions"], tf.int32)
    columns = tf.where_v2(is_used, positions, length)  # [B, P]
    rows = tf.tile(tf.range(batch)[:, None], [1, count])
    places = tf.stack([rows, columns], axis=-1)  # [B, P, 2]
    padded = tf.pad(tf.cast(features["input_ids"], tf.int32), [[0, 0], [0, 1]])  # [B, F + 1]

    def with_pieces(pieces):
        pieces = tf.reshape(tf.cast(pieces, tf.int32), [batch, count])
        return tf.tensor_scatter_nd_update(padded, places, pieces)[:, :length]

    filled, original = with_pieces(drawn), with_pieces(features["masked_lm_ids"])
    return Filled(filled, tf.cast(tf.not_equal(filled, original), tf.float32))


def detection_losses(
    config: "AlbertConfig", model: "AlbertModel", is_replaced: tf.Tensor
) -> tf.Tensor:
    """Computes the loss of each piece of a filled text; the head's variables are under `SCOPE`.

    Args:
        config: the model's config.
        model: the model applied to the filled text.
        is_replaced: float tensor [B, F].

    Returns:
        float tensor [B, F], the binary cross-entropy.
    """
    width = config.hidden_size
    rows = tf.reshape(model.get_sequence_output(), [-1, width])  # [R, H]
    with tf.variable_scope(SCOPE):
        rows = dense(rows, width, config, "dense", config.hidden_act)
        logits = tf.cast(dense(rows, 1, config, "output"), tf.float32)  # [R, 1]
    return tf.nn.sigmoid_cross_entropy_with_logits(
        labels=is_replaced, logits=tf.reshape(logits, tf.shape(is_replaced))
    )
