"""Streams the rows of a table: tab-separated, CSV as Python and Excel write it, or JSON lines.

    table = Table("train.csv")
    for row in table:
        row.line, row.cells, row.problem

Files are tab-separated and quotes are literal, unless the name ends in .csv or .json(l). A .csv
file whose first line has tabs and no comma is tab-separated too.
"""

import collections
import csv
import hashlib
import itertools
import json
import sys
from typing import List, Optional, Sequence, Tuple

from albert_zh.common import files, json_lists, text_encodings
from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted

MAX_LINES_OF_ROW = 10000  # a quoted cell with more lines than this counts as never closed
BLANK = "a blank line"
_SHOWN_BAD_ROWS = 3  # in an error message
_JSON_ENDINGS, _TABLE_ENDINGS = (".json", ".jsonl"), (".csv", ".tsv")

Row = collections.namedtuple("Row", ["line", "cells", "problem"])
Row.__doc__ = """One row.

Fields:
    line: number of its first line in the file, from 1; in a list of objects, its position there.
    cells: list of str; in a JSON file an object, a dict.
    problem: why the row could not be read, or None; `cells` then has the raw line.
"""

csv.field_size_limit(sys.maxsize)


class Table:
    """An iterator over a file's rows; blank lines are rows, too (their `problem` is `BLANK`).

    Attributes:
        path: the file.
        delimiter: the character between cells, a comma or a tab; None for JSON.
        is_list: whether the file is a list of JSON objects rather than JSON lines.
    """

    def __init__(
        self, path: str, encoding: Optional[str] = "utf-8", replaces_bad_bytes: bool = False
    ) -> None:
        """Opens the file and reads its beginning.

        Args:
            path: the file.
            encoding: name of its encoding; None for files that are always in UTF-8.
            replaces_bad_bytes: replace bytes that are invalid in the encoding by U+FFFD instead of
                raising an error.

        Raises:
            UserError: if the file is missing, unreadable or not in that encoding (raised here or
                while iterating; the message names the line); if JSON lines are named like a table;
                or if a list of objects is incomplete.
        """
        self.path, self._digest = path, hashlib.sha256()
        errors = "replace" if replaces_bad_bytes else "strict"
        lines = files.stream_lines(path, encoding, errors, self._digest)
        first, second = next(lines, None), next(lines, None)
        start = [line for line in (first, second) if line is not None]
        _check_is_no_json(path, start)
        self.delimiter = _delimiter(path, first or "")
        self.is_list = self.is_json and json_lists.begins(start)
        lines = itertools.chain(start, lines)
        if self.is_list:
            lines = json_lists.entries(path, lines)
        numbered = enumerate(lines, start=1)
        self._rows = {None: _json_rows, ",": _csv_rows, "\t": _tab_rows}[self.delimiter](numbered)

    @property
    def is_json(self) -> bool:
        """Whether the rows are JSON objects."""
        return self.delimiter is None

    def __iter__(self) -> "Table":
        return self

    def __next__(self) -> Row:
        """The next `Row`."""
        return next(self._rows)

    def sha256(self) -> str:
        """Hexadecimal digest of the bytes read so far: of the whole file after its last row."""
        return self._digest.hexdigest()


def filled_rows(table: Table) -> Tuple[List[Row], List[str]]:
    """(rows of a table that are not blank, notes on the number of blank lines and on lists)."""
    rows = list(table)
    filled = [row for row in rows if row.problem != BLANK]
    num_blank = len(rows) - len(filled)
    skipped = counted(num_blank, "empty line was", "empty lines were")
    notes = ["%s skipped" % skipped] * bool(num_blank)
    return filled, [json_lists.NOTE] * table.is_list + notes


def bad_row_notes(
    path: str, bad: Sequence[Tuple[int, Exception]], skips: bool, expected: str
) -> List[str]:
    """Notes on the malformed rows of a file.

    Args:
        path: the file.
        bad: (line, reason) for each malformed row.
        skips: whether malformed rows are skipped.
        expected: description of valid rows.

    Raises:
        UserError: if there are malformed rows that are not skipped; names the first lines.
    """
    if bad and not skips:
        shown = "; ".join("line %d: %s" % row for row in bad[:_SHOWN_BAD_ROWS])
        raise UserError(
            "%s: %s (%s): expected %s, or --skip_bad_rows=true"
            % (path, counted(len(bad), "invalid row"), shown, expected)
        )
    skipped = counted(len(bad), "invalid row was", "invalid rows were")
    return ["%s skipped" % skipped] * bool(bad)


def _delimiter(path, first_line):
    """The separator of cells, according to the file's name and its first line."""
    if path.endswith(_JSON_ENDINGS):
        return None
    if not path.endswith(".csv") or ("\t" in first_line and "," not in first_line):
        return "\t"
    return ","


def _check_is_no_json(path, start):
    """Raises `UserError` for JSON under another ending; a text file needs two lines or a list."""
    if path.endswith(_JSON_ENDINGS):
        return
    is_list = json_lists.begins(start)
    are_objects = [isinstance(_json_row(1, line).cells, dict) for line in start]
    is_table = path.endswith(_TABLE_ENDINGS)
    if is_list or any(are_objects[:1]) and (is_table or are_objects == [True, True]):
        raise UserError(
            "%s, line 1: found JSON, but a file of this name is read as a table: name it %s"
            % (path, ".json" if is_list else ".jsonl")
        )


def _json_rows(numbered):
    return (_json_row(line_number, line) for line_number, line in numbered)


def _json_row(line_number, line):
    if not line.strip():
        return Row(line_number, [line], BLANK)
    try:
        record = json.loads(
            line,
            object_pairs_hook=files.object_without_repeated_keys,
            parse_constant=_refused_constant,
        )
        record = text_encodings.with_whole_characters(record, line)
    except (ValueError, RecursionError) as error:
        return Row(line_number, [line], "not valid JSON: %s" % error)
    if not isinstance(record, dict):
        return Row(line_number, [line], "not a JSON object")
    return Row(line_number, record, None)


def _refused_constant(name):
    """Rejects NaN and Infinity, which Python writes for empty cells of a table."""
    raise ValueError("%s is not a JSON value, write null for a missing one" % name)


def _tab_rows(numbered):
    return (
        Row(line_number, line.split("\t"), None if line.strip() else BLANK)
        for line_number, line in numbered
    )


def _csv_rows(numbered):
    """Rows of CSV; a quote that is never closed only invalidates the line that it is in."""
    waiting = collections.deque()

    def next_line():
        return waiting.popleft() if waiting else next(numbered, None)

    for line_number, line in iter(next_line, None):
        text, taken = line, []
        cells = _csv_cells(text)
        while cells is None and len(taken) < MAX_LINES_OF_ROW:
            more = next_line()
            if more is None:
                break
            taken.append(more)
            text += "\n" + more[1]
            within = '"' + more[1]  # parsed separately: the text so far ends within a quoted cell
            behind, is_open = _quoted_cells(within) if '"' in more[1] else (None, True)
            if not is_open:
                cells = behind and _quoted_cells(text)[0]
                break
        if cells is None:
            waiting.extendleft(reversed(taken))
            yield Row(line_number, line.split(","), "a quote is opened but not closed")
        else:
            yield Row(line_number, cells, None if text.strip() else BLANK)


def _csv_cells(text):
    """The cells of a record's text; None if it ends within a quoted cell."""
    if '"' not in text:
        return text.split(",")
    cells, is_open = _quoted_cells(text)
    if cells or is_open:
        return cells
    try:
        return next(csv.reader([text]))  # text after a closing quote, as in: "a"b,c
    except csv.Error:  # NUL bytes, which Python's reader rejects before 3.11
        return text.split(",")


def _quoted_cells(text):
    """(cells, whether the text ends within a quoted cell); the cells are None if misquoted."""
    try:
        return next(csv.reader([text], strict=True)), False
    except csv.Error as error:
        return None, "unexpected end of data" in str(error)


class RowsDontFit(UserError):
    """Rows of a file are malformed.

    Attributes:
        num_rows: number of rows of the file, including malformed ones.
        has_unknown_labels: whether nothing but the labels is wrong.
    """

    def __init__(self, message: str, num_rows: int, has_unknown_labels: bool) -> None:
        super().__init__(message)
        self.num_rows, self.has_unknown_labels = num_rows, has_unknown_labels
