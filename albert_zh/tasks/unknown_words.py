"""Counts words that are missing from the vocabulary, which the model cannot tell apart.

`notes` is for a data set, `Tally` for texts that are predicted group by group.
"""

import collections
import threading
from typing import Any, Callable, Iterable, List, Optional, Sequence

from albert_zh.text import unicode_text
from albert_zh.text.vocabulary_files import SENTENCE_TOKENS, UNKNOWN

LOOKED_AT = 1000  # examples evenly spread over the file; in `Tally`, the first with unknown words
NOTED_FROM = 0.01  # share of unknown word pieces from which a note is printed
MOST = 0.5  # a text with at least this share of unknown word pieces counts as unreadable
_LOOKED_AT_OF_TEXT = 500  # number of characters checked per text
_SHOWN = 5
_LONGEST_SHOWN = 12


def notes(examples: Sequence[Any], tokenizer: Any, read: Callable[[str], str] = str) -> List[str]:
    """Lines for the user if at least a share of `NOTED_FROM` of the word pieces is unknown.

    Args:
        examples: the examples of a split, for any kind of task.
        tokenizer: `FullTokenizer`.
        read: function of a text -> the text as the model reads it.
    """
    num_pieces, unknown = _counted(examples, tokenizer, read)
    return _lines(num_pieces, sum(unknown.values()), unknown, ", here and in use")


class Tally:
    """Counts the unknown word pieces of texts that a model predicts; it is thread-safe."""

    def __init__(self, tokenizer: Any, read: Callable[[str], str] = str) -> None:
        """`tokenizer`: `FullTokenizer`; `read`: function of a text -> the text that is read."""
        self._tokenizer, self._read = tokenizer, read
        self._unknown_id = tokenizer.convert_tokens_to_ids([UNKNOWN])[0]
        self._around = tokenizer.convert_tokens_to_ids(SENTENCE_TOKENS)
        self._lock = threading.Lock()
        self._begin()

    def _begin(self):
        self._num_pieces = self._num_unknown = self._num_looked_at = 0
        self._words: Any = collections.Counter()

    def add(self, texts: Iterable[Optional[str]], rows: Iterable[List[int]]) -> bool:
        """Counts the word pieces of one text or pair.

        Args:
            texts: a text, or the two texts of a pair; None for a missing text.
            rows: its ids, including [CLS] and [SEP]: one row, or several windows.

        Returns:
            whether at least half of its word pieces are unknown.
        """
        num_pieces, num_unknown = self._counts(rows)
        with self._lock:
            self._num_pieces += num_pieces
            self._num_unknown += num_unknown
            if num_unknown and self._num_looked_at < LOOKED_AT:
                self._num_looked_at += 1
                for text in filter(None, texts):
                    _count_text(text, self._tokenizer, self._read, self._words)
        return _is_most(num_pieces, num_unknown)

    def is_unknown(self, rows: Iterable[List[int]]) -> bool:
        """Returns the same as `add` without counting anything."""
        return _is_most(*self._counts(rows))

    def _counts(self, rows):
        """(number of word pieces, number of unknown word pieces) in rows of ids."""
        num_pieces = num_unknown = 0
        for ids in rows:
            num_pieces += len(ids) - sum(map(ids.count, self._around))
            num_unknown += ids.count(self._unknown_id)
        return num_pieces, num_unknown

    def take_notes(self) -> List[str]:
        """Lines as `notes` returns them, for the texts added since the last call."""
        with self._lock:
            lines = _lines(self._num_pieces, self._num_unknown, self._words, "")
            self._begin()
            return lines


def _is_most(num_pieces, num_unknown):
    return num_unknown > 0 and num_unknown >= MOST * num_pieces


def _lines(num_pieces, num_unknown, unknown, where):
    """The lines of `notes`; `unknown`: `Counter` of words; `where`: where the advice applies."""
    if not num_unknown or num_unknown < NOTED_FROM * num_pieces:
        return []
    most = [word for word, _ in unknown.most_common(_SHOWN)]
    note = (
        "%.1f %% of the word pieces are unknown to the vocabulary, most often %s: the model "
        "cannot tell them apart"
        % (100 * num_unknown / num_pieces, ", ".join(word[:_LONGEST_SHOWN] for word in most))
    )
    if any(unicode_text.with_half_width(word) != word for word in most):
        note += "; write letters and digits of full width half-width" + where
    return [note]


def _counted(examples, tokenizer, read):
    """(number of word pieces, `Counter` of unknown word pieces by word) in some examples."""
    num_pieces, unknown = 0, collections.Counter()
    for example in examples[:: max(1, len(examples) // LOOKED_AT)]:
        for text in filter(None, (example.text_a, example.text_b)):
            num_pieces += _count_text(text, tokenizer, read, unknown)
    return num_pieces, unknown


def _count_text(text, tokenizer, read, unknown):
    """Adds a text's unknown pieces to a `Counter` of words; returns its number of pieces."""
    unknown_id = tokenizer.convert_tokens_to_ids([UNKNOWN])[0]
    num_pieces = 0
    for word in unicode_text.words_of(read(text[:_LOOKED_AT_OF_TEXT])):
        ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word))
        num_pieces += len(ids)
        if unknown_id in ids:
            unknown[_without_marks(word)] += ids.count(unknown_id)
    return num_pieces


def _without_marks(word):
    """A word without the punctuation around it; a word of punctuation only is unchanged."""
    inner = [at for at, char in enumerate(word) if not unicode_text.is_punctuation(char)]
    return word[inner[0] : inner[-1] + 1] if inner else word
