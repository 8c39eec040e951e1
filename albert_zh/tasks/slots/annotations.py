"""Slots in rows of data, and as a column of feature records.

    JSON lines   "slots": [{"begin": 3, "end": 6, "name": "singer"}], or {"singer": "吴雨霏"}
    tables       a column named slots: 3-6:singer 10-12:song

Positions count the text's characters as given, half-open. The second text's are `slots_b`.
"""

import re
from typing import Any, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from albert_zh.tasks.slots import dictionaries
from albert_zh.tasks.slots.dictionaries import SlotSpan
from albert_zh.text import offsets

COLUMN = "slots"  # of feature records, and an input of the model
KEYS = ("slots", "slots_b")  # of rows: of the first and the second text
_SPAN = re.compile(r"(\d+)-(\d+):(\S+)\Z")
_FIELDS = {"begin", "end", "name"}

Spans = Tuple[SlotSpan, ...]


def of_record(record: Any, texts: Sequence[Optional[str]]) -> Tuple[Spans, ...]:
    """The slots of a row's texts.

    Args:
        record: dict of the row's cells or JSON values.
        texts: text_a and text_b, None for one that is not there.

    Returns:
        a tuple of `SlotSpan` for each text.

    Raises:
        ValueError: says what does not fit.
    """
    if not isinstance(record, dict):
        return ((), ())
    slots = []
    for key, text in zip(KEYS, texts):
        cell = record.get(key)
        if cell and text is None:
            raise ValueError("%s: expected none, as the row has no second text" % key)
        slots.append(_checked(_spans_of(cell, key, text), key, text) if cell else ())
    return tuple(slots)


def _spans_of(cell, key, text):
    if isinstance(cell, str):
        return [_span_of_cell(part, key) for part in cell.split()]
    if isinstance(cell, dict):
        return [span for name, entry in cell.items() for span in _located(entry, name, key, text)]
    if isinstance(cell, list):
        return [_span_of_json(entry, key) for entry in cell]
    raise ValueError(
        "%s: expected a list of {begin, end, name}, an object {name: text} or BEGIN-END:NAME, "
        "found %r" % (key, cell)
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
            '%s: expected {"begin": 3, "end": 6, "name": ...}, found %r' % (key, entry)
        )
    return SlotSpan(entry["begin"], entry["end"], entry["name"])


def _located(entry, name, key, text):
    """The spans of all occurrences of a slot's text, or of each of a list of texts."""
    for words in entry if isinstance(entry, list) else [entry]:
        begins = [] if not (isinstance(words, str) and words) else _begins(text, words)
        if not begins:
            raise ValueError("%s: %s: the text has no %r" % (key, name, words))
        yield from (SlotSpan(begin, begin + len(words), name) for begin in begins)


def _begins(text, words):
    return [match.start() for match in re.finditer(re.escape(words), text)]


def _checked(spans, key, text):
    for span in spans:
        if not 0 <= span.begin < span.end <= len(text):
            raise ValueError(
                "%s: %d-%d:%s is no range of the text's %d characters"
                % (key, span.begin, span.end, span.name, len(text))
            )
        if not (isinstance(span.name, str) and dictionaries.NAME.match(span.name)):
            raise ValueError(
                "%s: a slot cannot be called %r: without blanks, : and |" % (key, span.name)
            )
    return tuple(sorted(set(spans)))


def names_in(examples: Sequence[Any]) -> Set[str]:
    """The names of the slots that examples are annotated with."""
    return {span.name for example in examples for spans in example.slots or () for span in spans}


def column_of(
    example: Any, tokenizer: Any, segment_ids: Sequence[int], names: Sequence[str], annotator: Any
) -> np.ndarray:
    """The slots of an example's row of word pieces: annotated ones and those of dictionaries.

    A piece has the slots of all the characters that it covers; [CLS] and [SEP] have none. Slots of
    other names are left out.

    Args:
        example: with `text_a`, `text_b` and `slots`.
        tokenizer: `FullTokenizer`.
        segment_ids: of its row, F.
        names: the model's, S.
        annotator: `dictionaries.Annotator`, or None.

    Returns:
        int array [F, S], 1 where a piece has a slot.
    """
    column = np.zeros([len(segment_ids), len(names)], np.int64)
    numbers = {name: number for number, name in enumerate(names)}
    num_second = sum(segment_ids)  # with its [SEP]
    num_first = len(segment_ids) - num_second
    parts = [(1, num_first - 2), (num_first, num_second - 1)]
    given = example.slots or ((), ())
    for text, spans, (start, size) in zip((example.text_a, example.text_b), given, parts):
        if text is None or size <= 0:
            continue
        spans = list(spans) + (annotator.spans(text) if annotator else [])
        mark(column[start : start + size], spans, offsets.offsets(tokenizer, text)[1], numbers)
    return column


def mark(
    rows: np.ndarray,
    spans: Sequence[SlotSpan],
    pieces: Sequence[Tuple[int, int]],
    numbers: Dict[str, int],
) -> None:
    """Sets 1 where a piece covers a character of a span.

    Args:
        rows: int array [P, S], changed in place; further pieces were cut off.
        spans: of characters.
        pieces: (first character, one past the last) of each piece.
        numbers: {name: column}; others are left out.
    """
    for span in spans:
        if span.name not in numbers:
            continue
        for row, (begin, end) in zip(rows, pieces):
            if begin < span.end and span.begin < end:
                row[numbers[span.name]] = 1


def about_unknown(examples: Sequence[Any], names: Sequence[str]) -> List[str]:
    """Lines for the user on annotated slots that the model does not know."""
    unknown = sorted(names_in(examples) - set(names))
    if not unknown:
        return []
    return ["slots that training has not are left out: %s" % ", ".join(unknown)]
