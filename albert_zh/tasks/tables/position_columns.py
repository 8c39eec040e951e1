"""Identifies the columns of a file by their order, if it has no header or an unknown one."""

import collections
import re
from typing import Any, Dict

from albert_zh.common.errors import UserError
from albert_zh.tasks.tables import named_columns, running_numbers
from albert_zh.tasks.tables.column_choice import ColumnChoice
from albert_zh.tasks.tables.label_checks import known_label, problem_of_label
from albert_zh.tasks.tables.label_rules import MANY_LABELS, are_short, shortened
from albert_zh.tasks.task_forms import PAIR, note_of_first_row

# Names of text columns, by which the header of a file without labels is recognized.
TEXT_COLUMN = re.compile(
    r"(text|sentence|sent|question|query|title|q|s|句子|文本|问题|标题)[ _-]?([ab12]|一|二)?$", re.I
)
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?$")
_NAME = re.compile(r"[A-Za-z][\w ./-]*$", re.A)  # English column names
_ID_COLUMN = re.compile(r"(id|idx|index|no|编号|序号)$", re.I)
FEW_LABELS = 20  # up to this many labels may be different in every row
_COLUMNS_BY_COUNT = {1: ("text_a",), 2: ("text_a", "label"), 3: PAIR}


class PositionColumns:
    """Columns by their positions; line 1 may be a header with unknown names."""

    def __init__(self, first_rows: Any) -> None:
        """Stores the rows from which the columns are detected.

        Args:
            first_rows: `FirstRows`.
        """
        self._task, self._rules = first_rows.task, first_rows.rules
        self._split, self._path = first_rows.split, first_rows.path
        self._is_csv, self._rows = first_rows.is_csv, first_rows.rows

    def chosen(self, width: int, places: Dict[str, int]) -> ColumnChoice:
        """Columns that the user has chosen by position.

        Args:
            width: number of cells in a usual row.
            places: {column: position from 0}.

        Returns:
            `ColumnChoice`.
        """
        by_position = {position: column for column, position in places.items()}
        columns = tuple(by_position.get(position) for position in range(width))
        cells = self._rows[0].cells
        is_named = len(cells) == width and any(
            self._key_of([cells[position]], column) for column, position in places.items()
        )
        is_named = is_named or any(_ID_COLUMN.match(cell.strip()) for cell in cells)
        if not (is_named or self._is_header(columns)):
            return ColumnChoice(columns)
        notes = ["line 1 is a header (%s)" % shortened(" | ".join(cells))]
        return ColumnChoice(columns, None, tuple(cell.strip() for cell in cells), 1, notes)

    def usual(self) -> ColumnChoice:
        """The usual columns for rows of the file's usual width.

        Returns:
            `ColumnChoice`.

        Raises:
            UserError: if the file seems to have other columns.
        """
        cells = self._rows[0].cells
        columns, label_position = self._usual_columns()
        if None not in columns:
            self._check_is_no_id(columns)
        self._check_columns_of_training(columns)
        self._check_texts_are_no_labels(columns)
        shown = shortened(" | ".join(cells))
        header, notes = (), self._about_ids(columns)
        if label_position is not None or self._is_header(columns):
            header = tuple(cells)
            notes.append("line 1 is a header (%s)" % shown)
        elif self._has_first_label_alone(columns):
            notes.append(
                "line 1 is treated as a row (%s): if it is a header, name its columns %s"
                % (shown, ", ".join(columns))
            )
        elif self._split == "test" and "label" not in columns:
            notes += note_of_first_row(cells, ", ".join(filter(None, columns)))
        if self._task.labels is None or self._task.header is not None:
            notes.append("columns are assigned by position: %s" % ", ".join(filter(None, columns)))
        return ColumnChoice(columns, None, header, int(bool(header)), notes)

    def _usual_columns(self):
        """(columns, position of a known name of the label column in line 1 or None)."""
        widths = collections.Counter(len(row.cells) for row in self._rows)
        usual = widths.most_common(1)[0][0]
        columns = self._task.columns or self._columns_by_content(usual)
        unlabelled = tuple(column for column in columns if column != "label")
        if self._split == "test" and self._lacks_labels(usual, columns):
            columns = unlabelled
        label_position = None if self._task.columns else self._position_of_label_name(columns)
        if label_position is not None:
            columns = unlabelled[:label_position] + ("label",) + unlabelled[label_position:]
        return columns, label_position

    def _columns_by_content(self, usual):
        """The columns of own data with a usual width; None for a first column of ids."""
        rows = [row.cells for row in self._rows if len(row.cells) == usual]
        starts_with_id = self._split != "test" and usual - 1 in (2, 3) and _are_ids(rows)
        columns = _COLUMNS_BY_COUNT.get(usual - starts_with_id, PAIR)
        if self._rules.has_classes and _has_label_first(rows, starts_with_id, len(columns)):
            columns = ("label", *columns[:-1])
        return (None,) * starts_with_id + columns

    def _about_ids(self, columns):
        """A list with the note on an ignored column of ids; empty if there is none."""
        is_left_out = self._task.columns is None and None in columns
        note = "column 1 has a different number in each row: it is ignored as an id"
        return [note] * is_left_out

    def _check_is_no_id(self, columns):
        """Raises `UserError` if rows have numbers where their first text is expected."""
        cells = [row.cells[0] for row in self._rows[1:]]
        is_numbered = len(set(cells)) == len(cells) > 1 and all(map(NUMBER.match, cells))
        if self._split == "test":
            are_texts = len(columns) == 1 or any(map(self._is_label, self._labels(columns)))
        else:
            are_texts = self._task.columns is not None or len(columns) < len(PAIR)
        if is_numbered and not are_texts:
            is_pair = "text_b" in columns and self._task.columns is not None
            raise UserError(
                "%s: column 1 has a different number in each row: an id? Name the columns in a "
                "header line, as id, text_a, %s"
                % (
                    self._path,
                    "text_b" if is_pair else "label, or by %s" % self._flags_behind_id(),
                )
            )

    def _flags_behind_id(self):
        """The flags that name the columns of training rows after a column of ids."""
        if len(self._rows[-1].cells) > len(PAIR) + 1:
            return "--text_column and --label_column: names in line 1, or positions from 1"
        if len(self._rows[-1].cells) > len(PAIR):
            return "--text_column=2 --text_b_column=3 --label_column=4"
        return "--text_column=2 --label_column=3"

    def _labels(self, columns):
        """The cells in the label column; an empty list if there is no such column."""
        if "label" not in columns:
            return []
        position = columns.index("label")
        cells = [row.cells[position] for row in self._rows if len(row.cells) == len(columns)]
        return [cell.strip() for cell in cells]

    def _check_columns_of_training(self, columns):
        """Raises `UserError` if rows without a header may have columns that training ignored."""
        header, labels = self._task.header or (), self._labels(columns)
        if self._split != "test" or len(header) <= len(columns):
            return
        if labels and not any(map(self._is_label, labels)):
            raise UserError(
                "%s: no header, and %r is no label: let line 1 name the columns, as the training "
                "file does (%s)" % (self._path, shortened(labels[0]), ", ".join(header))
            )

    def _check_texts_are_no_labels(self, columns):
        """Raises `UserError` if texts and labels have swapped places since training."""
        labels = self._labels(columns)
        if self._split != "test" or not labels or not self._rules.has_classes:
            return
        position = columns.index("text_a")
        texts = [row.cells[position] for row in self._rows if len(row.cells) == len(columns)]
        num_labels = sum(bool(text.strip()) and self._is_label(text.strip()) for text in texts)
        if 2 * num_labels > len(texts) and not any(map(self._is_label, labels)):
            raise UserError(
                "%s: column %d, where training had the text, has labels (%s), column %d none: name "
                "the columns in a header line"
                % (self._path, position + 1, texts[0], columns.index("label") + 1)
            )

    def _is_label(self, cell):
        label = known_label(self._rules, self._task, cell)
        return problem_of_label(self._rules, self._task, label) is None

    def _lacks_labels(self, usual, columns):
        """Whether a file's usual row has no label; commas in a text may have split some rows."""
        if usual == len([column for column in columns if column != "label"]):
            return True
        are_parted = usual == 2 and self._is_csv and any(len(row.cells) == 1 for row in self._rows)
        if not are_parted or "label" not in columns:
            return False
        position = columns.index("label")
        labels = [row.cells[position].strip() for row in self._rows if len(row.cells) == 2]
        return not any(label and self._is_label(label) for label in labels)

    def _position_of_label_name(self, columns):
        """Position of a known label column name in line 1, if that line is a header; or None."""
        cells = [cell.strip() for cell in self._rows[0].cells]
        name = self._key_of(cells, "label")
        if name is None or "label" not in columns or len(cells) < 2:
            return None
        named, usual = cells.index(name), columns.index("label")
        columns_of_names = [
            {row.cells[position].strip() for row in self._rows[1:] if len(row.cells) > position}
            for position in (named, usual)
        ]
        if name in columns_of_names[0] or (
            named != usual and len(columns_of_names[0]) >= len(columns_of_names[1])
        ):
            return None
        if len(cells) != len(columns) or any(_ID_COLUMN.match(cell) for cell in cells):
            raise UserError(
                "%s, line %d: a header (%s) whose texts have no known name: name them text_a, and "
                "of pairs text_b" % (self._path, self._rows[0].line, shortened(" | ".join(cells)))
            )
        return named

    def _has_first_label_alone(self, columns):
        """Whether line 1 of training data, read as a row, has a label that no other row has."""
        if self._task.columns or "label" not in columns or len(self._rows) < 3:
            return False
        labels = self._labels(columns)
        if len(self._rows[0].cells) != len(columns) or NUMBER.match(labels[0]):
            return False
        parts = [set(self._rules.labels_of_cell(cell, self._task.separator)) for cell in labels]
        return not parts[0] & set().union(*parts[1:])

    def _is_header(self, columns):
        task, cells = self._task, self._rows[0].cells
        if task.header is not None:
            names = dict(zip(task.columns, task.header))
            without_label = tuple(name for column, name in names.items() if column != "label")
            is_same = bool(task.header) and tuple(cells) in (task.header, without_label)
            return is_same or self._is_label_name(cells, columns)
        if "label" not in columns:
            return all(TEXT_COLUMN.match(cell.strip()) for cell in cells)
        if task.labels is not None and self._is_label_name(cells, columns):
            return True
        return len(cells) == len(columns) and self._is_label_of_another_kind(columns)

    def _is_label_of_another_kind(self, columns):
        """Whether only line 1 has a label that is not a number, or a label that occurs once."""
        position = columns.index("label")
        labels = [row.cells[position].strip() for row in self._rows if len(row.cells) > position]
        label, counts = labels[0], collections.Counter(labels[1:])
        if not label or NUMBER.match(label) or label in counts or not counts:
            return False
        is_text_among_numbers = all(map(NUMBER.match, counts))
        if self._task.labels is None:
            return len(self._rows) > 2 and (is_text_among_numbers or min(counts.values()) > 1)
        is_known = label in self._task.labels or label in self._task.aliases
        return is_text_among_numbers and not is_known and bool(_NAME.match(label))

    def _is_label_name(self, cells, columns):
        """Whether the cell in the label column is a name of that column rather than a label."""
        if "label" not in columns or len(cells) != len(columns):
            return False
        label = cells[columns.index("label")].strip()
        return self._key_of([label], "label") is not None and label not in self._task.labels

    def _key_of(self, names, column):
        return named_columns.known_name(self._task, names, column)


def _are_ids(rows):
    return running_numbers.are_ids([cells[0] for cells in rows])


def _has_label_first(rows, start, count):
    """Whether only the first of the columns from `start` on has labels, and the last has texts."""
    columns = {n: [cells[start + n] for cells in rows] for n in range(count)}
    candidates = [n for n, _ in named_columns.label_candidates(columns)]
    if candidates != [0] or len(set(columns[0])) > MANY_LABELS:
        return False
    texts = columns[count - 1]
    are_different = len(set(texts)) > max(FEW_LABELS, 0.9 * len(texts))
    are_numbers = all(NUMBER.match(text.strip()) for text in texts)
    return are_different and not are_numbers and are_short(set(columns[0]), texts)
