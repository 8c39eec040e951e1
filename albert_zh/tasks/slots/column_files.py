"""Reads texts with slots from column files (a character and its tag per line) and their classes.

    歌 O            train.txt.intent, a class a line: PlayMusic
    猜 B-song_name
    谜 E-song_name

A blank line ends a text, as in CAIS. Tags are BIO or BIES. If a line has a whole Latin word, the
text gets blanks between such words.
"""

import hashlib
import itertools
import os
import re
from typing import Any, Iterable, Iterator, List, Optional, Sequence, Tuple

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted
from albert_zh.tasks import input_examples
from albert_zh.tasks.input_examples import InputExample
from albert_zh.tasks.slots.cells import NAME, SlotSpan, Spans
from albert_zh.tasks.tables import rows as row_files
from albert_zh.tasks.tables.joined_tokens import joined_text
from albert_zh.tasks.tables.running_numbers import has_running_numbers

CLASSES = ".intent"  # ending of the name of the file with the classes
EXPECTED = "a character and its tag in each line, as 猜 B-song_name, and a blank line between texts"
_OUTSIDE = "O"
_BEGIN, _INSIDE = "BS", "IEM"  # the first letter of a tag
_LAST = "ES"  # a slot ends after these tags
_LOOKED_AT = 50  # lines by which a file without classes is recognized
_TAGGED_LINE = re.compile(r"\S{1,20}\s+(O|[BIESM]-\S+)\s*$")


class _BadRow(ValueError):
    """A row of a text is malformed; `number` is the row's index in the text, from 0."""

    def __init__(self, message, number):
        super().__init__(message)
        self.number = number


def is_there(path: str) -> bool:
    """Whether the file with the classes of a column file exists."""
    return storage.exists(path + CLASSES)


def read_split(
    path: str,
    name: str,
    encoding: str = "utf-8",
    skip_bad_rows: bool = False,
    labels: Sequence[str] = (),
) -> input_examples.Split:
    """Reads a column file and its file of classes.

    Args:
        path: path of the column file; only a test file may lack a file of classes.
        name: "train", "dev" or "test".
        encoding: encoding of both files.
        skip_bad_rows: whether malformed texts are skipped and counted in the notes, instead of
            raising an error.
        labels: the allowed classes; () allows any.

    Returns:
        `input_examples.Split`.

    Raises:
        UserError: if the files are malformed or do not fit each other; the message names the lines.
    """
    digests = [hashlib.sha256(), hashlib.sha256()]  # of the column file, of the classes
    blocks = list(_blocks(files.read_lines(path, encoding, digests[0])))
    has_classes = is_there(path) or name != "test"
    classes: List[Optional[str]] = [None] * len(blocks)
    if has_classes and not is_there(path):
        raise UserError(
            "%s has a character and its tag in each line, but no classes: expected one class per "
            "line, one for each text, in %s%s" % (path, path, CLASSES)
        )
    if has_classes:
        classes = list(map(str.strip, files.read_lines(path + CLASSES, encoding, digests[1])))
        _check_are_as_many(path, len(blocks), classes)
    examples, bad = [], []
    for class_line, ((line, rows), label) in enumerate(zip(blocks, classes), 1):
        try:
            text, spans = text_and_spans(rows)
            if has_classes:
                _check_class(path, class_line, label, labels)
        except ValueError as error:
            bad.append((line + getattr(error, "number", 0), error))
            continue
        guid = "%s-%d" % (name, line)
        examples.append(InputExample(guid, text, None, label, None, (spans, ())))
    notes = row_files.bad_row_notes(path, bad, skip_bad_rows, EXPECTED)
    if not examples:
        raise UserError("%s has no text: expected %s" % (path, EXPECTED))
    digest = "".join(part.hexdigest() for part in digests[: 1 + has_classes])
    columns = ("text_a", "label") if has_classes else ("text_a",)
    return input_examples.Split(name, path, examples, has_classes, notes, columns, (), digest)


def _check_class(path, line, label, labels):
    """Raises `ValueError` for a class that is empty or not allowed.

    Args:
        path: path of the column file.
        line: line of the class in the file of classes.
        label: the class.
        labels: the allowed classes; () allows any.
    """
    place = "line %d of %s%s" % (line, os.path.basename(path), CLASSES)
    if not label:
        raise ValueError("it has no class (%s is empty)" % place)
    if labels and label not in labels:
        raise ValueError("its class is %r, which does not occur in training (%s)" % (label, place))


def _check_are_as_many(path, num_texts, classes):
    """Raises `UserError` unless there is one class per text; the last line may be empty."""
    given = list(classes)
    count = len(given) - bool(given and not given[-1])
    if count != num_texts:
        raise UserError(
            "%s has %s, %s%s has %s: expected a class for each text"
            % (path, counted(num_texts, "text"), path, CLASSES, counted(count, "line"))
        )


def is_tagged(path: str, encoding: str) -> bool:
    """Whether the first non-blank lines of a file all have a character and its tag."""
    lines = files.stream_lines(path, encoding, "replace")
    filled = list(itertools.islice(filter(str.strip, lines), _LOOKED_AT))
    return bool(filled) and all(map(_TAGGED_LINE.match, filled))


def stream(
    path: str, encoding: str, labels: Sequence[str]
) -> Iterator[Tuple[InputExample, Optional[str]]]:
    """Iterates over a file to predict: (example with its slots, problem of the text or None).

    Args:
        path: path of the column file; a file of classes is optional.
        encoding: encoding of both files.
        labels: the allowed classes.

    Raises:
        UserError: if the numbers of texts and classes differ; the files are read once to check.
    """
    if is_there(path):
        num_texts = sum(1 for _ in _blocks(files.stream_lines(path, encoding, "replace")))
        _check_are_as_many(path, num_texts, _stream_classes(path, encoding))
    return _streamed(path, encoding, labels)


def _stream_classes(path, encoding):
    return map(str.strip, files.stream_lines(path + CLASSES, encoding, "replace"))


def _streamed(path, encoding, labels):
    """Same as `stream`, without the check."""
    classes: Iterator[str] = _stream_classes(path, encoding) if is_there(path) else iter(())
    for line, rows in _blocks(files.stream_lines(path, encoding, "replace")):
        label, problem = next(classes, None), None
        try:
            text, spans = text_and_spans(rows)
        except ValueError as error:
            text, spans, problem = _text_of(rows)[0], (), str(error)
        known = label if label in labels else None
        yield InputExample("test-%d" % line, text, None, known, None, (spans, ())), problem


def _blocks(lines: Iterable[str]) -> Iterator[Tuple[int, List[str]]]:
    """Yields (number of the first line, lines) of each text."""
    block: List[str] = []
    for number, line in enumerate(itertools.chain(lines, [""]), start=1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _text_of(rows):
    return joined_text([row.split()[0] for row in rows])


def _tag_of(row, number):
    """(tag, letter of the tag, name of the slot) of a row; raises `_BadRow`."""
    cells = row.split()
    if len(cells) < 2:
        raise _BadRow("expected a character and its tag, found %r" % row[:40], number)
    kind, _, slot = cells[-1].partition("-")
    is_slot = kind and kind in _BEGIN + _INSIDE and NAME.match(slot)
    if cells[-1] != _OUTSIDE and not is_slot:
        raise _BadRow("%r is not a tag of BIO or BIES" % cells[-1][:40], number)
    return cells[-1], kind, slot


def text_and_spans(rows: Sequence[str]) -> Tuple[str, Spans]:
    """Returns (text, slots) of a text's lines; raises `ValueError` if they are malformed."""
    text, ranges = _text_of(rows)
    spans: List[SlotSpan] = []
    open_one: Optional[SlotSpan] = None
    if len(rows) > 1 and has_running_numbers([row.split() for row in rows]):
        raise ValueError("column 1 counts the characters: remove it")
    for number, (row, (begin, end)) in enumerate(zip(rows, ranges)):
        tag, kind, slot = _tag_of(row, number)
        continues = kind in _INSIDE and open_one is not None and open_one.name == slot
        if open_one is not None and not continues:
            spans.append(open_one)
            open_one = None
        if tag != _OUTSIDE:
            first: Any = open_one.begin if open_one is not None else begin
            open_one = SlotSpan(first, end, slot)
        if kind in _LAST and open_one is not None:
            spans.append(open_one)
            open_one = None
    if open_one is not None:
        spans.append(open_one)
    return text, tuple(spans)
