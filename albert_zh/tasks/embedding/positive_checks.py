"""Checks that rows are positive pairs: no labelled pairs, no ids, no categories as negatives."""

import re
from typing import Any, List, Sequence

from albert_zh.common import validation
from albert_zh.common.errors import UserError

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?$")
# Labels, in lower case, that say whether or how two texts are related.
_RELATIONS = frozenset(
    "entailment neutral contradiction true false yes no same different similar dissimilar "
    "duplicate paraphrase 是 否 相同 不同 相似 不相似 同义 不同义 匹配 不匹配 一致 不一致 "
    "蕴含 中立 矛盾 正例 负例".split()
)
_MARK = re.compile(r"\|+|#{2,}|\n|@{2,}|\t")  # may separate several texts in a cell
_FEW_ROWS = 10  # files with fewer rows are not checked for categories
_ROWS_OF_CATEGORY = 5  # negatives repeated this often on average may be names of categories


def notes_of_labels(path: str, labels: Sequence[Any]) -> List[str]:
    """Notes on the labels in a file of positive pairs, which are not used in training.

    Args:
        path: the file.
        labels: the labels of the rows, from the key or column with such a name; None without one.

    Raises:
        UserError: if the labels say that some pairs are positive and others are not.
    """
    values = {str(label).strip() for label in labels if label is not None}
    if len(values) < 2:
        return []
    if all(map(_NUMBER.match, values)) or _RELATIONS & {value.lower() for value in values}:
        raise _labelled_pairs(path, "labels", values)
    return [
        "labels (%s) are ignored: all rows are treated as positive pairs"
        % validation.shortened(", ".join(sorted(values)))
    ]


def notes_of_wrong_texts(path: str, examples: Sequence[Any]) -> List[str]:
    """Notes on the negatives of a file.

    Args:
        path: the file.
        examples: `EmbeddingExample`s.

    Raises:
        UserError: if the negatives are numbers or labels, or if the anchors are numbers.
    """
    wrong = [text for example in examples for text in example.negatives]
    if len(examples) < 2 or not wrong:
        return []
    if all(map(_NUMBER.match, wrong)):
        raise _labelled_pairs(path, "numbers in column 3", set(wrong))
    if _RELATIONS.issuperset(text.strip().lower() for text in wrong):
        raise _labelled_pairs(path, "labels in column 3", set(wrong))
    _check_are_no_ids(path, examples)
    different = set(wrong)
    is_right_for_some = different & {example.text_b for example in examples}
    are_few = _ROWS_OF_CATEGORY * len(different) <= len(wrong)
    if len(examples) < _FEW_ROWS or is_right_for_some or not are_few:
        return []
    return [
        "the values after the positives (%s) are treated as negatives: if they are a category, "
        "remove that column" % validation.shortened(", ".join(sorted(different)))
    ]


def notes_of_joined_texts(examples: Sequence[Any]) -> List[str]:
    """A list with a note if the cells seem to hold several texts each, as in 相似问 columns.

    Args:
        examples: `EmbeddingExample`s.
    """
    for texts in ([e.text_a for e in examples], [e.text_b for e in examples]):
        marks = [mark.group() for mark in map(_MARK.search, texts) if mark]
        if 2 * len(marks) >= len(texts) > 1:
            return [
                "%d of %d rows have %r in a text, and are treated as one text each: if it "
                "separates several, write each of them into a separate row, or into a JSON list"
                % (len(marks), len(texts), marks[0])
            ]
    return []


def notes_of_unread_labels(labels: Sequence[Any]) -> List[str]:
    """Notes on the labels of pairs that a classifier scores.

    Args:
        labels: as in `notes_of_labels`.
    """
    values = {str(label).strip() for label in labels if label is not None}
    found = validation.shortened(", ".join(sorted(values)))
    return ["labels (%s) are ignored: a classifier scores the pairs" % found] * bool(values)


def notes_of_pairs(path: str, examples: Sequence[Any]) -> List[str]:
    """Notes on further columns after the two texts of rows that a classifier scores.

    Args:
        path: the file.
        examples: `EmbeddingExample`s, whose `negatives` are the texts of these columns.

    Raises:
        UserError: if the first texts are numbers.
    """
    if len(examples) < 2:
        return []
    _check_are_no_ids(path, examples)
    if all(_NUMBER.match(example.text_a) for example in examples):
        raise UserError(
            "%s: column 1 contains only numbers, expected texts: are they labels? Name the "
            "columns in a header line, as label, text_a, text_b" % path
        )
    further = {text for example in examples for text in example.negatives}
    return [
        "the values after the two texts (%s) are ignored: a classifier scores the pairs"
        % validation.shortened(", ".join(sorted(further)))
    ] * bool(further)


def _check_are_no_ids(path, examples):
    anchors = {example.text_a for example in examples}
    if len(anchors) == len(examples) and all(map(_NUMBER.match, anchors)):
        raise UserError(
            "%s: column 1 has a different number in each row: an id? Remove it, or name the "
            "columns in a header line, as id, text_a, text_b" % path
        )


def _labelled_pairs(path, what, values):
    return UserError(
        "%s: %s (%s): expected only positive pairs, as all rows are treated as such: use "
        "--objective=cosent for labelled pairs, or keep the positive ones and remove the labels"
        % (path, what, validation.shortened(", ".join(sorted(values))))
    )
