"""Where the windows of a long text begin and end, and what stands in one."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

NO_ANSWER = 0  # position of [CLS], the target of a window without the whole answer


class Window(NamedTuple):
    """What the model reads at once. F pieces in all, C of them of the context.

    Fields:
        input_ids: list of F ints.
        segment_ids: list of F ints, 1 for the context and the [SEP] behind it.
        offset: position of the context's first piece.
        spans: list of C ranges (begin, end) of characters in the context.
        is_max_context: bool [C]; whether this is the window in which the piece is scored.
        start, end: positions of the answer's first and last piece; `NO_ANSWER` for both where the
            window does not have all of it.
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
        """1 where an answer may start or end, [CLS] for "no answer" included: F ints."""
        question = [0] * (self.offset - 1)
        return [1] + question + [1] * len(self.spans) + [0]


def window_bounds(num_pieces: int, size: int, doc_stride: int) -> List[Tuple[int, int]]:
    """The ranges (begin, end) of pieces that windows of `size` pieces cover."""
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
    """The number of the window in which each piece has the most context.

    That is the smaller one of its distances to the window's ends; of windows that are equal in
    this, the longer one, then the first.

    Args:
        bounds: as from `window_bounds`.
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
    """Where an answer's first and last piece are in a window; `NO_ANSWER` if not all of it is.

    Args:
        pieces: (first, last) piece of the answer in the context, or None.
        begin, end: range of the context's pieces in the window.
        offset: position of the first of them in the window.
    """
    if pieces is None or pieces[0] < begin or pieces[1] >= end:
        return NO_ANSWER, NO_ANSWER
    return pieces[0] - begin + offset, pieces[1] - begin + offset
