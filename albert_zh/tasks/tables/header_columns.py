"""Detects the columns of a file by the names in its header line or by its JSON keys."""

from typing import Any, Optional, Sequence

from albert_zh.common.errors import UserError
from albert_zh.tasks import task_forms
from albert_zh.tasks.slots import cells as slot_cells
from albert_zh.tasks.tables import named_columns
from albert_zh.tasks.tables.column_choice import ColumnChoice
from albert_zh.tasks.tables.label_rules import plain_label, shortened
from albert_zh.tasks.tables.named_columns import NOT_TEXTS

# Names of a second text that is optional: the first text may also be used alone.
_ANSWERS = frozenset("answer reply response 答案 回答 回复 答复".split())


class HeaderColumns:
    """Columns by the names of a header line, or of the keys of JSON lines."""

    def __init__(self, first_rows: Any) -> None:
        """Stores the rows in which the columns are searched.

        Args:
            first_rows: `FirstRows`.
        """
        self._task, self._path = first_rows.task, first_rows.path
        self._wanted, self._rows = first_rows.wanted, first_rows.rows

    def _columns_of(self, names):
        """(columns in the order of the names, {column: name})."""
        known = {
            column: self._key_of(names, column)
            for column in ("text_a", "text_b", "label")
            if column in self._wanted
        }
        if self._task.examples_of:
            return self._wanted, known
        named = [column for column, key in known.items() if key is not None]
        names = list(names)
        return tuple(sorted(named, key=lambda column: names.index(known[column]))), known

    def of_keys(self, keys: Sequence[str]) -> ColumnChoice:
        """The columns of JSON lines.

        Args:
            keys: list of str, the keys of all rows.

        Returns:
            `ColumnChoice`.

        Raises:
            UserError: if the user's own data have a label but no key that is known for a text.
        """
        columns, names = self._columns_of(keys)
        notes = []
        if self._task.columns is None:  # known tasks have more keys than they use
            used = set(NOT_TEXTS).union(names.values())
            unused = [key for key in keys if key not in used]
            self._check_has_text(names, unused)
            notes = self._about_pair(names) + self._unused(unused, names)
        return ColumnChoice(columns, names, notes=notes)

    def _check_has_text(self, names, unused):
        if names["label"] is not None and names["text_a"] is None and not self._task.examples_of:
            raise UserError(
                "%s has no text: in addition to %s it has %s: name the text text_a, or pass "
                "--text_column=KEY"
                % (self._path, names["label"], shortened(", ".join(unused), 200) or "none")
            )

    def _about_pair(self, names):
        """A note on a second text whose name counts only because the first text is a question."""
        known = task_forms.KEYS["text_b"]
        if self._task.columns or not names["text_b"] or plain_label(names["text_b"]) in known:
            return []
        pair = (names["text_a"], names["text_b"])
        return ["texts are pairs of %s and %s: for single texts pass --text_column" % pair]

    def of_header(self) -> Optional[ColumnChoice]:
        """The columns by the names in line 1 or 2; None if neither line is a known header.

        Returns:
            `ColumnChoice`, or None.

        Raises:
            UserError: if a name occurs twice, or line 1 names only some of the texts.
        """
        first = self._rows[0].cells
        if self._is_named(first) and not self._has_names_as_labels():
            return self._of_row(0)
        if self._is_header_below_another():
            return self._of_row(1)
        self._check_named_texts(first)
        return None

    def _is_named(self, cells):
        """Whether a line is a header whose names are known."""
        texts = [c for c in ("text_a", "text_b") if self._task.columns and c in self._wanted]
        if not all(self._key_of(cells, column) for column in texts or ["text_a"]):
            return False
        is_of_names = len(cells) > 1 or self._task.columns is None or len(texts) == 1
        return is_of_names and all(len(cell) < 60 for cell in cells)

    def _has_names_as_labels(self):
        """Whether the names in line 1 are values, such as labels "question" and "statement"."""
        cells = self._rows[0].cells
        if len(cells) == 1 or self._key_of(cells, "label") is not None:
            return False
        names = [self._key_of(cells, column) for column in ("text_a", "text_b")]
        below = [row.cells for row in self._rows[1:] if row.cells != cells]
        return all(
            name in (self._task.labels or ())
            or any(name in other[position : position + 1] for other in below)
            for position, name in enumerate(cells)
            if name in names
        )

    def _is_header_below_another(self):
        """Whether line 2 has the known names and line 1 is a title or a header of other names."""
        second = self._rows[1].cells if len(self._rows) > 1 else []
        label = self._key_of(second, "label")
        if label is None or not self._is_named(second):
            return False
        if len(second) != len(self._rows[0].cells):
            return True
        position = second.index(label)
        labels = [row.cells[position].strip() for row in self._rows if len(row.cells) > position]
        return labels[0] not in labels[1:] and labels[0] not in (self._task.labels or ())

    def _check_named_texts(self, cells):
        """Checks that a header that names a text and the label names all texts of the task."""
        missing = [c for c in self._wanted if c != "label" and not self._key_of(cells, c)]
        has_some = len(missing) < len(self._wanted) - 1 and self._key_of(cells, "label")
        if self._task.columns and missing and has_some:
            raise UserError(
                "%s has no %s column: it has %s (name the columns %s in the header line)"
                % (self._path, missing[0], ", ".join(cells), ", ".join(self._wanted))
            )

    def _of_row(self, row_index):
        """The columns by the names in the first or second row, as a `ColumnChoice`."""
        rows = self._rows
        header = tuple(cell.strip() for cell in rows[row_index].cells)
        columns, names = self._columns_of(header)
        self._check_names_are_once(header, names, rows[row_index].line)
        num_header_rows = row_index + 1
        notes = ["line %d is a header (%s)" % (row_index + 1, shortened(" | ".join(header)))]
        notes += self._about_pair(names)
        notes += self._unused(
            [cell for cell in header if cell and cell not in names.values()], names
        )
        other = rows[1 - row_index].cells if len(rows) > 1 else []
        if row_index == 1 or self._has_same_names(other, header, names):
            num_header_rows = 2
            other = shortened(" | ".join(other))
            notes.append("line %d is a header too (%s)" % (2 - row_index, other))
        return ColumnChoice(columns, names, header, num_header_rows, notes)

    def _check_names_are_once(self, header, names, line):
        lower = [cell.lower() for cell in header if cell]
        twice = sorted({cell for cell in lower if lower.count(cell) > 1})
        if any(name and name.lower() in twice for name in names.values()):
            raise UserError(
                "%s, line %d: the header has the column %s twice: rename one"
                % (self._path, line, ", ".join(twice))
            )

    def _unused(self, unused, names):
        """Notes on columns that are not used."""
        if self._task.head.get(slot_cells.COLUMN):
            unused = [name for name in unused if name.lower() not in slot_cells.KEYS]
        if not unused:
            return []
        hint = self._about_second_text(unused, names)
        return ["columns that are not used: %s%s" % (shortened(", ".join(unused)), hint)]

    def _about_second_text(self, unused, names):
        """A hint if an unused column has the name of a text."""
        if "text_b" not in self._wanted or names["text_b"] or not names["text_a"]:
            return ""
        second = self._key_of(unused, "text_a") or next(
            (name for name in unused if plain_label(name) in _ANSWERS), None
        )
        if second is None or self._task.columns:
            return ""
        return " (to read both %s and %s: --text_column=%s --text_b_column=%s)" % (
            (names["text_a"], second) * 2
        )

    def _has_same_names(self, cells, header, names):
        """Whether a line is a second header: known names in all columns that the header names."""
        if len(cells) != len(header) or not names.get("label"):
            return False
        positions = {column: header.index(name) for column, name in names.items() if name}
        return all(self._key_of([cells[positions[column]]], column) for column in positions)

    def _key_of(self, names, column):
        return named_columns.known_name(self._task, names, column)
