"""The slots of a text's word pieces: annotated ones and those that dictionaries find."""

from typing import Any, Dict, List, Sequence, Set, Tuple

import numpy as np

from albert_zh.tasks.slots.cells import SlotSpan
from albert_zh.text import offsets


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
