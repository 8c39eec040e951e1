"""The loss of a batch by name of the objective. Letters: B rows, T texts per row, W width."""

import functools
from typing import Any, Callable, Dict

import tensorflow.compat.v1 as tf

from albert_zh.model import gradients
from albert_zh.tasks.embedding import losses
from albert_zh.tasks.embedding.flags import OBJECTIVES
from albert_zh.tasks.embedding.training_rows import CLASSES

SCORE, GROUP, NEGATIVE_GROUPS, TEACHER = "score", "group", "negative_groups", "teacher"
_OF_BATCH = (SCORE, GROUP, NEGATIVE_GROUPS)
Tensors = Dict[str, tf.Tensor]


def batch_loss(vectors: tf.Tensor, features: Tensors, head: Dict[str, Any]) -> tf.Tensor:
    """The loss of a batch, summed over all widths to which vectors can be truncated.

    Args:
        vectors: float [B, T, W].
        features: the batch's targets: score [B], group [B], negative_groups [B, T - 2] for rows
            with negatives, teacher [B, D].
        head: `Settings.head`.

    Returns:
        float scalar.
    """
    if OBJECTIVES[head["loss"]].is_of_batch:
        vectors = gathered(vectors)
        features = {name: gathered(features[name]) for name in _OF_BATCH if name in features}
    texts = tf.unstack(vectors, axis=1)
    loss = functools.partial(_LOSSES[head["loss"]], features=features, head=head)
    return losses.matryoshka(lambda *cut: loss(list(cut)), texts, head["widths"] or [head["width"]])


def _cosent(texts, features, head):
    return losses.cosent(texts[0], texts[1], features[SCORE], 1.0 / head["cosine_temperature"])


def _softmax(texts, features, head):
    width = int(texts[0].shape[-1])
    with tf.variable_scope("pair_softmax_%d" % width, reuse=tf.AUTO_REUSE):
        num_classes = len(head[CLASSES])
        weights = tf.get_variable("output_weights", [num_classes, 3 * width])
        bias = tf.get_variable("output_bias", [num_classes], initializer=tf.zeros_initializer())
    classes = tf.cast(tf.round(features[SCORE]), tf.int32)
    return losses.softmax_of_pairs(texts[0], texts[1], classes, weights, bias)


def _infonce(texts, features, head):
    return losses.infonce(
        texts[0],
        texts[1],
        texts[2:],
        1.0 / head["cosine_temperature"],
        head["margin"],
        features[GROUP],
        head["symmetric"],
        head["own_negative_weight"],
        features[NEGATIVE_GROUPS] if len(texts) > 2 else None,
    )


def _four_blocks(texts, features, head):
    scale = 1.0 / head["cosine_temperature"]
    return losses.infonce_of_four_blocks(texts[0], texts[1], scale, features[GROUP])


def _simbert(texts, features, head):
    scale = 1.0 / head["cosine_temperature"]
    return losses.infonce_of_both_views(texts[0], texts[1], scale, features[GROUP])


_LOSSES: Dict[str, Callable[..., tf.Tensor]] = {
    "cosent": _cosent,
    "softmax": _softmax,
    "cosine": lambda texts, features, head: losses.cosine_regression(
        texts[0], texts[1], features[SCORE]
    ),
    "contrastive": lambda texts, features, head: losses.contrastive(
        texts[0], texts[1], features[SCORE], head["margin"]
    ),
    "infonce": _infonce,
    "four_blocks": _four_blocks,
    "simbert": _simbert,
    "triplet": lambda texts, features, head: losses.triplet(
        texts[0], texts[1], texts[2], head["margin"], head.get("triplet_distance", "cosine")
    ),
    "margin_mse": lambda texts, features, head: losses.margin_regression(
        texts[0], texts[1], texts[2], features[SCORE]
    ),
    "simcse": _infonce,
    "esimcse": _infonce,
    "vectors": lambda texts, features, head: losses.vector_distillation(
        texts[0], features[TEACHER][:, : texts[0].shape[-1]]
    ),
}


def gathered(rows: tf.Tensor) -> tf.Tensor:
    """Gathers the rows of all R replicas, [B, ...] -> [R * B, ...]; for one replica its rows.

    The gradient of a function of all rows reaches the rows of this replica; the factor R
    compensates for the mean over replicas that a strategy's optimizer takes.
    """
    if not tf.distribute.has_strategy():
        return rows
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return rows
    is_integer = rows.dtype.is_integer
    own = tf.cast(rows, tf.float32) if is_integer else rows
    is_own = tf.one_hot(context.replica_id_in_sync_group, replicas, dtype=own.dtype)  # [R]
    rank = len(own.shape)
    placed = tf.reshape(is_own, [replicas] + [1] * rank) * own[None]  # [R, B, ...]
    placed = tf.reshape(placed, tf.concat([[-1], tf.shape(own)[1:]], axis=0))
    placed.set_shape([None] + own.shape.as_list()[1:])
    (everything,) = gradients.sum_over_replicas([placed])
    if is_integer:
        return tf.cast(tf.round(everything), rows.dtype)
    return tf.stop_gradient(everything) + replicas * (placed - tf.stop_gradient(placed))
