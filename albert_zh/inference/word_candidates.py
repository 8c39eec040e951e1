"""Finds substitutes of Chinese words with a masked LM and with word vectors.

    finder = CandidateFinder(filler, segment, is_word, CandidateSettings())
    finder.candidates([("这家店的菜很好吃", (2, 3))])

All characters of the word are masked at once, and the unmasked text is added as the second segment,
so that substitutes keep the meaning (as in TinyBERT); the masks are filled from left to right by
beam search. Results are kept if they are words of the dictionary and probable enough.
"""

import functools
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert_zh.text import offsets
from albert_zh.text.word_vectors import WordVectors

Span = Tuple[int, int]
_LONGEST_WORD = 4  # maximum characters of a replaced word
_BEAM = 5  # beam size
_TINY = 1e-12
_REMEMBERED_TEXTS = 1024
_MASK = "[MASK]"
# Words that express grammar, negation, persons or a question rather than the topic of a text.
FUNCTION_WORDS = frozenset(
    "没有 不是 不能 不会 不要 不用 不可 不得 无法 是否 是不是 能不能 可不可以 有没有 "
    "什么 怎么 怎样 怎么样 怎么办 为什么 为何 如何 哪里 哪个 哪些 哪儿 多少 几个 "
    "谁的 我们 你们 他们 她们 它们 咱们 自己 大家 这个 那个 这些 那些 这里 "
    "那里 这样 那样 因为 所以 但是 可是 不过 如果 虽然 而且 并且 或者 还是 "
    "以及 然后 于是 因此 可以 能够 应该 必须 需要 可能 已经 正在 曾经 一个 "
    "一些 一下 的话 之后 之前 以后 以前 关于 对于 根据 通过 由于 只有 只是 "
    "就是 也是 都是 不同 一样 相同".split()
)


class CandidateSettings(NamedTuple):
    """Which words are candidates.

    Fields:
        most: maximum number of words per source and word, M.
        min_probability: minimum of the geometric mean over the word's pieces.
        batch_size: number of rows that the masked LM reads at a time.
    """

    most: int = 15
    min_probability: float = 0.01
    batch_size: int = 32


class CandidateFinder:
    """Finds candidates for words in texts."""

    def __init__(
        self,
        filler: Any,
        segment: Callable[[str], List[str]],
        is_word: Callable[[str], bool],
        settings: CandidateSettings,
        vectors: Optional[WordVectors] = None,
    ) -> None:
        """Initializes the finder.

        Args:
            filler: `MaskFiller`.
            segment: function that splits a text into words.
            is_word: function that returns whether a string is a word of the dictionary.
            settings: which words are candidates.
            vectors: word vectors, or None to use the masked LM only.
        """
        self._filler, self._segment, self._is_word = filler, segment, is_word
        self._settings, self._vectors = settings, vectors
        self.replaceable = functools.lru_cache(_REMEMBERED_TEXTS)(self._replaceable)

    def _replaceable(self, text: str) -> List[Span]:
        """The words of a text that may be replaced, as ranges of its characters.

        Chinese words of 2 to 4 characters that carry meaning: no digits, letters, single
        characters or `FUNCTION_WORDS`.
        """
        spans, begin = [], 0
        for word in self._segment(text):
            end = begin + len(word)
            if _is_chinese(word) and 2 <= len(word) <= _LONGEST_WORD and word not in FUNCTION_WORDS:
                spans.append((begin, end))
            begin = end
        return spans

    def is_too_long(self, text: str) -> bool:
        """Whether a text is too long for the masked LM, which reads it twice in a row."""
        return len(_row_of(self._filler.tokenizer.tokenize(text))) > self._filler.max_seq_length

    def candidates(self, requests: Sequence[Tuple[str, Span]]) -> List[List[str]]:
        """Finds substitutes of words, without the words themselves.

        Args:
            requests: list of (text, range of a word).

        Returns:
            for each request a list of words, starting with those of the masked LM.
        """
        rows = [self._masked(text, span) for text, span in requests]
        beams = [[(0.0, "")] if row else [] for row in rows]
        for place in range(_LONGEST_WORD):
            self._extend(rows, beams, place)
        results = []
        for (text, (begin, end)), beam in zip(requests, beams):
            words = self._words(beam, text[begin:end])
            near = [word for word in self._near(text[begin:end]) if word not in words]
            results.append(words + near)
        return results

    def _near(self, word):
        """The nearest words by vectors that are also Chinese words."""
        if self._vectors is None:
            return []
        near = [other for other, _ in self._vectors.nearest(word, self._settings.most)]
        return [other for other in near if _is_chinese(other) and other not in FUNCTION_WORDS]

    def _masked(self, text, span):
        """(ids, segments, mask positions) of a row; None unless each character is a piece."""
        tokenizer = self._filler.tokenizer
        pieces, spans = offsets.offsets(tokenizer, text)
        inside = [i for i, (begin, end) in enumerate(spans) if span[0] <= begin and end <= span[1]]
        row = _row_of(pieces)
        if len(inside) != span[1] - span[0] or len(row) > self._filler.max_seq_length:
            return None
        for index in inside:
            row[1 + index] = _MASK
        segments = [0] * (len(pieces) + 2) + [1] * (len(pieces) + 1)
        return tokenizer.convert_tokens_to_ids(row), segments, [1 + index for index in inside]

    def _extend(self, rows, beams, place):
        """Adds a character to the prefixes of words that are longer than `place`.

        Args:
            rows: for each request the result of `_masked`, or None.
            beams: for each request a list of (log probability, prefix); modified.
            place: length of the prefixes in characters.
        """
        states = [
            (number, score, begun)
            for number, row in enumerate(rows)
            if row is not None and len(row[2]) > place
            for score, begun in beams[number]
        ]
        states.sort(key=lambda state: len(rows[state[0]][0]))
        extended: Dict[int, List[Tuple[float, str]]] = {state[0]: [] for state in states}
        for first in range(0, len(states), self._settings.batch_size):
            batch = states[first : first + self._settings.batch_size]
            filled = [self._filled(rows[number], begun) for number, _, begun in batch]
            positions = np.array([[rows[number][2][place]] for number, _, _ in batch])
            probabilities = self._filler.probabilities(filled, positions)[:, 0]  # [B, V]
            for (number, score, begun), of_row in zip(batch, probabilities):
                extended[number] += [
                    (score + log, begun + char) for char, log in self._likeliest(of_row)
                ]
        for number, words in extended.items():
            is_whole = len(rows[number][2]) == place + 1
            words.sort(key=lambda scored: -scored[0])
            beams[number] = words if is_whole else words[:_BEAM]

    def _filled(self, row, begun):
        """(ids, segments) of a masked row with a word's prefix filled in."""
        ids = list(row[0])
        for position, token_id in zip(
            row[2], self._filler.tokenizer.convert_tokens_to_ids(list(begun))
        ):
            ids[position] = token_id
        return ids, row[1]

    def _likeliest(self, probabilities):
        """[(Chinese character, log probability)] of the most probable pieces."""
        best = np.argsort(-probabilities, kind="stable")[: self._settings.most].tolist()
        pieces = self._filler.tokenizer.convert_ids_to_tokens(best)
        return [
            (piece, float(np.log(probabilities[token_id] + _TINY)))
            for token_id, piece in zip(best, pieces)
            if len(piece) == 1 and "\u4e00" <= piece <= "\u9fff"
        ]

    def _words(self, beam, original):
        """The most probable words of the dictionary other than `original`, [at most M]."""
        least = len(original) * np.log(max(self._settings.min_probability, _TINY))
        rejected = FUNCTION_WORDS.union([original])
        words = [
            word
            for score, word in beam
            if score >= least and word not in rejected and self._is_word(word)
        ]
        return words[: self._settings.most]


def _row_of(pieces):
    """The pieces of a row before its first segment is masked."""
    return ["[CLS]"] + pieces + ["[SEP]"] + pieces + ["[SEP]"]


def _is_chinese(word):
    return all("\u4e00" <= char <= "\u9fff" for char in word)
