"""Reading the files of a task: rows -> examples, with what is wrong or remarkable in them.

split = read_split(get_task("lcqmc"), "data/pairs_sample", "train")
split.examples[0].text_a
"""

import collections
import itertools
import os
import re

import numpy as np

from errors import UserError
import files
from layouts import NUMBER, Layout, form, shortened
import tables
from tasks import label_parts

SHOWN_BAD_ROWS, SHOWN_BAD_LINES = 3, 20  # with what is wrong in them; with their numbers at most
SHOWN_LABELS = 20
# Where there are more labels than half the rows, they are no classes if they are many and nearly
# each stands once, or if they are longer than so many words or characters.
FEW_LABELS, MANY_LABELS, LONG_LABEL = 20, 200, 10
LOOKED_AHEAD = 1000  # rows by which a streamed file's columns are found
_LEFT_OUT = "%d rows are left out, as this task does with such"
_SEPARATORS = ("\t", ",", ";", "，", "；", "|")  # that users put between columns
_QUOTED = re.compile(r'"(?=.*(,|""))([^"]|"")+"$')  # what Excel quotes: commas, quotes
_WORD = re.compile(r"[0-9A-Za-z_.:-]+|\w")

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
    if _are_no_classes(task, counts, split.examples):
        raise UserError(
            "%s: %d different labels in %d rows: is the label column (%s) a text or an id? Columns "
            "are %s: let a header line name the right ones text_a, text_b and label; numbers need "
            "--regression, and classes of such names two rows each"
            % (
                split.path,
                len(counts),
                num_rows,
                shortened(", ".join(sorted(counts)[:3])),
                ", ".join(split.columns),
            )
        )
    if len(counts) < 2:
        raise UserError(
            "%s: all %d rows have the label %r: nothing to tell apart"
            % (split.path, num_rows, "".join(counts))
        )
    return task._replace(labels=tuple(sorted(counts, key=_label_order)))


def _are_no_classes(task, counts, examples):
    """Whether labels seem to be texts, numbers or ids, as nearly each row has its own."""
    if len(counts) <= max(FEW_LABELS, len(examples) / 2):
        return False
    num_single = sum(count == 1 for count in counts.values())
    if len(counts) > MANY_LABELS and num_single > 0.9 * len(counts):
        return True
    return task.objective == "single_label" and _are_texts(counts, examples)


def _are_texts(labels, examples):
    """Whether labels are numbers or as long as texts; a Latin word is as long as a character."""

    def mean_length(texts):
        return np.mean([len(_WORD.findall(text)) for text in texts])

    if all(NUMBER.match(label) for label in labels):
        return True
    limit = min(LONG_LABEL, 0.75 * mean_length([example.text_a for example in examples]))
    return mean_length(labels) > limit


def _label_order(label):
    return (0, float(label), label) if NUMBER.match(label) else (1, 0.0, label)


def in_both_orders(split):
    """A split of pairs with each of them the other way round, too.

    Args:
        split: `Split`.

    Returns:
        `Split` of twice as many examples.
    """
    pairs = ((e, e._replace(text_a=e.text_b, text_b=e.text_a)) for e in split.examples)
    return split._replace(examples=list(itertools.chain.from_iterable(pairs)))


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
    layout = Layout(task, name, path, readable)
    notes += layout.notes
    if name != "test":
        _check_label_column(layout, path, readable)
    rows = _without_header(layout, readable, rows)
    examples, bad = _examples_of_rows(layout, rows, notes)
    if bad and name == "test" and not examples and layout.only_labels_are_bad:
        layout.drop_labels()
        notes.append("none of its labels is one of the task's: it is predicted only")
        examples, bad = _examples_of_rows(layout, rows, [])
    _report_bad_rows(layout, path, bad, rows, skip_bad_rows, notes)
    if not examples:
        raise UserError("%s has no %s" % (path, _expected_rows(path, layout.columns)))
    notes.extend(_remarkable_texts(examples))
    notes.extend(_texts_over_lines(path, examples))
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
    return "rows of %s" % form(columns, ", " if is_csv else "<tab>")


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
                shortened(rows[0].cells[0].strip()) if rows[0].problem else "none",
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
    layout = Layout(task, "test", path, readable)
    first = _without_header(layout, readable, first)
    if not first:
        raise UserError("%s has no %s" % (path, _expected_rows(path, layout.columns)))
    if task.objective == "multi_label" and not layout.has_labels(first):
        layout.drop_labels()
    rows = itertools.chain(first, rows)
    return layout.notes, _lenient_examples(layout, rows)


def _lenient_examples(layout, rows):
    num_left_out = 0
    for row in rows:
        try:
            if row.problem:
                raise ValueError(row.problem)
            found = layout.examples(row, is_lenient=True)
        except ValueError as error:
            yield layout.example_of_anything(row), str(error)
        else:
            num_left_out += found is None
            for example in found or ():
                yield example, None
    if num_left_out:
        layout.notes.append(_LEFT_OUT % num_left_out)
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


def _examples_of_rows(layout, rows, notes):
    """(examples, (line, problem) of bad rows); notes get what was left out."""
    examples, bad = [], []
    num_headers = num_left_out = 0
    for row in rows:
        if layout.is_repeated_header(row):
            num_headers += 1
            continue
        try:
            if row.problem:
                raise ValueError(row.problem)
            found = layout.examples(row)
        except ValueError as error:
            bad.append((row.line, str(error)))
            continue
        if found is None:
            num_left_out += 1
        else:
            examples.extend(found)
    if num_headers:
        notes.append("%d rows repeat the header and are left out" % num_headers)
    if num_left_out:
        notes.append(_LEFT_OUT % num_left_out)
    return examples, bad


def _report_bad_rows(layout, path, bad, rows, skip, notes):
    if not bad:
        return
    shown = "; ".join("line %d: %s" % found for found in bad[:SHOWN_BAD_ROWS])
    further = ["%d" % line for line, _ in bad[SHOWN_BAD_ROWS:SHOWN_BAD_LINES]]
    if further:
        shown += "; and lines " + ", ".join(further)
        shown += " ..." if len(bad) > SHOWN_BAD_LINES else ""
    count = "%d of %d rows" % (len(bad), len(rows))
    if not skip:
        way_out = "mend them, or leave them out with --skip_bad_rows=true"
        if layout.only_labels_are_bad and [line for line, _ in bad] == [rows[0].line]:
            names = ", ".join(filter(None, layout.columns))
            way_out += "; if line %d is a header, name its columns %s" % (rows[0].line, names)
        raise RowsDontFit(
            "%s: %s don't fit: %s (%s)" % (path, count, shown, way_out),
            len(rows),
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


def _texts_over_lines(path, examples):
    """Notes on texts of CSV over several lines, as a stray quote would make of several rows."""
    if tables.is_json(path) or tables.delimiter_of(path) != ",":
        return
    found = [e for e in examples if any(t and "\n" in t for t in (e.text_a, e.text_b))]
    if found:
        yield (
            "%d rows have a text over several lines (first: line %s): if that is not meant, a "
            "stray quote there has joined rows" % (len(found), found[0].guid.rsplit("-", 1)[1])
        )


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
