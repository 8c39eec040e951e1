"""Reads or trains word vectors (word2vec text format) and finds the nearest words.

vectors = WordVectors.read("my.vec")
vectors.nearest("手机", 5)  # [(word, cosine)]
"""

import itertools
import logging
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import numpy as np

from albert_zh.common import files, validation
from albert_zh.common.errors import UserError

MAX_WORDS = 100000  # to read from a file; usually the first words are the most frequent ones
_LOOKED_AT = 20  # lines used to find the width of the vectors if there is no header line
_UNREADABLE = "\ufffd"  # replaces bytes that are not UTF-8
_TINY = 1e-12


class WordVectors:
    """Words and their vectors, normalized to unit length.

    Attributes:
        words: list of str.
        notes: lines for the user about entries of the file that were skipped.
    """

    def __init__(self, words: List[str], vectors: Any, notes: Sequence[str] = ()) -> None:
        """Normalizes the vectors.

        Args:
            words: list of str.
            vectors: float array [words, width].
            notes: value of the attribute `notes`.
        """
        self.words, self.notes = words, list(notes)
        self._number = {word: number for number, word in enumerate(words)}
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._vectors = (vectors / np.maximum(norms, _TINY)).astype(np.float32)
        self._nearest: Dict[Tuple[str, int], List[Tuple[str, float]]] = {}

    @classmethod
    def read(cls, path: str) -> "WordVectors":
        """Reads a file with one word and its numbers per line, with or without a header line.

        Words that contain blanks, are not valid UTF-8 or are repeated are skipped.

        Raises:
            UserError: if a line has another format; the message names the line.
        """
        read = enumerate(files.stream_lines(path, "utf-8", errors="replace"), start=1)
        lines = ((number, line) for number, line in read if line.strip())
        first = list(itertools.islice(lines, _LOOKED_AT))
        width, has_header = _width_of(path, first)
        vectors: Dict[str, Any] = {}
        num_left_out = 0
        for number, line in itertools.chain(first[has_header:], lines):
            if len(vectors) == MAX_WORDS:
                break
            word, vector = _parsed(path, number, line, width)
            if len(word.split()) == 1 and _UNREADABLE not in word and word not in vectors:
                vectors[word] = vector
            else:
                num_left_out += 1
        if not vectors:
            raise UserError(
                "%s: no word vectors: expected lines of a word (UTF-8, without blanks) and its "
                "numbers%s" % (path, ", %d by its first line" % width if has_header else "")
            )
        note = "%s: %d word vectors skipped: words with spaces, repeated or not in UTF-8"
        notes = [note % (path, num_left_out)] * bool(num_left_out)
        return cls(list(vectors), np.stack(list(vectors.values())), notes)

    @classmethod
    def train(cls, sentences: Iterable[List[str]], seed: int) -> "WordVectors":
        """Trains vectors with skip-gram (gensim's Word2Vec).

        Args:
            sentences: lists of words; only iterated over if gensim is installed, so that a text is
                not segmented in vain.
            seed: random seed of the training.

        Raises:
            UserError: if gensim is not installed, or the text has too few words.
        """
        try:
            from gensim.models import Word2Vec
        except ImportError as error:
            raise UserError(
                "--vectors_corpus needs the package gensim: pip install gensim, or name a file of "
                "word vectors (--glove_embs)"
            ) from error
        logging.getLogger("gensim").setLevel(logging.WARNING)  # hides gensim's progress messages
        sentences = list(sentences)
        model = Word2Vec(vector_size=100, window=5, min_count=5, sg=1, workers=1, seed=seed)
        model.build_vocab(sentences)
        if not len(model.wv):
            raise UserError("--vectors_corpus: no word occurs 5 times: add text")
        model.train(sentences, total_examples=model.corpus_count, epochs=5)
        return cls(list(model.wv.index_to_key), model.wv.vectors)

    def nearest(self, word: str, count: int) -> List[Tuple[str, float]]:
        """Finds the nearest other words by cosine similarity; [] for a word without a vector.

        Args:
            word: str.
            count: maximum number of words to return.

        Returns:
            list of (word, cosine), the nearest first.
        """
        if word not in self._number:
            return []
        key = (word, count)
        if key not in self._nearest:
            number = self._number[word]
            cosines = self._vectors @ self._vectors[number]
            cosines[number] = -np.inf
            best = np.argsort(-cosines, kind="stable")[: min(count, len(self.words) - 1)]
            self._nearest[key] = [(self.words[index], float(cosines[index])) for index in best]
        return self._nearest[key]

    def nearest_among(self, rows: Any, candidates: Any, count: int) -> Any:
        """Finds the nearest words by cosine among candidates, for several words at a time.

        Args:
            rows: int array [N], indices of the words.
            candidates: int array [M], indices of the words to choose from.
            count: maximum number of words to return for each word.

        Returns:
            int array [N, up to count], indices of words, nearest first, without the word itself.
        """
        cosines = self._vectors[rows] @ self._vectors[candidates].T  # [N, M]
        cosines[rows[:, None] == candidates[None, :]] = -np.inf
        best = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(candidates) - 1)]
        return candidates[best]


def _width_of(path, lines):
    """Returns (width of the vectors, whether there is a header line) from a file's first lines."""
    cells = [line.split() for _, line in lines]
    if cells and len(cells[0]) == 2 and all(cell.isdigit() for cell in cells[0]):
        return int(cells[0][1]), True
    widths = [_num_numbers(row) - (_num_numbers(row) == len(row)) for row in cells]
    width = min(widths, default=2)
    if width < 2:
        raise _bad_line(path, *lines[widths.index(width)], max(widths))
    return width, False


def _num_numbers(cells):
    """Number of consecutive numbers at the end of a row of cells."""
    return len(list(itertools.takewhile(validation.reads_as_number, reversed(cells))))


def _parsed(path, number, line, width):
    """Returns (word, vector) of a line; the word is "" if it is blank, and may contain blanks."""
    cells = line.split()
    try:
        vector = np.array(cells[-width:], np.float32)
    except ValueError as error:
        raise _bad_line(path, number, line, width) from error
    is_whole = len(cells) > width or (len(cells) == width and line[:1].isspace())
    if not is_whole or not np.isfinite(vector).all():
        raise _bad_line(path, number, line, width)
    return " ".join(cells[:-width]), vector


def _bad_line(path, number, line, width):
    return UserError(
        "%s: line %d: %r is no word vector: expected a word and its numbers, as many in each line"
        "%s, with blanks between them"
        % (path, number, line[:40], " (%d)" % width if width > 1 else "")
    )
