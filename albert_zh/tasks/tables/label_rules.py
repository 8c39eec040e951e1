"""For each kind of label: the content of the label column, and decisions from probabilities."""

import math
import re
from typing import Any, Collection, List, Optional, Sequence, Tuple
import unicodedata

import numpy as np

DEFAULT_THRESHOLD = 0.5
# Labels are not classes if there are many and nearly every one occurs only once, or if they are on
# average longer than LONG_LABEL words or characters.
MANY_LABELS, LONG_LABEL = 200, 10
_WORD = re.compile(r"[0-9A-Za-z_.:-]+|\w")
CONSTANTS_TRIED = 20  # number of the most frequent classes that are tried


class LabelRules:
    """The labels of a kind of task; by default each row belongs to exactly one class.

    Attributes:
        has_classes: whether labels are classes; otherwise they are values.
        has_several_labels: whether a row may have several labels, or none.
        error_name: name of the size of an error in reports.
        error_order: describes the errors that a report lists first.
        target_dtype: "int" or "float", the dtype of `target`.
        label_key: key of a label in the JSON lines of classify.py.
    """

    has_classes = True
    has_several_labels = False
    error_name = "confidence"
    error_order = "most confident"
    target_dtype = "int"
    label_key = "label"

    # Labels of a data set

    def num_outputs(self, num_labels: int) -> int:
        """Number of outputs of the classifier."""
        return num_labels

    def is_possible(self, num_outputs: int) -> bool:
        """Whether a model with this number of outputs can be of this kind."""
        return num_outputs > 1

    def labels_of_cell(self, cell: Optional[str], separator: str) -> List[str]:
        """The labels in a row's cell."""
        return [] if cell is None else [cell]

    def labels_of_all(self, found: Sequence[str]) -> Optional[Tuple[str, ...]]:
        """The task's labels if they do not depend on the training file; otherwise None."""
        return None

    def problem(self, cell: str) -> Optional[str]:
        """What is wrong with a cell, regardless of the task's labels; None if nothing is."""
        return None if cell else "unknown label ''"

    def target(self, cell: Optional[str], labels: Sequence[str], separator: str) -> Any:
        """The training target of a row's cell: the number of its class."""
        return 0 if cell is None else labels.index(cell)

    def target_shape(self, num_labels: int) -> List[int]:
        """Shape of `target`."""
        return []

    # Predictions: float [n, C] of logits or probabilities

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """The predicted probabilities, as in `classifier_output.probabilities`; float64 [n, C]."""
        odds = np.exp(logits - logits.max(axis=1)[:, None])
        return odds / odds.sum(axis=1)[:, None]

    def losses(self, logits: np.ndarray, gold: np.ndarray, multi_label_loss: str) -> np.ndarray:
        """Plain losses, without smoothing or weights; float [n]."""
        top = logits.max(axis=1)
        log_sums = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        return log_sums - logits[np.arange(len(gold)), gold]

    def decided(self, probabilities: np.ndarray, thresholds: Any = None) -> np.ndarray:
        """The predictions for probabilities, in the form of gold labels (`target`)."""
        return probabilities.argmax(axis=1)

    def decoded(self, probabilities: np.ndarray, labels: Sequence[str], thresholds: Any) -> List:
        """The predictions for probabilities in the form shown to users: a list of n labels."""
        return [labels[class_id] for class_id in self.decided(probabilities, thresholds)]

    def text(self, decoded: Any, separator: str) -> str:
        """An element of `decoded` as the text of a cell in a file."""
        return decoded

    def error_size(self, gold: Any, row: np.ndarray, thresholds: Any) -> float:
        """Confidence of a wrong prediction, 0 for a right one; for values the absolute error."""
        best = int(np.argmax(row))
        return 0.0 if best == gold else float(row[best])

    def confidences(
        self, gold: np.ndarray, decided: np.ndarray, probabilities: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        """(confidence, whether it is right) for each decision, for calibration."""
        return probabilities.max(axis=1), decided == gold

    def labels_to_spread(self, labels: Sequence[str]) -> List[Any]:
        """The keys of a row that are spread evenly over the rows set aside as dev and the rest.

        Args:
            labels: the labels of the row.
        """
        return sorted(set(labels))

    # Baselines

    def constants(self, gold: np.ndarray) -> List[Tuple[Any, np.ndarray]]:
        """[(prediction, its row in the form of gold)] for the constant predictions to try."""
        classes = np.bincount(gold).argsort(kind="stable")[::-1][:CONSTANTS_TRIED]
        return [(int(class_id), np.array(int(class_id))) for class_id in classes]

    def constant_names(self, prediction: Any, labels: Sequence[str]) -> List[str]:
        """The labels of a constant prediction."""
        return [labels[prediction]]

    def standard_error(self, score: float, num_rows: int) -> float:
        """Standard error of a score on `num_rows` rows, for a score that is a share of them."""
        return math.sqrt(score * (1 - score) / num_rows)


class FreeText(LabelRules):
    """Labels that are free text, which the kind of task parses itself."""

    has_classes = False

    def labels_of_cell(self, cell: Optional[str], separator: str) -> List[str]:
        return []

    def problem(self, cell: str) -> Optional[str]:
        return None


class MultiLabelRules(LabelRules):
    """Rows with any number of labels each."""

    has_several_labels = True
    label_key = "labels"

    def is_possible(self, num_outputs: int) -> bool:
        return True

    def labels_of_cell(self, cell: Optional[str], separator: str) -> List[str]:
        names = [] if cell is None else cell.split(separator)
        return [name.strip() for name in names if name.strip()]

    def problem(self, cell: str) -> Optional[str]:
        return None

    def target(self, cell: Optional[str], labels: Sequence[str], separator: str) -> List[int]:
        present = set(self.labels_of_cell(cell, separator))
        return [int(name in present) for name in labels]

    def target_shape(self, num_labels: int) -> List[int]:
        return [num_labels]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return np.exp(-np.logaddexp(0.0, -logits))

    def losses(self, logits: np.ndarray, gold: np.ndarray, multi_label_loss: str) -> np.ndarray:
        losses = np.logaddexp(0.0, logits) - gold * logits  # [n, C]
        return losses.mean(axis=1) if multi_label_loss == "mean" else losses.sum(axis=1)

    def decided(self, probabilities: np.ndarray, thresholds: Any = None) -> np.ndarray:
        least = DEFAULT_THRESHOLD if thresholds is None else thresholds
        return (probabilities >= least).astype(int)

    def decoded(self, probabilities: np.ndarray, labels: Sequence[str], thresholds: Any) -> List:
        decided = self.decided(probabilities, thresholds)
        return [[label for label, is_there in zip(labels, row) if is_there] for row in decided]

    def text(self, decoded: Any, separator: str) -> str:
        return separator.join(decoded)

    def error_size(self, gold: Any, row: np.ndarray, thresholds: Any) -> float:
        decided = self.decided(np.array([row]), thresholds)[0]
        wrong = decided != np.array(gold)
        return float(np.where(decided == 1, row, 1 - row)[wrong].max()) if wrong.any() else 0.0

    def confidences(
        self, gold: np.ndarray, decided: np.ndarray, probabilities: np.ndarray
    ) -> Tuple[np.ndarray, np.ndarray]:
        confidences = np.where(decided == 1, probabilities, 1 - probabilities)
        return confidences.ravel(), (decided == gold).ravel()

    def labels_to_spread(self, labels: Sequence[str]) -> List[Any]:
        different = sorted(set(labels))
        return different + [len(different)]  # one int per row: the number of rows fits, too

    def constants(self, gold: np.ndarray) -> List[Tuple[Any, np.ndarray]]:
        frequent = (-gold.sum(axis=0)).argsort(kind="stable")[:CONSTANTS_TRIED]
        classes = range(gold.shape[1])
        return [
            (sorted(frequent[:count].tolist()), np.isin(classes, frequent[:count]).astype(int))
            for count in range(len(frequent) + 1)
        ]

    def constant_names(self, prediction: Any, labels: Sequence[str]) -> List[str]:
        return [labels[class_id] for class_id in prediction]


class ValueRules(LabelRules):
    """Rows with a number as their label, for regression."""

    has_classes = False
    error_name = "error"
    error_order = "largest"
    target_dtype = "float"
    label_key = "value"

    def num_outputs(self, num_labels: int) -> int:
        return 1

    def is_possible(self, num_outputs: int) -> bool:
        return num_outputs == 1

    def labels_of_all(self, found: Sequence[str]) -> Optional[Tuple[str, ...]]:
        return ("score",)

    def problem(self, cell: str) -> Optional[str]:
        try:
            is_finite = "_" not in cell and math.isfinite(np.float32(cell))
        except ValueError:
            is_finite = False
        return None if is_finite else "not a number"

    def target(self, cell: Optional[str], labels: Sequence[str], separator: str) -> float:
        return 0.0 if cell is None else float(cell)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def losses(self, logits: np.ndarray, gold: np.ndarray, multi_label_loss: str) -> np.ndarray:
        return np.square(logits[:, 0] - gold)

    def decided(self, probabilities: np.ndarray, thresholds: Any = None) -> np.ndarray:
        return probabilities[:, 0]

    def decoded(self, probabilities: np.ndarray, labels: Sequence[str], thresholds: Any) -> List:
        return [float(output) for output in probabilities[:, 0]]

    def text(self, decoded: Any, separator: str) -> str:
        return "%.6g" % decoded

    def error_size(self, gold: Any, row: np.ndarray, thresholds: Any) -> float:
        return abs(float(row[0]) - gold)

    def labels_to_spread(self, labels: Sequence[str]) -> List[Any]:
        return [0]

    def standard_error(self, score: float, num_rows: int) -> float:
        return (1 - score**2) / math.sqrt(max(num_rows - 1, 1))  # the error of a correlation


def plain_label(label: str) -> str:
    """A label with spelling variants removed: width, case, the .0 of a whole number."""
    label = unicodedata.normalize("NFKC", label).replace("\u200b", "").lower().strip()
    return label[:-2] if re.match(r"\d+\.0$", label) else label


def are_short(labels: Collection[str], texts: Sequence[str]) -> bool:
    """Whether possible labels are shorter than texts; a Latin word counts as one character."""

    def mean_length(parts):
        return np.mean([len(_WORD.findall(part)) for part in parts])

    return bool(mean_length(labels) <= min(LONG_LABEL, 0.75 * mean_length(texts)))


def shortened(text: str, limit: int = 40) -> str:
    """A text, truncated after `limit` characters."""
    return text if len(text) <= limit else text[:limit] + "..."
