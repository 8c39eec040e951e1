"""Heads on top of the encoder: masked LM, sentence order, classification.

Letters in shape comments: as in `encoder`.
"""

import collections
from typing import TYPE_CHECKING, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.model.gradient_checkpointing import summed_by_parts
from albert_zh.model.layers import dense, dropout, gather_positions, layer_norm, product
from albert_zh.model.variables import new_variable

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig
    from albert_zh.model.encoder import AlbertModel

CLASSIFIER_DROPOUT = 0.1

MaskedLmOutput = collections.namedtuple(
    "MaskedLmOutput", ["loss", "weighted_loss", "per_example_loss", "log_probs", "predicted"]
)
SentenceOrderOutput = collections.namedtuple(
    "SentenceOrderOutput", ["loss", "per_example_loss", "log_probs", "predicted"]
)
ClassificationOutput = collections.namedtuple(
    "ClassificationOutput", ["loss", "per_example_loss", "logits", "probabilities"]
)


def masked_lm_head(
    config: "AlbertConfig",
    model: "AlbertModel",
    positions: Optional[tf.Tensor],
    label_ids: tf.Tensor,
    label_weights: tf.Tensor,
    parts: int = 1,
) -> MaskedLmOutput:
    """Predicts the masked words with the (tied) word table; variables under `cls/predictions`.

    The loss is sum(weight * nll) / (sum(weight) + 1e-5), node `cls/predictions/truediv`.

    Args:
        config: `AlbertConfig`.
        model: `AlbertModel`.
        positions: int tensor [B, P], the masked positions; None: all of the model's
            `output_positions` except the first token.
        label_ids: int tensor [B, P], the original words at these positions.
        label_weights: float tensor [B, P], 0 for unused predictions.
        parts: int; number of parts in which the logits are computed in training, so that they are
            not all in memory at once. With more than one, only the sums of losses have gradients.

    Returns:
        `MaskedLmOutput`: loss [], weighted_loss [] (the sum), per_example_loss [B * P], log_probs
        [B * P, V], predicted [B * P], the most probable words.
    """
    rows = model.get_sequence_output()
    if positions is None:
        rows = tf.reshape(rows[:, 1:, :], [-1, config.hidden_size])  # [B * P, H]
    else:
        rows = gather_positions(rows, positions)  # [B * P, H]
    table, projection = model.get_embedding_table(), model.get_embedding_projection()
    return masked_lm_output(config, rows, table, projection, label_ids, label_weights, parts)


def masked_lm_output(
    config: "AlbertConfig",
    rows: tf.Tensor,
    table: tf.Variable,
    projection: Optional[tf.Variable],
    label_ids: tf.Tensor,
    label_weights: tf.Tensor,
    parts: int = 1,
) -> MaskedLmOutput:
    """As `masked_lm_head`, for rows that have already been gathered.

    Args:
        config: `AlbertConfig`.
        rows: float tensor [B * P, H].
        table: float tensor [V, E], the word table.
        projection: float tensor [E, H], brightmart's second word table; None for other layouts.
        label_ids, label_weights, parts: as in `masked_lm_head`.

    Returns:
        `MaskedLmOutput`.
    """
    with tf.variable_scope("cls/predictions"):
        rows, bias = _word_rows(config, rows, projection)
        return word_predictions(rows, table, bias, label_ids, label_weights, parts)


def word_predictions(
    rows: tf.Tensor,
    table: tf.Variable,
    bias: tf.Variable,
    label_ids: tf.Tensor,
    label_weights: tf.Tensor,
    parts: int = 1,
) -> MaskedLmOutput:
    """Predicts words by multiplying transformed rows with the word table.

    Args:
        rows: float tensor [B * P, E].
        table: float tensor [V, E].
        bias: float tensor [V].
        label_ids, label_weights, parts: as in `masked_lm_head`.
    """
    labels = [tf.reshape(label_ids, [-1]), tf.cast(tf.reshape(label_weights, [-1]), tf.float32)]
    if parts == 1:
        losses_and_words = _word_losses(rows, labels[0], labels[1], table, bias)
    else:
        if rows.dtype == tf.float16:  # gradients of an unscaled sum are too small for float16
            rows = tf.cast(rows, tf.float32)
        losses_and_words = summed_by_parts(_word_losses, rows, labels, [table, bias], parts)
    weighted_loss, per_example_loss, predicted = losses_and_words
    loss = tf.divide(weighted_loss, tf.reduce_sum(labels[1]) + 1e-5)
    log_probs = tf.nn.log_softmax(word_scores(rows, table, bias))
    return MaskedLmOutput(loss, weighted_loss, per_example_loss, log_probs, predicted)


def word_logits(config: "AlbertConfig", model: "AlbertModel", rows: tf.Tensor) -> tf.Tensor:
    """Logits of all words from the masked-LM head; uses the same variables as `masked_lm_head`.

    Args:
        config: `AlbertConfig`.
        model: `AlbertModel`, whose word table is used.
        rows: float tensor [R, H].

    Returns:
        float32 tensor [R, V].
    """
    with tf.variable_scope("cls/predictions"):
        rows, bias = _word_rows(config, rows, model.get_embedding_projection())
        return word_scores(rows, model.get_embedding_table(), bias)


def _word_rows(config, rows, projection):
    """Transforms rows [R, H]: (rows [R, E] to be multiplied with the word table, bias [V])."""
    width = config.word_width if projection is None else config.hidden_size
    with tf.variable_scope("transform"):
        rows = dense(rows, width, config, "dense", config.hidden_act)
        rows = layer_norm(rows, "LayerNorm")
    bias = tf.get_variable("output_bias", [config.vocab_size], initializer=tf.zeros_initializer())
    if projection is not None:
        rows = product(rows, projection, transpose_b=True)  # [R, E]
    return rows, bias


def word_scores(rows: tf.Tensor, table: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Logits [R, V], float32, of transformed rows [R, E], a word table [V, E] and a bias [V]."""
    logits = product(rows, table, transpose_b=True)  # [B * P, V]
    return tf.cast(logits, tf.float32) + bias


def _word_losses(rows, label_ids, weights, table, bias):
    """(weighted sum of the losses, losses, predicted words) of rows [B * P, E]."""
    losses, predicted = cross_entropy(label_ids, word_scores(rows, table, bias))
    return tf.reduce_sum(weights * losses), losses, predicted


def sentence_order_head(
    config: "AlbertConfig", pooled_output: tf.Tensor, labels: tf.Tensor
) -> SentenceOrderOutput:
    """Predicts whether two segments were swapped; variables under `cls/seq_relationship`.

    Args:
        config: `AlbertConfig`.
        pooled_output: float tensor [B, H].
        labels: int tensor [B] or [B, 1], 1 for swapped segments.

    Returns:
        `SentenceOrderOutput`: loss [], per_example_loss [B], log_probs [B, 2], predicted [B].
    """
    with tf.variable_scope("cls/seq_relationship"):
        logits = _output_logits(config, pooled_output, num_labels=2)
        per_example_loss, predicted = cross_entropy(tf.reshape(labels, [-1]), logits)
        loss = tf.reduce_mean(per_example_loss)
        return SentenceOrderOutput(loss, per_example_loss, tf.nn.log_softmax(logits), predicted)


def cross_entropy(labels: tf.Tensor, logits: tf.Tensor) -> Tuple[tf.Tensor, tf.Tensor]:
    """Softmax cross-entropy, and the predicted classes.

    The losses equal `tf.nn.sparse_softmax_cross_entropy_with_logits`, but they are computed from
    oneDNN's softmax, which takes less than half of the time if the classes are a vocabulary.

    Args:
        labels: int tensor [N].
        logits: float tensor [N, C].

    Returns:
        (losses, predicted): float [N] and int [N].
    """
    numbers = tf.range(tf.shape(logits)[0])
    predicted = tf.argmax(logits, axis=-1, output_type=tf.int32)
    at_predicted, at_labels = (
        tf.stack([numbers, tf.cast(classes, tf.int32)], axis=1) for classes in (predicted, labels)
    )

    @tf.custom_gradient
    def losses(logits):
        probabilities = tf.nn.softmax(logits)
        # The highest probability is at least 1 / C, so its logarithm is always finite.
        top_loss = -tf.log(tf.gather_nd(probabilities, at_predicted))
        loss = tf.gather_nd(logits, at_predicted) - tf.gather_nd(logits, at_labels) + top_loss

        def gradient(dy):
            weighted = probabilities * dy[:, None]
            return tf.tensor_scatter_nd_sub(weighted, at_labels, dy)

        return loss, gradient

    return losses(logits), predicted


def classification_head(
    config: "AlbertConfig",
    output_layer: tf.Tensor,
    labels: Optional[tf.Tensor],
    num_labels: int,
    is_training: bool,
    initial_bias: Optional[Sequence[float]] = None,
) -> ClassificationOutput:
    """Classifies a pooled vector; variables `output_weights`, `output_bias`.

    Pre-LN encoders end without LayerNorm, so the head adds one, `loss/LayerNorm`.

    Args:
        config: `AlbertConfig`.
        output_layer: float tensor [B, H].
        labels: int tensor [B], or None if unknown.
        num_labels: number of classes.
        is_training: bool; whether to apply dropout of 0.1.
        initial_bias: list of `num_labels` floats, initial values of the bias; zeros by default.

    Returns:
        `ClassificationOutput`: loss [], per_example_loss [B] (both None without labels),
        logits [B, num_labels], probabilities [B, num_labels].
    """

    def prepare(x):
        if config.is_pre_norm:
            with tf.variable_scope("loss"):
                x = layer_norm(x, "LayerNorm")
        return dropout(x, CLASSIFIER_DROPOUT if is_training else 0.0)

    logits = _output_logits(config, output_layer, num_labels, prepare, initial_bias)
    probabilities = tf.nn.softmax(logits)
    if labels is None:
        return ClassificationOutput(None, None, logits, probabilities)
    per_example_loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return ClassificationOutput(
        tf.reduce_mean(per_example_loss), per_example_loss, logits, probabilities
    )


def _output_logits(config, x, num_labels, prepare=tf.identity, initial_bias=None):
    """Logits [B, num_labels] of [B, H]; calls `prepare` after creating the variables (order)."""
    weights = new_variable("output_weights", [num_labels, config.hidden_size], config)
    bias = tf.get_variable(
        "output_bias", [num_labels], initializer=tf.constant_initializer(initial_bias or 0.0)
    )
    return tf.nn.bias_add(tf.matmul(prepare(x), weights, transpose_b=True), bias)
