"""Converts spans between characters and word pieces, and splits long texts into windows.

    pieces, offsets = offsets.offsets(tokenizer, text)
    spans, num_inexact = to_pieces(text_spans, offsets)      # characters -> pieces
    text_spans = to_characters(spans, offsets)               # pieces -> characters
    for window in windows(len(pieces), max_pieces=126, stride=63):
        predictions[window.first_owned : window.end_owned] = ...

A text with more pieces than a model takes is predicted in overlapping windows. Each piece is owned
by the window in which it is farthest from an end, so that every character has one prediction.
"""

import bisect
import collections
from typing import Iterable, List, Sequence, Tuple

import numpy as np

from albert_zh.tasks.labelling.spans import Span

Window = collections.namedtuple("Window", ["start", "end", "first_owned", "end_owned"])
Window.__doc__ = """A part of a text's pieces that the model sees at once.

Fields:
    start, end: int, half-open range of the window's pieces.
    first_owned, end_owned: int, range of the pieces whose predictions come from this window.
"""


def to_pieces(
    spans: Sequence[Span], offsets: Sequence[Tuple[int, int]]
) -> Tuple[List[Span], int, int]:
    """Converts spans of characters to spans of the pieces that share a character with them.

    Args:
        spans: list of `Span`, in characters.
        offsets: list of (first character, one past the last) of the pieces, in order.

    Returns:
        (spans, num_inexact, num_without_pieces): list of `Span` in pieces; the number of spans that
        begin or end inside a piece, or with a character that no piece covers (whole pieces are
        taken); the number of spans that are skipped since no piece covers any of their characters.
    """
    begins = [begin for begin, _ in offsets]
    ends = np.maximum.accumulate([end for _, end in offsets]).tolist() if offsets else []
    in_pieces, num_inexact = [], 0
    for span in spans:
        first = bisect.bisect_right(ends, span.start)
        end = bisect.bisect_left(begins, span.end)
        if first >= end:
            continue
        in_pieces.append(Span(first, end, span.type))
        num_inexact += begins[first] != span.start or ends[end - 1] != span.end
    return in_pieces, num_inexact, len(spans) - len(in_pieces)


def to_characters(spans: Iterable[Span], offsets: Sequence[Tuple[int, int]]) -> List[Span]:
    """Converts spans of pieces to spans of characters; these include characters between pieces.

    Args:
        spans: iterable of `Span`, in pieces.
        offsets: as in `to_pieces`.

    Returns:
        list of `Span`, in characters.
    """
    in_characters = []
    for span in spans:
        end = max(end for _, end in offsets[span.start : span.end])
        in_characters.append(Span(offsets[span.start][0], end, span.type))
    return in_characters


def without_overlaps(spans: Iterable[Span]) -> Tuple[List[Span], int]:
    """Shortens spans that share a piece with an earlier one.

    Two spans that meet inside one word piece both include it, but a piece has only one tag.

    Args:
        spans: iterable of `Span`, sorted, in pieces.

    Returns:
        (spans, number of spans that are skipped because nothing of them remains).
    """
    kept, end, num_left_out = [], 0, 0
    for span in spans:
        if max(span.start, end) < span.end:
            kept.append(span._replace(start=max(span.start, end)))
            end = span.end
        else:
            num_left_out += 1
    return kept, num_left_out


def windows(num_pieces: int, max_pieces: int, stride: int) -> List[Window]:
    """Splits a text into overlapping windows.

    Args:
        num_pieces: int, number of pieces of the text.
        max_pieces: int, maximum number of pieces of a window.
        stride: int, from 1 to `max_pieces`, pieces between the starts of successive windows.

    Returns:
        list of `Window`, in order; an empty text has one window without pieces.
    """
    last_start = max(0, num_pieces - max_pieces)
    starts = list(range(0, last_start, stride)) + [last_start]
    ends = [min(start + max_pieces, num_pieces) for start in starts]
    # Each of two windows owns the half of their shared pieces that is nearer to its own middle.
    borders = [0] + [(end + start + 1) // 2 for end, start in zip(ends, starts[1:])] + [num_pieces]
    return [Window(*window) for window in zip(starts, ends, borders, borders[1:])]


def join_windows(parts: Sequence[np.ndarray], text_windows: Sequence[Window]) -> np.ndarray:
    """Joins the predictions of windows: each piece's prediction comes from the window that owns it.

    Args:
        parts: list of arrays [window.end - window.start, ...], one per window.
        text_windows: list of `Window` of the same text.

    Returns:
        array [num_pieces, ...].
    """
    return np.concatenate(
        [
            logits_of_window[window.first_owned - window.start : window.end_owned - window.start]
            for logits_of_window, window in zip(parts, text_windows)
        ]
    )


def join_spans(parts: Sequence[Sequence[Span]], text_windows: Sequence[Window]) -> List[Span]:
    """Joins the spans of windows: each comes from the window that owns its middle piece.

    The middle piece is the later one of two. If any window contains the whole span, this one does.

    Args:
        parts: for each window, a list of `Span` in pieces, counted from the window's start.
        text_windows: list of `Window` of the same text.

    Returns:
        sorted list of `Span`, in pieces of the text.
    """
    joined = []
    for spans, window in zip(parts, text_windows):
        for span in spans:
            moved = Span(span.start + window.start, span.end + window.start, span.type)
            if window.first_owned <= (moved.start + moved.end) // 2 < window.end_owned:
                joined.append(moved)
    return sorted(joined)


def spans_of_windows(spans: Sequence[Span], text_windows: Sequence[Window]) -> List[List[Span]]:
    """Returns the spans in each window, truncated at its ends, in pieces from its start.

    Args:
        spans: list of `Span`, sorted, in pieces of the text.
        text_windows: list of `Window`.

    Returns:
        for each window a list of `Span`.
    """
    starts = [span.start for span in spans]
    longest = max((span.end - span.start for span in spans), default=0)
    spans_by_window = []
    for window in text_windows:
        first = bisect.bisect_left(starts, window.start - longest)
        end = bisect.bisect_left(starts, window.end)
        near = (span for span in spans[first:end] if span.end > window.start)
        spans_by_window.append([_cut(span, window) for span in near])
    return spans_by_window


def _cut(span, window):
    start, end = max(span.start, window.start), min(span.end, window.end)
    return Span(start - window.start, end - window.start, span.type)
