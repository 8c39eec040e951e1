"""Splits a question and its context into windows, which are the model's input rows.

A context that is too long for one row is read in several windows, `doc_stride` pieces apart; each
is [CLS] question [SEP] pieces of the context [SEP]. Every piece is scored in the window where it
has the most context on both sides.

    maker = WindowMaker(tokenizer, max_seq_length=512)
    windows = maker.windows("小米是谁创立的？", context)
"""

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.tasks.reading.limits import (
    DOC_STRIDE,
    MAX_QUERY_LENGTH,
    MAX_SEQ_LENGTH,
    check_lengths,
)
from albert_zh.tasks.reading.questions import Question
from albert_zh.tasks.reading.window_places import (
    Window,
    max_context_windows,
    positions_in_window,
    window_bounds,
)
from albert_zh.text.offsets import Span, offsets

ANSWER_PERCENTILE = 99
_REMEMBERED_CONTEXTS = 64
_REMEMBERED_CHARACTERS = 1 << 18  # in total, about 40 MB with their pieces


class WindowMaker:
    """Creates windows; the pieces of contexts are cached for further questions."""

    def __init__(
        self,
        tokenizer: Any,
        max_seq_length: int = MAX_SEQ_LENGTH,
        doc_stride: int = DOC_STRIDE,
        max_query_length: int = MAX_QUERY_LENGTH,
    ) -> None:
        """Checks the lengths.

        Args:
            tokenizer: `FullTokenizer`.
            max_seq_length: maximum number of pieces of a window, special tokens included.
            doc_stride: number of pieces between the beginnings of two successive windows.
            max_query_length: maximum number of pieces of a question; longer ones are truncated.

        Raises:
            UserError: if a question may leave no space for the context, or the stride is below 1.
        """
        check_lengths(max_seq_length, doc_stride, max_query_length)
        self._tokenizer = tokenizer
        self._lengths = max_seq_length, doc_stride, max_query_length
        self._contexts = {}

    def windows(
        self, question: str, context: str, answer: Optional[Tuple[int, int]] = None
    ) -> List[Window]:
        """Creates the windows of a question.

        Args:
            question: str.
            context: str.
            answer: range (begin, end) of the answer's characters in the context, for training.

        Returns:
            list of `Window`; empty if the context has no pieces.
        """
        max_seq_length, doc_stride, max_query_length = self._lengths
        query = self._tokenizer.tokenize(question)[:max_query_length]
        query_ids = self._tokenizer.convert_tokens_to_ids(["[CLS]"] + query + ["[SEP]"])
        ids, spans = self._pieces(context)
        pieces_of_answer = answer and pieces_of_span(spans, *answer)
        bounds = window_bounds(len(ids), max_seq_length - len(query_ids) - 1, doc_stride)
        best_windows = max_context_windows(bounds, len(ids))
        separator = self._tokenizer.convert_tokens_to_ids(["[SEP]"])
        windows = []
        for index, (begin, end) in enumerate(bounds):
            start, last = positions_in_window(pieces_of_answer, begin, end, len(query_ids))
            window = Window(
                query_ids + ids[begin:end] + separator,
                [0] * len(query_ids) + [1] * (end - begin + 1),
                len(query_ids),
                spans[begin:end],
                best_windows[begin:end] == index,
                start,
                last,
            )
            windows.append(window)
        return windows

    def training_windows(self, question: Question) -> List[Window]:
        """Creates the windows of a question, with the positions of its first located answer."""
        answer = question.located
        span = answer and (answer.begin, answer.begin + len(answer.text))
        return self.windows(question.text, question.context, span)

    def is_cut(self, question: str) -> bool:
        """Whether a question is longer than `max_query_length` and therefore truncated."""
        return len(self._tokenizer.tokenize(question)) > self._lengths[2]

    def _pieces(self, context: str) -> Tuple[List[int], List[Span]]:
        """(ids, spans) of a context's pieces."""
        known = self._contexts.get(context)
        if known is None:  # another thread may clear the cache meanwhile
            pieces, spans = offsets(self._tokenizer, context)
            known = self._tokenizer.convert_tokens_to_ids(pieces), spans
            num_characters = len(context) + sum(map(len, list(self._contexts)))
            is_full = len(self._contexts) >= _REMEMBERED_CONTEXTS
            if is_full or num_characters > _REMEMBERED_CHARACTERS:
                self._contexts.clear()
            self._contexts[context] = known
        return known


def pieces_of_span(spans: Sequence[Span], begin: int, end: int) -> Optional[Tuple[int, int]]:
    """(first, last) piece that shares a character with a range; None if no piece does."""
    starts = np.array([span[0] for span in spans], np.int64)
    ends = np.array([span[1] for span in spans], np.int64)
    inside = np.flatnonzero((ends > begin) & (starts < end))
    return (int(inside[0]), int(inside[-1])) if len(inside) else None


def usual_max_answer_length(questions: Sequence[Question]) -> int:
    """Returns the length in characters that 99 % of the training answers do not exceed."""
    lengths = [len(question.located.text) for question in questions if question.located]
    if not lengths:
        return 1
    lengths.sort()
    return lengths[min(len(lengths) * ANSWER_PERCENTILE // 100, len(lengths) - 1)]
