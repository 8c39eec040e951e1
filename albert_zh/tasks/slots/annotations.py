"""Maps slots to the word pieces of a text: annotated slots and slots found by dictionaries."""

from typing import Any, Dict, List, Sequence, Set, Tuple

import numpy as np

from albert_zh.tasks.slots.cells import SlotSpan
from albert_zh.text import offsets


def names_in(examples: Sequence[Any]) -> Set[str]:
    """Returns the names of the slots with which examples are annotated."""
    return {span.name for example in examples for spans in example.slots or () for span in spans}


def column_of(
    example: Any, tokenizer: Any, segment_ids: Sequence[int], names: Sequence[str], annotator: Any
) -> np.ndarray:
    """Marks the slots of an example's word pieces, both annotated and found by dictionaries.

    A piece has the slots of all characters that it covers; [CLS] and [SEP] have none. Slots whose
    names the model does not know are ignored.

    Args:
        example: example with `text_a`, `text_b` and `slots`.
        tokenizer: `FullTokenizer`.
        segment_ids: F segment ids of the example's row.
        names: the S slot names of the model.
        annotator: `dictionaries.Annotator`, or None.

    Returns:
        int array [F, S], 1 if a piece has a slot.
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
    """Sets 1 for each piece that covers a character of a span.

    Args:
        rows: int array [P, S], changed in place; pieces after the first P were truncated.
        spans: slots as spans of characters.
        pieces: (first character, one past the last) of each piece.
        numbers: {name: column}; slots with other names are ignored.
    """
    for span in spans:
        if span.name not in numbers:
            continue
        for row, (begin, end) in zip(rows, pieces):
            if begin < span.end and span.begin < end:
                row[numbers[span.name]] = 1


def about_unknown(examples: Sequence[Any], names: Sequence[str]) -> List[str]:
    """Returns messages for the user about annotated slots that the model does not know."""
    unknown = sorted(names_in(examples) - set(names))
    if not unknown:
        return []
    return ["slots that do not occur in training are ignored: %s" % ", ".join(unknown)]
