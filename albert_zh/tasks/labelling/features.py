"""Converts texts to rows of ids: the windows of a text, with the tags or spans of their pieces.

    encoded = encode_text(tokenizer, "彭小军认为……", max_seq_length=128, stride=64)
    encoded.input_ids                                     # a list of ids for each window
    labels, counts = tag_rows(encoded, spans, tag_ids, scheme)
    text_spans = spans_of_text(encoded, predicted_spans)  # back to characters

A row consists of [CLS], the token of a granularity if there is one, pieces, and [SEP].
"""

import collections
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from albert_zh.tasks.labelling import alignment, tag_schemes
from albert_zh.tasks.labelling.spans import Span, SpanIndex, filled
from albert_zh.text import unicode_text
from albert_zh.text.offsets import offsets

EncodedText = collections.namedtuple(
    "EncodedText", ["offsets", "windows", "input_ids", "first_piece"]
)
EncodedText.__doc__ = """A text as rows of a model's input.

Fields:
    offsets: list of (first character, one past the last) of the text's pieces.
    windows: list of `alignment.Window`.
    input_ids: list of lists of int, the ids of each window's row.
    first_piece: int, position of the first piece in a row.
"""

LabelCounts = collections.namedtuple(
    "LabelCounts", ["spans", "inexact", "left_out", "in_no_row"], defaults=(0,)
)
LabelCounts.__doc__ = """Counts of gold spans by how they could be assigned to pieces.

Fields:
    spans: int, number of all spans.
    inexact: int, spans that begin or end inside a piece and are extended to whole pieces.
    left_out: int, spans that are skipped since they have no piece to themselves.
    in_no_row: int, spans that heads of spans do not learn: every window cuts them, or their row
        already has as many spans as tokens.
"""


def text_as_read(head: Mapping[str, Any], text: str) -> str:
    """Returns the text as the model reads it, of the same length; `head` is `Settings.head`.

    Models of versions without `--half_width` lack this setting and read texts unchanged.
    """
    return unicode_text.with_half_width(text) if head.get("half_width") else text


def encode_text(
    tokenizer: Any,
    text: str,
    max_seq_length: int,
    stride: Optional[int] = None,
    granularity_token: Optional[str] = None,
) -> EncodedText:
    """Converts a text to rows of ids.

    Args:
        tokenizer: `FullTokenizer`.
        text: str, of any length.
        max_seq_length: int, maximum length of a row.
        stride: int, number of pieces between the starts of windows; half a window by default.
        granularity_token: str, the second token of each row; None if there is no such token.

    Returns:
        `EncodedText`.
    """
    pieces, positions = offsets(tokenizer, text)
    first_tokens = ["[CLS]"] + ([granularity_token] if granularity_token else [])
    max_pieces = max_seq_length - len(first_tokens) - 1
    bounds = alignment.windows(len(pieces), max_pieces, stride or max(1, max_pieces // 2))
    first = tokenizer.convert_tokens_to_ids(first_tokens)
    last = tokenizer.convert_tokens_to_ids(["[SEP]"])
    ids = tokenizer.convert_tokens_to_ids(pieces)
    rows = [first + ids[window.start : window.end] + last for window in bounds]
    return EncodedText(positions, bounds, rows, len(first))


def tag_rows(
    encoded: EncodedText,
    spans: Sequence[Span],
    tag_ids: Dict[str, int],
    scheme: tag_schemes.Scheme,
) -> Tuple[List[List[int]], LabelCounts]:
    """Returns the tag ids of each row's tokens.

    Args:
        encoded: `EncodedText`.
        spans: gold spans in characters, which must not overlap.
        tag_ids: {tag: id}. Pieces outside of all spans get the id of O; in a segmentation, which
            has no O, they are separate words.
        scheme: `tag_schemes.Scheme`.

    Returns:
        (rows, counts): for each row a list of int, 0 for special tokens; `LabelCounts`.
    """
    in_pieces, num_inexact, num_lost = alignment.to_pieces(sorted(spans), encoded.offsets)
    flat, num_covered = alignment.without_overlaps(in_pieces)
    if tag_schemes.OUTSIDE_TAG not in tag_ids:
        flat = _with_single_pieces(flat, len(encoded.offsets))
    tags = tag_schemes.spans_to_tags(flat, len(encoded.offsets), scheme)
    rows = [
        [0] * encoded.first_piece + [tag_ids[tag] for tag in tags[window.start : window.end]] + [0]
        for window in encoded.windows
    ]
    return rows, LabelCounts(len(spans), num_inexact, num_lost + num_covered)


def _with_single_pieces(spans, num_pieces):
    """Returns the spans, and a span for each piece outside of them."""
    covered, end = [], 0
    for span in spans:
        covered += [Span(piece, piece + 1, "") for piece in range(end, span.start)]
        covered.append(span)
        end = span.end
    return covered + [Span(piece, piece + 1, "") for piece in range(end, num_pieces)]


def span_rows(
    encoded: EncodedText, spans: Sequence[Span], type_ids: Dict[str, int]
) -> Tuple[List[List[Tuple[int, int, int]]], LabelCounts]:
    """Returns the spans of each row, in the form that `global_pointer` takes.

    Spans that a window cuts are no labels of this window, since one end is outside of it. A row has
    at most as many spans as tokens.

    Args:
        encoded: `EncodedText`.
        spans: gold spans in characters; they may be nested.
        type_ids: {type: id}.

    Returns:
        (rows, counts): for each row a list of (first piece, last piece, type's id), counted from
        the row's first piece; `LabelCounts`.
    """
    in_pieces, num_inexact, num_lost = alignment.to_pieces(sorted(spans), encoded.offsets)
    known, learnt = set(in_pieces), set()
    rows = []
    cut = alignment.spans_of_windows(sorted(known), encoded.windows)
    for window, ids, spans_in_window in zip(encoded.windows, encoded.input_ids, cut):
        places = (
            (span, Span(span.start + window.start, span.end + window.start, span.type))
            for span in spans_in_window
        )
        whole = [(span, in_text) for span, in_text in places if in_text in known][: len(ids)]
        learnt.update(in_text for _, in_text in whole)
        rows.append([(span.start, span.end - 1, type_ids[span.type]) for span, _ in whole])
    return rows, LabelCounts(len(spans), num_inexact, num_lost, len(known) - len(learnt))


def spans_of_text(encoded: EncodedText, spans: Sequence[Span], is_flat: bool = True) -> List[Span]:
    """Converts spans of a text's pieces to spans of its characters.

    Args:
        encoded: `EncodedText`.
        spans: list of `Span`, in pieces of the whole text.
        is_flat: bool; whether spans are shortened so that no character is in two spans: a character
            of several pieces (Hangul) may end one span and begin the next.

    Returns:
        sorted list of `Span`, in characters.
    """
    in_characters = sorted(alignment.to_characters(spans, encoded.offsets))
    return alignment.without_overlaps(in_characters)[0] if is_flat else in_characters


def gold_words(encoded: EncodedText, text: str, spans: Sequence[Span]) -> List[Span]:
    """Returns the gold words of a segmented text, without gaps between them.

    Args:
        encoded: `EncodedText` of the text.
        text: str.
        spans: gold spans in characters; pieces outside of all spans are words, as in `tag_rows`.

    Returns:
        sorted list of `Span` that cover the whole text.
    """
    if sum(span.end - span.start for span in spans) < len(text):
        index = SpanIndex(spans)
        pieces = {Span(start, end, "") for start, end in encoded.offsets if start < end}
        spans = sorted({*spans, *(piece for piece in pieces if not index.overlapping(piece))})
    return filled(text, spans)


def added_counts(counts: Sequence[LabelCounts]) -> LabelCounts:
    """Returns the sum of counts."""
    return (
        LabelCounts(*(sum(column) for column in zip(*counts))) if counts else LabelCounts(0, 0, 0)
    )


def notes_of_counts(counts: LabelCounts) -> List[str]:
    """Returns messages for the user about spans that do not fit the pieces."""
    notes = []
    if counts.inexact:
        notes.append(
            "%d of %d entities or words begin or end inside a word piece, or with a space or "
            "control character: they are trained on as whole pieces, so that predictions "
            "never match them exactly" % (counts.inexact, counts.spans)
        )
    if counts.left_out:
        notes.append(
            "%d of %d entities or words have no separate word piece and are ignored"
            % (counts.left_out, counts.spans)
        )
    if counts.in_no_row:
        notes.append(
            "%d of %d entities do not fit into any window, or share a window with too many "
            "others, and are not trained on: raise --max_seq_length or lower --stride"
            % (counts.in_no_row, counts.spans)
        )
    return notes
