"""How a kind of task learns from teachers: the targets, their average, and the loss.

A teacher's outputs for a text are saved as a *target*: a flat float32 array that does not depend on
a student. For a student, a target is converted to one array per row of ids (`of_records`). The
arrays of several teachers are averaged (`average`), and the average is a column of the row's
record, from which the graph computes the loss. A kind without a `Distillation` cannot be distilled.
"""

from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model import distillation_losses
from albert_zh.model.distillation_losses import DISTILL_LOSSES, DIVERGENCE, SQUARED

LEAST_PROBABILITY = 1e-7  # smaller probabilities are raised to it before taking the logarithm
_TINY = 1e-30
PROBABILITIES, LOGITS = "probabilities", "logits"
TEACHER_AVERAGES = (PROBABILITIES, LOGITS)  # what is averaged over several teachers
LABELLED = "is_labelled"  # the column that is 0 for rows without labels
Rows = Sequence[Dict[str, np.ndarray]]
Columns = Dict[str, np.ndarray]


class Distillation:
    """How a kind of task learns from teachers.

    Attributes:
        teacher_outputs: names of the outputs that a teacher's `Predictor` has to return.
        logit_columns: names of the columns with logits, which are divided by a temperature.
        takes_tables: whether a file with the probabilities of each class can be a teacher.
        loss_names: the losses of `distillation_losses.DISTILL_LOSSES` that the kind supports.
        learns_values: whether a target is a value on the scale of the labels.
    """

    teacher_outputs: Tuple[str, ...] = ()
    logit_columns: Tuple[str, ...] = ()
    loss_names: Tuple[str, ...] = DISTILL_LOSSES
    takes_tables = False
    learns_values = False

    def open_unlabelled(
        self, kind: Any, task: Any, path: str, encoding: str
    ) -> Iterator[Tuple[Any, Any]]:
        """Yields (example, why the row is malformed, or None) from a file of unlabelled texts.

        Args:
            kind: the kind of task.
            task: `task_forms.Task`.
            path: the file.
            encoding: character encoding of the file.
        """
        yield from kind.open_stream(task, path, encoding).records

    def target(self, use: Any, example: Any, rows: Rows, order: Sequence[int]) -> np.ndarray:
        """The target that is saved of a teacher's outputs for a text.

        Args:
            use: the teacher's `task_type.ModelInUse`.
            example: the text.
            rows: the outputs of each of its rows, {name: array}.
            order: numbers of the teacher's labels in the order of the student's labels.

        Returns:
            float32 array of one dimension.
        """
        raise NotImplementedError

    def misfit(self, of_teacher: Any, task: Any) -> Optional[str]:
        """Why a teacher's task does not fit a student's, apart from kind and labels; or None.

        Args:
            of_teacher, task: `task_forms.Task`.
        """
        del of_teacher, task
        return None

    def columns(self, task: Any) -> Dict[str, Any]:
        """{name: `task_type.Column`} of the averaged targets in records."""
        raise NotImplementedError

    def of_records(self, use: Any, example: Any, target: np.ndarray) -> List[Columns]:
        """A target as columns of the student's rows, as logits.

        Args:
            use: the student's `task_type.ModelInUse`.
            example: the text.
            target: a target as `target` returns it.

        Returns:
            {name of a column: array} for each row that `TaskType.features` creates.
        """
        raise NotImplementedError

    def tempered(self, columns: Columns, temperature: float) -> Columns:
        """A teacher's columns with its logits divided by its temperature."""
        return {
            name: column / temperature if name in self.logit_columns else column
            for name, column in columns.items()
        }

    def average(
        self, teachers: Sequence[Columns], weights: Sequence[float], settings: Any
    ) -> Columns:
        """The average of the columns of several teachers for one row.

        Args:
            teachers: the columns {name: array} of each teacher.
            weights: weights of the teachers, which add up to 1.
            settings: `Settings`, with temperature and loss.
        """
        return {
            name: average_logits([columns[name] for columns in teachers], weights, settings)
            for name in teachers[0]
        }

    def outputs_of(self, columns: Columns, record: Dict[str, Any], task: Any) -> Columns:
        """Averaged columns (at temperature 1) in the form of the outputs that the scorer takes."""
        raise NotImplementedError

    def likelihoods(self, columns: Columns, record: Dict[str, Any]) -> np.ndarray:
        """The probabilities of a record's gold targets according to the columns, float [n]."""
        raise NotImplementedError

    def losses(
        self, outputs: Dict[str, tf.Tensor], features: Dict[str, tf.Tensor], settings: Any
    ) -> tf.Tensor:
        """The loss of each row against its averaged targets, float [B]."""
        raise NotImplementedError

    def likeness(self, student: Any, teachers: Any) -> Dict[str, float]:
        """{name: figure}: how similar the predictions of a student and its teachers are.

        Args:
            student: the kind's scorer with a student's outputs.
            teachers: the same scorer with the teachers' averaged outputs for the same rows.
        """
        del student, teachers
        return {}


def row_losses(
    kind: Any, outputs: Dict[str, tf.Tensor], features: Dict[str, tf.Tensor], settings: Any
) -> tf.Tensor:
    """The losses of a batch's rows: on labels, on targets, or the weighted sum of both.

    Args:
        kind: the kind of task.
        outputs: outputs of the student.
        features: features of the batch, with the columns of targets if there are teachers.
        settings: `Settings`; `distill_weight` is the weight of the loss on targets, and 1 minus it
            that of the loss on labels.

    Returns:
        float tensor [B].
    """
    weight = settings.distill_weight
    if not weight:
        return kind.losses(outputs, features, settings)
    of_targets = weight * kind.distillation.losses(outputs, features, settings)
    if weight == 1.0:
        return of_targets
    of_labels = kind.losses(outputs, features, settings) * features[LABELLED]
    return (1.0 - weight) * of_labels + of_targets


def losses_of_classes(logits: tf.Tensor, targets: tf.Tensor, settings: Any) -> tf.Tensor:
    """Losses of independent softmaxes.

    Args:
        logits, targets: float tensors [..., C]; targets as `average_logits` returns them.
        settings: `Settings`.

    Returns:
        float tensor [...].
    """
    loss = distillation_losses.LOSSES_OF_CLASSES[settings.distill_loss]
    # Targets are logits at temperature 1, although the average was taken at the temperature.
    return loss(logits, targets, settings.temperature)


def average_logits(
    logits: Sequence[np.ndarray], weights: Sequence[float], settings: Any
) -> np.ndarray:
    """Logits whose softmax at the temperature is the average of the teachers' softmaxes.

    With the squared loss, or if logits are to be averaged, it is the mean of the centred logits.

    Args:
        logits: list of float [..., C], one array per teacher.
        weights: weights of the teachers, which add up to 1.
        settings: `Settings`.

    Returns:
        float64 [..., C].
    """
    if averages_logits(settings):
        return _weighted([rows - rows.mean(axis=-1, keepdims=True) for rows in logits], weights)
    if len(logits) == 1:
        return log_softmax(logits[0])
    softened = [np.exp(log_softmax(rows / settings.temperature)) for rows in logits]
    averaged = np.maximum(_weighted(softened, weights), _TINY)
    return settings.temperature * np.log(averaged)


def averages_logits(settings: Any) -> bool:
    """Whether logits are averaged rather than probabilities."""
    return settings.distill_loss == SQUARED or settings.teacher_average == LOGITS


def average_label_logits(
    logits: Sequence[np.ndarray], weights: Sequence[float], settings: Any
) -> np.ndarray:
    """Like `average_logits`, for independent labels with a sigmoid each; float [..., C]."""
    if averages_logits(settings) or len(logits) == 1:
        return _weighted(logits, weights)
    softened = [sigmoid(rows / settings.temperature) for rows in logits]
    return settings.temperature * logits_of_labels(_weighted(softened, weights))


def _weighted(arrays, weights):
    return sum(weight * np.asarray(array, np.float64) for array, weight in zip(arrays, weights))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithms of a softmax over the last dimension, float64."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of independent labels from their logits, float64."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(logits, np.float64)))


def logits_of_classes(probabilities: np.ndarray) -> np.ndarray:
    """Logits of class probabilities: exact up to a constant, except for tiny probabilities."""
    return np.log(np.maximum(np.asarray(probabilities, np.float64), LEAST_PROBABILITY))


def logits_of_labels(probabilities: np.ndarray) -> np.ndarray:
    """Logits of the probabilities of independent labels."""
    clipped = np.clip(
        np.asarray(probabilities, np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY
    )
    return np.log(clipped) - np.log1p(-clipped)


def plain_settings(settings: Any) -> Any:
    """The settings with which averages are scored: probabilities at temperature 1."""
    return settings._replace(temperature=1.0, distill_loss=DIVERGENCE)
