"""Identifies the columns of a file by known names, or as chosen by the user's flags."""

import collections
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from albert_zh.common.errors import UserError
from albert_zh.tasks.tables.label_rules import plain_label, shortened
from albert_zh.tasks.task_forms import COLUMN_FLAGS, KEYS, counted_from_one

NOT_TEXTS = ("id", "idx")  # keys of records
# Names of a first text: next to them, another text's name denotes the second text (query, title).
QUESTIONS = ("query", "question")
_TARGET, _TOXIC = "target", "toxic"  # columns of ToxiCN: whom a text is about, and its label
BESIDE_QUESTIONS = [key for key in KEYS["text_a"] if key not in QUESTIONS] + ["answer", "passage"]


def known_name(task: Any, names: Iterable[str], column: str) -> Optional[str]:
    """The one of some names that usually denotes a column, or None."""
    names = list(names)[::-1]
    lower = dict(zip(counted_from_one(list(map(plain_label, names))), names))
    question = _question_of_pair(task, lower)
    if question and column == "text_a":
        return question
    keys = list(task.keys.get(column, ())) + KEYS[column]
    if column == "label" and _TARGET in lower:
        keys.insert(keys.index(_TARGET), _TOXIC)
    keys += BESIDE_QUESTIONS * bool(question and column == "text_b")
    return next((lower[key] for key in keys if key in lower), None)


def _question_of_pair(task, names):
    """The name of a question if there is also a text that may answer it; otherwise None.

    `names`: {name as normalized by `plain_label`: name}.
    """
    if task.columns is not None and "text_b" not in task.columns:
        return None
    has_second = any(key in names for key in [*task.keys.get("text_b", ()), *KEYS["text_b"]])
    if has_second or not any(key in names for key in BESIDE_QUESTIONS):
        return None
    return next((names[key] for key in QUESTIONS if key in names), None)


def are_positions(chosen: Dict[str, str]) -> bool:
    """Whether all chosen columns are chosen by position."""
    return all(name.isdigit() for name in chosen.values())


def has_chosen_names(chosen: Dict[str, str], names: Iterable[str]) -> bool:
    """Whether any of the chosen columns is among the names of a file."""
    return any(_same_name(names, name) is not None for name in chosen.values())


def chosen_names(
    task: Any, path: str, names: Sequence[str], is_json: bool, may_lack_label: bool
) -> Dict[str, str]:
    """The columns of a file with named columns: the chosen ones, the others by their usual names.

    If only one required column and only one name are left over, the column may have any name.

    Args:
        task: `Task` with chosen columns.
        path: the file, for error messages.
        names: list of str, the file's header or keys.
        is_json: whether the names are JSON keys, which have no positions.
        may_lack_label: whether the label may be missing.

    Returns:
        {column: name} for the columns that exist.

    Raises:
        UserError: if a chosen column is missing or occurs twice.
    """
    names_of_columns = {}
    for column, value in task.chosen.items():
        name = _same_name(names, value)
        if name is None and value.isdigit() and not is_json and 0 < int(value) <= len(names):
            name = names[int(value) - 1]
        if name is None and not (column == "label" and may_lack_label):
            raise UserError(
                "--%s=%s: %s has no such column: it has %s%s"
                % (
                    COLUMN_FLAGS[column],
                    value,
                    path if is_json else path + ", line 1,",
                    shortened(", ".join(names), 200),
                    "" if is_json else " (if there is no header, pass positions from 1)",
                )
            )
        if list(names).count(name) > 1:
            raise UserError(
                "%s, line 1: the header has the column %s twice: rename one" % (path, name)
            )
        names_of_columns[column] = name
    free = [
        name for name in names if name not in names_of_columns.values() and name not in NOT_TEXTS
    ]
    wanted = _wanted_beside_chosen(task)
    for column in wanted:
        names_of_columns[column] = known_name(task, free, column)
    missing = [
        column for column in wanted if names_of_columns[column] is None and column != "text_b"
    ]
    if len(missing) == len(free) == 1:
        names_of_columns[missing[0]] = free[0]
    return {column: name for column, name in names_of_columns.items() if name is not None}


def chosen_places(task: Any, path: str, width: int, may_lack_label: bool) -> Dict[str, int]:
    """Like `chosen_names`, by positions: {column: position from 0} for rows of `width` cells."""
    positions = {column: int(position_text) - 1 for column, position_text in task.chosen.items()}
    texts = sorted((c for c in positions if c != "label"), key=positions.__getitem__)
    if may_lack_label and "label" in positions and width == len(texts):
        positions = {column: position for position, column in enumerate(texts)}
    elif may_lack_label and positions.get("label", 0) >= width:
        del positions["label"]  # the last column of the training file
    for column, position in positions.items():
        if not 0 <= position < width:
            raise UserError(
                "--%s=%d: %s has no such column: expected 1 to %d"
                % (COLUMN_FLAGS[column], position + 1, path, width)
            )
    free = [position for position in range(width) if position not in positions.values()]
    wanted = [column for column in _wanted_beside_chosen(task) if column not in positions]
    if task.columns is None and len(free) < len(wanted):
        wanted = [column for column in wanted if column != "text_b"]
    if may_lack_label and len(free) < len(wanted):
        wanted = [column for column in wanted if column != "label"]
    if len(wanted) == len(free):
        positions.update(zip(wanted, free))
    return positions


def _wanted_beside_chosen(task):
    """Columns that were not chosen; in own data, text_b only if text_a was not chosen either."""
    columns = task.columns or ("text_a",) + ("text_b",) * ("text_a" not in task.chosen) + ("label",)
    return [column for column in columns if column and column not in task.chosen]


def _same_name(names, value):
    """The name that equals a value, exactly or in another spelling; or None."""
    if value in names:
        return value
    return next((name for name in names if plain_label(name) == plain_label(value)), None)


def label_candidates(columns: Dict[str, List[str]]) -> List[Tuple[str, int]]:
    """The columns that may be labels because they repeat few values; the fewest values first.

    Args:
        columns: {name of the column: list of its values}.

    Returns:
        list of (name, number of different values).
    """
    counts = {name: len(collections.Counter(cells)) for name, cells in columns.items()}
    candidates = [(n, name) for name, n in counts.items() if 1 < n <= len(columns[name]) / 2]
    return [(name, n) for n, name in sorted(candidates, key=lambda pair: pair[0])]
