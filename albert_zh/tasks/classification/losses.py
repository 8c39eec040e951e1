"""Classifier losses: cross-entropy, sigmoid, squared error; class weights, smoothing, focal."""

import math
from typing import Any, Dict, List, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.common import checks, validation
from albert_zh.common.errors import UserError

MULTI_LABEL_LOSSES = ("sum", "mean")
# For the multi-label classifier with the summed loss, whose labels have few rows each.
MULTI_LABEL_RATE_FACTOR = 10.0
# Defaults of training on own data for small models such as the starter model (hidden_size 312):
# docs/results.md shows the gain; wider models use the usual rate.
RATE_OF_NARROW = 1e-4
RATE_OF_NARROW_MULTI_LABEL = 2e-4  # with the summed loss
ENOUGH_STEPS = 1000
MOST_EPOCHS = 10.0
CLASS_WEIGHTS = validation.record(
    others=validation.number(above=0), expected="a JSON object {label: weight}"
)
_TINY = 1e-12


# Losses


def per_example_loss(logits: tf.Tensor, labels: tf.Tensor, settings: Any) -> tf.Tensor:
    """The loss of each example.

    Args:
        logits: float tensor [B, C].
        labels: int [B]; for a multi-label task int [B, C] of 0 and 1; for a regression float [B].
        settings: `Settings`.

    Returns:
        float tensor [B].
    """
    return _LOSSES[settings.objective](logits, labels, settings)


def _squared_error(logits, labels, settings):
    del settings
    return tf.square(logits[:, 0] - labels)


def _softmax_loss(logits, labels, settings):
    num_classes = int(logits.shape[-1])
    log_probs = tf.nn.log_softmax(logits)  # [B, C]
    one_hot = tf.one_hot(labels, num_classes)
    smoothing = settings.label_smoothing
    targets = (1.0 - smoothing) * one_hot + smoothing / num_classes
    terms = targets * log_probs
    if settings.focal_gamma:
        terms *= _focus(log_probs, settings.focal_gamma)
    loss = -tf.reduce_sum(terms, axis=-1)
    if settings.class_weights is not None:
        loss *= tf.gather(tf.constant(settings.class_weights, tf.float32), labels)
    return loss


def _sigmoid_loss(logits, labels, settings):
    """Binary cross-entropy, summed (or averaged) over the labels."""
    smoothing = settings.label_smoothing
    targets = (1.0 - smoothing) * tf.cast(labels, tf.float32) + smoothing / 2
    log_yes, log_no = tf.log_sigmoid(logits), tf.log_sigmoid(-logits)
    weights = 1.0 if settings.class_weights is None else tf.constant(settings.class_weights)
    yes, no = weights * targets * log_yes, (1.0 - targets) * log_no
    if settings.focal_gamma:
        yes *= _focus(log_yes, settings.focal_gamma)
        no *= _focus(log_no, settings.focal_gamma)
    return -_over_labels(yes + no, settings.multi_label_loss)


_LOSSES = {
    "single_label": _softmax_loss,
    "multi_label": _sigmoid_loss,
    "regression": _squared_error,
}


def _over_labels(of_labels, multi_label_loss):
    """Reduces the values of an example's labels to one value; float [B, C] -> [B].

    The gradient of the mean is C times smaller: with many labels, hardly anything is learnt.
    """
    reduce = {"sum": tf.reduce_sum, "mean": tf.reduce_mean}[multi_label_loss]
    return reduce(of_labels, axis=-1)


def _focus(log_probs, gamma):
    """(1 - p) ** gamma, clipped since for gamma below 1 the slope at p = 1 would be infinite."""
    return tf.pow(tf.maximum(-tf.math.expm1(log_probs), _TINY), gamma)


def divergence(
    logits: tf.Tensor, other_logits: tf.Tensor, objective: str, multi_label_loss: str = "sum"
) -> tf.Tensor:
    """Symmetric Kullback-Leibler divergence of two predictions, (KL(p|q) + KL(q|p)) / 2.

    For a multi-label task it is the sum over the labels, for a regression the squared difference.

    Args:
        logits: float tensor [B, C].
        other_logits: float tensor [B, C].
        objective: one of `OBJECTIVES`.
        multi_label_loss: "mean" for the mean over the labels.

    Returns:
        float tensor [B].
    """
    return _DIVERGENCES[objective](logits, other_logits, multi_label_loss)


def _divergence_of_classes(logits, other_logits, multi_label_loss):
    del multi_label_loss
    p, q = tf.nn.log_softmax(logits), tf.nn.log_softmax(other_logits)
    return 0.5 * tf.reduce_sum((tf.exp(p) - tf.exp(q)) * (p - q), axis=-1)


def _divergence_of_labels(logits, other_logits, multi_label_loss):
    """For Bernoulli variables, KL(p|q) + KL(q|p) is (p - q) times the difference of the logits."""
    terms = (tf.sigmoid(logits) - tf.sigmoid(other_logits)) * (logits - other_logits)
    return 0.5 * _over_labels(terms, multi_label_loss)


def _squared_distance(logits, other_logits, multi_label_loss):
    del multi_label_loss
    return tf.square(logits - other_logits)[:, 0]


_DIVERGENCES = {
    "single_label": _divergence_of_classes,
    "multi_label": _divergence_of_labels,
    "regression": _squared_distance,
}


# Class weights, shares of labels


def prior_logits(counts: Sequence[int], num_rows: int) -> List[float]:
    """Logits of the share of rows with each label, the initial bias of training.

    Args:
        counts: list of int, number of rows with each label.
        num_rows: number of all rows.

    Returns:
        list of float; half a row is added to either count, so that no logit is infinite.
    """
    return [math.log((count + 0.5) / (num_rows - count + 0.5)) for count in counts]


def epochs_of_few_rows(usual: float, steps_per_epoch: float) -> float:
    """The default number of epochs, which is higher for few rows.

    Args:
        usual: float, the number of epochs for many rows.
        steps_per_epoch: float.
    """
    return max(usual, min(ENOUGH_STEPS / steps_per_epoch, MOST_EPOCHS))


def balanced_weights(counts: Sequence[int]) -> List[float]:
    """Weights inversely proportional to the class sizes, 1 on average over the examples.

    Args:
        counts: list of int, number of examples of each class.
    """
    total = sum(counts)
    return [total / (len(counts) * count) if count else 1.0 for count in counts]


def weights_of_labels(given: Dict[str, float], labels: Sequence[str], source: str) -> List[float]:
    """Class weights from a file.

    Args:
        given: {label: weight}, the content of a JSON file.
        labels: the task's labels.
        source: the file's name, for error messages.

    Returns:
        list of float, 1 for labels without a weight.

    Raises:
        UserError: for labels that the task does not have, and weights that are not positive
            numbers.
    """
    checks.checked("--class_weights=%s" % source, given, CLASS_WEIGHTS)
    unknown = sorted(set(given) - set(labels))
    if unknown:
        raise UserError(
            "--class_weights=%s: expected a JSON object {label: weight} of %s, found %s"
            % (source, ", ".join(labels[:20]), validation.shown(", ".join(unknown)))
        )
    return [float(given.get(label, 1.0)) for label in labels]
