"""Word vectors of a text file in word2vec's format, and words near a word.

vectors = WordVectors.read("my.vec")
vectors.nearest("手机", 5)  # [(word, cosine)]
"""

from typing import Any, Dict, List, Tuple

import numpy as np

from albert_zh.common import files
from albert_zh.common.errors import UserError

MAX_WORDS = 100000  # that are read of a file, the most frequent ones in the usual order
_TINY = 1e-12


class WordVectors:
    """Words with vectors of length 1."""

    def __init__(self, words: List[str], vectors: Any) -> None:
        """Takes words and their vectors.

        Args:
            words: list of str.
            vectors: float array [words, width].
        """
        self.words = words
        self._number = {word: number for number, word in enumerate(words)}
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._vectors = (vectors / np.maximum(norms, _TINY)).astype(np.float32)
        self._nearest: Dict[Tuple[str, int], List[Tuple[str, float]]] = {}

    @classmethod
    def read(cls, path: str) -> "WordVectors":
        """Reads a file: lines of a word and its numbers, with or without word2vec's first line.

        Raises:
            UserError: for a line that is none of these; names it.
        """
        words, rows = [], []
        for number, line in enumerate(files.stream_lines(path, "utf-8"), start=1):
            cells = line.rstrip().split(" ")
            if number == 1 and len(cells) == 2:  # how many words, and their width
                continue
            if len(words) == MAX_WORDS:
                break
            try:
                rows.append(np.array(cells[1:], np.float32))
            except ValueError as error:
                raise _bad_line(path, number, line) from error
            if len(rows[-1]) < 2 or len(rows[-1]) != len(rows[0]):
                raise _bad_line(path, number, line)
            words.append(cells[0])
        if not words:
            raise UserError("%s: no word vectors: expected lines of a word and its numbers" % path)
        return cls(words, np.stack(rows))

    @classmethod
    def train(cls, sentences: Any, seed: int) -> "WordVectors":
        """Trains vectors by skip-gram (gensim's Word2Vec).

        Args:
            sentences: list of lists of words.
            seed: of the training.

        Raises:
            UserError: if gensim is missing, or the text has too few words.
        """
        try:
            from gensim.models import Word2Vec
        except ImportError as error:
            raise UserError(
                "--vectors_corpus needs the package gensim: pip install gensim, or name a file of "
                "word vectors (--glove_embs)"
            ) from error
        model = Word2Vec(vector_size=100, window=5, min_count=5, sg=1, workers=1, seed=seed)
        model.build_vocab(sentences)
        if not len(model.wv):
            raise UserError("--vectors_corpus: no word occurs 5 times: give more text")
        model.train(sentences, total_examples=model.corpus_count, epochs=5)
        return cls(list(model.wv.index_to_key), model.wv.vectors)

    def nearest(self, word: str, count: int) -> List[Tuple[str, float]]:
        """The nearest other words by cosine; none of a word without a vector.

        Args:
            word: str.
            count: the most words to return.

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
        """The nearest words by cosine among some, for several words at a time.

        Args:
            rows: int array [N], numbers of the words.
            candidates: int array [M], numbers of the words to choose from.
            count: the most words to return for each.

        Returns:
            int array [N, up to count], numbers of words, the nearest first, never the word itself.
        """
        cosines = self._vectors[rows] @ self._vectors[candidates].T  # [N, M]
        cosines[rows[:, None] == candidates[None, :]] = -np.inf
        best = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(candidates) - 1)]
        return candidates[best]


def _bad_line(path, number, line):
    return UserError(
        "%s: line %d: %r is no word vector: expected a word and its numbers, as many in each line, "
        "with spaces between them" % (path, number, line[:40])
    )
