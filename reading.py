"""Reading the files of a task: rows -> examples, with what is wrong or remarkable in them.

split = read_split(get_task("lcqmc"), "data/pairs_sample", "train")
split.examples[0].text_a
"""

import collections
import contextlib
import itertools
import math
import os
import re
import unicodedata

import numpy as np

from errors import UserError
import files
import tables
from tasks import KEYS, PAIR, is_pair, label_parts

SHOWN_BAD_ROWS = 3
SHOWN_LABELS = 20
NO_RECORD = "no record"  # in place of the id of a line that is predicted and not submitted
LONG_LABEL = 10  # words or characters; labels of which each row has its own are texts then
LOOKED_AHEAD = 1000  # rows by which a streamed file's columns are found
# Names of text columns, by which the header of a file without labels is known.
_TEXT_COLUMN = re.compile(
    r"(text|sentence|sent|question|query|title|q|s|句子|文本|问题|标题)[ _-]?([ab12]|一|二)?$", re.I
)
_SEPARATORS = ("\t", ",", ";", "，", "；", "|")  # that users put between columns
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?$")
_ID_COLUMN = re.compile(r"(id|idx|index|no|编号|序号)$", re.I)
_QUOTED = re.compile(r'"(?=.*(,|""))([^"]|"")+"$')  # what Excel quotes: commas, quotes
_WORD = re.compile(r"[0-9A-Za-z_.:-]+|\w")
_COLUMNS_BY_COUNT = {1: ("text_a",), 2: ("text_a", "label"), 3: PAIR}

InputExample = collections.namedtuple(
    "InputExample", ["guid", "text_a", "text_b", "label", "row_id"]
)
InputExample.__new__.__defaults__ = (None,)
Split = collections.namedtuple(
    "Split", ["name", "path", "examples", "has_labels", "notes", "columns", "header"]
)
Split.__new__.__defaults__ = ((), ())
Split.__doc__ = """One file of a task.

Fields:
    name: "train", "dev" or "test".
    path: the file.
    examples: list of `InputExample`; label is None in a file without labels.
    has_labels: bool.
    notes: lines for the user about what was found in the file.
    columns: the columns it has, of "text_a", "text_b", "label".
    header: the cells of its header line, or ().
"""


class RowsDontFit(UserError):
    """Rows of a file are bad.

    Attributes:
        num_rows: rows of the file, the bad ones too.
        has_unknown_labels: whether labels are all that is wrong.
    """

    def __init__(self, message, num_rows, has_unknown_labels):
        super().__init__(message)
        self.num_rows, self.has_unknown_labels = num_rows, has_unknown_labels


def with_columns_and_labels(task, split):
    """Own data's task as its training file shows it.

    Args:
        task: `Task` without labels or columns.
        split: `Split` of the training file.

    Returns:
        `Task`: labels sorted (numbers by value), so that their order does not depend on the file's.

    Raises:
        UserError: if nearly every row has a label of its own, or all have the same.
    """
    task = task._replace(columns=split.columns, header=tuple(split.header))
    if task.objective == "regression":
        return task._replace(labels=("score",))
    counts = label_counts(task, split)
    num_rows = len(split.examples)
    is_rare = len(counts) > 20 and len(counts) > num_rows / 2
    if is_rare and task.objective == "single_label" and _are_texts(counts, split.examples):
        raise UserError(
            "%s: %d different labels in %d rows: is the label column (%s) a text? Columns are %s: "
            "let a header line name the right ones text_a, text_b and label; numbers need "
            "--regression, and labels as long as these two rows each"
            % (
                split.path,
                len(counts),
                num_rows,
                _shortened(", ".join(sorted(counts)[:3])),
                ", ".join(split.columns),
            )
        )
    if len(counts) < 2:
        raise UserError(
            "%s: all %d rows have the label %r: nothing to tell apart"
            % (split.path, num_rows, "".join(counts))
        )
    return task._replace(labels=tuple(sorted(counts, key=_label_order)))


def _are_texts(labels, examples):
    """Whether labels are numbers or as long as texts; a Latin word is as long as a character."""

    def mean_length(texts):
        return np.mean([len(_WORD.findall(text)) for text in texts])

    if all(_NUMBER.match(label) for label in labels):
        return True
    limit = min(LONG_LABEL, 0.75 * mean_length([example.text_a for example in examples]))
    return mean_length(labels) > limit


def _label_order(label):
    return (0, float(label), label) if _NUMBER.match(label) else (1, 0.0, label)


def split_path(task, data_dir, name):
    """(path of a split's file or None, names of further files that could be meant)."""
    names = task.files.get(name, ())
    return tables.file_of_split(data_dir, (names,) if isinstance(names, str) else names)


def read_split(task, data_dir, name, encoding="utf-8", skip_bad_rows=False):
    """Reads one file of a task.

    A header is recognised; a test file may lack the labels.

    Args:
        task: `Task`.
        data_dir: the folder of its files.
        name: "train", "dev" or "test".
        encoding: of the file.
        skip_bad_rows: leave rows out that don't fit (counted in the notes) rather than stop.

    Returns:
        `Split`.

    Raises:
        UserError: if the folder or the file is missing, empty or unreadable, or rows are bad.
    """
    path, others = _existing_path(task, data_dir, name)
    notes = ["%s left aside" % ", ".join(others)] if others else []
    rows = _filled_rows(task, path, encoding, notes)
    readable = [row for row in rows if row.problem is None] or rows
    layout = _Layout(task, name, path, readable)
    notes += layout.notes
    if name != "test":
        _check_label_column(layout, path, readable)
    rows = _without_header(layout, readable, rows)
    examples, bad = _examples_of_rows(layout, rows, notes)
    if bad and name == "test" and not examples and layout.only_labels_are_bad:
        layout.drop_labels()
        notes.append("none of its labels is one of the task's: it is predicted only")
        examples, bad = _examples_of_rows(layout, rows, [])
    _report_bad_rows(layout, path, bad, len(rows), skip_bad_rows, notes)
    if not examples:
        raise UserError("%s has no %s" % (path, _expected_rows(path, layout.columns)))
    notes.extend(_remarkable_texts(examples))
    notes.extend(_quoted_texts(task, path, examples))
    has_labels = "label" in layout.columns and any(example.label for example in examples)
    if not has_labels:
        examples = [example._replace(label=None) for example in examples]
    columns = tuple(c for c in layout.columns if c and (has_labels or c != "label"))
    return Split(name, path, examples, has_labels, notes, columns, layout.header)


def _filled_rows(task, path, encoding, notes):
    """The rows of a file but for blank ones, at least one; notes get how many those are."""
    rows, num_blank = [], 0
    for row in tables.rows_of_file(path, encoding):
        if row.problem == tables.BLANK:
            num_blank += 1
        else:
            rows.append(row)
    if num_blank:
        notes.append("%d blank lines are left out" % num_blank)
    if not rows:
        raise _is_empty(path, task)
    _check_json(path, rows)
    return rows


def _check_label_column(layout, path, rows):
    if "label" not in layout.columns:
        raise UserError(
            "%s has no label column: it has %s (%s)"
            % (
                path,
                ", ".join(map(str, layout.header or layout.columns)),
                _other_separator(path, rows)
                or "name the columns text_a, text_b and label in a header line",
            )
        )


def _is_empty(path, task):
    if task.columns is None:
        return UserError("%s is empty: expected rows of a text and its label" % path)
    return UserError("%s is empty: expected %s" % (path, _expected_rows(path, task.columns)))


def _expected_rows(path, columns):
    if tables.is_json(path):
        return "lines of JSON objects with %s" % ", ".join(filter(None, columns))
    is_csv = tables.delimiter_of(path) == ","
    return "rows of %s" % _form(columns, ", " if is_csv else "<tab>")


def _other_separator(path, rows):
    """What to do where rows of one cell seem to have several; None if they don't."""
    if tables.is_json(path) or max(len(row.cells) for row in rows) > 1:
        return None
    for mark in _SEPARATORS:
        if all(mark in row.cells[0] for row in rows):
            name = "tabs" if tables.delimiter_of(path) == "\t" else "commas"
            way_out = "put %s there" % name
            if mark == "," and not path.endswith(".csv"):
                way_out += ", or name the file .csv"
            return "each line has one column and %r in it: if that separates columns, %s" % (
                mark,
                way_out,
            )
    return None


def _check_json(path, rows):
    """An array over the file is no file of JSON lines.

    Raises:
        UserError: if none of the rows could be read, or few of what begins as an array.
    """
    num_read = sum(row.problem is None for row in rows)
    is_array = rows[0].problem is not None and rows[0].cells[0].lstrip().startswith("[")
    if tables.is_json(path) and (num_read == 0 or (is_array and 2 * num_read < len(rows))):
        raise UserError(
            '%s, line %d: one JSON object a line is expected, as {"text_a": "...", "label": "..."},'
            " found %s: write each object on a line of its own%s"
            % (
                path,
                rows[0].line,
                _shortened(rows[0].cells[0].strip()) if rows[0].problem else "none",
                ", without [ ] and commas between them" if is_array else "",
            )
        )


def _without_header(layout, readable, rows):
    """The rows but those that the layout, which was made of readable ones, takes for headers."""
    headers = {row.line for row in readable[: layout.num_header_rows]}
    return [row for row in rows if row.line not in headers]


def _existing_path(task, data_dir, name):
    if not os.path.isdir(data_dir):
        raise UserError("--data_dir=%s: no such folder" % data_dir)
    path, others = split_path(task, data_dir, name)
    if path is None:
        names = task.files[name]
        names = (names,) if isinstance(names, str) else names
        raise UserError(
            "%s: no such file%s"
            % (
                os.path.join(data_dir, names[0]),
                ", nor %s" % ", ".join(names[1:6]) if len(names) > 1 else "",
            )
        )
    return path, others


def open_stream(task, path, encoding="utf-8"):
    """Opens a file whose records are predicted, whatever they hold, in their order.

    A blank line, a row of other columns or bytes of another encoding become an example of what text
    there is. A header is left out; of labels only those are kept that are the task's.

    Args:
        task: `Task`, whose labels and columns are known.
        path: the file.
        encoding: of the file.

    Returns:
        (notes, records): lines for the user, to which the end of the records may add some; an
        iterator of (`InputExample`, why the record is no proper row, or None).

    Raises:
        UserError: if the file is missing, empty or seems to be of another encoding.
    """
    rows = tables.rows_of_file(path, encoding, replaces_bad_bytes=True)
    first = list(itertools.islice(rows, LOOKED_AHEAD))
    files.check_encoding(path, encoding)
    if not first:
        raise _is_empty(path, task)
    filled = [row for row in first if row.problem != tables.BLANK]
    if filled:
        _check_json(path, filled)
    readable = [row for row in filled if row.problem is None] or first
    layout = _Layout(task, "test", path, readable)
    first = _without_header(layout, readable, first)
    if not first:
        raise UserError("%s has no %s" % (path, _expected_rows(path, layout.columns)))
    if task.objective == "multi_label" and not layout.has_labels(first):
        layout.drop_labels()
    rows = itertools.chain(first, rows)
    return layout.notes, _lenient_examples(layout, rows)


def _lenient_examples(layout, rows):
    for row in rows:
        try:
            if row.problem:
                raise ValueError(row.problem)
            found = layout.examples(row, is_lenient=True)
        except ValueError as error:
            yield layout.example_of_anything(row), str(error)
        else:
            for example in found:
                yield example, None
    if layout.num_dropped_labels:
        layout.notes.append(
            "%d labels are none of the task's: their rows do not count in the scores"
            % layout.num_dropped_labels
        )


def describe(split, task):
    """Lines for the user: rows, labels, and what was remarkable in a file.

    Args:
        split: `Split`.
        task: `Task`.
    """
    return ["%s: %d rows, %s" % (split.path, len(split.examples), _about_labels(split, task))] + [
        "note: %s: %s" % (split.path, note) for note in split.notes
    ]


def label_counts(task, split):
    """Counter of the rows of each label."""
    return collections.Counter(
        part for example in split.examples for part in label_parts(task, example.label)
    )


def _about_labels(split, task):
    if not split.has_labels:
        return "no labels"
    if task.objective == "regression":
        values = [float(e.label) for e in split.examples if e.label is not None]
        return "values %g to %g" % (min(values), max(values))
    counts = label_counts(task, split)
    shown = ["%s: %d" % (name, counts[name]) for name in task.labels if counts[name]]
    rest = len(shown) - SHOWN_LABELS
    more = ", and %d more" % rest if rest > 0 else ""
    return "labels " + ", ".join(shown[:SHOWN_LABELS]) + more


class _Layout:
    """What the rows of one file mean: its header, its columns, records to examples."""

    def __init__(self, task, name, path, rows):
        """Finds out.

        Args:
            task: `Task`.
            name: name of the split.
            path: the file.
            rows: its first rows or all, at least one.
        """
        self._task, self._name = task, name
        self._is_json = tables.is_json(path)
        self._is_csv = not self._is_json and tables.delimiter_of(path) == ","
        self._wanted = tuple(c for c in task.columns or PAIR if c)
        self._names = None  # of a record's keys, where rows are no cells or a header names them
        self.header, self.notes, self.num_header_rows = (), [], 0
        self.only_labels_are_bad = True
        self.num_dropped_labels = 0
        first = rows[0].cells
        if isinstance(first, dict):
            keys = itertools.chain.from_iterable(row.cells for row in rows)
            self.columns = self._columns_of_keys(collections.OrderedDict.fromkeys(keys))
        elif self._is_named(first):
            self._take_header(path, rows, 0)
        elif self._is_header_below_another(rows):
            self._take_header(path, rows, 1)
        else:
            self._check_named_texts(path, first)
            self._take_positions(path, rows)

    def _keys(self, column):
        return list(self._task.keys.get(column, ())) + KEYS[column]

    def _key_of(self, names, column):
        """Which of some names stands for a column, or None."""
        lower = {name.strip().lower(): name for name in reversed(list(names))}
        return next((lower[key] for key in self._keys(column) if key in lower), None)

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

    def _is_header_below_another(self, rows):
        """Whether line 2 has the known names and line 1 is a header too, its label alone."""
        second = rows[1].cells if len(rows) > 1 else []
        if len(second) != len(rows[0].cells) or not self._is_named(second):
            return False
        label = self._key_of(second, "label")
        if label is None:
            return False
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
        names_shown = _shortened(" | ".join(self.header))
        self.notes.append("line %d is a header (%s)" % (number + 1, names_shown))
        unused = [cell for cell in self.header if cell not in names]
        if unused:
            self.notes.append("columns that are not used: %s" % _shortened(", ".join(unused)))
        other = rows[1 - number].cells if len(rows) > 1 else []
        if number == 1 or (len(other) == len(self.header) and self._is_named(other)):
            self.num_header_rows = 2
            other = _shortened(" | ".join(other))
            self.notes.append("line %d is a header too (%s)" % (2 - number, other))

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
        shown = _shortened(" | ".join(cells))
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
                "of pairs text_b" % (path, rows[0].line, _shortened(" | ".join(cells)))
            )
        return place

    def _has_first_label_alone(self, rows):
        """Whether line 1 of training data, taken for a row, has a label that no other row has."""
        if self._task.columns or "label" not in self.columns or len(rows) < 3:
            return False
        place = self.columns.index("label")
        labels = [row.cells[place].strip() for row in rows if len(row.cells) == len(self.columns)]
        if len(rows[0].cells) != len(self.columns) or _NUMBER.match(labels[0]):
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
            return all(_TEXT_COLUMN.match(cell.strip()) for cell in cells)
        if len(cells) != len(self.columns):
            return False
        place = self.columns.index("label")
        label = cells[place].strip()
        if not label or _NUMBER.match(label):
            return False
        if task.labels is not None:
            return label not in task.labels and label not in task.aliases
        counts = collections.Counter(
            row.cells[place].strip() for row in rows if len(row.cells) > place
        )
        is_text_among_numbers = all(_NUMBER.match(name) for name in counts if name != label)
        others = [count for name, count in counts.items() if name != label]
        return counts[label] == 1 and len(rows) > 2 and (is_text_among_numbers or min(others) > 1)

    def _is_label_name(self, cells):
        """Whether the label's cell is a name of the label column, and no label."""
        if "label" not in self.columns or len(cells) != len(self.columns):
            return False
        label = cells[self.columns.index("label")].strip()
        return label.lower() in self._keys("label") and label not in self._task.labels

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
        return isinstance(row.cells, list) and bool(self.header) and tuple(row.cells) == self.header

    def examples(self, row, is_lenient=False):
        """The examples of a row.

        Args:
            row: `tables.Row`.
            is_lenient: whether a label that does not fit is dropped.

        Returns:
            list of `InputExample`; None for a row that the task leaves out.

        Raises:
            ValueError: says what does not fit.
        """
        record = self._record(row)
        if self._task.is_left_out and self._task.is_left_out(record):
            if not is_lenient:
                return None
            record.pop("label", None)
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
        names = ("id", "idx") if isinstance(record, dict) else ()
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
            _form(names, ", " if self._is_csv else "<tab>"),
            _shortened(("," if self._is_csv else "\t").join(cells)),
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

    def _label(self, value, is_lenient):
        if "label" not in self.columns:
            return None
        if value is None and self._name != "test":
            raise ValueError("no label in it")
        if value is None:
            return None
        if isinstance(value, list) and self._task.objective == "multi_label":
            value = self._task.separator.join(map(str, value))
        label = _as_text(value).strip()
        label = self._task.aliases.get(label, label)
        if not label and self._name == "test" and self._task.objective != "multi_label":
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
    if task.objective == "regression":
        try:
            is_number = math.isfinite(np.float32(label))
        except ValueError:
            is_number = False
        return None if is_number else "%r is no number" % _shortened(label)
    if not label and task.objective != "multi_label":
        return "unknown label '', expected one of %s" % (_some_labels(task) or "your labels")
    if task.labels is None:
        return None
    for part in label_parts(task, label):
        if part not in task.labels:
            return "unknown label %r, %s %s%s" % (
                _shortened(part),
                "expected one of" if task.header is None else "which training never saw; it has",
                _some_labels(task),
                _spelling(part, task.labels),
            )
    return None


def _some_labels(task):
    return _shortened(", ".join(task.labels or ()), 200)


def plain_label(label):
    """A label without what is only a matter of writing: width, case, the .0 of a whole number."""
    label = unicodedata.normalize("NFKC", label).lower().strip()
    return label[:-2] if re.match(r"\d+\.0$", label) else label


def _spelling(label, labels):
    """A hint where a label is a known one in another spelling: "1.0" for "1", full width ..."""
    same = [known for known in labels if plain_label(known) == plain_label(label)]
    return " (is it %r, written otherwise?)" % same[0] if same else ""


def _examples_of_rows(layout, rows, notes):
    """(examples, problems of bad rows); notes get what was left out."""
    examples, bad = [], []
    counts = collections.Counter()
    for row in rows:
        if layout.is_repeated_header(row):
            counts["rows repeat the header and are left out"] += 1
            continue
        try:
            if row.problem:
                raise ValueError(row.problem)
            found = layout.examples(row)
        except ValueError as error:
            bad.append("line %d: %s" % (row.line, error))
            continue
        if found is None:
            counts["rows are left out, as this task does with such"] += 1
        else:
            examples.extend(found)
    notes.extend("%d %s" % (count, what) for what, count in counts.items())
    return examples, bad


def _report_bad_rows(layout, path, bad, num_rows, skip, notes):
    if not bad:
        return
    shown = "; ".join(bad[:SHOWN_BAD_ROWS]) + ("; ..." if len(bad) > SHOWN_BAD_ROWS else "")
    count = "%d of %d rows" % (len(bad), num_rows)
    if not skip:
        raise RowsDontFit(
            "%s: %s don't fit: %s (mend them, or leave them out with --skip_bad_rows=true)"
            % (path, count, shown),
            num_rows,
            layout.only_labels_are_bad,
        )
    notes.append("left out %s: %s" % (count, shown))


def _remarkable_texts(examples):
    """Notes on texts that train badly: empty ones, ones with NUL bytes."""
    checks = (
        ("an empty text", lambda text: text is not None and not text.strip()),
        ("NUL bytes, which the tokenizer drops", lambda text: text is not None and "\0" in text),
    )
    for what, is_such in checks:
        found = [e.guid for e in examples if is_such(e.text_a) or is_such(e.text_b)]
        if found:
            line = found[0].rsplit("-", 1)[1]
            yield "%d rows have %s (first: line %s)" % (len(found), what, line)


def _quoted_texts(task, path, examples):
    """Notes on own data's texts in quotes, as Excel writes them where a tab separates."""
    is_own = task.columns is None or task.header is not None
    if not is_own or tables.is_json(path) or tables.delimiter_of(path) != "\t":
        return
    found = [e for e in examples if any(t and _QUOTED.match(t) for t in (e.text_a, e.text_b))]
    if found:
        yield (
            "%d rows have texts in quotes, which belong to the text where tabs separate (first: "
            "line %s): if Excel put them there, save the file as CSV UTF-8, named .csv"
            % (len(found), found[0].guid.rsplit("-", 1)[1])
        )


def _form(columns, separator="<tab>"):
    return "%d (%s)" % (len(columns), separator.join(column or "-" for column in columns))


def _shortened(text, limit=40):
    return text if len(text) <= limit else text[:limit] + "..."
