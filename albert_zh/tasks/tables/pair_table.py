"""Reads texts or pairs from a table (header, quotes, columns) such as a model's training CSV.

if is_table("train.csv", "utf-8", task):
    for pairs in groups("train.csv", "utf-8", task):
        ...
"""

import itertools
import re
import sys
from typing import Any, Dict, Iterator, List, Sequence

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError, printable
from albert_zh.common.wording import counted
from albert_zh.tasks import datasets, task_forms
from albert_zh.tasks.tables import named_columns
from albert_zh.tasks.tables import rows as row_files
from albert_zh.tasks.tables.columns import ColumnLayout

PAIRS_AT_ONCE = 256
_FEWEST_COLUMNS = 2  # a header has at least two columns: a line with one word may be a text
_LOOKED_AHEAD = 1000  # number of rows from which the columns are detected
_BREAKS = re.compile(r"[\t\r\n]+")  # characters that cannot occur in a line of the output


def task_of_model(notes: Dict[str, Any], labels: Sequence[str]) -> Any:
    """The task that a model was trained for, according to its notes.

    Args:
        notes: content of `fine_tuning.json`; {} if there is none.
        labels: the model's labels.

    Returns:
        `Task` with the model's columns, by default the columns of pairs.
    """
    task = datasets.TASKS.get(notes.get("task", ""), datasets.TASKS[datasets.OWN_DATA])
    header, chosen = notes.get("header"), notes.get("chosen_columns", {})
    return task._replace(
        columns=tuple(notes.get("columns") or task_forms.PAIR),
        header=None if header is None else tuple(header),
        labels=tuple(labels),
        chosen=chosen,
        objective=notes.get("objective", task.objective),
        separator=notes.get("label_separator") or task.separator,
    )


def is_table(path: str, encoding: str, task: Any) -> bool:
    """Whether a file is CSV, JSON lines or has a header, rather than plain lines of texts or pairs.

    Raises:
        UserError: if a bucket denies access to the file.
    """
    if path.endswith((".csv", ".json", ".jsonl")):
        return True
    try:
        if not storage.is_file(path):  # a pipe, whose first lines would be lost
            return False
    except OSError as error:  # raised by a bucket
        raise files.cannot_read(path, error) from error
    row = next(row_files.Table(path, encoding), None)
    cells = row.cells if row else []
    if len(cells) < _FEWEST_COLUMNS:
        return False
    columns = [column for column in ("text_a", "text_b") if column in task.columns]
    names = [task.chosen.get(column) for column in columns]
    is_named = all(name in cells for name in names if name) and all(names)
    return is_named or all(named_columns.known_name(task, cells, column) for column in columns)


def groups(path: str, encoding: str, task: Any) -> Iterator[List[Any]]:
    """Yields the texts of a table in lists; blank lines are skipped and reported at the end.

    Args:
        path: the file.
        encoding: name of its encoding.
        task: a task as `task_of_model` returns it.

    Yields:
        lists of (text_a, text_b), or of text_a if the task has single texts. Tabs and line breaks
        in texts are replaced by spaces.

    Raises:
        UserError: for a row without these texts; the message names the line.
    """
    table = row_files.Table(path, encoding)
    blank: List[int] = []  # lines
    rows = _without_blank(table, blank)
    first = list(itertools.islice(rows, _LOOKED_AHEAD))
    readable = [row for row in first if row.problem is None]
    if not readable:
        what = "pairs" if task_forms.is_pair(task) else "texts"
        raise UserError("%s has no %s: expected rows with %s" % (path, what, _texts_of(task)))
    layout = ColumnLayout(task, "test", table, readable)
    headers = {row.line for row in readable[: layout.num_header_rows]}
    rows = (row for row in itertools.chain(first, rows) if row.line not in headers)
    while True:
        texts = [_texts(path, layout, row, task) for row in itertools.islice(rows, PAIRS_AT_ONCE)]
        if not texts:
            break
        yield texts
    if blank:
        skipped = counted(len(blank), "empty line was", "empty lines were")
        note = "note: %s: %s skipped, such as line %d" % (path, skipped, blank[0])
        print(printable(note), file=sys.stderr)


def _without_blank(rows, blank):
    """Yields the rows that are not blank; the line numbers of blank rows are added to `blank`."""
    for row in rows:
        if row.problem == row_files.BLANK:
            blank.append(row.line)
        else:
            yield row


def _texts_of(task):
    return "text_a and text_b" if task_forms.is_pair(task) else "a text"


def _texts(path, layout, row, task):
    """The text or pair of a row."""
    try:
        if row.problem:
            raise ValueError(row.problem)
        (example,) = layout.examples(row, is_lenient=True)
    except ValueError as error:
        raise UserError(
            "%s, line %d: %s: expected %s" % (path, row.line, error, _texts_of(task))
        ) from error
    texts = tuple(_BREAKS.sub(" ", text or "") for text in (example.text_a, example.text_b))
    return texts if task_forms.is_pair(task) else texts[0]
