"""Reads the files of a task into examples and reports what is wrong or unusual in them.

split = read_split(get_task("lcqmc"), "data/pairs_sample", "train")
split.examples[0].text_a
"""

import itertools
from typing import Any, Iterator, List, Tuple

from albert_zh.common import files, json_lists
from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted
from albert_zh.tasks import registry
from albert_zh.tasks.input_examples import Split
from albert_zh.tasks.tables import nested_keys, split_files
from albert_zh.tasks.tables import rows as row_files
from albert_zh.tasks.tables.columns import ColumnLayout, form
from albert_zh.tasks.tables.label_rules import shortened
from albert_zh.tasks.tables.own_labels import (
    NAME_COLUMNS,
    agreed,
    label_counts,
    separator_of,
    use_multi_label,
)
from albert_zh.tasks.tables.separators import other_separator
from albert_zh.tasks.task_forms import PAIR
from albert_zh.tasks.text_notes import quoted_texts, remarkable_texts, texts_over_lines

SHOWN_BAD_ROWS, SHOWN_BAD_LINES = 3, 20  # bad rows shown with the problem; line numbers shown
SHOWN_LABELS = 20
LOOKED_AHEAD = 1000  # number of rows from which a streamed file's columns are detected
_OTHER_LABELS = (
    "for other labels use --task_name=multiclass; for columns in another order write the header "
    "%s into line 1"
)


def in_both_orders(split: Any) -> Split:
    """A split of pairs with each pair in both orders.

    Args:
        split: `Split`.

    Returns:
        `Split` with twice as many examples.
    """
    pairs = ((example, _turned(example)) for example in split.examples)
    return split._replace(examples=list(itertools.chain.from_iterable(pairs)))


def _turned(example):
    slots = example.slots and example.slots[::-1]
    return example._replace(text_a=example.text_b, text_b=example.text_a, slots=slots)


def read_split(
    task: Any, data_dir: str, name: str, encoding: str = "utf-8", skip_bad_rows: bool = False
) -> Split:
    """Reads one file of a task.

    A header is detected; a test file may lack labels.

    Args:
        task: `Task`.
        data_dir: the folder with the task's files.
        name: "train", "dev" or "test".
        encoding: character encoding of the file.
        skip_bad_rows: skip malformed rows (and count them in the notes) instead of failing.

    Returns:
        `Split`.

    Raises:
        UserError: if the folder or the file is missing, empty or unreadable, or rows are bad.
    """
    path, others = split_files.existing_path(task, data_dir, name)
    notes = ["%s ignored" % ", ".join(others)] if others else []
    table = row_files.Table(path, encoding)
    rows = _filled_rows(task, table, notes, name != "test")
    readable = [row for row in rows if row.problem is None] or rows
    layout = ColumnLayout(task, name, table, readable)
    notes += layout.notes
    if name != "test":
        _check_label_column(layout, table, readable)
    rows = _without_header(layout, readable, rows)
    examples, bad = _examples_of_rows(layout, rows, notes)
    if bad and name == "test":
        examples, bad = _without_unknown_labels(layout, rows, not examples, bad[0], notes)
    _report_bad_rows(task, layout, table, bad, rows, skip_bad_rows, notes)
    notes += layout.notes_of_spellings()
    examples = _with_agreed_labels(task, name, examples, notes)
    if not examples:
        raise UserError("%s has no %s" % (path, _expected_rows(table, layout.columns)))
    notes.extend(remarkable_texts(examples))
    notes.extend(texts_over_lines(table, examples))
    notes.extend(quoted_texts(task, table, examples))
    has_labels = "label" in layout.columns and any(example.label for example in examples)
    if not has_labels:
        examples = [example._replace(label=None) for example in examples]
    columns = tuple(c for c in layout.columns if c and (has_labels or c != "label"))
    return Split(
        name,
        path,
        examples,
        has_labels,
        notes,
        columns,
        layout.header,
        table.sha256(),
        layout.names_of_columns(),
    )


def _with_agreed_labels(task, name, examples, notes):
    """The rows, without those of own training data that `agreed` drops and adds to the notes."""
    if task.labels is not None or name == "test":
        return examples
    kept, remarks = agreed(examples)
    notes += remarks
    return kept


def _filled_rows(task, table, notes, leaves_out_empty):
    """The rows of a file without blank ones, at least one; the number of blank rows is noted.

    `leaves_out_empty`: whether rows that only have empty cells, as Excel adds them below tables,
    count as blank too; rows to predict do not.
    """
    rows, num_blank = [], 0
    if table.is_list:
        notes.append(json_lists.NOTE)
    for row in table:
        is_empty = leaves_out_empty and isinstance(row.cells, list) and not any(row.cells)
        if row.problem == row_files.BLANK or is_empty:
            num_blank += 1
        else:
            rows.append(row)
    if num_blank:
        blank = counted(num_blank, "blank line was", "blank lines were")
        notes.append("%s skipped" % blank)
    if not rows:
        raise _is_empty(table, task)
    _check_json(table, rows)
    return rows


def _check_label_column(layout, table, rows):
    if "label" not in layout.columns:
        if table.is_json and not layout.header:
            keys = ", ".join(nested_keys.names_of(rows[0].cells)) or "of no object"
            raise UserError(
                "%s has no label: line %d has the keys %s: name them label and text_a, or by "
                "--label_column=KEY --text_column=KEY"
                % (table.path, rows[0].line, shortened(keys, 200))
            )
        raise UserError(
            "%s has no label column: it has %s (%s)"
            % (
                table.path,
                ", ".join(map(str, layout.header or layout.columns)),
                other_separator(table, rows) or _about_classes(layout, rows) or NAME_COLUMNS,
            )
        )


def _about_classes(layout, rows):
    """Advice for a table with a column of 0 and 1 per class; None for other tables."""
    of_columns = zip(*(row.cells for row in rows[layout.num_header_rows :]))
    names = [
        name
        for name, cells in zip(layout.header, of_columns)
        if set(cells) == {"0", "1"} and name not in layout.names_of_columns().values()
    ]
    if len(names) <= 1:
        return None
    return (
        "%s contain only 0 and 1: if they are classes, write the names of the classes of a row "
        "into one column label, separated by |, and add --multi_label=true"
        % shortened(", ".join(names))
    )


def _is_empty(table, task):
    if task.columns is None:
        return UserError("%s is empty: expected rows of a text and its label" % table.path)
    return UserError("%s is empty: expected %s" % (table.path, _expected_rows(table, task.columns)))


def _expected_rows(table, columns):
    if table.is_json:
        return "lines of JSON objects with %s" % ", ".join(filter(None, columns))
    return "rows of %s" % form(columns, ", " if table.delimiter == "," else "<tab>")


def _check_json(table, rows):
    """Checks that a file has JSON lines and is not one JSON array.

    Raises:
        UserError: if no row could be read, or fewer than half of a file that begins as an array.
    """
    num_read = sum(row.problem is None for row in rows)
    is_array = rows[0].problem is not None and rows[0].cells[0].lstrip().startswith("[")
    if table.is_json and (num_read == 0 or (is_array and 2 * num_read < len(rows))):
        raise UserError(
            '%s, line %d: expected one JSON object per line, such as {"text_a": "...", "label": '
            '"..."}, found %s: write each object on a separate line%s'
            % (
                table.path,
                rows[0].line,
                shortened(rows[0].cells[0].strip()) if rows[0].problem else "none",
                ", without [ ] and commas between them" if is_array else "",
            )
        )


def _without_header(layout, readable, rows):
    """The rows without headers, which the layout has found among the `readable` rows."""
    headers = {row.line for row in readable[: layout.num_header_rows]}
    return [row for row in rows if row.line not in headers]


def open_stream(
    task: Any, path: str, encoding: str = "utf-8", skip_bad_rows: bool = False
) -> Tuple[List[str], Iterator[Any]]:
    """Opens a file whose records are all predicted, in order, even if they are malformed.

    A blank line, a row with other columns or bytes in another encoding become an example with
    whatever text they contain, so that every line has a prediction. A header is skipped; labels
    that are not labels of the task are dropped.

    Args:
        task: `Task` with its labels and columns.
        path: the file.
        encoding: character encoding of the file.
        skip_bad_rows: skip and count such lines, as in other splits.

    Returns:
        (notes, records): lines for the user, to which more may be added when the records are
        exhausted; an iterator of (`InputExample`, why the row is malformed, or None).

    Raises:
        UserError: if the file is missing, empty or seems to have another encoding.
    """
    table = row_files.Table(path, encoding, replaces_bad_bytes=True)
    first = list(itertools.islice(table, LOOKED_AHEAD))
    files.check_encoding(path, encoding)
    if not first:
        raise _is_empty(table, task)
    filled = [row for row in first if row.problem != row_files.BLANK]
    if filled:
        _check_json(table, filled)
    readable = [row for row in filled if row.problem is None] or first
    layout = ColumnLayout(task, "test", table, readable)
    first = _without_header(layout, readable, first)
    if not first:
        raise UserError("%s has no %s" % (path, _expected_rows(table, layout.columns)))
    if registry.rules_of(task).has_several_labels and not layout.has_labels(first):
        layout.drop_labels()
    rows = itertools.chain(first, table)
    return layout.notes, _lenient_examples(layout, rows, skip_bad_rows)


def _lenient_examples(layout, rows, skip_bad_rows):
    num_left_out = num_bad = 0
    for row in rows:
        try:
            if row.problem:
                raise ValueError(row.problem)
            found = layout.examples(row, is_lenient=True)
        except ValueError as error:
            num_bad += skip_bad_rows
            if not skip_bad_rows:
                yield layout.example_of_anything(row), str(error)
        else:
            num_left_out += found is None
            for example in found or ():
                yield example, None
    if num_left_out:
        layout.notes.append(_note_of_left_out(num_left_out))
    if num_bad:
        skipped = counted(num_bad, "invalid or blank row was", "invalid or blank rows were")
        layout.notes.append("%s skipped" % skipped)
    layout.notes += layout.notes_of_spellings() + _notes_of_dropped_labels(layout)


def _note_of_left_out(num_rows):
    return "%s skipped, as usual for this task" % counted(num_rows, "row was", "rows were")


def _notes_of_dropped_labels(layout, first=None):
    """Notes on labels that the task does not have; `first`: (line, problem) of the first one."""
    if not layout.num_dropped_labels:
        return []
    shown = " (first: line %d: %s)" % first if first else ""
    note = counted(
        layout.num_dropped_labels,
        "label does not belong to the task: its row is",
        "labels do not belong to the task: their rows are",
    )
    return ["%s not scored%s" % (note, shown)]


def describe(split: Any, task: Any) -> List[str]:
    """Lines for the user: the rows and labels of a file, and the notes on it.

    Args:
        split: `Split`.
        task: `Task`.
    """
    size = counted(len(split.examples), "row")
    return ["%s: %s, %s" % (split.path, size, _about_labels(split, task))] + [
        "note: %s: %s" % (split.path, note) for note in split.notes
    ]


def _about_labels(split, task):
    if not split.has_labels:
        return "no labels"
    if not registry.rules_of(task).has_classes:
        values = [float(e.label) for e in split.examples if e.label is not None]
        return "values %g to %g" % (min(values), max(values))
    counts = label_counts(task, split)
    shown = ["%s: %d" % (name, counts[name]) for name in task.labels if counts[name]]
    rest = len(shown) - SHOWN_LABELS
    more = ", and %d more" % rest if rest > 0 else ""
    return "labels " + ", ".join(shown[:SHOWN_LABELS]) + more


def _examples_of_rows(layout, rows, notes, keeps_unknown_labels=False):
    """(examples, list of (line, problem) of bad rows); skipped rows are added to the notes.

    `keeps_unknown_labels`: whether a row with nothing wrong but its label is kept without a label.
    """
    examples, bad = [], []
    num_headers = num_left_out = 0
    for row in rows:
        if layout.is_repeated_header(row):
            num_headers += 1
            continue
        try:
            if row.problem:
                raise ValueError(row.problem)
            found = _examples_of_row(layout, row, keeps_unknown_labels)
        except ValueError as error:
            bad.append((row.line, str(error)))
            continue
        if found is None:
            num_left_out += 1
        else:
            examples.extend(found)
    if num_headers:
        headers = counted(
            num_headers, "row repeats the header and was", "rows repeat the header and were"
        )
        notes.append("%s skipped" % headers)
    if num_left_out:
        notes.append(_note_of_left_out(num_left_out))
    return examples, bad


def _without_unknown_labels(layout, rows, are_all_bad, first, notes):
    """Like `_examples_of_rows`, but drops labels of a test file that the task does not have.

    `first`: (line, problem) of the first bad row; dropped labels are added to the notes.
    """
    if are_all_bad and layout.only_labels_are_bad:
        layout.drop_labels()
        notes.append("none of its labels belongs to the task: it is only predicted")
        return _examples_of_rows(layout, rows, [])
    examples, bad = _examples_of_rows(layout, rows, [], keeps_unknown_labels=True)
    notes += _notes_of_dropped_labels(layout, first)
    return examples, bad


def _examples_of_row(layout, row, keeps_unknown_labels):
    try:
        return layout.examples(row)
    except ValueError:
        if not keeps_unknown_labels:
            raise
        return layout.examples(row, is_lenient=True)


def _report_bad_rows(task, layout, table, bad, rows, skip, notes):
    if not bad:
        return
    path = table.path
    shown = "line %d: %s" % bad[0]
    for line, problem in bad[1:SHOWN_BAD_ROWS]:
        shown += "; line %d: %s" % (line, shortened(problem, 60))
    further = ["%d" % line for line, _ in bad[SHOWN_BAD_ROWS:SHOWN_BAD_LINES]]
    if further:
        shown += "; and lines " + ", ".join(further)
        shown += " ..." if len(bad) > SHOWN_BAD_LINES else ""
    count = "%d of %d rows" % (len(bad), len(rows))
    if not skip:
        way_out = _way_out_of_bad_rows(task, layout, table, bad, rows)
        kind = registry.rules_of(task)
        can_have_several = kind.has_classes and not kind.has_several_labels
        mark = separator_of(task.labels or ()) if can_have_several else None
        if layout.only_labels_are_bad and task.header is not None and mark is not None:
            shown = "line %d: %s" % (bad[0][0], shortened(bad[0][1], 80))
            way_out = use_multi_label(mark)
        if layout.only_labels_are_bad and [line for line, _ in bad] == [rows[0].line]:
            names = ", ".join(filter(None, layout.columns))
            way_out += "; if line %d is a header, name its columns %s" % (rows[0].line, names)
        raise row_files.RowsDontFit(
            "%s: %s are invalid: %s (%s)" % (path, count, shown, way_out),
            len(rows),
            layout.only_labels_are_bad,
        )
    notes.append("skipped %s: %s" % (count, shown))


def _way_out_of_bad_rows(task, layout, table, bad, rows):
    """What to do about bad rows, depending on what is wrong with most rows of the file."""
    way_out = "correct them, or skip them with --skip_bad_rows=true"
    if 2 * len(bad) < len(rows):
        is_header = [line for line, _ in bad] == [rows[0].line] and len(rows[0].cells) == 1
        return (is_header and other_separator(table, rows[:1])) or way_out
    if not layout.only_labels_are_bad:
        if task.columns is None and min(len(row.cells) for row in rows) > len(PAIR):
            return NAME_COLUMNS
        return other_separator(table, rows) or way_out
    if task.labels and task.header is None:
        return _OTHER_LABELS % ", ".join(filter(None, layout.columns))
    return way_out
