"""Converts the windows of a question to feature records, and ranks answers by their scores.

The settings of windows and answers are in a model's `head`, see `flags.HEAD`.
"""

import functools
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.tasks.reading import flags as reading_flags
from albert_zh.tasks.reading import limits, original_windows, span_scores
from albert_zh.tasks.reading.examples import question_of
from albert_zh.tasks.reading.questions import Question
from albert_zh.tasks.reading.span_scores import RankedAnswers, ScoredAnswer
from albert_zh.tasks.reading.window_places import Window
from albert_zh.tasks.reading.windows import WindowMaker

LONGEST_ANSWER = 60  # characters, for a model that does not record its own limit
LENGTH_PENALTY, THRESHOLD = "length_penalty", "null_score_diff_threshold"
TUNED = (LENGTH_PENALTY, THRESHOLD)  # settings that are tuned on dev, in this order
_MASKED = -10000.0
_KEPT_MAKERS = 4
_NOWHERE = (0, 0)  # range of the original's dummy answer

Record = Dict[str, Any]
Rows = Sequence[Dict[str, np.ndarray]]


def records(
    question: Question, tokenizer: Any, max_seq_length: int, head: Dict[str, Any]
) -> Tuple[List[Record], bool]:
    """Creates the records of a question's windows, in the form of `TaskType.features`."""
    maker = _maker(tokenizer, max_seq_length, *_lengths(head))
    was_cut = maker.is_cut(question.text)
    if head.get("original_features"):
        return _original_records(question, tokenizer, max_seq_length, head), was_cut
    windows = maker.training_windows(question) or [_empty_window(question, tokenizer, head)]
    return [_record(window) for window in windows], was_cut


def windows_of(
    question: Question, tokenizer: Any, max_seq_length: int, head: Dict[str, Any]
) -> List[Window]:
    """Creates the windows of a question, without its answer; an empty context has no windows."""
    maker = _maker(tokenizer, max_seq_length, *_lengths(head))
    return maker.windows(question.text, question.context)


def _record(window: Window) -> Record:
    return {
        "input_ids": window.input_ids,
        "segment_ids": window.segment_ids,
        "start_positions": window.start,
        "end_positions": window.end,
        "span_mask": window.span_mask,
    }


def _original_records(question, tokenizer, max_seq_length, head):
    windows = original_windows_of(question, tokenizer, max_seq_length, head)
    if not windows:
        return [_record(_empty_window(question, tokenizer, head))]
    sizes = [len(window.tokens) for window in windows]
    return [
        {
            "input_ids": window.input_ids[:size],
            "segment_ids": window.segment_ids[:size],
            "start_positions": window.start_position or 0,
            "end_positions": window.end_position or 0,
            "span_mask": window.input_span_mask[:size],
        }
        for window, size in zip(windows, sizes)
    ]


def _empty_window(question, tokenizer, head) -> Window:
    """Returns the window of an empty context: it has no piece of context, hence no answer."""
    query = tokenizer.tokenize(question.text)[: _lengths(head)[1]]
    ids = tokenizer.convert_tokens_to_ids(["[CLS]"] + query + ["[SEP]", "[SEP]"])
    return Window(ids, [0] * (len(ids) - 1) + [1], len(ids) - 1, [], np.zeros([0], bool))


def original_windows_of(
    question: Question, tokenizer: Any, max_seq_length: int, head: Dict[str, Any]
) -> List[original_windows.Features]:
    """Creates the original's windows, with answer positions if the answer can be located."""
    maker = _original_maker(tokenizer, max_seq_length, *_lengths(head))
    located = list(maker.features([question], is_training=True)) if question.located else []
    return located or list(maker.features([question]))


def _lengths(head: Dict[str, Any]) -> Tuple[int, int]:
    return tuple(head.get(name, reading_flags.DEFAULTS[name]) for name in reading_flags.LENGTHS)


@functools.lru_cache(maxsize=_KEPT_MAKERS)  # they cache the pieces of contexts
def _maker(tokenizer, max_seq_length, doc_stride, max_query_length):
    return WindowMaker(tokenizer, max_seq_length, doc_stride, max_query_length)


@functools.lru_cache(maxsize=_KEPT_MAKERS)
def _original_maker(tokenizer, max_seq_length, doc_stride, max_query_length):
    return original_windows.OriginalWindowMaker(
        tokenizer, max_seq_length, doc_stride, max_query_length
    )


def row_losses(record: Record, row: Dict[str, np.ndarray]) -> float:
    """Computes the mean cross-entropy of a window's start and end, as in training."""
    losses = []
    for name in ("start", "end"):
        mask = np.array(record["span_mask"], np.float64)
        logits = np.asarray(row[name + "_logits"], np.float64) + (1.0 - mask) * _MASKED
        top = logits.max()
        log_sum = top + np.log(np.exp(logits - top).sum())
        losses.append(log_sum - logits[record[name + "_positions"]])
    return sum(losses) / 2


class Ranker(NamedTuple):
    """Ranks answers by the scores of a question's windows.

    Fields:
        tokenizer: the model's tokenizer.
        max_seq_length: the model's maximum length of a row.
        head: the model's settings of windows and answers.
        null_threshold: `RankedAnswers.null_odds` above it mean "no answer"; None to always answer.
        is_threshold_usual: whether the threshold is BERT's default, since none was tuned or given.
        length_penalty: penalty of `RankedAnswers.with_length_penalty`; 0 as in BERT's program.
    """

    tokenizer: Any
    max_seq_length: int
    head: Dict[str, Any]
    null_threshold: Optional[float]
    is_threshold_usual: bool = False
    length_penalty: float = 0.0

    @property
    def lengths(self) -> Tuple[int, int]:
        """(maximum length of an answer, number of answers to keep)."""
        longest = self.head.get("max_answer_length") or LONGEST_ANSWER
        return longest, self.head.get("n_best_size") or limits.N_BEST_SIZE

    def ranked(self, question: Question, rows: Rows) -> RankedAnswers:
        """Returns the best answers to a question.

        Args:
            question: the question.
            rows: {"start_logits", "end_logits": float [F]} of each record of the question.
        """
        if self.head.get("original_features"):
            return self._ranked_by_original(question, rows)
        maker = _maker(self.tokenizer, self.max_seq_length, *_lengths(self.head))
        windows = maker.windows(question.text, question.context)
        starts, ends = ([row[name] for row in rows] for name in ("start_logits", "end_logits"))
        ranked = span_scores.ranked_answers(question.context, windows, starts, ends, *self.lengths)
        return ranked.with_length_penalty(self.length_penalty)

    def _ranked_by_original(self, question, rows) -> RankedAnswers:
        """Returns the original's answers; their texts may lack the context's blanks and case."""
        length, count = self.lengths
        maker = _original_maker(self.tokenizer, self.max_seq_length, *_lengths(self.head))
        windows = list(maker.features([question]))
        scores = [
            tuple(_masked_log_softmax(window, row[name]) for name in ("start_logits", "end_logits"))
            for window, row in zip(windows, rows)
        ]
        document = maker.document(question.context)
        pairs = original_windows.best_pairs(
            document.words, windows, scores, maker.lowers, count, length
        )
        spans = {
            text: original_windows.characters_of(
                question.context, document, text, pair, maker.lowers
            )
            for text, pair in pairs.items()
            if text
        }
        answers = [
            _answer_of_entry(entry, spans.get(entry["text"], _NOWHERE))
            for entry in original_windows.entries_of(pairs)
            if entry["text"]
        ]
        return RankedAnswers(answers, -np.inf, 0.0)


def _answer_of_entry(entry, span) -> ScoredAnswer:
    score = entry["start_logit"] + entry["end_logit"]
    return ScoredAnswer(begin=span[0], end=span[1], score=score, **entry)


def _masked_log_softmax(window, logits) -> np.ndarray:
    size = len(window.tokens)
    mask = np.array(window.input_span_mask[:size], np.float64)
    scores = np.asarray(logits, np.float64)[:size] + (1.0 - mask) * _MASKED
    top = scores.max()
    return scores - top - np.log(np.exp(scores - top).sum())


def ranker(use: Any, options: Any = None) -> Ranker:
    """Returns the `Ranker` of a model; settings given by flags override the model's settings.

    The length penalty is the one given by flags, or else the one that was tuned on dev, or else 0.

    The threshold of "no answer" is the one given by flags, or else the one that was tuned on dev,
    or else, if the model's questions may have no answer, BERT's default, 0. Other models, and
    models with the original's answers, always answer.

    Args:
        use: `ModelInUse`.
        options: the flags, or None.
    """
    head = dict(use.notes.get("head", {}), **reading_flags.given_head(options))
    threshold, penalty = (
        use.notes.get(name) if head.get(name) is None else head[name]
        for name in (THRESHOLD, LENGTH_PENALTY)
    )
    is_usual = threshold is None and bool(head.get("version_2_with_negative"))
    if is_usual:
        threshold = limits.NULL_THRESHOLD
    if not may_be_unanswered(head):
        threshold, is_usual = None, False
    return Ranker(use.tokenizer, use.max_seq_length, head, threshold, is_usual, penalty or 0.0)


def tuned_names(head: Dict[str, Any]) -> List[str]:
    """Returns which of `TUNED` are tuned on dev with these settings: those that are not fixed.

    With the original's answers nothing is tuned: they have no length penalty and always answer.
    """
    if head.get("original_features"):
        return []
    missing = [name for name in TUNED if head.get(name) is None]
    return [n for n in missing if n != THRESHOLD or may_be_unanswered(head)]


def may_be_unanswered(head: Dict[str, Any]) -> bool:
    """Whether a model with these settings may predict that there is no answer."""
    is_refused = head.get("version_2_with_negative") is False
    return not is_refused and not head.get("original_features")


def check_threshold(head: Dict[str, Any], options: Any) -> None:
    """Raises `UserError` if a threshold of "no answer" is given for a model that always answers.

    Args:
        head: the settings with which the model was, or will be, trained.
        options: the flags.
    """
    threshold = options[THRESHOLD].value
    if options[THRESHOLD].present and threshold is not None and not may_be_unanswered(head):
        raise UserError(
            "--%s=%g: this model always answers (%s), and compares nothing with it: leave it out, "
            "or train with --version_2_with_negative=true"
            % (THRESHOLD, threshold, _why_it_answers(head))
        )


def _why_it_answers(head):
    if head.get("original_features"):
        return "--original_features"
    return "--version_2_with_negative=false, the default if all training questions have an answer"


def ranked_example(ranks: Ranker, example: Any, rows: Rows) -> RankedAnswers:
    """Returns the best answers to an example's question."""
    return ranks.ranked(question_of(example), rows)
