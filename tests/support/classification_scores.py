"""Metrics of logits and gold labels, computed as in a run of a classifier."""

import numpy as np

from albert_zh.tasks import datasets, input_examples, kind_interface, registry
from albert_zh.tasks import settings as task_settings


def text_of_gold(gold):
    """A gold label as a cell of a file: a class, several classes, a value."""
    if np.ndim(gold):
        return "|".join(str(number) for number in np.flatnonzero(gold))
    return repr(float(gold)) if isinstance(gold, (float, np.floating)) else str(gold)


def evaluate(objective, logits, gold, batch_size, further=(), thresholds=None):
    """{name: value} of the metrics of logits and gold labels.

    Args:
        objective: name of the kind of task.
        logits: float [n, C].
        gold: int [n], int [n, C] or float [n].
        batch_size: batch size of the evaluation.
        further: names of metrics in addition to the usual ones.
        thresholds: thresholds of a multi-label task, or None.
    """
    kind = registry.get(objective)
    labels = tuple(str(number) for number in range(np.shape(logits)[1]))
    task = datasets.TASKS[datasets.OWN_DATA]._replace(
        labels=labels, columns=("text_a", "label"), objective=objective
    )
    notes = {} if thresholds is None else {"thresholds": thresholds}
    scorer = kind.scorer(
        kind_interface.ModelInUse(task, notes, None, 16),
        task_settings.Settings(objective=objective),
    )
    for number, (row, value) in enumerate(zip(logits, gold)):
        label = text_of_gold(value)
        example = input_examples.InputExample("dev-%d" % number, str(number), None, label)
        scorer.add(example, [{"logits": row}])
    return scorer.metrics(batch_size, kind.usual_metrics + tuple(further))
