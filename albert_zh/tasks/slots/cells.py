"""Parses the slot annotations in rows of data.

    JSON lines   "slots": [{"begin": 3, "end": 6, "name": "singer"}], or {"singer": "吴雨霏"}
    tables       a column named slots (the last one without a header): 3-6:singer 10-12:song

Spans are half-open ranges of the characters of the original text. The slots of the second text are
in `slots_b`.
"""

import collections
import re
from typing import Any, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import validation

COLUMN = "slots"  # name of the column in feature records, of a model input, of a key in heads
KEYS = ("slots", "slots_b")  # keys in rows, for the first and the second text
NAME = re.compile(r"[^\s:|]+\Z")  # allowed names of slots
_SPAN = re.compile(r"(\d+)-(\d+):(\S+)\Z")
_FIELDS = {"begin", "end", "name"}

SlotSpan = collections.namedtuple("SlotSpan", ["begin", "end", "name"])
SlotSpan.__doc__ = """A slot of a text.

Fields:
    begin, end: half-open range of its characters.
    name: str, name of the slot.
"""
Spans = Tuple[SlotSpan, ...]


def of_record(record: Any, texts: Sequence[Optional[str]]) -> Tuple[Spans, ...]:
    """Parses the slots of a row's texts.

    Args:
        record: dict of the row's cells or JSON values.
        texts: text_a and text_b, None for a missing text.

    Returns:
        a tuple of `SlotSpan` for each text.

    Raises:
        ValueError: if the annotations are malformed or do not fit the texts; the message says why.
    """
    if not isinstance(record, dict):
        return ((), ())
    slots = []
    by_key = {str(name).strip().lower(): cell for name, cell in record.items()}
    for key, text in zip(KEYS, texts):
        cell = by_key.get(key)
        if cell and text is None:
            raise ValueError("%s: expected none, as the row has no second text" % key)
        slots.append(_checked(_spans_of(cell, key, text), key, text) if cell else ())
    return tuple(slots)


def by_chance(
    texts: Sequence[Optional[str]], names: Sequence[str], number: int
) -> Tuple[Spans, ...]:
    """Draws two random slots in each text of a row; the same number gives the same slots.

    Args:
        texts: text_a and text_b, None for a missing text.
        names: names from which the slots' names are drawn.
        number: number of the row, used as random seed.
    """
    generator = np.random.RandomState(number)
    slots = []
    for text in texts:
        length = len(text or "")
        begins = generator.randint(0, length, 2) if length else []
        ends = [min(length, begin + generator.randint(1, 5)) for begin in begins]
        spans = zip(begins, ends, generator.choice(names, 2))
        slots.append(tuple(SlotSpan(int(b), int(e), str(name)) for b, e, name in spans))
    return tuple(slots)


def width_with_slots(rows: Sequence[Any]) -> Optional[int]:
    """Number of columns of a table without a header if its last column has slots, or else None.

    If all cells of the last column are blank, the column also counts as a column of slots.

    Args:
        rows: lists of cells.
    """
    width = max(map(len, rows))
    last = [row[-1] for row in rows if len(row) == width and row[-1].strip()]
    num_slots = sum(all(map(_SPAN.match, cell.split())) for cell in last)
    return width if width > 1 and (not last or 2 * num_slots > len(last)) else None


def _spans_of(cell, key, text):
    if isinstance(cell, str):
        return [_span_of_cell(part, key) for part in cell.split()]
    if isinstance(cell, dict):
        return [span for name, entry in cell.items() for span in _located(entry, name, key, text)]
    if isinstance(cell, list):
        return [_span_of_json(entry, key) for entry in cell]
    raise ValueError(
        "%s: expected a list of {begin, end, name}, an object {name: text} or BEGIN-END:NAME, "
        "found %s" % (key, validation.shown(cell))
    )


def _span_of_cell(part, key):
    match = _SPAN.match(part)
    if match is None:
        raise ValueError("%s: expected BEGIN-END:NAME, as 3-6:singer, found %r" % (key, part[:40]))
    return SlotSpan(int(match.group(1)), int(match.group(2)), match.group(3))


def _span_of_json(entry, key):
    is_span = isinstance(entry, dict) and set(entry) == _FIELDS
    positions = [entry["begin"], entry["end"]] if is_span else [None]
    if not all(isinstance(number, int) and not isinstance(number, bool) for number in positions):
        raise ValueError(
            '%s: expected {"begin": 3, "end": 6, "name": ...}, found %s'
            % (key, validation.shown(entry))
        )
    return SlotSpan(entry["begin"], entry["end"], entry["name"])


def _located(entry, name, key, text):
    """Yields the spans of all occurrences of a slot's text, or of each text in a list."""
    for words in entry if isinstance(entry, list) else [entry]:
        begins = [] if not (isinstance(words, str) and words) else _begins(text, words)
        if not begins:
            shown = (validation.shown_key(str(name)), validation.shown(words))
            raise ValueError("%s: %s: the text has no %s" % ((key,) + shown))
        yield from (SlotSpan(begin, begin + len(words), name) for begin in begins)


def _begins(text, words):
    return [match.start() for match in re.finditer(re.escape(words), text)]


def _checked(spans, key, text):
    for span in spans:
        if not 0 <= span.begin < span.end <= len(text):
            shown = validation.shortened("%d-%d:%s" % (span.begin, span.end, span.name))
            raise ValueError(
                "%s: %s is not a range of the text's %d characters" % (key, shown, len(text))
            )
        if not (isinstance(span.name, str) and NAME.match(span.name)):
            raise ValueError(
                "%s: a slot cannot be called %s: without blanks, : and |"
                % (key, validation.shown(span.name))
            )
    return tuple(sorted(set(spans)))
