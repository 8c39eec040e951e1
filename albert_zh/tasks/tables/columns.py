"""Detects a file's header, columns and labels, and turns its rows into examples.

layout = ColumnLayout(get_task("lcqmc"), "train", table, rows)
layout.examples(rows[layout.num_header_rows])
"""

import ast
import collections
import contextlib
import itertools
import re
from typing import Any, Dict, List, Optional, Sequence

from albert_zh.tasks import datasets, registry
from albert_zh.tasks.input_examples import NO_RECORD, InputExample
from albert_zh.tasks.slots import cells as slot_cells
from albert_zh.tasks.tables import named_columns, nested_keys
from albert_zh.tasks.tables.column_choice import ColumnChoice, FirstRows
from albert_zh.tasks.tables.header_columns import HeaderColumns
from albert_zh.tasks.tables.label_checks import known_label, problem_of_label
from albert_zh.tasks.tables.label_rules import shortened
from albert_zh.tasks.tables.named_columns import NOT_TEXTS
from albert_zh.tasks.tables.position_columns import PositionColumns
from albert_zh.tasks.task_forms import KEYS, is_pair


class ColumnLayout:
    """The header and columns of one file, by which its rows are turned into examples."""

    def __init__(self, task: Any, name: str, table: Any, rows: Sequence[Any]) -> None:
        """Detects the header and the columns.

        Args:
            task: `Task`.
            name: name of the split.
            table: `rows.Table`, the file.
            rows: the first rows of the file or all of them, at least one.
        """
        if task.header is not None and set(task.labels or ()) == set(datasets.INFERENCE):
            task = task._replace(is_left_out=datasets.has_no_agreed_label)  # own data
        self._task, self._name = task, name
        self._rules = registry.rules_of(task)
        self._is_json, self._is_csv = table.is_json, table.delimiter == ","
        self._slots_width = self._width_with_slots(rows)
        rows = [row._replace(cells=self._parted(row.cells)[0]) for row in rows]
        first_rows = FirstRows(task, self._rules, name, table.path, self._is_csv, rows)
        self._wanted = first_rows.wanted
        choice = _column_choice(first_rows)
        self.columns, self.header = choice.columns, choice.header
        self._names = choice.names  # names of keys or header cells; None: columns by position
        self.num_header_rows, self.notes = choice.num_header_rows, list(choice.notes)
        if self._slots_width:
            self.notes.append("column %d has slots (3-6:singer)" % self._slots_width)
        self.only_labels_are_bad = True
        self.num_dropped_labels = 0
        self._respelled = {}  # {label of a row: the task's label for the same number}

    def _width_with_slots(self, rows):
        """Number of cells of a row that ends with slots; None if a header names them or without."""
        is_named = self._is_json or any(
            cell.strip().lower() in slot_cells.KEYS for cell in rows[0].cells
        )
        if is_named or not self._task.head.get(slot_cells.COLUMN):
            return None
        return slot_cells.width_with_slots([row.cells for row in rows])

    def _parted(self, cells):
        """(a row's cells without its last cell with slots, {key of slots: that cell}).

        JSON objects also get the keys of nested objects that the user has chosen.
        """
        if isinstance(cells, dict):
            return nested_keys.with_nested(cells, self._task.chosen.values()), {}
        if len(cells) != self._slots_width:
            return cells, {}
        return cells[:-1], {slot_cells.COLUMN: cells[-1]}

    def names_of_columns(self) -> Dict[str, str]:
        """{column: its header name or key, or its position from 1 if it has neither}."""
        if self._names is not None:
            return {column: name for column, name in self._names.items() if name is not None}
        numbered = enumerate(self.columns, start=1)
        return {column: "%d" % position for position, column in numbered if column}

    def drop_labels(self) -> None:
        """Ignores the label column from now on."""
        self._task = self._task._replace(labels=())
        self.columns = tuple(None if column == "label" else column for column in self.columns)
        if self._names is not None:
            self._names["label"] = None

    def has_labels(self, rows: Any) -> bool:
        """Whether any of the rows has a label; malformed rows count as unlabelled."""
        key = "label" if self._names is None else self._names["label"]
        for row in rows:
            with contextlib.suppress(ValueError):
                if self._record(row).get(key):
                    return True
        return False

    def example_of_anything(self, row: Any) -> InputExample:
        """An example built from whatever text a malformed row contains."""
        if isinstance(row.cells, list):
            texts = self._whole_text(self._parted(row.cells)[0])
        else:
            keys = [(self._names or {}).get(column) for column in ("text_a", "text_b")]
            cells = self._parted(row.cells)[0]
            known = [cells.get(key) for key in keys if key is not None]
            if all(text is None for text in known):
                known = [cell for cell in row.cells.values() if isinstance(cell, str)]
            texts = ["" if text is None else str(text) for text in known]
        texts = list(texts) + ["", ""]
        text_b = texts[1] if is_pair(self._task) else None
        return InputExample("test-%d" % row.line, texts[0], text_b, None, self._id_of(row.cells))

    def _whole_text(self, cells):
        """The cells of a row, with a single text that separators had split joined again."""
        names = list(self.columns if self._names is None else self.header)
        if self._is_json or is_pair(self._task) or len(cells) <= len(names):
            return cells
        keys = self._names or {"text_a": "text_a", "label": "label"}
        position = names.index(keys["text_a"])
        end = len(cells) - len(names) + position + 1
        behind = names[position + 1 :]
        if keys.get("label") in behind:
            label = self._known_label(cells[end + behind.index(keys["label"])].strip())
            end = len(cells) if problem_of_label(self._rules, self._task, label) else end
        return [("," if self._is_csv else "\t").join(cells[position:end])]

    def is_repeated_header(self, row: Any) -> bool:
        """Whether a row repeats the header, as in files concatenated from several."""
        if not isinstance(row.cells, list) or not self.header:
            return False
        # The row was the beginning of a file, which may have had a byte-order mark.
        return tuple(cell.strip("\ufeff \t") for cell in row.cells) == self.header

    def examples(self, row: Any, is_lenient: bool = False) -> Optional[List[InputExample]]:
        """The examples of a row.

        Args:
            row: `rows.Row`.
            is_lenient: whether an invalid label is dropped instead of raising an error. A row is
                then skipped for its other columns only, not for its label.

        Returns:
            list of `InputExample`; None for a row that the task skips.

        Raises:
            ValueError: if the row is malformed or its label is invalid; the message says why.
        """
        record = self._record(row)
        if self._task.is_left_out and self._task.is_left_out(record):
            record = {key: record[key] for key in record if key not in KEYS["label"]}
            if not is_lenient or self._task.is_left_out(record):
                return None
        try:
            sources = self._parts(record)
        except (KeyError, TypeError, AttributeError) as error:
            self.only_labels_are_bad = False
            is_missing = isinstance(error, KeyError)
            problem = "no %s in it" if is_missing else "a value of the wrong type (%s)"
            raise ValueError(problem % error) from error
        guid = "%s-%d" % (self._name, row.line)
        row_id = self._id_of(record)
        examples = [self._example(guid, cells, row_id, is_lenient) for cells in sources]
        return [self._with_slots(example, record) for example in examples]

    def _with_slots(self, example, record):
        if not self._task.head.get(slot_cells.COLUMN):
            return example
        texts = (example.text_a, example.text_b)
        try:
            return example._replace(slots=slot_cells.of_record(record, texts))
        except ValueError:
            self.only_labels_are_bad = False
            raise

    def _id_of(self, record):
        """The id that a record contains; None for a record identified by its number."""
        if self._is_json and not isinstance(record, dict):
            return NO_RECORD
        names = NOT_TEXTS if isinstance(record, dict) else ()
        return next((record[name] for name in names if name in record), None)

    def _record(self, row):
        if isinstance(row.cells, dict):
            return dict(self._parted(row.cells)[0])
        names = self.header if self._names is not None else self.columns
        cells, slots = self._parted(row.cells)
        if len(cells) != len(names):
            self.only_labels_are_bad = False
            raise ValueError(self._wrong_count(row.cells, names))
        return dict(zip(names, cells), **slots)

    def _wrong_count(self, cells, names):
        hint = ""
        if self._is_csv and len(cells) > len(names):
            hint = " (a text with commas needs quotes around it)"
        return "%d column%s, expected %s, in %r%s" % (
            len(cells),
            "" if len(cells) == 1 else "s",
            form(names, ", " if self._is_csv else "<tab>"),
            shortened(("," if self._is_csv else "\t").join(cells)),
            hint,
        )

    def _parts(self, record):
        if self._task.examples_of:
            return self._task.examples_of(record)
        if self._names is None:
            return [record]
        cells = {column: record.get(key) for column, key in self._names.items() if key is not None}
        for column in self.columns:
            if column in ("text_a", "text_b") and cells[column] is None:
                raise KeyError(self._names[column])
        return [cells]

    def _example(self, guid, cells, row_id, is_lenient):
        texts = [_as_text(cells.get(column)) for column in ("text_a", "text_b")]
        for column, text in zip(("text_a", "text_b"), texts):
            if text is None and column in self._wanted and self._task.columns:
                self.only_labels_are_bad = False
                raise ValueError("no %s in it" % column)
        label = self._label(cells.get("label"), is_lenient)
        return InputExample(guid, texts[0] or "", texts[1], label, row_id)

    def _labels_of_list(self, entries):
        labels = [_as_text(entry) for entry in entries]
        separator = self._task.separator
        if len(labels) > 2 and set(labels) == {"0", "1"}:
            raise ValueError(
                "the label %s: is it a 0 or 1 for each class? Write the names of the classes "
                "with a 1" % shortened(", ".join(labels))
            )
        bad = [label for label in labels if label is None or separator in label]
        if bad:
            raise ValueError(
                "the label %r in a list: expected one without the separator %r, see "
                "--label_separator" % (bad[0], separator)
            )
        return labels

    def _label(self, cell, is_lenient):
        if "label" not in self.columns:
            return None
        if cell is None and self._name != "test":
            raise ValueError("no label in it")
        if cell is None:
            return None
        has_several = self._rules.has_several_labels
        if has_several and isinstance(cell, str):
            cell = _list_of_cell(cell)
        if isinstance(cell, list) and has_several:
            cell = self._task.separator.join(self._labels_of_list(cell))
        if isinstance(cell, list) and self._rules.has_classes:
            raise ValueError(
                "a list where a label is expected (for several labels of a row --multi_label=true)"
            )
        label = _as_text(cell).strip()
        label = self._known_label(self._task.aliases.get(label, label))
        if not label and self._name == "test" and not has_several:
            return None
        problem = problem_of_label(self._rules, self._task, label)
        if problem and is_lenient:
            self.num_dropped_labels += 1
            return None
        if problem:
            raise ValueError(problem)
        return label

    def _known_label(self, label):
        known = known_label(self._rules, self._task, label)
        if known != label:
            self._respelled[label] = known
        return known

    def notes_of_spellings(self) -> List[str]:
        """A note on labels that the rows read so far spell differently from training."""
        pairs = ["%s is %s" % pair for pair in sorted(self._respelled.items())]
        shown = shortened(", ".join(pairs), 80)
        return ["labels are the same numbers in another notation: %s" % shown] if pairs else []


def _list_of_cell(cell):
    """The list in a table cell with JSON or Python syntax; the cell itself if it holds none."""
    if re.match(r"\s*\[.*\]\s*$", cell):
        with contextlib.suppress(ValueError, SyntaxError):
            return list(ast.literal_eval(cell.strip()))
    return cell


def _column_choice(first_rows):
    """The columns of a file: as chosen by the user, by their names, or by position."""
    first, chosen, keys = first_rows.rows[0].cells, first_rows.task.chosen, []
    if isinstance(first, dict):
        every = itertools.chain.from_iterable(row.cells for row in first_rows.rows)
        keys = list(collections.OrderedDict.fromkeys(every))
    if chosen and _has_chosen_columns(first_rows, keys or first):
        return _chosen_columns(first_rows, keys)
    by_name = HeaderColumns(first_rows)
    if isinstance(first, dict):
        return by_name.of_keys(keys)
    return by_name.of_header() or PositionColumns(first_rows).usual()


def _has_chosen_columns(first_rows, names):
    """Whether the chosen columns must be used; a test file may have other names or none."""
    chosen = first_rows.task.chosen
    is_needed = first_rows.split != "test" or named_columns.are_positions(chosen)
    return is_needed or named_columns.has_chosen_names(chosen, names)


def _chosen_columns(first_rows, keys):
    """The columns that the user has chosen, and the other columns by their usual names."""
    task, path, rows = first_rows.task, first_rows.path, first_rows.rows
    is_test = first_rows.split == "test"
    if not keys and named_columns.are_positions(task.chosen):
        width = collections.Counter(len(row.cells) for row in rows).most_common(1)[0][0]
        positions = named_columns.chosen_places(task, path, width, is_test)
        return PositionColumns(first_rows).chosen(width, positions)
    names = list(keys) or [cell.strip() for cell in rows[0].cells]
    known = named_columns.chosen_names(task, path, names, bool(keys), is_test)
    columns = tuple(sorted(known, key=lambda column: names.index(known[column])))
    shown = ", ".join("%s is %s" % (column, shortened(known[column])) for column in columns)
    header = () if keys else tuple(names)
    return ColumnChoice(
        columns,
        {column: known.get(column) for column in first_rows.wanted},
        header,
        int(not keys),
        ["columns: " + shown],
    )


def _as_text(entry):
    """A cell or a JSON value as text: 3 -> "3", true -> "true"."""
    if entry is None or isinstance(entry, str):
        return entry
    if isinstance(entry, (list, dict)):
        raise ValueError("a %s where a text is expected" % type(entry).__name__)
    return str(entry).lower() if isinstance(entry, bool) else str(entry)


def form(columns: Sequence[Optional[str]], separator: str = "<tab>") -> str:
    """The number of columns and their names, for messages."""
    return "%d (%s)" % (len(columns), separator.join(column or "-" for column in columns))
