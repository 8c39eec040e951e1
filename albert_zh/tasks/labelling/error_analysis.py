"""Error analysis of entities: errors by kind, confusions of types, the worst errors in context.

    analysis = ErrorAnalysis()
    analysis.add("text", gold_spans, predicted_spans, confidences)
    analysis.counts(), analysis.most_confident(), analysis.confusion()

A predicted entity that is wrong is one of the following kinds of error: TYPE (it has the same
characters as a gold entity of another type), BOUNDARY (it overlaps a gold entity of its type), BOTH
(it only overlaps gold entities of other types) or INVENTED (it overlaps no gold entity). A gold
entity that overlaps no predicted entity is an error of the kind MISSED.
"""

import collections
import heapq
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.tasks.labelling.spans import Span, SpanIndex

TYPE, BOUNDARY, BOTH = "type", "boundary", "boundary and type"
MISSED, INVENTED = "missed", "invented"
KINDS = (BOUNDARY, TYPE, BOTH, MISSED, INVENTED)
NONE = "none"  # row or column of the confusion matrix: no entity on this side
SHOWN_ERRORS = 50

EntityError = collections.namedtuple("EntityError", ["kind", "gold", "predicted", "confidence"])
EntityError.__doc__ = """One error.

Fields:
    kind: one of `KINDS`.
    gold: `Span`; None if the entity was invented.
    predicted: `Span`; None if it was missed.
    confidence: float, confidence of the predicted entity; 0 if the entity was missed.
"""


def entity_errors(
    gold: Sequence[Span], predicted: Sequence[Span], confidences: Optional[Sequence[float]] = None
) -> List[EntityError]:
    """Finds the errors of a text.

    Args:
        gold: list of `Span`.
        predicted: list of `Span`.
        confidences: list of floats, confidences of `predicted`; ones by default.

    Returns:
        list of `EntityError`; errors of predicted entities come first.
    """
    confidences = [1.0] * len(predicted) if confidences is None else confidences
    right = set(gold) & set(predicted)
    gold_index, predicted_index = SpanIndex(gold), SpanIndex(predicted)
    errors = []
    for span, confidence in zip(predicted, confidences):
        if span not in right:
            kind, nearest = _kind_of(span, gold_index.overlapping(span))
            errors.append(EntityError(kind, nearest, span, confidence))
    for span in gold:
        if not predicted_index.overlapping(span):
            errors.append(EntityError(MISSED, span, None, 0.0))
    return errors


def _overlap(span, other):
    return max(0, min(span.end, other.end) - max(span.start, other.start))


def _kind_of(span, near):
    """(kind, gold entity that a span overlaps most, preferably one of its type)."""
    if not near:
        return INVENTED, None
    for other in near:
        if other[:2] == span[:2]:
            return TYPE, other
    nearest = max(near, key=lambda other: (other.type == span.type, _overlap(span, other)))
    return (BOUNDARY if nearest.type == span.type else BOTH), nearest


class ErrorAnalysis:
    """Collects the errors of many texts, in constant memory."""

    def __init__(self, num_shown: int = SHOWN_ERRORS) -> None:
        """`num_shown`: number of most confident errors to keep."""
        self._num_shown = num_shown
        self._kinds: collections.Counter = collections.Counter()
        self._pairs: collections.Counter = collections.Counter()
        self._worst: List[Tuple[float, int, str, EntityError]] = []
        self._num_errors = 0

    def add(
        self,
        text: str,
        gold: Sequence[Span],
        predicted: Sequence[Span],
        confidences: Optional[Sequence[float]] = None,
    ) -> None:
        """Counts the errors of a text; spans are in characters. Args as in `entity_errors`."""
        for span in set(gold) & set(predicted):
            self._pairs[span.type, span.type] += 1
        for error in entity_errors(gold, predicted, confidences):
            self._kinds[error.kind] += 1
            types = [span.type if span else NONE for span in (error.gold, error.predicted)]
            self._pairs[tuple(types)] += 1
            self._num_errors += 1
            entry = (error.confidence, -self._num_errors, text, error)
            add = heapq.heappushpop if len(self._worst) >= self._num_shown else heapq.heappush
            add(self._worst, entry)

    def counts(self) -> Dict[str, int]:
        """Returns the number of errors by kind, in the order of `KINDS`."""
        return collections.OrderedDict((kind, self._kinds[kind]) for kind in KINDS)

    def most_confident(self) -> List[Tuple[str, EntityError]]:
        """Returns (text, `EntityError`) pairs, the most confident errors first."""
        return [(entry[2], entry[3]) for entry in sorted(self._worst, reverse=True)]

    def confusion(self) -> Tuple[List[str], np.ndarray]:
        """Returns the confusion matrix of entity types.

        Returns:
            (types, counts): the types, with `NONE` last; int [T, T], row: gold, column: predicted.
            An entity of the right type with a wrong boundary counts on the diagonal.
        """
        types = sorted({name for pair in self._pairs for name in pair} - {NONE}) + [NONE]
        counts = np.zeros([len(types), len(types)], int)
        for (gold, predicted), count in self._pairs.items():
            counts[types.index(gold), types.index(predicted)] += count
        return types, counts


def in_context(text: str, error: EntityError, width: int = 15) -> str:
    """Formats an error as a line: its kind, gold and predicted entity, and the surrounding text.

    Args:
        text: str.
        error: `EntityError`.
        width: number of characters to show on either side.

    Returns:
        str, such as "boundary (0.98): PER 王明 -> PER 王明去: ...昨天[王明去]了北京...".
    """
    shown = error.predicted or error.gold
    left = text[max(0, shown.start - width) : shown.start]
    right = text[shown.end : shown.end + width]
    sides = [
        "%s %s" % (span.type, text[span.start : span.end]) if span else NONE
        for span in (error.gold, error.predicted)
    ]
    context = "%s[%s]%s" % (left, text[shown.start : shown.end], right)
    line = "%s (%.2f): %s -> %s: %s" % ((error.kind, error.confidence) + tuple(sides) + (context,))
    return " ".join(line.split())
