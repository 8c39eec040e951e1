"""GlobalPointer and Efficient GlobalPointer (Su 2021, 2022): heads that score spans.

Each type of entity has a score for each pair of a first and a last piece. Pairs with a score above
0 are predicted, so entities may be nested. Positions are encoded by rotating queries and keys
(RoPE).

Letters in shape comments: as in `heads`; C types, D size of queries and keys, E entities.
"""

import math
from typing import Any, Dict

import tensorflow.compat.v1 as tf

from albert_zh.model.layers import dense
from albert_zh.tasks.labelling.heads import FIRST_PIECE, HeadOutput, num_pieces, piece_rows

HEAD_SIZE = 64  # D
IMPOSSIBLE = -1e12  # score of a pair that cannot be a span
NO_SPAN = -1  # type of padding in a list of spans


def global_pointer_head(
    encoder_output: tf.Tensor,
    features: Dict[str, tf.Tensor],
    config: Any,
    num_types: int,
    is_training: bool,
    first_piece: int = FIRST_PIECE,
    head_size: int = HEAD_SIZE,
) -> HeadOutput:
    """Computes a query and a key per piece and type; its variables are under `global_pointer`.

    Args:
        encoder_output: float tensor [B, F, H].
        features: `input_mask` int [B, F] and, with labels, `span_starts`, `span_ends`, `span_types`
            int [B, E]: first and last piece, counted from the first piece, and the type's id, or
            `NO_SPAN` beyond the row's entities.
        config: `AlbertConfig`.
        num_types: int, C.
        is_training: bool; dropout of 0.1 in training.
        first_piece: int, position of the first piece.
        head_size: int, D, even.

    Returns:
        `HeadOutput`, whose predictions are the output of `best_spans`.
    """
    rows = piece_rows(encoder_output[:, first_piece:], config, is_training)  # [B, P, H]
    shape = tf.shape(rows)
    with tf.variable_scope("global_pointer"):
        flat = tf.reshape(rows, [-1, int(rows.shape[2])])
        both = dense(flat, num_types * 2 * head_size, config, "dense")
        both = tf.reshape(both, [shape[0], shape[1], num_types, 2, head_size])
        both = tf.transpose(both, [3, 0, 2, 1, 4])  # [2, B, C, P, D]
        scores = rotated_products(both[0], both[1])  # [B, C, P, P]
    return _output(scores, features, first_piece)


def efficient_global_pointer_head(
    encoder_output: tf.Tensor,
    features: Dict[str, tf.Tensor],
    config: Any,
    num_types: int,
    is_training: bool,
    first_piece: int = FIRST_PIECE,
    head_size: int = HEAD_SIZE,
) -> HeadOutput:
    """Computes one query and key per piece for all types, and biases per type for both ends.

    Args and returns: as in `global_pointer_head`.
    """
    rows = piece_rows(encoder_output[:, first_piece:], config, is_training)  # [B, P, H]
    shape = tf.shape(rows)
    with tf.variable_scope("global_pointer"):
        flat = tf.reshape(rows, [-1, int(rows.shape[2])])
        both = dense(flat, 2 * head_size, config, "dense")  # [B * P, 2 * D]
        biases = dense(both, 2 * num_types, config, "type_biases") / 2
        both = tf.transpose(
            tf.reshape(both, [shape[0], shape[1], 2, 1, head_size]), [2, 0, 3, 1, 4]
        )  # [2, B, 1, P, D]
        biases = tf.transpose(
            tf.reshape(biases, [shape[0], shape[1], 2, num_types]), [2, 0, 3, 1]
        )  # [2, B, C, P]
        scores = rotated_products(both[0], both[1])  # [B, 1, P, P]
        scores = scores + biases[0][:, :, :, None] + biases[1][:, :, None, :]  # [B, C, P, P]
    return _output(scores, features, first_piece)


def rotated_products(queries: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """Computes scaled dot products of queries and keys, each rotated by its position.

    Args:
        queries, keys: float tensors [B, C, P, D].

    Returns:
        float tensor [B, C, P, P].
    """
    size = int(queries.shape[-1])
    products = tf.matmul(rotate(queries), rotate(keys), transpose_b=True)
    return products / math.sqrt(size)


def rotate(x: tf.Tensor) -> tf.Tensor:
    """Rotary position embedding (Su et al. 2021): rotates pairs of columns 2i, 2i + 1.

    Args:
        x: float tensor [B, C, P, D]; at position m, pair i is rotated by m * 10000^(-2i / D).

    Returns:
        float tensor of the same shape.
    """
    size = int(x.shape[-1])
    rates = [10000.0 ** (-2.0 * pair / size) for pair in range(size // 2)]
    positions = tf.cast(tf.range(tf.shape(x)[2]), x.dtype)
    angles = positions[:, None] * tf.constant(rates, x.dtype)[None]  # [P, D / 2]
    cosines, sines = tf.cos(angles), tf.sin(angles)
    even, odd = x[..., 0::2], x[..., 1::2]  # [B, C, P, D / 2]
    turned = tf.stack([even * cosines - odd * sines, odd * cosines + even * sines], axis=-1)
    return tf.reshape(turned, tf.shape(x))


def masked_scores(scores: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Sets scores to `IMPOSSIBLE` if the last piece precedes the first one, or one is padding.

    Args:
        scores: float tensor [B, C, P, P].
        lengths: int tensor [B].

    Returns:
        float tensor [B, C, P, P].
    """
    length = tf.shape(scores)[2]
    inside = tf.sequence_mask(lengths, length, dtype=scores.dtype)  # [B, P]
    pairs = inside[:, :, None] * inside[:, None, :]  # [B, P, P]
    pairs *= tf.linalg.band_part(tf.ones([length, length], scores.dtype), 0, -1)
    pairs = pairs[:, None]
    return scores * pairs + IMPOSSIBLE * (1.0 - pairs)


def span_loss(scores: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Multi-label cross-entropy (Su 2020) over the pairs of each type.

    log(1 + sum of exp(s) over pairs that are no entities) + log(1 + sum of exp(-s) over entities).

    Args:
        scores: float tensor [B, C, P, P], masked.
        labels: float tensor [B, C, P, P] of 0 and 1.

    Returns:
        float tensor [B, C].
    """
    shape = tf.shape(scores)
    scores, labels = (tf.reshape(x, [shape[0], shape[1], -1]) for x in (scores, labels))
    zero = tf.zeros_like(scores[:, :, :1])
    negative = tf.concat([scores + labels * IMPOSSIBLE, zero], axis=2)
    positive = tf.concat([(1.0 - labels) * IMPOSSIBLE - labels * scores, zero], axis=2)
    return tf.reduce_logsumexp(negative, axis=2) + tf.reduce_logsumexp(positive, axis=2)


def span_labels(features: Dict[str, tf.Tensor], shape: tf.Tensor) -> tf.Tensor:
    """Converts the entities of rows to labels of 0 and 1 for each type and pair.

    Args:
        features: see `global_pointer_head`.
        shape: int tensor [4]: B, C, P, P.

    Returns:
        float tensor [B, C, P, P].
    """
    types = tf.cast(features["span_types"], tf.int32)  # [B, E]
    starts, ends = (tf.cast(features[name], tf.int32) for name in ("span_starts", "span_ends"))
    rows = tf.zeros_like(types) + tf.range(tf.shape(types)[0])[:, None]
    is_span = tf.not_equal(types, NO_SPAN)
    indices = tf.stack([rows, tf.maximum(types, 0), starts, ends], axis=-1)  # [B, E, 4]
    indices = tf.where(tf.tile(is_span[:, :, None], [1, 1, 4]), indices, tf.zeros_like(indices))
    counts = tf.scatter_nd(indices, tf.cast(is_span, tf.float32), shape)
    return tf.minimum(counts, 1.0)


def best_spans(scores: tf.Tensor, lengths: tf.Tensor) -> Dict[str, tf.Tensor]:
    """Returns the spans of each row whose scores are above 0, the highest score first.

    Args:
        scores: float tensor [B, C, P, P], masked.
        lengths: int tensor [B].

    Returns:
        {name: tensor [B, S]}, S = 2 * P: `span_scores` float, `span_starts`, `span_ends` (last
        piece) and `span_types` int, `NO_SPAN` beyond the row's spans; and `lengths` [B].
    """
    num_types, length = tf.shape(scores)[1], tf.shape(scores)[2]
    flat = tf.reshape(scores, [-1, num_types * length * length])
    top, codes = tf.nn.top_k(flat, k=tf.minimum(2 * length, num_types * length * length))  # [B, S]
    types = tf.where(top > 0, codes // (length * length), tf.fill(tf.shape(codes), NO_SPAN))
    return {
        "span_scores": top,
        "span_types": types,
        "span_starts": codes // length % length,
        "span_ends": codes % length,
        "lengths": lengths,
    }


def _output(scores, features, first_piece):
    lengths = num_pieces(features, first_piece)
    scores = masked_scores(scores, lengths)
    loss = None
    if "span_types" in features:
        labels = span_labels(features, tf.shape(scores))
        loss = tf.reduce_mean(span_loss(scores, labels), axis=1)
    return HeadOutput(loss, best_spans(scores, lengths), None)
