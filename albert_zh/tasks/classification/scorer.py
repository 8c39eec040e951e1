"""Scores of classification, multi-label classification and regression."""

import json
import os
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common.messages import say
from albert_zh.tasks import confusion_picture, datasets, registry, scorer
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks.markdown import table

CONFUSION_MATRIX = "confusion_matrix.png"
SHOWN_LABELS = 3  # number of labels of a prediction that a line shows


class ClassificationScorer(scorer.Scorer):
    """Collects logits and gold labels of examples and computes metrics from them.

    Attributes:
        task: `task_forms.Task`.
        thresholds: the thresholds of a multi-label task, one per label; None: the default.
    """

    def __init__(
        self,
        kind: Any,
        task: Any,
        settings: Any,
        notes: Dict[str, Any],
        options: Any = None,
        num_errors: int = 0,
    ) -> None:
        """Initializes the classification scorer.

        Args:
            kind: the kind of task.
            task: `task_forms.Task`.
            settings: `Settings`.
            notes: {"thresholds": thresholds of a multi-label model}, or {}.
            options: the flags, of which `threshold_rows` is used; None for its default.
            num_errors: how many of the worst errors are stored.
        """
        super().__init__(num_errors)
        self.task, self.thresholds = task, notes.get("thresholds")
        self._kind, self._rules = kind, kind.rules
        self._multi_label_loss = settings.multi_label_loss
        self._threshold_rows = options.threshold_rows if options else task_metrics.POOLED_ROWS
        self._gold, self._logits = [], []

    def add_labelled(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        gold, logits = datasets.label_value(self.task, example.label), rows[0]["logits"]
        self._gold.append(gold)
        self._logits.append(logits)
        if self.num_errors:
            row = self._rules.probabilities(np.array([logits], np.float64))[0]
            self.keep_error(self._rules.error_size(gold, row, self.thresholds), example, row)

    @property
    def gold(self) -> np.ndarray:
        """Labels in the form of `LabelRules.target`: int [n], int [n, C] or float [n]."""
        return np.array(self._gold)

    @property
    def probabilities(self) -> np.ndarray:
        """Predicted probabilities (or values), float [n, C]."""
        return self._rules.probabilities(np.array(self._logits, np.float64))

    def decided(self) -> np.ndarray:
        """The predictions, in the form of `gold`."""
        return self._rules.decided(self.probabilities, self.thresholds)

    def tuned(self) -> Dict[str, Any]:
        if not self._rules.has_several_labels:
            return {}
        self.thresholds = task_metrics.tuned_thresholds(
            self.gold, self.probabilities, self._threshold_rows
        )
        return {"thresholds": self.thresholds}

    def losses(self) -> np.ndarray:
        logits = np.array(self._logits, np.float64)
        return self._rules.losses(logits, self.gold, self._multi_label_loss)

    def values(self, names: Sequence[str], chosen: Optional[np.ndarray] = None) -> Dict[str, float]:
        gold, decided = self.gold, self.decided()
        if chosen is not None:
            gold, decided = gold[chosen], decided[chosen]
        return {name: float(task_metrics.METRICS[name].value(gold, decided)) for name in names}

    # Report

    def constant(self, metric: str) -> Optional[Tuple[float, str]]:
        score, prediction = task_metrics.constant_prediction(self.task.objective, self.gold, metric)
        return score, self._description(prediction)

    def _description(self, prediction):
        """A constant prediction, see `metrics.constant_prediction`, in a few words."""
        if not self._rules.has_classes:
            return "the value %.4g" % prediction
        names = self._rules.constant_names(prediction, self.task.labels)
        if not names:
            return "no label"
        shown = [
            json.dumps(confusion_picture.tick(name), ensure_ascii=False)
            for name in names[:SHOWN_LABELS]
        ]
        shown += ["and %d more" % (len(names) - SHOWN_LABELS)] if len(names) > SHOWN_LABELS else []
        return "the label%s %s" % ("s" if len(names) > 1 else "", ", ".join(shown))

    def details(self) -> Dict[str, Any]:
        details: Dict[str, Any] = {"errors": list(self._errors())}
        if not self._rules.has_classes:
            return details
        gold, decided = self.gold, self.decided()
        details["classes"] = task_metrics.per_class(gold, decided, self.task.labels)
        error, bins = task_metrics.expected_calibration_error(
            *self._rules.confidences(gold, decided, self.probabilities)
        )
        details["expected_calibration_error"] = error
        details["calibration"] = [
            dict(zip(("from", "to", "count", "confidence", "accuracy"), row)) for row in bins
        ]
        return details

    def _errors(self):
        for size, example, row in self.worst_errors():
            yield {
                "text_a": example.text_a,
                "text_b": example.text_b,
                "label": example.label,
                "predicted": label_text(self.task, row, self.thresholds),
                self._rules.error_name: float(size),
                "line": int(example.guid.rsplit("-", 1)[1]),
            }

    def markdown(self, details: Dict[str, Any]) -> Iterator[str]:
        if "classes" in details:
            columns: Sequence[str] = ("label", "precision", "recall", "f1", "support")
            yield from table(columns, [[c[key] for key in columns] for c in details["classes"]])
            yield (
                "Calibration: expected calibration error %.4f."
                % details["expected_calibration_error"]
            )
            yield ""
            columns = ("from", "to", "count", "confidence", "accuracy")
            yield from table(columns, [[b[key] for key in columns] for b in details["calibration"]])
        errors = details["errors"]
        yield "### The %d %s errors" % (len(errors), self._rules.error_order)
        yield ""
        columns = ("text_a", "text_b", "label", "predicted", self._rules.error_name, "line")
        if not any(error["text_b"] for error in errors):
            columns = columns[:1] + columns[2:]
        yield from table(columns, [[error[key] for key in columns] for error in errors])

    def draw(self, folder: str, title: str) -> List[str]:
        if self._rules.has_several_labels:
            say("no confusion matrix: rows may have several labels")
        if not self._rules.has_classes or self._rules.has_several_labels:
            return []
        counts = task_metrics.confusion(self.gold, self.decided(), len(self.task.labels))
        path = os.path.join(folder, CONFUSION_MATRIX)
        picture = confusion_picture.draw(
            counts, self.task.labels, path, "%s: rows are true labels" % title
        )
        return [picture] if picture else []


def label_text(task: Any, row: np.ndarray, thresholds: Optional[Sequence[float]] = None) -> str:
    """The prediction for probabilities as text: a label, several labels or a number.

    Args:
        task: `task_forms.Task`.
        row: float [C].
        thresholds: the thresholds of a multi-label task.
    """
    rules = registry.rules_of(task)
    return rules.text(rules.decoded(np.array([row]), task.labels, thresholds)[0], task.separator)
