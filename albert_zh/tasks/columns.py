"""What the rows of a file mean: its header, its columns, labels; rows -> examples.

layout = Layout(get_task("lcqmc"), "train", table, rows)
layout.examples(rows[layout.num_header_rows])
"""

import collections
import contextlib
import itertools
import re

from albert_zh.common.errors import UserError
from albert_zh.tasks import named_columns, task_type
from albert_zh.tasks.datasets import KEYS, PAIR, is_pair, label_parts
from albert_zh.tasks.named_columns import NOT_TEXTS, plain_label, shortened

NO_RECORD = "no record"  # in place of the id of a line that is predicted and not submitted
# Names of text columns, by which the header of a file without labels is known.
TEXT_COLUMN = re.compile(
    r"(text|sentence|sent|question|query|title|q|s|句子|文本|问题|标题)[ _-]?([ab12]|一|二)?$", re.I
)
NUMBER = re.compile(r"[-+]?\d+(\.\d+)?$")
_NAME = re.compile(r"[A-Za-z][\w ./-]*$", re.A)  # as columns have in English
_ID_COLUMN = re.compile(r"(id|idx|index|no|编号|序号)$", re.I)
_COLUMNS_BY_COUNT = {1: ("text_a",), 2: ("text_a", "label"), 3: PAIR}

InputExample = collections.namedtuple(
    "InputExample", ["guid", "text_a", "text_b", "label", "row_id"]
)
InputExample.__new__.__defaults__ = (None,)


class Layout:
    """What the rows of one file mean: its header, its columns, records to examples."""

    def __init__(self, task, name, table, rows):
        """Finds out.

        Args:
            task: `Task`.
            name: name of the split.
            table: `tables.Table`, the file.
            rows: its first rows or all, at least one.
        """
        self._task, self._name = task, name
        self._is_json, self._is_csv = table.is_json, table.delimiter == ","
        path = table.path
        self._wanted = tuple(c for c in task.columns or PAIR if c)
        self._names = None  # of a record's keys, where rows are no cells or a header names them
        self.header, self.notes, self.num_header_rows = (), [], 0
        self.only_labels_are_bad = True
        self.num_dropped_labels = 0
        first, keys = rows[0].cells, ()
        if isinstance(first, dict):
            every = itertools.chain.from_iterable(row.cells for row in rows)
            keys = list(collections.OrderedDict.fromkeys(every))
        if task.chosen and self._has_chosen_columns(keys or first):
            self._take_chosen(path, rows, keys)
        elif isinstance(first, dict):
            self.columns = self._columns_of_keys(keys)
            if task.columns is None:  # known tasks have more keys than they use
                used = set(NOT_TEXTS).union(self._names.values())
                self._note_unused([key for key in keys if key not in used])
        elif self._is_named(first) and not self._is_of_values(rows):
            self._take_header(path, rows, 0)
        elif self._is_header_below_another(rows):
            self._take_header(path, rows, 1)
        else:
            self._check_named_texts(path, first)
            self._take_positions(path, rows)

    def _key_of(self, names, column):
        return named_columns.known_name(self._task, names, column)

    def _has_chosen_columns(self, names):
        """Whether the chosen columns are to be found; a test file may have other or no names."""
        chosen = self._task.chosen
        is_needed = self._name != "test" or named_columns.are_positions(chosen)
        return is_needed or named_columns.has_chosen_names(chosen, names)

    def _take_chosen(self, path, rows, keys):
        """Takes the columns that the user has named, and the others by their usual names."""
        is_test = self._name == "test"
        if not keys and named_columns.are_positions(self._task.chosen):
            width = collections.Counter(len(row.cells) for row in rows).most_common(1)[0][0]
            self._take_places(
                rows, width, named_columns.chosen_places(self._task, path, width, is_test)
            )
            return
        names = list(keys) or [cell.strip() for cell in rows[0].cells]
        found = named_columns.chosen_names(self._task, path, names, bool(keys), is_test)
        self._names = {column: found.get(column) for column in self._wanted}
        self.columns = tuple(sorted(found, key=lambda column: names.index(found[column])))
        if not keys:
            self.header, self.num_header_rows = tuple(names), 1
        self.notes.append(
            "columns: %s" % ", ".join("%s is %s" % (c, shortened(found[c])) for c in self.columns)
        )

    def _take_places(self, rows, width, places):
        """Takes columns by their places, {column: int from 0}; line 1 may be a header."""
        columns = {place: column for column, place in places.items()}
        self.columns = tuple(columns.get(place) for place in range(width))
        cells = rows[0].cells
        is_named = len(cells) == width and any(
            self._key_of([cells[place]], column) for column, place in places.items()
        )
        is_named = is_named or any(_ID_COLUMN.match(cell.strip()) for cell in cells)
        if is_named or self._is_header_by_position(rows):
            self.header, self.num_header_rows = tuple(cell.strip() for cell in cells), 1
            self.notes.append("line 1 is a header (%s)" % shortened(" | ".join(cells)))

    def _columns_of_keys(self, names):
        """The columns in the order of the names."""
        self._names = {
            column: self._key_of(names, column)
            for column in ("text_a", "text_b", "label")
            if column in self._wanted
        }
        if self._task.examples_of:
            return self._wanted
        found = [column for column, key in self._names.items() if key is not None]
        names = list(names)
        return tuple(sorted(found, key=lambda column: names.index(self._names[column])))

    def _is_named(self, cells):
        """Whether a line is a header whose names are known."""
        texts = [c for c in ("text_a", "text_b") if self._task.columns and c in self._wanted]
        if not all(self._key_of(cells, column) for column in texts or ["text_a"]):
            return False
        is_of_names = len(cells) > 1 or self._task.columns is None or len(texts) == 1
        return is_of_names and all(len(cell) < 60 for cell in cells)

    def _is_of_values(self, rows):
        """Whether the names in line 1 are values, such as labels "question" and "statement"."""
        cells = rows[0].cells
        if len(cells) == 1 or self._key_of(cells, "label") is not None:
            return False
        names = [self._key_of(cells, column) for column in ("text_a", "text_b")]
        below = [row.cells for row in rows[1:] if row.cells != cells]
        return all(
            name in (self._task.labels or ())
            or any(name in other[place : place + 1] for other in below)
            for place, name in enumerate(cells)
            if name in names
        )

    def _is_header_below_another(self, rows):
        """Whether line 2 has the known names, and line 1 is a title or a header of other names."""
        second = rows[1].cells if len(rows) > 1 else []
        label = self._key_of(second, "label")
        if label is None or not self._is_named(second):
            return False
        if len(second) != len(rows[0].cells):
            return True
        place = second.index(label)
        labels = [row.cells[place].strip() for row in rows if len(row.cells) > place]
        return labels[0] not in labels[1:] and labels[0] not in (self._task.labels or ())

    def _check_named_texts(self, path, cells):
        """A header that names a text and the label needs all texts of the task."""
        missing = [c for c in self._wanted if c != "label" and not self._key_of(cells, c)]
        has_some = len(missing) < len(self._wanted) - 1 and self._key_of(cells, "label")
        if self._task.columns and missing and has_some:
            raise UserError(
                "%s has no %s column: it has %s (name the columns %s in the header line)"
                % (path, missing[0], ", ".join(cells), ", ".join(self._wanted))
            )

    def _take_header(self, path, rows, number):
        """Takes the columns by the names of a row, the first or the second."""
        self.header = tuple(cell.strip() for cell in rows[number].cells)
        lower = [cell.lower() for cell in self.header if cell]
        twice = sorted({cell for cell in lower if lower.count(cell) > 1})
        self.columns = self._columns_of_keys(self.header)
        names = set(self._names.values())
        if any(name and name.lower() in twice for name in names):
            raise UserError(
                "%s, line %d: the header has the column %s twice: rename one"
                % (path, rows[number].line, ", ".join(twice))
            )
        self.num_header_rows = number + 1
        names_shown = shortened(" | ".join(self.header))
        self.notes.append("line %d is a header (%s)" % (number + 1, names_shown))
        self._note_unused([cell for cell in self.header if cell not in names])
        other = rows[1 - number].cells if len(rows) > 1 else []
        if number == 1 or self._has_same_names(other):
            self.num_header_rows = 2
            other = shortened(" | ".join(other))
            self.notes.append("line %d is a header too (%s)" % (2 - number, other))

    def _note_unused(self, names):
        if names:
            self.notes.append(
                "columns that are not used: %s%s"
                % (shortened(", ".join(names)), self._about_second_text(names))
            )

    def _about_second_text(self, unused):
        """A hint where a column that is not used has a text's name."""
        if "text_b" not in self._wanted or self._names["text_b"] or not self._names["text_a"]:
            return ""
        is_text = self._key_of(unused, "text_a") is not None
        return " (text_b would be the name of a second text)" if is_text else ""

    def _has_same_names(self, cells):
        """Whether a line has known names, too, wherever the header, which names the label, has."""
        if len(cells) != len(self.header) or not self._names.get("label"):
            return False
        places = {column: self.header.index(name) for column, name in self._names.items() if name}
        return all(self._key_of([cells[places[column]]], column) for column in places)

    def _check_is_no_id(self, path, rows):
        """Raises `UserError` where own pairs have numbers in place of their first texts."""
        cells = [row.cells[0] for row in rows[1:]]
        is_numbered = len(set(cells)) == len(cells) > 1 and all(map(NUMBER.match, cells))
        if self._task.columns is None and is_numbered and len(self.columns) == len(PAIR):
            raise UserError(
                "%s: column 1 has a number of its own in each row: an id? Name the columns in a "
                "header line, as id, text_a, label, or by --text_column=2 --label_column=3" % path
            )

    def _check_columns_of_training(self, path, rows):
        """Raises `UserError` where rows without a header may begin with what training left out."""
        header = self._task.header or ()
        if self._name != "test" or len(header) <= len(self.columns) or "label" not in self.columns:
            return
        place = self.columns.index("label")
        labels = [row.cells[place].strip() for row in rows if len(row.cells) == len(self.columns)]
        if labels and all(_problem_of_label(self._task, label) for label in labels):
            raise UserError(
                "%s: no header, and %r is no label: let line 1 name the columns, as the training "
                "file does (%s)" % (path, shortened(labels[0]), ", ".join(header))
            )

    def _take_positions(self, path, rows):
        cells = rows[0].cells
        usual = collections.Counter(len(row.cells) for row in rows).most_common(1)[0][0]
        columns = self._task.columns or _COLUMNS_BY_COUNT.get(usual, PAIR)
        unlabelled = tuple(column for column in columns if column != "label")
        if self._name == "test" and self._lacks_labels(rows, usual, columns):
            columns = unlabelled
        place = None if self._task.columns else self._place_of_label_name(path, rows, columns)
        if place is not None:
            columns = unlabelled[:place] + ("label",) + unlabelled[place:]
        self.columns = columns
        self._check_is_no_id(path, rows)
        self._check_columns_of_training(path, rows)
        shown = shortened(" | ".join(cells))
        if place is not None or self._is_header_by_position(rows):
            self.header, self.num_header_rows = tuple(cells), 1
            self.notes.append("line 1 is a header (%s)" % shown)
        elif self._has_first_label_alone(rows):
            self.notes.append(
                "line 1 is taken for a row (%s): if it is a header, name its columns %s"
                % (shown, ", ".join(columns))
            )
        if self._task.labels is None or self._task.header is not None:
            self.notes.append(
                "columns are taken by their position: %s" % ", ".join(filter(None, columns))
            )

    def _lacks_labels(self, rows, usual, columns):
        """Whether a file's usual row has no label; commas of a text may have parted some rows."""
        if usual == len([column for column in columns if column != "label"]):
            return True
        are_parted = usual == 2 and self._is_csv and any(len(row.cells) == 1 for row in rows)
        if not are_parted or "label" not in columns:
            return False
        place = columns.index("label")
        labels = [row.cells[place].strip() for row in rows if len(row.cells) == 2]
        return not any(label and not _problem_of_label(self._task, label) for label in labels)

    def _place_of_label_name(self, path, rows, columns):
        """Where line 1 has a known name of the label column, so that it is a header; or None."""
        cells = [cell.strip() for cell in rows[0].cells]
        name = self._key_of(cells, "label")
        if name is None or "label" not in columns or len(cells) < 2:
            return None
        place, usual = cells.index(name), columns.index("label")
        found = [
            {row.cells[number].strip() for row in rows[1:] if len(row.cells) > number}
            for number in (place, usual)
        ]
        if name in found[0] or (place != usual and len(found[0]) >= len(found[1])):
            return None
        if len(cells) != len(columns) or any(_ID_COLUMN.match(cell) for cell in cells):
            raise UserError(
                "%s, line %d: a header (%s) whose texts have no known name: name them text_a, and "
                "of pairs text_b" % (path, rows[0].line, shortened(" | ".join(cells)))
            )
        return place

    def _has_first_label_alone(self, rows):
        """Whether line 1 of training data, taken for a row, has a label that no other row has."""
        if self._task.columns or "label" not in self.columns or len(rows) < 3:
            return False
        place = self.columns.index("label")
        labels = [row.cells[place].strip() for row in rows if len(row.cells) == len(self.columns)]
        if len(rows[0].cells) != len(self.columns) or NUMBER.match(labels[0]):
            return False
        first = set(label_parts(self._task, labels[0]))
        return not first & {part for label in labels[1:] for part in label_parts(self._task, label)}

    def _is_header_by_position(self, rows):
        task, cells = self._task, rows[0].cells
        if task.header is not None:
            names = dict(zip(task.columns, task.header))
            without_label = tuple(name for column, name in names.items() if column != "label")
            is_same = bool(task.header) and tuple(cells) in (task.header, without_label)
            return is_same or self._is_label_name(cells)
        if "label" not in self.columns:
            return all(TEXT_COLUMN.match(cell.strip()) for cell in cells)
        if task.labels is not None and self._is_label_name(cells):
            return True
        return len(cells) == len(self.columns) and self._is_label_of_another_kind(rows)

    def _is_label_of_another_kind(self, rows):
        """Whether line 1 alone has a label that is no number, or that no other line has."""
        place = self.columns.index("label")
        labels = [row.cells[place].strip() for row in rows if len(row.cells) > place]
        label, counts = labels[0], collections.Counter(labels[1:])
        if not label or NUMBER.match(label) or label in counts or not counts:
            return False
        is_text_among_numbers = all(map(NUMBER.match, counts))
        if self._task.labels is None:
            return len(rows) > 2 and (is_text_among_numbers or min(counts.values()) > 1)
        is_known = label in self._task.labels or label in self._task.aliases
        return is_text_among_numbers and not is_known and bool(_NAME.match(label))

    def _is_label_name(self, cells):
        """Whether the label's cell is a name of the label column, and no label."""
        if "label" not in self.columns or len(cells) != len(self.columns):
            return False
        label = cells[self.columns.index("label")].strip()
        return self._key_of([label], "label") is not None and label not in self._task.labels

    def names_of_columns(self):
        """{column: its name in the header or its key, without either its position from 1}."""
        if self._names is not None:
            return {column: name for column, name in self._names.items() if name is not None}
        places = enumerate(self.columns, start=1)
        return {column: "%d" % place for place, column in places if column}

    def drop_labels(self):
        """Has the label column ignored."""
        self._task = self._task._replace(labels=())
        self.columns = tuple(None if column == "label" else column for column in self.columns)
        if self._names is not None:
            self._names["label"] = None

    def has_labels(self, rows):
        """Whether any of some rows has a label; rows that do not fit have none."""
        key = "label" if self._names is None else self._names["label"]
        for row in rows:
            with contextlib.suppress(ValueError):
                if self._record(row).get(key):
                    return True
        return False

    def example_of_anything(self, row):
        """An example of what text there is in a row that does not fit."""
        if isinstance(row.cells, list):
            texts = self._whole_text(row.cells)
        else:
            keys = [(self._names or {}).get(column) for column in ("text_a", "text_b")]
            known = [row.cells.get(key) for key in keys if key is not None]
            if all(text is None for text in known):
                known = [value for value in row.cells.values() if isinstance(value, str)]
            texts = ["" if text is None else str(text) for text in known]
        texts = list(texts) + ["", ""]
        text_b = texts[1] if is_pair(self._task) else None
        return InputExample("test-%d" % row.line, texts[0], text_b, None, self._id_of(row.cells))

    def _whole_text(self, cells):
        """The cells of a row, of which a single text that separators have parted is whole again."""
        names = list(self.columns if self._names is None else self.header)
        if self._is_json or is_pair(self._task) or len(cells) <= len(names):
            return cells
        keys = self._names or {"text_a": "text_a", "label": "label"}
        place = names.index(keys["text_a"])
        end = len(cells) - len(names) + place + 1
        behind = names[place + 1 :]
        if keys.get("label") in behind:
            label = cells[end + behind.index(keys["label"])].strip()
            end = len(cells) if _problem_of_label(self._task, label) else end
        return [("," if self._is_csv else "\t").join(cells[place:end])]

    def is_repeated_header(self, row):
        """Whether a row is the header once more, as in files put together of several."""
        if not isinstance(row.cells, list) or not self.header:
            return False
        # A file of its own began with it, perhaps with a byte-order mark.
        return tuple(cell.strip("\ufeff \t") for cell in row.cells) == self.header

    def examples(self, row, is_lenient=False):
        """The examples of a row.

        Args:
            row: `tables.Row`.
            is_lenient: whether a label that does not fit is dropped, and a row is left out for
                what it is, not for its label.

        Returns:
            list of `InputExample`; None for a row that the task leaves out.

        Raises:
            ValueError: says what does not fit.
        """
        record = self._record(row)
        if self._task.is_left_out and self._task.is_left_out(record):
            record = {key: record[key] for key in record if key not in KEYS["label"]}
            if not is_lenient or self._task.is_left_out(record):
                return None
        try:
            parts = self._parts(record)
        except (KeyError, TypeError, AttributeError) as error:
            self.only_labels_are_bad = False
            is_missing = isinstance(error, KeyError)
            problem = "no %s in it" if is_missing else "a value of the wrong type (%s)"
            raise ValueError(problem % error) from error
        guid = "%s-%d" % (self._name, row.line)
        row_id = self._id_of(record)
        return [self._example(guid, cells, row_id, is_lenient) for cells in parts]

    def _id_of(self, record):
        """A record's own id; None for one that is known by its number."""
        if self._is_json and not isinstance(record, dict):
            return NO_RECORD
        names = NOT_TEXTS if isinstance(record, dict) else ()
        return next((record[name] for name in names if name in record), None)

    def _record(self, row):
        if isinstance(row.cells, dict):
            return dict(row.cells)
        names = self.header if self._names is not None else self.columns
        if len(row.cells) != len(names):
            self.only_labels_are_bad = False
            raise ValueError(self._wrong_count(row.cells, names))
        return dict(zip(names, row.cells))

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
        part = {column: record.get(key) for column, key in self._names.items() if key is not None}
        for column in self.columns:
            if column in ("text_a", "text_b") and part[column] is None:
                raise KeyError(self._names[column])
        return [part]

    def _example(self, guid, cells, row_id, is_lenient):
        texts = [_as_text(cells.get(column)) for column in ("text_a", "text_b")]
        for column, text in zip(("text_a", "text_b"), texts):
            if text is None and column in self._wanted and self._task.columns:
                self.only_labels_are_bad = False
                raise ValueError("no %s in it" % column)
        label = self._label(cells.get("label"), is_lenient)
        return InputExample(guid, texts[0] or "", texts[1], label, row_id)

    def _labels_of_list(self, values):
        labels = [_as_text(value) for value in values]
        separator = self._task.separator
        bad = [label for label in labels if label is None or separator in label]
        if bad:
            raise ValueError(
                "the label %r in a list: expected one without the separator %r, see "
                "--label_separator" % (bad[0], separator)
            )
        return labels

    def _label(self, value, is_lenient):
        if "label" not in self.columns:
            return None
        if value is None and self._name != "test":
            raise ValueError("no label in it")
        if value is None:
            return None
        has_several = task_type.rules_of(self._task).has_several_labels
        if isinstance(value, list) and has_several:
            value = self._task.separator.join(self._labels_of_list(value))
        label = _as_text(value).strip()
        label = self._task.aliases.get(label, label)
        if not label and self._name == "test" and not has_several:
            return None
        problem = _problem_of_label(self._task, label)
        if problem and is_lenient:
            self.num_dropped_labels += 1
            return None
        if problem:
            raise ValueError(problem)
        return label


def _as_text(value):
    """A cell or a JSON value as text: 3 -> "3", true -> "true"."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        raise ValueError("a %s where a text is expected" % type(value).__name__)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _problem_of_label(task, label):
    kind = task_type.rules_of(task)
    problem = kind.problem(label)
    if problem and kind.has_classes:
        return "%s, expected one of %s" % (problem, _some_labels(task) or "your labels")
    if problem:
        return "%r is %s" % (shortened(label), problem)
    if task.labels is None or not kind.has_classes:
        return None
    for part in label_parts(task, label):
        if part not in task.labels:
            return "unknown label %r, %s %s%s" % (
                shortened(part),
                "expected one of" if task.header is None else "which training never saw; it has",
                _some_labels(task),
                _spelling(part, task.labels),
            )
    return None


def _some_labels(task):
    return shortened(", ".join(task.labels or ()), 200)


def _spelling(label, labels):
    """A hint where a label is a known one in another spelling: "1.0" for "1", full width ..."""
    same = [known for known in labels if plain_label(known) == plain_label(label)]
    return " (is it %r, written otherwise?)" % same[0] if same else ""


def form(columns, separator="<tab>"):
    return "%d (%s)" % (len(columns), separator.join(column or "-" for column in columns))
