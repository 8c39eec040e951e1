"""Distinguishes the examples that are rows of a split's file from entries that are only searched.

"%s: %s" % (split.path, size_in_words(split))  # dev.tsv: 40 rows, 928 entries to find
"""

from typing import Any, List

from albert_zh.common.wording import counted


def is_row(example: Any) -> bool:
    """Whether an example is a row of its file and not an entry that is only searched."""
    return not getattr(example, "is_entry", False)


def rows_of(split: Any) -> List[Any]:
    """The examples of a split that are rows of its file."""
    return [example for example in split.examples if is_row(example)]


def size_in_words(split: Any) -> str:
    """The number of rows of a split and of the entries searched for them, for the user."""
    rows = rows_of(split)
    size = counted(len(rows), "row")
    if len(rows) == len(split.examples):
        return size
    entries = {example.text_a for example in split.examples if not is_row(example)}
    entries.update(example.text_b for example in rows)
    return "%s, %s to find" % (size, counted(len(entries), "entry", "entries"))
