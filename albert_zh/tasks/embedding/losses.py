"""Losses of sentence embeddings: functions of the vectors of a batch -> scalar.

Letters in shape comments: B rows of the batch, C candidates, W width, K classes. Vectors may have
any norm: cosines normalize them. A scale is 1 / temperature. Formulas are taken from
sentence-transformers (Reimers and Gurevych 2019), unless another source is named.
"""

from typing import Any, Callable, Optional, Sequence

import tensorflow.compat.v1 as tf

_TINY = 1e-24  # lower bound of squared norms
_EXCLUDED = -1e30  # logit of an excluded candidate; finite, so that its gradient is 0 and not NaN
Tensors = Sequence[tf.Tensor]


def normalized(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors normalized to unit length, [B, W] -> [B, W]."""
    squares = tf.reduce_sum(vectors * vectors, axis=-1, keepdims=True)
    return vectors * tf.rsqrt(tf.maximum(squares, _TINY))


def pair_cosines(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Cosines of corresponding rows, [B, W] and [B, W] -> [B]."""
    return _dot_products(normalized(a), normalized(b))


def all_cosines(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Cosines of all pairs of rows, [B, W] and [C, W] -> [B, C]."""
    return _all_dot_products(normalized(a), normalized(b))


def _dot_products(a, b):
    return tf.reduce_sum(a * b, axis=-1)


def _all_dot_products(a, b):
    return tf.matmul(a, b, transpose_b=True)


# Similarity functions by name: of corresponding rows -> [B], and of all pairs of rows -> [B, C].
_SIMILARITIES = {"cosine": pair_cosines, "dot": _dot_products}
_ALL_SIMILARITIES = {"cosine": all_cosines, "dot": _all_dot_products}


# Scored and labelled pairs


def cosent(a: tf.Tensor, b: tf.Tensor, labels: tf.Tensor, scale: float = 20.0) -> tf.Tensor:
    """CoSENT: log of 1 + sum of exp(scale * (cos_i - cos_j)) over rows with label_i < label_j.

    Pairs of rows with equal labels are ignored. The loss is a sum over the batch, not a mean.

    Args:
        a, b: float [B, W].
        labels: float or int [B]; only their order matters.
        scale: float.

    Source: Su, "CoSENT", 2022.
    """
    cosines = scale * pair_cosines(a, b)
    differences = cosines[:, None] - cosines[None, :]  # [B, B]
    is_ordered = labels[:, None] < labels[None, :]
    logits = tf.where(is_ordered, differences, tf.fill(tf.shape(differences), _excluded(cosines)))
    with_zero = tf.concat([tf.zeros([1], cosines.dtype), tf.reshape(logits, [-1])], axis=0)
    return tf.reduce_logsumexp(with_zero)


def softmax_of_pairs(
    a: tf.Tensor, b: tf.Tensor, classes: tf.Tensor, weights: Any, bias: Any
) -> tf.Tensor:
    """SBERT's classifier on [u; v; |u - v|]: mean cross entropy.

    Args:
        a, b: float [B, W].
        classes: int [B].
        weights: float [K, 3 W].
        bias: float [K].
    """
    features = tf.concat([a, b, tf.abs(a - b)], axis=-1)  # [B, 3 W]
    logits = tf.matmul(features, weights, transpose_b=True) + bias  # [B, K]
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)
    )


def cosine_regression(a: tf.Tensor, b: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Mean squared difference between cosines and scores from 0 to 1 (or a teacher's cosines)."""
    return tf.reduce_mean(tf.square(pair_cosines(a, b) - tf.cast(scores, a.dtype)))


def contrastive(a: tf.Tensor, b: tf.Tensor, labels: tf.Tensor, margin: float = 0.5) -> tf.Tensor:
    """Half the mean of d^2 for label 1 and max(0, margin - d)^2 for label 0, d = 1 - cosine.

    Source: Hadsell et al. 2006.
    """
    distances, labels = _cosine_distances(a, b), tf.cast(labels, a.dtype)
    apart = tf.square(tf.nn.relu(margin - distances))
    return 0.5 * tf.reduce_mean(labels * tf.square(distances) + (1.0 - labels) * apart)


# Positives, with or without negatives


def infonce(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    negatives: Tensors = (),
    scale: float = 20.0,
    margin: float = 0.0,
    ids: Optional[tf.Tensor] = None,
    is_symmetric: bool = False,
    own_negative_weight: float = 0.0,
    negative_ids: Optional[tf.Tensor] = None,
    similarity: str = "cosine",
) -> tf.Tensor:
    """InfoNCE: each anchor's positive against all other candidates of the batch.

    Candidates are all positives, then all first negatives, then all second negatives and so on. The
    loss is the mean cross entropy of scale * similarity; the margin is subtracted from the
    similarity of the own positive.

    Args:
        anchors, positives: float [B, W].
        negatives: list of float [B, W].
        scale: float, 1 / temperature.
        margin: float, subtracted from the positive's similarity (Yang et al. 2019).
        ids: int [B], equal for rows whose positives are right for one another's anchors: between
            such rows, positives are not used as negatives.
        is_symmetric: whether positives have to find their anchors, too; the loss is then the mean
            of both directions.
        own_negative_weight: float, added to the logits of a row's own negatives (Gao et al. 2021).
        negative_ids: int [B, N], the id of each negative, which is not used as a negative for the
            anchors of other rows with that id. None: every negative is used for all anchors.
        similarity: "cosine" or "dot".
    """
    compare = _ALL_SIMILARITIES[similarity]
    own = tf.eye(tf.shape(anchors)[0], dtype=anchors.dtype)  # [B, B]
    similarities = compare(anchors, positives)  # [B, B]
    logits = _without_duplicates(scale * (similarities - margin * own), ids, ids)
    ids_of_columns = [None] * len(negatives)
    if negative_ids is not None:
        ids_of_columns = tf.unstack(negative_ids, num=len(negatives), axis=1)
    of_negatives = []
    for vectors, column_ids in zip(negatives, ids_of_columns):
        block = scale * compare(anchors, vectors) + own_negative_weight * own  # [B, B]
        of_negatives.append(_without_duplicates(block, ids, column_ids))
    loss = _cross_entropy_of_diagonal(tf.concat([logits] + of_negatives, axis=1))
    if not is_symmetric:
        return loss
    return (loss + _cross_entropy_of_diagonal(tf.transpose(logits))) / 2.0


def infonce_of_four_blocks(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    scale: float = 20.0,
    ids: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """InfoNCE whose denominator has every other text of the batch, including anchors.

    Source: Li et al. 2023, "Towards General Text Embeddings".
    """
    across = scale * all_cosines(anchors, positives)  # [B, B]
    blocks = [_without_duplicates(across, ids, ids)]
    is_own = tf.eye(tf.shape(anchors)[0], dtype=tf.bool)
    for block in (
        tf.transpose(across),
        _own_cosines(anchors, scale),
        _own_cosines(positives, scale),
    ):
        blocks.append(_where_excluded(is_own, _without_duplicates(block, ids, ids)))
    return _cross_entropy_of_diagonal(tf.concat(blocks, axis=1))


def _own_cosines(vectors, scale):
    return scale * all_cosines(vectors, vectors)


def infonce_of_both_views(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    scale: float = 20.0,
    ids: Optional[tf.Tensor] = None,
) -> tf.Tensor:
    """SimBERT's InfoNCE: each of the 2 B texts finds its partner among all others.

    Args:
        anchors, positives: float [B, W].
        scale: float, 1 / temperature.
        ids: int [B], equal for rows whose texts are right for one another: these texts are not used
            as negatives of each other. None: all rows differ.

    Source: Su, "SimBERT", 2020.
    """
    texts = tf.concat([anchors, positives], axis=0)  # [2 B, W]
    partners = tf.concat([positives, anchors], axis=0)
    row_ids = tf.range(tf.shape(anchors)[0]) if ids is None else ids
    both = tf.concat([row_ids, row_ids], axis=0)  # excludes a text itself: same id as its partner
    return _cross_entropy_of_diagonal(
        _without_duplicates(scale * all_cosines(texts, partners), both, both)
    )


def _cosine_distances(a, b):
    return 1.0 - pair_cosines(a, b)


def _euclidean_distances(a, b):
    return tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(a - b), axis=-1), _TINY))


DISTANCES = {"cosine": _cosine_distances, "euclidean": _euclidean_distances}  # of rows -> [B]


def triplet(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    margin: float = 0.5,
    distance: str = "cosine",
) -> tf.Tensor:
    """Mean of max(0, d(a, p) - d(a, n) + margin) for a distance d, one of `DISTANCES`."""
    of_rows = DISTANCES[distance]
    difference = of_rows(anchors, positives) - of_rows(anchors, negatives)
    return tf.reduce_mean(tf.nn.relu(difference + margin))


# Distillation and combinations


def vector_distillation(vectors: tf.Tensor, teacher: tf.Tensor) -> tf.Tensor:
    """Mean squared error of all elements with respect to a teacher's vectors, [B, W] both."""
    return tf.reduce_mean(tf.square(vectors - tf.cast(teacher, vectors.dtype)))


def margin_regression(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    margins: tf.Tensor,
    similarity: str = "cosine",
) -> tf.Tensor:
    """Margin MSE: a positive's similarity minus a negative's is fitted to a teacher's margin.

    Args:
        anchors, positives, negatives: float [B, W].
        margins: float [B], the teacher's similarity of the positive minus that of the negative.
        similarity: "cosine" or "dot".

    Source: Hofstaetter et al. 2020.
    """
    compare = _SIMILARITIES[similarity]
    found = compare(anchors, positives) - compare(anchors, negatives)
    return tf.reduce_mean(tf.square(found - tf.cast(margins, found.dtype)))


def matryoshka(
    loss: Callable[..., tf.Tensor],
    vectors: Tensors,
    widths: Sequence[int],
    weights: Optional[Sequence[float]] = None,
) -> tf.Tensor:
    """The weighted sum of a loss over the first coordinates of vectors (Kusupati et al. 2022).

    Args:
        loss: function of as many tensors [B, width] as there are vectors.
        vectors: list of float [B, W].
        widths: list of int, including the full width.
        weights: list of float; by default 1 for each width.
    """
    weights = weights or [1.0] * len(widths)
    return tf.add_n(
        [
            weight * loss(*[tensor[:, :width] for tensor in vectors])
            for width, weight in zip(widths, weights)
        ]
    )


def _excluded(like):
    return tf.constant(_EXCLUDED, like.dtype)


def _where_excluded(condition, logits):
    """Logits, with `_EXCLUDED` in place of those for which a condition holds."""
    return tf.where(condition, tf.fill(tf.shape(logits), _excluded(logits)), logits)


def _without_duplicates(logits, ids, column_ids):
    """Logits [B, B] without those of different rows whose id equals the column id, both [B]."""
    if ids is None or column_ids is None:
        return logits
    is_equal = tf.equal(ids[:, None], column_ids[None, :])
    is_other = tf.logical_not(tf.eye(tf.shape(ids)[0], dtype=tf.bool))
    return _where_excluded(tf.logical_and(is_equal, is_other), logits)


def _cross_entropy_of_diagonal(logits):
    """Mean cross entropy of logits [B, C], where the target of row i is i."""
    targets = tf.range(tf.shape(logits)[0])
    return tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
    )
