"""Ranks answers by the scores that a model assigns to the pieces of its windows, using only NumPy.

ranked = ranked_answers(context, windows, start_logits, end_logits, max_answer_length=60)
ranked.answers[0].text, ranked.answers[0].begin, ranked.null_odds
"""

import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert_zh.tasks.reading.limits import N_BEST_SIZE
from albert_zh.tasks.reading.window_places import Window

_IMPOSSIBLE = -1e30


class ScoredAnswer(NamedTuple):
    """An answer in the context.

    Fields:
        text: the context's characters from `begin` to `end`; with `original_windows` the text that
            the original program writes.
        begin, end: half-open range of characters.
        score: sum of the log probabilities of its start and its end in its window, minus the length
            penalty, see `RankedAnswers.with_length_penalty`.
        probability: its share among the ranked answers and "no answer"; in `RankedAnswers.top`
            without a threshold, its share among the answers only.
        start_logit, end_logit: the two log probabilities.
        start_index, end_index: positions of its first and last piece in its window.
    """

    text: str
    begin: int
    end: int
    score: float
    probability: float
    start_logit: float
    end_logit: float
    start_index: int
    end_index: int

    def with_length_penalty(self, penalty: float) -> "ScoredAnswer":
        """Returns the answer with a length penalty in its score; it replaces an earlier penalty."""
        loss = penalty * math.log(max(1, self.end - self.begin))
        return self._replace(score=self.start_logit + self.end_logit - loss)


class RankedAnswers(NamedTuple):
    """The best answers to a question.

    Fields:
        answers: list of `ScoredAnswer` with distinct texts, the best first.
        null_score: score of "no answer": the lowest score over all windows; inf without a window.
        null_probability: share of "no answer" among the answers and "no answer".
    """

    answers: List[ScoredAnswer]
    null_score: float
    null_probability: float

    @property
    def null_odds(self) -> float:
        """Score of "no answer" minus the score of the best answer; inf without an answer."""
        return self.null_score - self.answers[0].score if self.answers else np.inf

    def with_length_penalty(self, penalty: float) -> "RankedAnswers":
        """Ranks the same answers by scores from which `penalty` * ln(characters) is subtracted.

        Start and end are scored independently. If several starts and ends are about equally
        probable, the longest spans therefore combine the start and the end of different answers.
        """
        answers = [answer.with_length_penalty(penalty) for answer in self.answers]
        answers.sort(key=lambda answer: -answer.score)
        return _with_probabilities(answers, self.null_score)

    def text(self, null_threshold: Optional[float] = None) -> str:
        """Returns the best answer; "" if `null_odds` is above the threshold (None: never)."""
        if not self.answers or (null_threshold is not None and self.null_odds > null_threshold):
            return ""
        return self.answers[0].text

    def top(self, count: int, null_threshold: Optional[float] = None) -> List[ScoredAnswer]:
        """Returns the best answers; with a threshold, "no answer" is one of them.

        Args:
            count: maximum number of answers.
            null_threshold: value that is subtracted from the score of "no answer", so that it
                comes first if `text` is ""; probabilities use this score, too. None: "no answer" is
                omitted.

        Returns:
            list of `ScoredAnswer`; "no answer" has the text "" and the empty range (0, 0).
        """
        if null_threshold is None or np.isinf(self.null_score):
            return self._without_null()[:count]
        null_score = self.null_score - null_threshold
        ranked = _with_probabilities(self.answers, null_score)
        nothing = ScoredAnswer("", 0, 0, null_score, ranked.null_probability, 0.0, 0.0, 0, 0)
        num_better = sum(answer.score >= null_score for answer in self.answers)
        return (ranked.answers[:num_better] + [nothing] + ranked.answers[num_better:])[:count]

    def _without_null(self) -> List[ScoredAnswer]:
        """Returns the answers with their probabilities as shares among the answers only."""
        if not (self.answers and self.null_probability):
            return self.answers
        return _with_shares(self.answers, _shares([answer.score for answer in self.answers]))


def ranked_answers(
    context: str,
    windows: Sequence[Window],
    start_logits: Sequence[np.ndarray],
    end_logits: Sequence[np.ndarray],
    max_answer_length: int,
    n_best_size: int = N_BEST_SIZE,
) -> RankedAnswers:
    """Ranks the answers to a question over all its windows.

    All pairs of a start and an end are ranked if their text is short enough and the window is the
    one in which the start is scored. Answers are substrings of the context, so that its blanks and
    case are preserved.

    Args:
        context: str.
        windows: list of W `Window`.
        start_logits: list of W arrays float [F] or longer, scores of the first piece of an answer;
            positions after the window's last piece are ignored.
        end_logits: list of W arrays, the same for the last piece of an answer.
        max_answer_length: maximum length of an answer, in characters.
        n_best_size: number of answers to keep.

    Returns:
        `RankedAnswers`.
    """
    scored = [
        (window, log_probabilities(window, starts), log_probabilities(window, ends))
        for window, starts, ends in zip(windows, start_logits, end_logits)
    ]
    null_score = min((float(starts[0] + ends[0]) for _, starts, ends in scored), default=np.inf)
    bounds = np.array([_highest_sum(*entry) for entry in scored])
    answers: Dict[str, ScoredAnswer] = {}
    for index in np.argsort(-bounds, kind="stable"):
        if len(answers) >= n_best_size and bounds[index] < list(answers.values())[-1].score:
            break  # no answer of this window or the remaining ones is among the best
        for text, answer in _best_texts(context, scored[index], max_answer_length, n_best_size):
            if text not in answers or answer.score > answers[text].score:
                answers[text] = answer
        ranked = sorted(answers.items(), key=lambda item: -item[1].score)
        answers = dict(ranked[:n_best_size])
    return _with_probabilities(list(answers.values()), null_score)


def best_positions(starts: np.ndarray, ends: np.ndarray) -> Tuple[int, int]:
    """Returns the first and last position of a row's best span, whatever tokens are there.

    Args:
        starts: float [F], logits of the first piece.
        ends: float [F], logits of the last piece.
    """
    sums = np.where(np.tri(len(starts), dtype=bool).T, starts[:, None] + ends, -np.inf)  # [F, F]
    first, last = np.unravel_index(sums.argmax(), sums.shape)
    return int(first), int(last)


def _highest_sum(window: Window, starts: np.ndarray, ends: np.ndarray) -> float:
    """Upper bound of the scores of a window's answers: its best start plus its best end."""
    pieces = slice(window.offset, window.offset + len(window.spans))
    is_scored = window.is_max_context
    return (
        float(starts[pieces][is_scored].max() + ends[pieces].max()) if is_scored.any() else -np.inf
    )


def log_probabilities(window: Window, logits: np.ndarray) -> np.ndarray:
    """Log softmax over [CLS] and the context's pieces; float64 [F], very low at other positions."""
    size = len(window.input_ids)
    mask = np.array(window.span_mask, bool)
    scores = np.where(mask, np.asarray(logits, np.float64)[:size], _IMPOSSIBLE)
    top = scores.max()
    return scores - top - np.log(np.exp(scores - top).sum())


def _best_texts(
    context: str, scored: Tuple[Window, np.ndarray, np.ndarray], max_answer_length: int, count: int
) -> List[Tuple[str, ScoredAnswer]]:
    """(text, answer) of a window's best answers, best first; the texts are distinct."""
    num_pairs = count
    while True:
        pairs = _best_pairs(*scored, max_answer_length, num_pairs)
        best: Dict[str, ScoredAnswer] = {}
        for first, last in pairs:
            answer = _answer(context, scored, first, last)
            if answer.text:
                best.setdefault(answer.text, answer)
        if len(best) >= count or len(pairs) < num_pairs:
            return list(best.items())[:count]
        num_pairs *= 4  # some texts occur more than once in the window


def _best_pairs(
    window: Window, starts: np.ndarray, ends: np.ndarray, max_answer_length: int, count: int
) -> List[Tuple[int, int]]:
    """The (first, last) positions of the best spans of a window, best first."""
    begins = np.array([span[0] for span in window.spans])  # [C]
    stops = np.array([span[1] for span in window.spans])
    size = len(begins)
    most_pieces = int((np.searchsorted(begins, begins + max_answer_length) - np.arange(size)).max())
    lasts = np.arange(size)[:, None] + np.arange(most_pieces)  # [C, P]
    is_inside = lasts < size
    lasts = np.minimum(lasts, size - 1)
    lengths = stops[lasts] - begins[:, None]
    is_possible = is_inside & (lengths <= max_answer_length) & window.is_max_context[:, None]
    sums = starts[window.offset : window.offset + size][:, None] + ends[window.offset + lasts]
    sums = np.where(is_possible, sums, -np.inf).ravel()
    best = np.argpartition(-sums, min(count, sums.size - 1))[:count]
    best = best[np.lexsort((best, -sums[best]))]
    return [
        (int(at // most_pieces) + window.offset, int(lasts.ravel()[at]) + window.offset)
        for at in best
        if np.isfinite(sums[at])
    ]


def _answer(context, scored, first, last) -> ScoredAnswer:
    window, starts, ends = scored
    begin = window.spans[first - window.offset][0]
    end = window.spans[last - window.offset][1]
    return ScoredAnswer(
        text=context[begin:end],
        begin=begin,
        end=end,
        score=float(starts[first] + ends[last]),
        probability=0.0,
        start_logit=float(starts[first]),
        end_logit=float(ends[last]),
        start_index=first,
        end_index=last,
    )


def _with_probabilities(answers: List[ScoredAnswer], null_score: float) -> RankedAnswers:
    """Adds probabilities of the answers and of "no answer": a softmax over their scores."""
    if np.isinf(null_score):
        return RankedAnswers([], null_score, 1.0)
    shares = _shares([answer.score for answer in answers] + [null_score])
    return RankedAnswers(_with_shares(answers, shares), null_score, float(shares[-1]))


def _shares(scores: Sequence[float]) -> np.ndarray:
    odds = np.exp(np.array(scores) - max(scores))
    return odds / odds.sum()


def _with_shares(answers, shares):
    return [answer._replace(probability=float(share)) for answer, share in zip(answers, shares)]


def tuned_threshold(
    null_odds: Sequence[float], answered: Sequence[float], unanswered: Sequence[float]
) -> Tuple[float, float]:
    """Finds the threshold of `RankedAnswers.null_odds` with the best mean score on a labelled file.

    Args:
        null_odds: float per question.
        answered: score (F1 or exact match) of each question's best answer.
        unanswered: score of "no answer" per question: 1 if it has no answer, otherwise 0.

    Returns:
        (threshold, mean score): questions whose odds are above the threshold get no answer. The
        threshold is halfway between the odds of two questions, or below or above all odds.
    """
    order = np.argsort(null_odds, kind="stable")
    odds = np.asarray(null_odds, np.float64)[order]
    gains = np.asarray(answered, np.float64)[order] - np.asarray(unanswered, np.float64)[order]
    totals = np.sum(unanswered) + np.concatenate([[0.0], np.cumsum(gains)])  # first k answered
    is_boundary = np.concatenate([[True], odds[1:] > odds[:-1], [True]])
    best = int(np.argmax(np.where(is_boundary, totals, -np.inf)))
    return _threshold_at(odds, best), float(totals[best] / len(odds))


def _threshold_at(odds: np.ndarray, count: int) -> float:
    """Returns a threshold that only the lowest `count` of the sorted odds do not exceed."""
    finite = odds[np.isfinite(odds)]
    if count == 0:
        return float(finite[0] - 1.0) if len(finite) else 0.0
    if count >= len(finite):
        return float(finite[-1] + 1.0) if len(finite) else 0.0
    return float((odds[count - 1] + odds[count]) / 2)
