"""The terms that objectives add to the loss, and how they are logged and evaluated.

    terms = [masked_lm.term(...), sentence_order.term(...)]
    total_loss(terms), shown_scalars(terms), eval_metrics(terms)

Every pre-training objective returns `Term`s, which training, logging and evaluation are based on.
"""

import collections
from typing import Any, Callable, Dict, List, Sequence, Tuple

import tensorflow.compat.v1 as tf

Term = collections.namedtuple(
    "Term",
    "name loss weight losses weights denominator labels predicted scores",
    defaults=(None, 1.0, None, None, None, None, None, None),
)
Term.__doc__ = """One loss of a batch.

Fields:
    name: name in metrics; None for a term that is only added to the loss.
    loss: float scalar tensor, differentiable; the batch's share of a mean. None for a term that is
        only measured.
    weight: float, weight of the loss in the total loss.
    losses: float tensor [N], loss of each prediction.
    weights: float tensor [N], 0 for unused slots.
    denominator: float scalar tensor, the divisor of sums over the predictions.
    labels, predicted: int tensors [N]; None for a term without accuracy.
    scores: float tensor [N], probabilities of label 1 if there are two labels; otherwise None.
"""


def total_loss(terms: Sequence[Term]) -> tf.Tensor:
    """Returns the weighted sum of the losses of `Term`s, a float scalar tensor."""
    losses = [term for term in terms if term.loss is not None]
    return tf.add_n([term.loss if term.weight == 1 else term.weight * term.loss for term in losses])


def shown_scalars(terms: Sequence[Term]) -> Dict[str, tf.Tensor]:
    """Returns {name: float scalar} to log in training, each the batch's share of a mean.

    Args:
        terms: terms of the batch.
    """
    named = [term for term in terms if term.name and term.loss is not None]
    scalars = {term.name + "_loss": term.loss for term in named}
    for term in named:
        if term.labels is not None:
            hits = tf.cast(tf.equal(term.predicted, term.labels), tf.float32)
            scalars[term.name + "_accuracy"] = tf.reduce_sum(term.weights * hits) / term.denominator
    return scalars


def eval_metrics(terms: Sequence[Term]) -> Tuple[Callable[..., Dict[str, Any]], List[tf.Tensor]]:
    """Returns the (function, tensors) of an evaluation's metrics for `Spec`.

    Args:
        terms: terms of a batch. For each, the loss and accuracy are measured, and if it has scores
            also the area under the ROC curve, precision and recall.
    """
    named = [term for term in terms if term.name]
    names = [term.name for term in named]
    has_scores = [term.scores is not None for term in named]
    tensors = []
    for term in named:
        tensors += [term.losses, term.weights, term.labels, term.predicted]
        tensors += [term.scores] if term.scores is not None else []

    def metric_fn(*tensors):
        remaining, metrics = list(tensors), {}
        for name, is_scored in zip(names, has_scores):
            losses, weights, labels, predicted = (remaining.pop(0) for _ in range(4))
            metrics[name + "_accuracy"] = tf.metrics.accuracy(labels, predicted, weights)
            metrics[name + "_loss"] = tf.metrics.mean(losses, weights)
            if is_scored:
                metrics[name + "_auc"] = tf.metrics.auc(labels, remaining.pop(0), weights)
                metrics[name + "_precision"] = tf.metrics.precision(labels, predicted, weights)
                metrics[name + "_recall"] = tf.metrics.recall(labels, predicted, weights)
        return metrics

    return metric_fn, tensors
