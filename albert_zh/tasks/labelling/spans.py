"""Texts whose entities or words are spans of characters, or that have a tag for each token."""

import bisect
import collections
import itertools
import re
from typing import List, Optional, Sequence, Tuple

Span = collections.namedtuple("Span", ["start", "end", "type"])
Span.__doc__ = """An entity, or a word of a segmentation.

Fields:
    start: int, position of its first character.
    end: int, position after its last character.
    type: str; "" for words of a segmentation.
"""

LabelledText = collections.namedtuple(
    "LabelledText",
    ["text", "spans", "tokens", "line", "identifier", "token_lines"],
    defaults=(None, None),
)
LabelledText.__doc__ = """A text and its gold spans.

Fields:
    text: str.
    spans: list of `Span`, sorted; None if the file has no labels.
    tokens: list of (start, end), the tokens that the file labels; None: every character is a token.
    line: int, the line of the file at which the text begins, from 1.
    identifier: value of "id" in a JSON file, or None.
    token_lines: int sequence, the line of each token; None: the whole text is in `line`.
"""

TaggedText = collections.namedtuple(
    "TaggedText", ["tokens", "tags", "lines", "identifier"], defaults=(None,)
)
TaggedText.__doc__ = """The tokens of a sentence, as in the file, and their tags.

Fields:
    tokens: list of str.
    tags: list of str; None if the file has no tags.
    lines: int sequence, the line of each token in the file, from 1.
    identifier: value of "id" in a JSON file, or None.
"""


def line_of(text: LabelledText, span: Span) -> int:
    """Returns the line of the file at which a span begins."""
    if text.token_lines is None:
        return text.line
    if text.tokens is None:
        return text.token_lines[span.start]
    return text.token_lines[bisect.bisect(text.tokens, (span.start, len(text.text))) - 1]


def overlapping(spans: Sequence[Span]) -> Optional[Tuple[Span, Span]]:
    """Returns the first two spans that have a character in common, or None.

    Args:
        spans: list of `Span`.

    Returns:
        (span, other span) or None.
    """
    last = None
    for span in sorted(spans):
        if last is not None and span.start < last.end:
            return last, span
        last = span if last is None or span.end > last.end else last
    return None


class SpanIndex:
    """Index of the spans of one text, which finds overlapping spans by bisection."""

    def __init__(self, spans: Sequence[Span]) -> None:
        """Sorts the spans; they may be nested."""
        self._spans = sorted(spans)
        self._starts = [span.start for span in self._spans]
        self._ends = list(itertools.accumulate((span.end for span in self._spans), max))

    def overlapping(self, span: Span) -> List[Span]:
        """Returns the indexed spans that have a character in common with a span, sorted."""
        first = bisect.bisect_right(self._ends, span.start)
        end = bisect.bisect_left(self._starts, span.end)
        return [other for other in self._spans[first:end] if other.end > span.start]


def without_shorter_spans(spans: Sequence[Span]) -> List[Span]:
    """Removes spans that overlap a longer one (or an earlier one of equal length); sorts them."""
    kept: List[Span] = []
    for span in sorted(spans, key=lambda span: (span.start - span.end, span)):
        at = bisect.bisect_left(kept, span)
        if all(s.end <= span.start or span.end <= s.start for s in kept[max(0, at - 1) : at + 1]):
            kept.insert(at, span)
    return kept


def types_of(texts: Sequence[LabelledText]) -> List[str]:
    """Returns the sorted types of all spans of texts."""
    spans = itertools.chain.from_iterable(text.spans or () for text in texts)
    return sorted({span.type for span in spans})


def words_as_spans(words: Sequence[str]) -> List[Span]:
    """Returns the spans of successive words.

    Args:
        words: list of non-empty str.

    Returns:
        list of `Span` of type "".
    """
    ends = list(itertools.accumulate(map(len, words)))
    return [Span(end - len(word), end, "") for word, end in zip(words, ends)]


def without_whitespace(text: str, span: Span) -> List[Span]:
    """Splits a span at the whitespace in it; returns its parts without whitespace."""
    parts = re.finditer(r"\S+", text[span.start : span.end])
    return [
        span._replace(start=span.start + part.start(), end=span.start + part.end())
        for part in parts
    ]


def filled(text: str, spans: Sequence[Span]) -> List[Span]:
    """Extends words to cover a text without gaps: characters between two belong to the first.

    Args:
        text: str.
        spans: sorted list of `Span`, which must not overlap.

    Returns:
        list of `Span` that cover the whole text.
    """
    if not spans:
        return [Span(0, len(text), "")] if text else []
    starts = [0] + [span.start for span in spans[1:]]
    return [Span(start, end, "") for start, end in zip(starts, starts[1:] + [len(text)])]
