"""Columns that number the rows of a file, as that of CoNLL-U does the tokens of a sentence."""

import re
from typing import Sequence

_ID = re.compile(r"([A-Za-z]{0,8}[-_]?)\d+$")
_FEWEST_IDS = 5  # rows; in fewer ones labels or scores may be different, too


def are_ids(cells: Sequence[str]) -> bool:
    """Whether a column has another number in each row, perhaps behind the same letters: Q17."""
    found = [match for match in (_ID.match(cell.strip()) for cell in cells) if match]
    are_different = len(set(cells)) == len(cells) == len(found) >= _FEWEST_IDS
    return are_different and len({match.group(1) for match in found}) == 1


def has_running_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of three or more cells counts the rows, from 0 or 1."""
    counts = [str(number) for number in range(len(rows) + 1)]
    return min(map(len, rows)) > 2 and [cells[0] for cells in rows] in (counts[:-1], counts[1:])
