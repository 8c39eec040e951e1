"""Columns that number the rows of a file, as that of CoNLL-U does the tokens of a sentence."""

from typing import Sequence


def has_running_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of three or more cells counts the rows, from 0 or 1."""
    counts = [str(number) for number in range(len(rows) + 1)]
    return min(map(len, rows)) > 2 and [cells[0] for cells in rows] in (counts[:-1], counts[1:])
