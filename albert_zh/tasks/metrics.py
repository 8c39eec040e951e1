"""Metrics of predictions, by which checkpoints are chosen and which a report shows.

Gold labels are int [n] (single label), int [n, C] of 0 and 1 (multi-label) or float [n]
(regression); probabilities and logits are float [n, C]. scikit-learn is only imported when used.
"""

import collections
import math
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.tasks import registry

ECE_BINS = 15
THRESHOLDS = np.arange(1, 400) / 400.0  # the thresholds that tuning tries
POOLED_ROWS = 30.0  # see `tuned_thresholds`
_TINY = 1e-12
LARGEST_CHANCE = 0.05

Metric = collections.namedtuple("Metric", ["objectives", "is_higher_better", "value"])


def _f1(average):
    def value(gold, predicted):
        from sklearn.metrics import f1_score

        return f1_score(
            gold, predicted, labels=_scored_numbers(gold), average=average, zero_division=0
        )

    return value


def _scored_numbers(gold, num_labels=None):
    """The labels that scikit-learn is to score: all that it finds (None), or `num_labels` labels.

    If a multi-label task has only one label, scikit-learn sees two classes: 1 is the label.
    """
    if gold.ndim == 2 and gold.shape[1] == 1:
        return [1]
    return None if num_labels is None else list(range(num_labels))


def _accuracy(gold, predicted):
    """Share of examples whose label is right; in a multi-label task, all of whose labels are."""
    right = predicted == gold
    return np.mean(right if right.ndim == 1 else right.all(axis=1))


def _mcc(gold, predicted):
    from sklearn.metrics import matthews_corrcoef

    return matthews_corrcoef(gold, predicted)


def _correlation(gold, predicted):
    """Pearson's correlation; 0 if one side is constant."""
    if np.std(gold) == 0 or np.std(predicted) == 0:
        return 0.0
    return np.corrcoef(gold, predicted)[0, 1]


def _rank_correlation(gold, predicted):
    """Spearman's correlation: Pearson's of the ranks; ties share their mean rank."""
    return _correlation(_ranks(gold), _ranks(predicted))


def _ranks(ranked):
    _, positions, counts = np.unique(ranked, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2.0)[positions]


_CLASSES = ("single_label", "multi_label")
# `value` is a function of gold and predicted labels; "loss" is computed from logits instead.
METRICS = {
    "accuracy": Metric(_CLASSES, True, _accuracy),
    "loss": Metric(_CLASSES + ("regression",), False, None),
    "f1": Metric(("single_label",), True, _f1("binary")),
    "macro_f1": Metric(_CLASSES, True, _f1("macro")),
    "micro_f1": Metric(_CLASSES, True, _f1("micro")),
    "weighted_f1": Metric(_CLASSES, True, _f1("weighted")),
    "mcc": Metric(("single_label",), True, _mcc),
    "pearson": Metric(("regression",), True, _correlation),
    "spearman": Metric(("regression",), True, _rank_correlation),
}


def directions(objective: str) -> Dict[str, bool]:
    """{name: whether higher is better} for the metrics of a kind of labels.

    Args:
        objective: one of `classifier_output.OBJECTIVES`.
    """
    return {
        name: metric.is_higher_better
        for name, metric in METRICS.items()
        if objective in metric.objectives
    }


def evaluate(
    objective: str,
    logits: np.ndarray,
    gold: np.ndarray,
    batch_size: int,
    further: Iterable[str] = (),
    thresholds: Optional[Sequence[float]] = None,
    multi_label_loss: str = "sum",
) -> Dict[str, float]:
    """Metrics of the logits for a labelled file, named `eval_...` as in the original program.

    Args:
        objective: one of `classifier_output.OBJECTIVES`.
        logits: float [n, C].
        gold: labels.
        batch_size: batch size of the evaluation; `loss` is the mean of the batch means, as in the
            original program.
        further: names of metrics in addition to the usual ones.
        thresholds: the thresholds of a multi-label task, one per label; None: 0.5 for all labels.
        multi_label_loss: as in `settings.Settings`.

    Returns:
        {name: float}.
    """
    losses = example_losses(objective, logits, gold, multi_label_loss)
    batches = [losses[start : start + batch_size] for start in range(0, len(losses), batch_size)]
    scores = {
        "eval_loss": float(np.mean(losses)),
        "loss": float(np.mean([np.mean(batch) for batch in batches])),
    }
    decided = predicted(objective, probabilities(objective, logits), thresholds)
    for name in registry.get(objective).usual_metrics + tuple(further):
        if name != "loss":
            scores["eval_" + name] = float(METRICS[name].value(gold, decided))
    return scores


def example_losses(
    objective: str, logits: np.ndarray, gold: np.ndarray, multi_label_loss: str = "sum"
) -> np.ndarray:
    """Plain losses, without smoothing or weights; float [n]."""
    logits = np.asarray(logits, np.float64)
    return registry.get(objective).rules.losses(logits, gold, multi_label_loss)


def probabilities(objective: str, logits: Any) -> Any:
    """The same as `classifier_output.probabilities`, in NumPy."""
    return registry.get(objective).rules.probabilities(np.asarray(logits, np.float64))


def predicted(
    objective: str, probabilities: np.ndarray, thresholds: Optional[Sequence[float]] = None
) -> np.ndarray:
    """The predictions for some probabilities.

    Args:
        objective: one of `classifier_output.OBJECTIVES`.
        probabilities: float [n, C].
        thresholds: the thresholds of a multi-label task, one per label.

    Returns:
        int [n], int [n, C] or float [n], in the form of gold labels.
    """
    return registry.get(objective).rules.decided(probabilities, thresholds)


def tuned_thresholds(
    gold: np.ndarray, probabilities: np.ndarray, pooled_rows: float = POOLED_ROWS
) -> List[float]:
    """The threshold with the best F1 for each label.

    A rare label has too few rows to choose a threshold by: it would overfit. So the counts of all
    labels together are added to the counts of each label, scaled to `pooled_rows` positive rows.

    Args:
        gold: int [n, C].
        probabilities: float [n, C].
        pooled_rows: number of the added positive rows; 0 to use only the label's own rows.

    Returns:
        list of C elements of `THRESHOLDS`; the middle one if several are equally good.
    """
    own = np.array([_hits_and_sizes(*columns) for columns in zip(gold.T, probabilities.T)])
    counts = own + own.sum(axis=0) * (pooled_rows / max(gold.sum(), 1))  # [C, 2, T]
    f1 = 2.0 * counts[:, 0] / np.maximum(counts[:, 1], _TINY)
    return [_middle_of_best(THRESHOLDS, row) for row in f1]


def _hits_and_sizes(gold, values):
    """The terms of F1 at each threshold: F1 = 2 * hits / sizes.

    Args:
        gold: int [n], 1 for rows that have the label.
        values: float [n], the label's probabilities.

    Returns:
        float [2, T]: the number of rows at or above the threshold that have the label; the number
        of rows at or above the threshold plus the number of rows that have the label.
    """
    num_above = len(values) - np.searchsorted(np.sort(values), THRESHOLDS)
    hits = gold.sum() - np.searchsorted(np.sort(values[gold == 1]), THRESHOLDS)
    return np.array([hits, num_above + gold.sum()], np.float64)


def _middle_of_best(thresholds, scores):
    best = np.flatnonzero(scores == scores.max())
    return float(thresholds[best[len(best) // 2]])


def constant_prediction(objective: str, gold: np.ndarray, metric: str) -> Tuple[float, Any]:
    """The constant prediction for all rows that scores highest: a baseline that reads no texts.

    Args:
        objective: one of `classifier_output.OBJECTIVES`.
        gold: labels.
        metric: a key of `METRICS` other than "loss".

    Returns:
        (score, prediction): the prediction is a class; in a multi-label task a list of classes; in
        a regression the mean.
    """
    gold, kind = np.asarray(gold), registry.get(objective).rules
    if not kind.has_classes:
        return 0.0, float(gold.mean())

    def scored(prediction, row):
        return float(METRICS[metric].value(gold, np.tile(row, (len(gold),) + (1,) * row.ndim)))

    return max(
        ((scored(prediction, row), prediction) for prediction, row in kind.constants(gold)),
        key=lambda pair: pair[0],
    )


def is_within_chance(score: float, constant_score: float, num_rows: int) -> bool:
    """Whether a score exceeds the score of a constant prediction by no more than chance.

    "Chance" is one standard error, but at most `LARGEST_CHANCE` (few rows have a large error).
    """
    # The standard error of a share; if the constant prediction scores 0, as for a correlation, the
    # standard error of a correlation of 0.
    variance = constant_score * (1.0 - constant_score) if constant_score else 1.0
    error = math.sqrt(max(variance, 0.0) / num_rows)
    return score <= constant_score + min(error, LARGEST_CHANCE)


def expected_calibration_error(
    confidences: np.ndarray, is_right: np.ndarray, bins: int = ECE_BINS
) -> Tuple[float, List[Any]]:
    """Expected calibration error (Guo et al. 2017) over bins of equal width.

    Args:
        confidences: float [n], probabilities of the predictions.
        is_right: bool [n].
        bins: number of bins.

    Returns:
        (error, rows): the mean distance between confidence and accuracy, weighted by bin size; a
        row (from, to, count, mean confidence, accuracy) for each bin that is not empty.
    """
    numbers = np.minimum((np.asarray(confidences) * bins).astype(int), bins - 1)
    rows, error = [], 0.0
    for bin_index in range(bins):
        inside = numbers == bin_index
        count = int(inside.sum())
        if not count:
            continue
        confidence, accuracy = np.mean(confidences[inside]), np.mean(is_right[inside])
        error += count / len(confidences) * abs(confidence - accuracy)
        rows.append(
            (bin_index / bins, (bin_index + 1) / bins, count, float(confidence), float(accuracy))
        )
    return float(error), rows


def per_class(gold: np.ndarray, decided: np.ndarray, labels: Sequence[str]) -> List[Dict[str, Any]]:
    """Precision, recall, F1 and support of each label.

    Args:
        gold: int [n] or [n, C].
        decided: predictions in the same form.
        labels: the labels.

    Returns:
        list of {"label", "precision", "recall", "f1", "support"}.
    """
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        gold, decided, labels=_scored_numbers(gold, len(labels)), zero_division=0
    )
    return [
        {
            "label": label,
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "support": int(support),
        }
        for label, precision, recall, f1, support in zip(labels, *columns)
    ]


def confusion(gold: np.ndarray, decided: np.ndarray, num_classes: int) -> np.ndarray:
    """How often each class (row) was predicted as each class (column); int [C, C]."""
    counts = np.zeros([num_classes, num_classes], int)
    np.add.at(counts, (gold, decided), 1)
    return counts
