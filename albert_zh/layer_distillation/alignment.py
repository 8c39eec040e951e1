"""Converts rows of a student's word pieces to the vocabulary of a teacher, and aligns the two.

    converter = RowConverter(student_tokenizer, teacher_tokenizer, longest=512)
    rows = converter.convert(input_ids, input_mask, segment_ids)

The words of a row are joined from their pieces and tokenized again with the teacher's vocabulary.
If a piece of the student and a piece of the teacher cover the same characters, their positions are
aligned, and the models' states at these positions can be compared. A character that the student's
vocabulary lacks becomes an unknown token for the teacher, too.
"""

from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from albert_zh.text.tokenization import UNKNOWN

_CONTINUES = "##"
_MAX_REMEMBERED_WORDS = 200000


class TeacherRows(NamedTuple):
    """A batch in the teacher's vocabulary, with its positions aligned with the student's."""

    input_ids: np.ndarray  # int32 [B, T]
    input_mask: np.ndarray  # int32 [B, T]
    segment_ids: np.ndarray  # int32 [B, T]
    student_positions: np.ndarray  # int32 [B, K], 0 in padding
    teacher_positions: np.ndarray  # int32 [B, K], 0 in padding
    is_aligned: np.ndarray  # int32 [B, K], 0 for padding


class _Word(NamedTuple):
    """A word's pieces in the teacher's vocabulary."""

    ids: Tuple[int, ...]
    aligned: Tuple[Tuple[int, int], ...]  # indices of (student's piece, teacher's piece)


class RowConverter:
    """Converts rows from the student's vocabulary to the teacher's."""

    def __init__(self, student: Any, teacher: Any, longest: int) -> None:
        """Initializes the converter.

        Args:
            student: the student's `FullTokenizer`, which created the rows.
            teacher: the teacher's `FullTokenizer`.
            longest: number of pieces to which the teacher's rows are truncated.
        """
        self._pieces = student.inv_vocab
        self._teacher = teacher
        self._longest = longest
        self._unknown_id = teacher.vocab[UNKNOWN]
        self._words: Dict[Tuple[int, ...], _Word] = {}

    def convert(
        self, input_ids: np.ndarray, input_mask: np.ndarray, segment_ids: np.ndarray
    ) -> TeacherRows:
        """Converts a batch to the teacher's rows.

        Args:
            input_ids: int array [B, F].
            input_mask: int array [B, F].
            segment_ids: int array [B, F].
        """
        lengths = np.sum(input_mask, axis=1)
        rows = [
            self._row(ids[:length].tolist(), segments[:length].tolist())
            for ids, segments, length in zip(input_ids, segment_ids, lengths)
        ]
        ids, segments, pairs = ([row[column] for row in rows] for column in range(3))
        students = [[student for student, _ in row] for row in pairs]
        teachers = [[teacher for _, teacher in row] for row in pairs]
        return TeacherRows(
            _padded(ids),
            _padded([[1] * len(row) for row in ids]),
            _padded(segments),
            _padded(students),
            _padded(teachers),
            _padded([[1] * len(row) for row in students]),
        )

    def _row(self, ids, segments):
        """(ids, segments, aligned pairs of positions) of a row in the teacher's vocabulary."""
        teacher_ids: List[int] = []
        teacher_segments: List[int] = []
        pairs: List[Tuple[int, int]] = []
        for first, last in self._word_ranges(ids):
            word = self._word(tuple(ids[first:last]))
            begin = len(teacher_ids)
            teacher_ids += word.ids
            teacher_segments += [segments[first]] * len(word.ids)
            pairs += [(first + student, begin + teacher) for student, teacher in word.aligned]
        longest = self._longest
        pairs = [pair for pair in pairs if pair[1] < longest]
        return teacher_ids[:longest], teacher_segments[:longest], pairs

    def _word_ranges(self, ids):
        """Yields the range (first, last) of each word's pieces; special tokens are words."""
        pieces = [self._pieces[token_id] for token_id in ids]
        first = 0
        for position in range(1, len(pieces)):
            if not pieces[position].startswith(_CONTINUES) or _is_special(pieces[first]):
                yield first, position
                first = position
        if pieces:
            yield first, len(pieces)

    def _word(self, ids):
        word = self._words.get(ids)
        if word is None:
            if len(self._words) >= _MAX_REMEMBERED_WORDS:
                self._words.clear()
            word = self._words[ids] = self._converted([self._pieces[token_id] for token_id in ids])
        return word

    def _converted(self, pieces):
        """Returns the `_Word` for the student's pieces of one word."""
        vocabulary = self._teacher.vocab
        if len(pieces) == 1 and (_is_special(pieces[0]) or pieces[0] in vocabulary):
            return _Word((vocabulary.get(pieces[0], self._unknown_id),), ((0, 0),))
        texts = [_without_mark(piece) for piece in pieces]
        cut = self._teacher.tokenize("".join(texts)) or [UNKNOWN]
        ids = tuple(self._teacher.convert_tokens_to_ids(cut))
        if UNKNOWN in cut:  # its characters are not known, unless the whole word is one [UNK]
            is_whole = len(cut) == 1 and len(pieces) == 1
            return _Word(ids, ((0, 0),) if is_whole else ())
        here, there = _spans(texts), _spans(map(_without_mark, cut))
        if here[-1][1] != there[-1][1]:  # the teacher's tokenizer removed an accent
            return _Word(ids, ())
        places = {span: index for index, span in enumerate(there)}
        return _Word(
            ids, tuple((index, places[span]) for index, span in enumerate(here) if span in places)
        )


def _is_special(piece: str) -> bool:
    return piece.startswith("[") and piece.endswith("]") and len(piece) > 2


def _without_mark(piece: str) -> str:
    is_marked = piece.startswith(_CONTINUES) and len(piece) > len(_CONTINUES)
    return piece[len(_CONTINUES) :] if is_marked else piece


def _spans(texts: Any) -> List[Tuple[int, int]]:
    """(begin, end) of each text when the texts are concatenated."""
    spans, begin = [], 0
    for text in texts:
        spans.append((begin, begin + len(text)))
        begin += len(text)
    return spans


def _padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Pads rows of different lengths with 0 at the end: int32 [B, longest]."""
    padded = np.zeros([len(rows), max(1, max(map(len, rows)))], np.int32)
    for row, values in zip(padded, rows):
        row[: len(values)] = values
    return padded
