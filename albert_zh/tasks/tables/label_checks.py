"""Checks whether a cell is a label of the task."""

import re
from typing import Any, Optional

from albert_zh.tasks.tables.label_rules import LabelRules, plain_label, shortened

_WHOLE_NUMBER = re.compile(r"(-?[0-9]+)(?:\.0+)?\Z")  # pandas writes 1 as 1.0


def known_label(rules: LabelRules, task: Any, label: str) -> str:
    """A row's label in the task's spelling, if it is the same whole number written differently.

    Args:
        rules: the label rules of the task's kind.
        task: `task_forms.Task`.
        label: the label in the row.

    Returns:
        str: 1.0 for 1 if the task only has 1.0, and vice versa; otherwise the label itself.
    """
    known = (task.labels or ()) if rules.has_classes else ()
    names = rules.labels_of_cell(label, task.separator)
    spelled = [name if name in known else _other_spelling(name, known) for name in names]
    return task.separator.join(spelled) if spelled != names else label


def _other_spelling(name, known):
    """The only known label that is the same whole number as a name; otherwise the name."""
    number = _WHOLE_NUMBER.match(name)
    found = [other for other in known if number and _is_number(other, number.group(1))]
    return found[0] if len(found) == 1 else name


def _is_number(label, digits):
    match = _WHOLE_NUMBER.match(label)
    return bool(match) and match.group(1) == digits


def problem_of_label(rules: LabelRules, task: Any, label: str) -> Optional[str]:
    """What is wrong with a label of a row; None if it is a label of the task.

    Args:
        rules: the label rules of the task's kind.
        task: `task_forms.Task`.
        label: the label in the row.
    """
    problem = rules.problem(label)
    if problem and rules.has_classes:
        return "%s, expected one of %s" % (problem, _some_labels(task) or "your labels")
    if problem:
        return "%r is %s" % (shortened(label), problem)
    if task.labels is None or not rules.has_classes:
        return None
    for label_name in rules.labels_of_cell(label, task.separator):
        if label_name not in task.labels:
            return "unknown label %r, %s %s%s" % (
                shortened(label_name),
                "expected one of"
                if task.header is None
                else "which does not occur in training; it has",
                _some_labels(task),
                _spelling(label_name, task.labels),
            )
    return None


def _some_labels(task):
    return shortened(", ".join(task.labels or ()), 200)


def _spelling(label, labels):
    """A hint if a label is a known label in another spelling: "1.0" for "1", full width ..."""
    same = [known for known in labels if plain_label(known) == plain_label(label)]
    return " (is it %r in another notation?)" % same[0] if same else ""
