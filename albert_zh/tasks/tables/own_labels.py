"""The labels of the user's own data: which labels there are, and whether they are classes."""

import collections
import re
from typing import Any, Collection, Counter, List, Optional, Tuple

from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted
from albert_zh.tasks import registry
from albert_zh.tasks.datasets import DISAGREEMENT, INFERENCE, label_parts
from albert_zh.tasks.tables.label_rules import MANY_LABELS, are_short, shortened
from albert_zh.tasks.tables.named_columns import label_candidates
from albert_zh.tasks.tables.position_columns import FEW_LABELS, NUMBER
from albert_zh.tasks.task_forms import COLUMN_FLAGS

COMPOUND = 0.1  # a mark may separate labels if at least this share of the labels contains it
_MARKS = re.compile("[;；,，、|]")
_RARER_MARKS = re.compile("[;；,，、|｜/]")
NAME_COLUMNS = (
    "name the columns text_a, text_b and label in a header line, or name them by %s"
    % ", ".join("--%s" % flag for flag in COLUMN_FLAGS.values())
)


def with_columns_and_labels(task: Any, split: Any) -> Any:
    """The task of the user's own data, completed with the columns and labels of its training file.

    Args:
        task: `Task` without labels or columns.
        split: `Split` of the training file.

    Returns:
        `Task`: labels sorted (numbers by value), so that their order does not depend on the order
        of rows.

    Raises:
        UserError: if nearly every row has a different label, or all rows have the same label.
    """
    task = task._replace(columns=split.columns, header=tuple(split.header))
    if _is_behind_ids(task, split):
        task = task._replace(chosen=dict(split.names))
    counts = label_counts(task, split)
    labels = registry.rules_of(task).labels_of_all(counts)
    if labels is not None:
        return task._replace(labels=labels)
    num_rows = len(split.examples)
    if _are_no_classes(task, counts, split.examples):
        raise UserError(
            "%s: %d different labels in %d rows: is the label column (%s: %s) a text or an id? %s"
            % (
                split.path,
                len(counts),
                num_rows,
                split.names["label"],
                shortened(", ".join(sorted(counts)[:3])),
                _way_out_of_labels(split, counts),
            )
        )
    if len(counts) < 2:
        raise UserError(
            "%s: %s the label %r: nothing to classify: expected rows of at least two labels"
            % (split.path, all_rows_have(num_rows), "".join(counts))
        )
    return task._replace(labels=tuple(sorted(counts, key=_label_order)))


def agreed(examples: List[Any]) -> Tuple[List[Any], List[str]]:
    """(rows of an inference training file without those labelled "-" (no agreement), notes)."""
    labels = {example.label for example in examples}
    if labels != {DISAGREEMENT, *INFERENCE}:
        return examples, []
    kept = [example for example in examples if example.label != DISAGREEMENT]
    skipped = counted(len(examples) - len(kept), "row was", "rows were")
    return kept, ["%s skipped because of the label - (annotators disagree)" % skipped]


def _is_behind_ids(task, split):
    """Whether the columns are known by position and column 1 is not one of them."""
    places = set(split.names.values())
    return not (task.chosen or split.header or "1" in places) and all(map(str.isdigit, places))


def all_rows_have(num_rows: int) -> str:
    """The beginning of a message about what all rows of a file have in common."""
    return "all %d rows have" % num_rows if num_rows > 1 else "its only row has"


def _way_out_of_labels(split, counts):
    """What to do if the labels are not classes: choose another column or another objective."""
    columns = {
        column: [getattr(example, column) for example in split.examples] for column in split.columns
    }
    for column, num_labels in label_candidates(columns)[:1]:
        if column != "label":
            return "Column %s has %d values: if it is the label, add --label_column=%s" % (
                split.names[column],
                num_labels,
                split.names[column],
            )
    mark = separator_of(counts)
    if mark is not None:
        return use_multi_label(mark)
    if all(NUMBER.match(label) for label in counts):
        return "To predict numbers, add --regression=true; otherwise %s" % NAME_COLUMNS
    return "If so, %s; if these are names of classes, each needs two rows" % NAME_COLUMNS


def use_multi_label(mark: str) -> str:
    """Advice to train a multi-label model, for labels that a mark may separate."""
    return "If %r separates several labels of a row, add --multi_label=true%s" % (
        mark,
        "" if mark == "|" else " --label_separator=%r" % mark,
    )


def separator_of(labels: Collection[str]) -> Optional[str]:
    """A mark that may separate the labels of one cell because enough labels contain it; or None."""
    counts = collections.Counter(mark for label in labels for mark in set(_MARKS.findall(label)))
    likely = [mark for mark, count in counts.most_common(1) if count >= COMPOUND * len(labels)]
    return likely[0] if likely else None


def joined_labels(labels: Collection[str]) -> List[str]:
    """Labels that join other labels by a mark, such as "a/b" if "a" and "b" are labels too."""
    every = set(labels)
    found = []
    for label in sorted(every):
        parts = [part.strip() for part in _RARER_MARKS.split(label)]
        if len(parts) > 1 and every.issuperset(parts):
            found.append(label)
    return found


def _are_no_classes(task, counts, examples):
    """Whether labels seem to be texts, numbers or ids because they differ in nearly every row."""
    if len(counts) <= max(FEW_LABELS, len(examples) / 2):
        return False
    num_single = sum(count == 1 for count in counts.values())
    if len(counts) > MANY_LABELS and num_single > 0.9 * len(counts):
        return True
    return not registry.rules_of(task).has_several_labels and _are_texts(counts, examples)


def _are_texts(labels, examples):
    """Whether labels are numbers or as long as texts."""
    if all(NUMBER.match(label) for label in labels):
        return True
    return not are_short(labels, [example.text_a for example in examples])


def _label_order(label):
    return (0, float(label), label) if NUMBER.match(label) else (1, 0.0, label)


def label_counts(task: Any, split: Any) -> Counter[str]:
    """The number of rows with each label, as a Counter."""
    return collections.Counter(
        label for example in split.examples for label in label_parts(task, example.label)
    )
