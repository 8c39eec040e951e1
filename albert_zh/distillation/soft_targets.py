"""Soft targets: the averaged targets of a student's teachers, as columns of its records.

soft = SoftTargets(student, mixture)
soft.add_to(example, records)  # as `feature_files.feature_file` calls it
"""

import functools
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.distillation import mixtures
from albert_zh.tasks import distillation as distilling
from albert_zh.tasks import kind_interface

_FEATURE_MODULES_VERSION = 2  # of the conversion of targets to columns
_LABELLED = kind_interface.Column("float")


class SoftTargets:
    """Adds the teachers' averaged targets to the records of training rows.

    Attributes:
        columns: {name: `kind_interface.Column`} of the added columns.
        fingerprint: {name: JSON value} that the columns depend on, in addition to the rows.
        mixture: the teachers, with weights and temperatures.
    """

    def __init__(self, student: Any, mixture: mixtures.Mixture) -> None:
        """Initializes the targets.

        Args:
            student: `teachers.Student`.
            mixture: teachers; those with a weight above 0 must have been prepared for the rows.
        """
        self._student, self.mixture = student, mixture
        self._distillation = student.kind.distillation
        self.columns = dict(self._distillation.columns(student.use.task))
        self.columns[distilling.LABELLED] = _LABELLED
        settings = student.settings
        self.fingerprint = {
            "version": _FEATURE_MODULES_VERSION,
            "teachers": [teacher.about for teacher in mixture.teachers],
            "weights": list(mixture.weights),
            "temperature": settings.temperature,
            "loss": settings.distill_loss,
        }
        if set(mixture.temperatures) != {1.0}:  # otherwise as in earlier versions
            self.fingerprint["temperatures"] = list(mixture.temperatures)
        if settings.teacher_average != distilling.PROBABILITIES:
            self.fingerprint["average"] = settings.teacher_average

    def add_to(self, example: Any, records: List[Dict[str, Any]]) -> None:
        """Adds the columns to the records of an example."""
        rows = averaged_rows(self._student, self.mixture, example, self._student.settings)
        for record, columns in zip(records, rows):
            record.update((name, np.asarray(c, np.float32)) for name, c in columns.items())
            record[distilling.LABELLED] = float(example.label is not None)


def averaged_rows(
    student: Any, mixture: mixtures.Mixture, example: Any, settings: Any
) -> List[Dict[str, np.ndarray]]:
    """Returns the averaged columns of each row of an example; arguments as in `SoftTargets`."""
    distillation = student.kind.distillation
    of_teachers = [
        [
            distillation.tempered(columns, temperature)
            for columns in distillation.of_records(student.use, example, teacher.target(example))
        ]
        for teacher, weight, temperature in zip(*mixture)
        if weight
    ]
    weights = [weight for weight in mixture.weights if weight]
    return [distillation.average(rows, weights, settings) for rows in zip(*of_teachers)]


class TeacherScores:
    """Evaluates teachers on labelled rows, singly and averaged, and fits their mixture."""

    def __init__(self, student: Any, options: Any, examples: Sequence[Any]) -> None:
        """Creates the records of the rows.

        Args:
            student: `teachers.Student`.
            options: the flags.
            examples: the rows; rows without labels are skipped.
        """
        self._student, self._options = student, options
        self._plain = distilling.plain_settings(student.settings)
        kind, use = student.kind, student.use
        self._examples = [example for example in examples if example.label is not None]
        self._records = [
            kind.features(use.task, example, use.tokenizer, use.max_seq_length)[0]
            for example in self._examples
        ]

    def of(self, mixture: mixtures.Mixture) -> Tuple[float, Optional[Any]]:
        """Returns (score, `Scorer.constant`) of the average, by the task's usual metric."""
        scorer = self.scorer_of(mixture)
        metric = self._student.kind.usual_metrics[0]
        return scorer.values([metric])[metric], scorer.constant(metric)

    def scorer_of(self, mixture: mixtures.Mixture) -> Any:
        """Returns the task's scorer, filled with the averaged outputs of the teachers."""
        kind, use = self._student.kind, self._student.use
        scorer = kind.scorer(use, self._plain, self._options)
        for example, records in zip(self._examples, self._records):
            rows = averaged_rows(self._student, mixture, example, self._plain)
            outputs = [
                kind.distillation.outputs_of(columns, record, use.task)
                for columns, record in zip(rows, records)
            ]
            scorer.add(example, outputs)
        scorer.tuned()
        return scorer

    def squared_errors(self, teacher: Any) -> Tuple[float, float]:
        """Returns the mean squared errors of a teacher's values and of the mean label.

        For regression only. A teacher that is worse than the mean label has values on another
        scale, which a correlation does not show.
        """
        return float(np.square(self._errors(teacher)).mean()), float(self._gold_values().var())

    def _errors(self, teacher):
        """Differences of a teacher's values from the gold values, float [n]."""
        task, distillation = self._student.use.task, self._student.kind.distillation
        outputs = [distillation.outputs_of(row, {}, task) for row, _ in self._rows_of(teacher)]
        return np.array([of_row["logits"][0] for of_row in outputs]) - self._gold_values()

    def _gold_values(self):
        return np.array([records[0]["label_ids"] for records in self._records], np.float64)

    def fitted_temperature(self, teacher: Any) -> float:
        """Fits the temperature at which a teacher makes the gold labels most probable."""
        rows = self._rows_of(teacher)
        return mixtures.fitted_temperature(functools.partial(self._likelihoods, rows))

    def fitted_weights(self, teachers: Sequence[Any], temperatures: Sequence[float]) -> List[float]:
        """Fits weights for the most probable gold labels; for values, for the least error."""
        if self._student.kind.distillation.learns_values:
            return mixtures.least_squares_weights(
                np.stack([self._errors(teacher) for teacher in teachers], axis=1)
            )
        likelihoods = [
            self._likelihoods(self._rows_of(teacher), temperature)
            for teacher, temperature in zip(teachers, temperatures)
        ]
        return mixtures.fitted_weights(np.stack(likelihoods, axis=1))

    def _rows_of(self, teacher):
        """[(columns, record)] of the rows, with a teacher's columns."""
        pairs: List[Tuple[Dict[str, np.ndarray], Any]] = []
        for example, records in zip(self._examples, self._records):
            rows = averaged_rows(self._student, mixtures.single(teacher), example, self._plain)
            pairs += zip(rows, records)
        return pairs

    def _likelihoods(self, rows, temperature):
        """Probabilities of the gold labels at a temperature, from `_rows_of`: float [n]."""
        distillation = self._student.kind.distillation
        of_rows = [
            np.ravel(distillation.likelihoods(distillation.tempered(columns, temperature), record))
            for columns, record in rows
        ]
        return np.concatenate(of_rows)
