"""How classification, multi-label tasks and regression learn from teachers.

A target is a logit for each class: the logarithm of its probability, because exported models and
files only contain probabilities.
"""

from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import distillation_losses
from albert_zh.model.distillation_losses import DIVERGENCE, SQUARED, TINYBERT
from albert_zh.tasks import distillation, kind_interface, registry

_COLUMN = "teacher_logits"


class ClassDistillation(distillation.Distillation):
    """Targets of rows that belong to exactly one of several classes."""

    teacher_outputs = ("probabilities",)
    logit_columns: Tuple[str, ...] = (_COLUMN,)
    takes_tables = True

    def target(self, use: Any, example: Any, rows: Any, order: Sequence[int]) -> np.ndarray:
        probabilities = np.asarray(rows[0]["probabilities"])[list(order)]
        return self.logits(probabilities).astype(np.float32)

    def logits(self, probabilities: np.ndarray) -> np.ndarray:
        """Targets from the probabilities that models and files contain, float [..., C]."""
        return distillation.logits_of_classes(probabilities)

    def columns(self, task: Any) -> Dict[str, Any]:
        num_outputs = registry.rules_of(task).num_outputs(len(task.labels))
        return {_COLUMN: kind_interface.Column("float", (num_outputs,))}

    def of_records(self, use: Any, example: Any, target: np.ndarray) -> List[distillation.Columns]:
        return [{_COLUMN: target}]

    def outputs_of(
        self, columns: distillation.Columns, record: Dict[str, Any], task: Any
    ) -> distillation.Columns:
        return {"logits": columns[_COLUMN]}

    def likelihoods(self, columns: distillation.Columns, record: Dict[str, Any]) -> np.ndarray:
        return np.exp(distillation.log_softmax(columns[_COLUMN])[[record["label_ids"]]])

    def losses(
        self, outputs: Dict[str, tf.Tensor], features: Dict[str, tf.Tensor], settings: Any
    ) -> tf.Tensor:
        return distillation.losses_of_classes(outputs["logits"], features[_COLUMN], settings)

    def likeness(self, student: Any, teachers: Any) -> Dict[str, float]:
        """Share of rows with the same prediction, and mean divergence from the teachers."""
        is_same = student.decided() == teachers.decided()  # [n] or [n, C]
        divergences = self.divergences(teachers.probabilities, student.probabilities)
        return {
            "teacher_agreement": float(is_same.reshape([len(is_same), -1]).all(axis=1).mean()),
            "teacher_divergence": float(divergences.mean()),
        }

    def divergences(self, probabilities: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Kullback-Leibler divergences of `others` from `probabilities` [n, C]; float [n]."""
        logs = self.logits(probabilities) - self.logits(others)
        return (probabilities * logs).sum(axis=1)


class LabelDistillation(ClassDistillation):
    """Targets of rows that have any number of labels."""

    loss_names = (DIVERGENCE, SQUARED)  # TinyBERT has no such tasks

    def logits(self, probabilities: np.ndarray) -> np.ndarray:
        return distillation.logits_of_labels(probabilities)

    def average(
        self,
        teachers: Sequence[distillation.Columns],
        weights: Sequence[float],
        settings: Any,
    ) -> distillation.Columns:
        logits = [columns[_COLUMN] for columns in teachers]
        return {_COLUMN: distillation.average_label_logits(logits, weights, settings)}

    def likelihoods(self, columns: distillation.Columns, record: Dict[str, Any]) -> np.ndarray:
        signs = 2 * np.asarray(record["label_ids"]) - 1
        return distillation.sigmoid(signs * columns[_COLUMN])

    def divergences(self, probabilities: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Divergences summed over the labels, each of which is a Bernoulli variable."""
        logs = distillation.logits_of_classes
        pairs = ((probabilities, others), (1 - probabilities, 1 - others))
        return sum((p * (logs(p) - logs(q))).sum(axis=1) for p, q in pairs)

    def losses(
        self, outputs: Dict[str, tf.Tensor], features: Dict[str, tf.Tensor], settings: Any
    ) -> tf.Tensor:
        logits, targets = outputs["logits"], features[_COLUMN]
        if settings.distill_loss == SQUARED:
            return distillation_losses.squared_distance(logits, targets)
        of_labels = distillation_losses.softened_label_cross_entropy(
            logits, targets, settings.temperature
        )  # [B, C]
        reduce = {"sum": tf.reduce_sum, "mean": tf.reduce_mean}[settings.multi_label_loss]
        return settings.temperature**2 * reduce(of_labels, axis=-1)


class ValueDistillation(ClassDistillation):
    """Targets of rows with a value: the teacher's value; the loss is the squared distance to it.

    TinyBERT's loss is the distance to the label: in a regression, it does not use the teacher.
    """

    learns_values = True
    logit_columns = ()

    def logits(self, probabilities: np.ndarray) -> np.ndarray:
        return np.asarray(probabilities, np.float64)

    def average(
        self,
        teachers: Sequence[distillation.Columns],
        weights: Sequence[float],
        settings: Any,
    ) -> distillation.Columns:
        estimates = np.stack([columns[_COLUMN] for columns in teachers]).astype(np.float64)
        return {_COLUMN: np.tensordot(np.asarray(weights), estimates, axes=1)}

    def losses(
        self, outputs: Dict[str, tf.Tensor], features: Dict[str, tf.Tensor], settings: Any
    ) -> tf.Tensor:
        values = outputs["logits"]  # [B, 1]
        if settings.distill_loss == TINYBERT:
            labels = tf.expand_dims(features["label_ids"], 1)  # [B, 1]
            distances = distillation_losses.squared_distance(values, labels)  # [B]
            return distances * features[distillation.LABELLED]
        return distillation_losses.squared_distance(values, features[_COLUMN])

    def likeness(self, student: Any, teachers: Any) -> Dict[str, float]:
        """Mean squared distance between the values of student and teachers."""
        distances = np.square(student.decided() - teachers.decided())
        return {"teacher_squared_distance": float(distances.mean())}
