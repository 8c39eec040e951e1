"""Modes and results of a `model_fn`, with the names that Estimator uses."""

import collections
from typing import Any, Callable

import tensorflow.compat.v1 as tf

from albert_zh.training import tensorflow_internals


class ModeKeys:
    """The mode that a model is built for; equal to `tf.estimator.ModeKeys`."""

    TRAIN = "train"
    EVAL = "eval"
    PREDICT = "infer"


Spec = collections.namedtuple(
    "Spec",
    "mode loss train_op predictions eval_metrics scaffold_fn host_call",
    defaults=(None, None, None, None, None, None),
)
Spec.__doc__ = """The result of a `model_fn`.

Fields:
    mode: a value of `ModeKeys`.
    loss: float scalar tensor, for training and evaluation.
    train_op: op of one training step.
    predictions: {name: tensor [B, ...]}.
    eval_metrics: (function -> {name: (value, update op)}, its arguments: list of tensors).
    scaffold_fn: function -> `tf.train.Scaffold`, or None for the default one.
    host_call: the argument of `TPUEstimatorSpec`; only used on a TPU.
"""


def for_tpu_estimator(model_fn: Callable[..., Spec]) -> Callable[..., Any]:
    """Adapts a `model_fn` to TPUEstimator; unchanged if TensorFlow has no TPUEstimator.

    Args:
        model_fn: function (features, labels, mode, params) -> `Spec`.

    Returns:
        function of the same arguments -> `TPUEstimatorSpec`.
    """
    if not tensorflow_internals.has_estimators():
        return model_fn

    def tpu_model_fn(features, labels, mode, params):
        spec = model_fn(features, labels, mode, params)
        return tf.estimator.tpu.TPUEstimatorSpec(**spec._asdict())

    return tpu_model_fn
