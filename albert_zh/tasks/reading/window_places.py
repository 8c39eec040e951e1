"""The windows of a long text: their bounds and their contents."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

NO_ANSWER = 0  # position of [CLS], the target of a window without the whole answer


class Window(NamedTuple):
    """One input row of the model: F pieces in all, C of which belong to the context.

    Fields:
        input_ids: list of F ints.
        segment_ids: list of F ints, 1 for the context and the [SEP] after it.
        offset: position of the context's first piece.
        spans: list of C ranges (begin, end) of characters in the context.
        is_max_context: bool [C]; whether this is the window in which the piece is scored.
        start, end: positions of the answer's first and last piece; both are `NO_ANSWER` if the
            window does not contain the whole answer.
    """

    input_ids: List[int]
    segment_ids: List[int]
    offset: int
    spans: List[Tuple[int, int]]
    is_max_context: np.ndarray
    start: int = NO_ANSWER
    end: int = NO_ANSWER

    @property
    def span_mask(self) -> List[int]:
        """F ints, 1 if an answer may start or end there; this includes [CLS], for "no answer"."""
        question = [0] * (self.offset - 1)
        return [1] + question + [1] * len(self.spans) + [0]


def window_bounds(num_pieces: int, size: int, doc_stride: int) -> List[Tuple[int, int]]:
    """Returns the ranges (begin, end) of pieces that the windows of `size` pieces cover."""
    bounds = []
    begin = 0
    while begin < num_pieces:
        end = min(begin + size, num_pieces)
        bounds.append((begin, end))
        if end == num_pieces:
            break
        begin += min(size, doc_stride)
    return bounds


def max_context_windows(bounds: Sequence[Tuple[int, int]], num_pieces: int) -> np.ndarray:
    """Returns for each piece the index of the window in which it has the most context.

    The context is the smaller one of the piece's distances to the window's ends. Among equally good
    windows the longer one is chosen, and then the first one.

    Args:
        bounds: bounds as `window_bounds` returns them.
        num_pieces: int, N.

    Returns:
        int [N].
    """
    best_scores = np.full(num_pieces, -1.0)
    best_windows = np.zeros(num_pieces, np.int64)
    for index, (begin, end) in enumerate(bounds):
        left = np.arange(end - begin)
        scores = np.minimum(left, left[::-1]) + 0.01 * (end - begin)
        is_better = scores > best_scores[begin:end]
        best_scores[begin:end][is_better] = scores[is_better]
        best_windows[begin:end][is_better] = index
    return best_windows


def positions_in_window(
    pieces: Optional[Tuple[int, int]], begin: int, end: int, offset: int
) -> Tuple[int, int]:
    """Positions of an answer's first and last piece in a window; `NO_ANSWER` if it is not inside.

    Args:
        pieces: (first, last) piece of the answer in the context, or None.
        begin, end: range of the context's pieces in the window.
        offset: position of the first of these pieces in the window.
    """
    if pieces is None or pieces[0] < begin or pieces[1] >= end:
        return NO_ANSWER, NO_ANSWER
    return pieces[0] - begin + offset, pieces[1] - begin + offset
