"""Creates exactly the windows and answers of BERT's and NEZHA's run_squad.py for CMRC 2018.

Differences from `windows` and `span_scores`: runs of letters and digits are words, accents are
preserved, the answer is the first occurrence of the first answer's text, lengths are counted in
pieces, the 20 best starts and ends are paired, and answers are joined from pieces without blanks.
"""

import bisect
import collections
import functools
import math
import operator
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.tasks.reading import window_places
from albert_zh.tasks.reading.limits import check_lengths
from albert_zh.tasks.reading.questions import Question
from albert_zh.text import tokenization, unicode_text

FIRST_UNIQUE_ID = 1000000000
_NOTHING_LEFT = "empty"  # the original's prediction if no pair is allowed


class Document(NamedTuple):
    """A context, split into words and pieces.

    Fields:
        words: list of str, lower-cased if the tokenizer does so.
        word_of_character: list with the index of each character's word; for whitespace, the index
            of the preceding word (-1 at the beginning).
        pieces: list of str.
        word_of_piece: list of ints, the word of each piece.
        piece_of_word: list of ints, the first piece of each word.
    """

    words: List[str]
    word_of_character: List[int]
    pieces: List[str]
    word_of_piece: List[int]
    piece_of_word: List[int]


class Features(NamedTuple):
    """A window, with the fields of the original program."""

    unique_id: int
    example_index: int
    doc_span_index: int
    tokens: List[str]
    token_to_orig_map: Dict[int, int]
    token_is_max_context: Dict[int, bool]
    input_ids: List[int]
    input_mask: List[int]
    segment_ids: List[int]
    input_span_mask: List[int]
    start_position: Optional[int] = None
    end_position: Optional[int] = None


class OriginalWindowMaker:
    """Creates the windows of the original program."""

    def __init__(
        self, tokenizer: Any, max_seq_length: int, doc_stride: int, max_query_length: int
    ) -> None:
        """Arguments as in `WindowMaker`; also raises `UserError` for a SentencePiece model."""
        check_lengths(max_seq_length, doc_stride, max_query_length)
        if tokenizer.sentencepiece is not None:
            raise UserError(
                "--original_features needs a vocabulary of word pieces, found a SentencePiece "
                "model: leave the flag out"
            )
        self._tokenizer = tokenizer
        self._lengths = max_seq_length, doc_stride, max_query_length

    @property
    def lowers(self) -> bool:
        """Whether words are lower-cased."""
        return self._tokenizer.basic_tokenizer.do_lower_case

    def features(
        self, questions: Sequence[Question], is_training: bool = False
    ) -> Iterator[Features]:
        """Yields the windows of questions.

        Args:
            questions: list of `Question`.
            is_training: whether windows get the positions of the answer; a question whose answer
                cannot be located in the words then has no windows.
        """
        unique_id = FIRST_UNIQUE_ID
        context, document = None, None
        for index, question in enumerate(questions):
            if question.context is not context:
                context, document = question.context, self.document(question.context)
            answer = self.answer_pieces(question, document) if is_training else None
            if is_training and answer is None:
                continue
            for features in self._windows(question, document, answer, is_training):
                yield features._replace(unique_id=unique_id, example_index=index)
                unique_id += 1

    def document(self, context: str) -> Document:
        """Splits a context into words and pieces."""
        words = split_into_words(context, self.lowers)
        word_of_character = _words_of_characters(context, words, self.lowers)
        pieces, word_of_piece, piece_of_word = [], [], []
        for index, word in enumerate(words):
            piece_of_word.append(len(pieces))
            for piece in self.pieces(word):
                word_of_piece.append(index)
                pieces.append(piece)
        return Document(words, word_of_character, pieces, word_of_piece, piece_of_word)

    def pieces(self, text: str) -> List[str]:
        """Splits a text into pieces."""
        split = self._tokenizer.wordpiece_tokenizer.split_word
        return [piece for word in split_into_words(text, self.lowers) for piece in split(word)]

    def answer_words(self, question: Question, document: Document) -> Optional[Tuple[int, int]]:
        """(first, last) word of the first answer; None if it cannot be recovered from words."""
        text = question.answers[0].text if question.answers else ""
        begin = question.context.find(text)
        if not text or begin < 0:
            return None
        first = max(document.word_of_character[begin], 0)
        last = document.word_of_character[begin + len(text) - 1]
        cleaned = "".join(text.split())
        cleaned = cleaned.lower() if self.lowers else cleaned
        return (first, last) if cleaned in "".join(document.words[first : last + 1]) else None

    def answer_pieces(self, question: Question, document: Document) -> Optional[Tuple[int, int]]:
        """(first, last) piece of the first answer, narrowed to pieces that spell it; or None."""
        words = self.answer_words(question, document)
        if words is None:
            return None
        begin = document.piece_of_word[words[0]]
        ends = document.piece_of_word[words[1] + 1 : words[1] + 2]
        last = (ends[0] if ends else len(document.pieces)) - 1
        spelled = " ".join(self.pieces(question.answers[0].text))
        for first in range(begin, last + 1):
            for end in range(last, first - 1, -1):
                if " ".join(document.pieces[first : end + 1]) == spelled:
                    return first, end
        return begin, last

    def _windows(self, question, document, answer, is_training) -> Iterator[Features]:
        max_seq_length, doc_stride, max_query_length = self._lengths
        query = self.pieces(question.text)[:max_query_length]
        head = ["[CLS]"] + query + ["[SEP]"]
        num_pieces = len(document.pieces)
        bounds = window_places.window_bounds(num_pieces, max_seq_length - len(head) - 1, doc_stride)
        best_windows = window_places.max_context_windows(bounds, num_pieces)
        for index, (begin, end) in enumerate(bounds):
            positions = range(len(head), len(head) + end - begin)
            tokens = head + document.pieces[begin:end] + ["[SEP]"]
            padding = [0] * (max_seq_length - len(tokens))
            targets: Tuple[Optional[int], Optional[int]] = (None, None)
            if is_training:
                targets = window_places.positions_in_window(answer, begin, end, len(head))
            yield Features(
                unique_id=0,
                example_index=0,
                doc_span_index=index,
                tokens=tokens,
                token_to_orig_map=dict(zip(positions, document.word_of_piece[begin:end])),
                token_is_max_context=dict(
                    zip(positions, (best_windows[begin:end] == index).tolist())
                ),
                input_ids=self._tokenizer.convert_tokens_to_ids(tokens) + padding,
                input_mask=[1] * len(tokens) + padding,
                segment_ids=[0] * len(head) + [1] * (end - begin + 1) + padding,
                input_span_mask=[1] + [0] * (len(head) - 1) + [1] * (end - begin) + [0] + padding,
                start_position=targets[0],
                end_position=targets[1],
            )


def split_into_words(text: str, lowers: bool) -> List[str]:
    """Splits a text into words: ideographs, punctuation, control characters, runs of the others."""
    spaced = "".join(" %s " % char if _stands_alone(char) else char for char in text)
    return (spaced.lower() if lowers else spaced).split()


def _stands_alone(char: str) -> bool:
    """Whether a character is a word by itself.

    This holds for characters that the tokenizer removes, surrounds with spaces or treats as
    punctuation, except U+FFFD, which the tokenizer removes although it is no control character.
    """
    if char == "\ufffd":
        return False
    return unicode_text.CLEANED_AND_SPACED[ord(char)] != char or unicode_text.is_punctuation(char)


def _words_of_characters(context: str, words: Sequence[str], lowers: bool) -> List[int]:
    """Returns for each character the index of its word."""
    numbers = []
    at, spelled = 0, ""
    for char in context:
        if char.isspace():
            numbers.append(at - 1)
            continue
        numbers.append(at)
        spelled += char
        if (spelled.lower() if lowers else spelled) == words[at]:
            at, spelled = at + 1, ""
    return numbers


# Scores to answers

_Pair = collections.namedtuple("_Pair", "features start end start_logit end_logit")


def best_pairs(
    words: Sequence[str],
    windows: Sequence[Features],
    log_probabilities: Sequence[Tuple[Sequence[float], Sequence[float]]],
    lowers: bool,
    n_best_size: int,
    max_answer_length: int,
) -> Dict[str, Any]:
    """Returns {text: best pair of a start and an end with this text}, best first.

    Args:
        words: words of the question's document.
        windows: the W windows of the question.
        log_probabilities: W pairs (starts, ends) of lists of floats [F].
        lowers: whether the tokenizer lower-cases.
        n_best_size: number of starts and of ends that are paired, and of answers to keep.
        max_answer_length: maximum number of pieces of an answer.
    """
    pairs = [
        pair
        for features, (starts, ends) in zip(windows, log_probabilities)
        for pair in _allowed_pairs(features, starts, ends, n_best_size, max_answer_length)
    ]
    pairs.sort(key=lambda pair: pair.start_logit + pair.end_logit, reverse=True)
    best: Dict[str, Any] = {}
    for pair in pairs:
        if len(best) >= n_best_size:
            break
        best.setdefault(_text(words, pair, lowers), pair)
    return best


def entries_of(pairs: Dict[str, Any]) -> List[Dict[str, Any]]:
    """Returns the n-best list of `best_pairs`; without pairs, the original's dummy entry."""
    ranked = [_entry(text, *pair[3:], *pair[1:3]) for text, pair in pairs.items()]
    ranked = ranked or [_entry(_NOTHING_LEFT, 0.0, 0.0, 0, 0)]
    scores = [entry["start_logit"] + entry["end_logit"] for entry in ranked]
    for entry, probability in zip(ranked, _softmax(scores)):
        entry["probability"] = probability
    return ranked


def _entry(text, start_logit, end_logit, start_index, end_index):
    return {
        "text": text,
        "probability": 0.0,
        "start_logit": start_logit,
        "end_logit": end_logit,
        "start_index": start_index,
        "end_index": end_index,
    }


def _allowed_pairs(features, starts, ends, n_best_size, max_answer_length) -> Iterator[_Pair]:
    for start in _best_indices(starts, n_best_size):
        if not features.token_is_max_context.get(start, False):
            continue
        for end in _best_indices(ends, n_best_size):
            if end in features.token_to_orig_map and start <= end < start + max_answer_length:
                yield _Pair(features, start, end, float(starts[start]), float(ends[end]))


def _best_indices(scores: Sequence[float], count: int) -> List[int]:
    return np.argsort(-np.asarray(scores, np.float64), kind="stable")[:count].tolist()


def _softmax(scores: Sequence[float]) -> List[float]:
    top = max(scores)
    odds = [math.exp(score - top) for score in scores]
    total = functools.reduce(operator.add, odds)  # `sum` of Python 3.12 rounds differently
    return [exponential / total for exponential in odds]


def _text(words: Sequence[str], pair: _Pair, lowers: bool) -> str:
    """Returns the text of a pair, without blanks."""
    pieces = pair.features.tokens[pair.start : pair.end + 1]
    spelled = " ".join(" ".join(pieces).replace(" ##", "").replace("##", "").split())
    first, last = (pair.features.token_to_orig_map[at] for at in (pair.start, pair.end))
    return _projected(spelled, " ".join(words[first : last + 1]), lowers).replace(" ", "")


def _projected(spelled: str, text: str, lowers: bool) -> str:
    """Returns the part of a text that some of its tokens spell; if not alignable, the whole text.

    Args:
        spelled: the tokens, separated by blanks.
        text: the text that was split into tokens.
        lowers: whether the tokenizer lower-cases.
    """
    tokenized = " ".join(tokenization.BasicTokenizer(lowers).tokenize(text))
    begin = tokenized.find(spelled)
    characters = [at for at, char in enumerate(text) if char != " "]
    if begin < 0 or len(characters) != len(tokenized.replace(" ", "")):
        return text
    before = begin - tokenized.count(" ", 0, begin)
    length = len(spelled.replace(" ", ""))
    if not length:
        return text
    return text[characters[before] : characters[before + length - 1] + 1]


def characters_of(
    context: str, document: Document, text: str, pair: Any, lowers: bool
) -> Tuple[int, int]:
    """Locates an answer in the context: half-open range of characters.

    Without blanks, and lower-cased if the tokenizer does so, these characters are the answer's
    text. For a text that cannot be aligned, the range is that of the answer's words.

    Args:
        context: str.
        document: the context, split into words.
        text: text of the answer.
        pair: the answer's pair, as `best_pairs` returns it.
        lowers: whether the tokenizer lower-cases.
    """
    first, last = (pair.features.token_to_orig_map[at] for at in (pair.start, pair.end))
    begin = bisect.bisect_left(document.word_of_character, first)
    end = bisect.bisect_right(document.word_of_character, last)
    located = [
        (letter, at)
        for at in range(begin, end)
        if not context[at].isspace()
        for letter in (context[at].lower() if lowers else context[at])
    ]
    at = "".join(letter for letter, _ in located).find(text)
    chosen = located if at < 0 else located[at : at + len(text)]
    return chosen[0][1], chosen[-1][1] + 1
