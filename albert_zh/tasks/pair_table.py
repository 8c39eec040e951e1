"""Pairs of a table, such as the CSV that a model was trained on: header, quotes, columns.

if is_table("train.csv", "utf-8", task):
    for pairs in groups("train.csv", "utf-8", task):
        ...
"""

import itertools
import re
import sys
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from albert_zh.common.errors import UserError, printable
from albert_zh.tasks import datasets, named_columns, task_forms
from albert_zh.tasks import rows as row_files
from albert_zh.tasks.columns import ColumnLayout

PAIRS_AT_ONCE = 256
_LOOKED_AHEAD = 1000  # rows by which the columns are found
_BREAKS = re.compile(r"[\t\r\n]+")  # which the lines of the output have no place for


def task_of_model(notes: Dict[str, Any], labels: Sequence[str]) -> Any:
    """The task that a model of pairs was trained for, as far as its notes say.

    Args:
        notes: content of `fine_tuning.json`; {} for none.
        labels: the model's labels.

    Returns:
        `Task` with the columns of pairs.
    """
    task = datasets.TASKS.get(notes.get("task", ""), datasets.TASKS[datasets.OWN_DATA])
    header, chosen = notes.get("header"), notes.get("chosen_columns", {})
    return task._replace(
        columns=tuple(notes.get("columns") or task_forms.PAIR),
        header=None if header is None else tuple(header),
        labels=tuple(labels),
        chosen=chosen,
    )


def is_table(path: str, encoding: str, task: Any) -> bool:
    """Whether a file is more than lines of text_a<tab>text_b: CSV, JSON lines, or with a header."""
    if path.endswith((".csv", ".json", ".jsonl")):
        return True
    row = next(row_files.Table(path, encoding), None)
    cells = row.cells if row else []
    names = [task.chosen.get(column) for column in ("text_a", "text_b")]
    is_named = all(name in cells for name in names if name) and all(names)
    return is_named or all(
        named_columns.known_name(task, cells, column) for column in ("text_a", "text_b")
    )


def groups(path: str, encoding: str, task: Any) -> Iterator[List[Tuple[str, str]]]:
    """Yields the pairs of a table in lists; blank lines are left out, and noted at the end.

    Args:
        path: the file.
        encoding: name of its encoding.
        task: as of `task_of_model`.

    Yields:
        lists of (text_a, text_b), which have spaces for tabs and line breaks.

    Raises:
        UserError: for a row that is no pair; names the line.
    """
    table = row_files.Table(path, encoding)
    blank: List[int] = []  # lines
    rows = _without_blank(table, blank)
    first = list(itertools.islice(rows, _LOOKED_AHEAD))
    readable = [row for row in first if row.problem is None]
    if not readable:
        raise UserError("%s has no pairs: expected rows with text_a and text_b" % path)
    layout = ColumnLayout(task, "test", table, readable)
    headers = {row.line for row in readable[: layout.num_header_rows]}
    rows = (row for row in itertools.chain(first, rows) if row.line not in headers)
    while True:
        pairs = [_pair(path, layout, row) for row in itertools.islice(rows, PAIRS_AT_ONCE)]
        if not pairs:
            break
        yield pairs
    if blank:
        note = "note: %s: %d empty lines are left out, such as line %d"
        print(printable(note % (path, len(blank), blank[0])), file=sys.stderr)


def _without_blank(rows, blank):
    """Yields rows with cells; the lines of the others are added to `blank`."""
    for row in rows:
        if row.problem == row_files.BLANK:
            blank.append(row.line)
        else:
            yield row


def _pair(path, layout, row):
    try:
        if row.problem:
            raise ValueError(row.problem)
        (example,) = layout.examples(row, is_lenient=True)
    except ValueError as error:
        raise UserError(
            "%s, line %d: %s: expected text_a and text_b" % (path, row.line, error)
        ) from error
    return tuple(_BREAKS.sub(" ", text or "") for text in (example.text_a, example.text_b))
