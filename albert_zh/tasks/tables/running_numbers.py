"""Detects columns that number the rows, such as the token numbers of a sentence in CoNLL-U."""

import re
from typing import Sequence

_ID = re.compile(r"([A-Za-z]{0,8}[-_]?)\d+$")
_FEWEST_IDS = 5  # in fewer rows, labels or scores may all be different, too


def are_ids(cells: Sequence[str]) -> bool:
    """Whether a column has a different number in each row, possibly after the same letters: Q17."""
    found = [match for match in (_ID.match(cell.strip()) for cell in cells) if match]
    are_different = len(set(cells)) == len(cells) == len(found) >= _FEWEST_IDS
    return are_different and len({match.group(1) for match in found}) == 1


def has_running_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of at least three columns counts the rows, from 0 or 1."""
    counts = [str(number) for number in range(len(rows) + 1)]
    return min(map(len, rows)) > 2 and [cells[0] for cells in rows] in (counts[:-1], counts[1:])
