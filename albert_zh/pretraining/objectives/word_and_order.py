"""The losses of masked words and of sentence order, computed from existing outputs."""

from typing import TYPE_CHECKING, Any, Dict

import tensorflow.compat.v1 as tf

from albert_zh.model.heads import MaskedLmOutput, sentence_order_head
from albert_zh.pretraining.objectives import reading_patterns
from albert_zh.pretraining.objectives.terms import Term

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig
    from albert_zh.model.encoder import AlbertModel
    from albert_zh.pretraining.model_settings import ModelSettings

EPSILON = 1e-5  # added to the denominator of the masked LM loss


def word_term(
    name: str,
    words: MaskedLmOutput,
    label_ids: tf.Tensor,
    label_weights: tf.Tensor,
    total_weight: tf.Tensor,
    epsilon: float = EPSILON,
) -> Term:
    """Returns the `Term` of predicted words.

    Args:
        name: name of the term in metrics.
        words: the masked LM output.
        label_ids: int tensor [B, P].
        label_weights: float tensor [B, P].
        total_weight: float scalar tensor, the sum of the weights in the step's whole batch.
        epsilon: number that is added to `total_weight`.
    """
    return Term(
        name,
        words.weighted_loss / (total_weight + epsilon),
        losses=words.per_example_loss,
        weights=tf.reshape(label_weights, [-1]),
        denominator=total_weight + epsilon,
        labels=tf.reshape(label_ids, [-1]),
        predicted=words.predicted,
    )


def sentence_term(
    config: "AlbertConfig",
    model: "AlbertModel",
    features: Dict[str, tf.Tensor],
    settings: "ModelSettings",
    denominators: Any,
) -> Term:
    """Returns the `Term` of the second task: are segments swapped (or B from another document)?

    Args:
        config: the model's config.
        model: the model applied to the batch.
        features: features of the batch, [B, F] and [B, 1].
        settings: how the model is trained.
        denominators: `masked_lm.Denominators`.
    """
    labels = features["next_sentence_labels"]
    order = sentence_order_head(config, model.get_pooled_output(), labels)
    weights = reading_patterns.is_bidirectional(features)
    count = tf.maximum(denominators.sentences, 1.0)  # in all replicas; a step may have no sentence
    return Term(
        settings.sentence_name,
        tf.reduce_sum(weights * order.per_example_loss) / count,
        losses=order.per_example_loss,
        weights=weights,
        denominator=count,
        labels=tf.reshape(labels, [-1]),
        predicted=order.predicted,
    )
