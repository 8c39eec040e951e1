"""How much of a query's wording the lines of a corpus have: BM25 of characters, an inverted index.

    index = LexicalIndex.build(["怎么开户", "如何开通账户"])
    index.scores("怎样开户")  # float [2], 1 for the query's own wording

The terms are single characters and, with a small weight, pairs of neighbouring ones, after NFKC and
lower-casing. The length of a line counts in full (BM25's b is 1), as lines of questions are of one
kind of length. Scores are divided by what the query itself would have, so that those of different
queries compare.
"""

from typing import Sequence
import unicodedata

import numpy as np

NUM_BUCKETS = 1 << 20  # of terms, which are hashed
PAIR_WEIGHT = 0.2  # of a pair of characters; of a single one 1
SATURATION = 1.2  # BM25's k1
# What a kept index was made with, and how it is kept.
SETTINGS = (NUM_BUCKETS, PAIR_WEIGHT, SATURATION, "b=1", "with counts")
_ARRAYS = ("terms", "starts", "lines", "counts", "weights", "sizes")


class LexicalIndex:
    """For each term the lines it occurs in, with its weight there."""

    def __init__(
        self,
        terms: np.ndarray,
        starts: np.ndarray,
        lines: np.ndarray,
        counts: np.ndarray,
        weights: np.ndarray,
        sizes: np.ndarray,
    ) -> None:
        """Arguments as `build` makes them.

        Args:
            terms: int [t], sorted; pairs have numbers from `NUM_BUCKETS` on.
            starts: int [t + 1]; term i occurs in lines[starts[i] : starts[i + 1]].
            lines: int [p], of the corpus, from 0.
            counts: uint16 [p], how often the term is in the line.
            weights: float32 [p], what the term adds to the score of the line.
            sizes: float [2]: number of lines, their mean length in characters.
        """
        self._terms, self._starts, self._lines = terms, starts, lines
        self._counts, self._weights, self._sizes = counts, weights, sizes
        self._vectorizers = _vectorizers()

    @classmethod
    def build(cls, texts: Sequence[str]) -> "LexicalIndex":
        """The index of a corpus.

        Args:
            texts: its lines.
        """
        lines, terms, counts = _occurrences(texts)
        return cls._of_occurrences(lines, terms, counts, len(texts))

    def updated(self, rows: np.ndarray, new_texts: Sequence[str]) -> "LexicalIndex":
        """The index of a changed corpus: as `build` makes it, but only new lines are counted.

        Args:
            rows: int [n], which line of this index each line was; -1 for a new one.
            new_texts: the new lines, in order.
        """
        places = np.full(int(self._sizes[0]), -1, np.int32)  # where each line is now
        places[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
        lines = places[self._lines]
        terms = np.repeat(self._terms, np.diff(self._starts))
        is_kept = lines >= 0
        new_lines, new_terms, new_counts = _occurrences(new_texts)
        return self._of_occurrences(
            np.append(lines[is_kept], np.flatnonzero(rows < 0).astype(np.int32)[new_lines]),
            np.append(terms[is_kept], new_terms),
            np.append(self._counts[is_kept], new_counts),
            len(rows),
        )

    @classmethod
    def _of_occurrences(cls, lines, terms, counts, num_lines):
        """The index of the lines [p], terms [p] and counts [p] of all that occurs."""
        order = np.argsort(terms, kind="stable")
        lines, terms, counts = lines[order], terms[order], counts[order]
        terms, starts = np.unique(terms, return_index=True)
        starts = np.append(starts, len(lines))
        of_singles = slice(starts[np.searchsorted(terms, NUM_BUCKETS)])
        lengths = np.bincount(lines[of_singles], counts[of_singles], minlength=num_lines)
        lengths = np.maximum(1, lengths)
        sizes = np.array([num_lines, lengths.mean()])
        frequencies = np.diff(starts)
        importances = np.repeat(_importances(terms, frequencies, num_lines), frequencies)
        weights = importances * _saturated(counts, lengths[lines] / sizes[1])
        return cls(terms, starts, lines, counts, weights.astype(np.float32), sizes)

    def save(self, path: str) -> None:
        """Writes the index to a .npz file."""
        with open(path, "wb") as output:
            np.savez(output, **{name: getattr(self, "_" + name) for name in _ARRAYS})

    @classmethod
    def load(cls, path: str) -> "LexicalIndex":
        """Reads what `save` has written."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(*[arrays[name] for name in _ARRAYS])

    def scores(self, query: str) -> np.ndarray:
        """How much of a query's wording each line has.

        Args:
            query: str.

        Returns:
            float32 [number of lines], from 0, nothing, to 1, all of it.
        """
        num_lines, mean_length = self._sizes
        scores = np.zeros(int(num_lines), np.float32)
        singles, pairs = [vectorizer.transform([query]) for vectorizer in self._vectorizers]
        terms = np.concatenate([singles.indices, pairs.indices + NUM_BUCKETS])
        counts = np.concatenate([singles.data, pairs.data])
        rows = np.searchsorted(self._terms, terms)
        is_known = np.append(self._terms, -1)[rows] == terms
        frequencies = np.zeros(len(terms))
        for row, index in zip(rows[is_known], np.flatnonzero(is_known)):
            occurrences = slice(*self._starts[row : row + 2])
            scores[self._lines[occurrences]] += self._weights[occurrences]
            frequencies[index] = occurrences.stop - occurrences.start
        own = _importances(terms, frequencies, num_lines) * _saturated(
            counts, max(1, singles.data.sum()) / mean_length
        )
        return np.minimum(scores / max(own.sum(), np.finfo(np.float32).tiny), 1)


def _occurrences(texts):
    """(lines int32 [p], terms int32 [p], counts uint16 [p]) of what occurs in texts."""
    texts = texts or [""]  # of none the counters refuse to count
    parts = [vectorizer.transform(texts).tocoo() for vectorizer in _vectorizers()]
    terms = [part.col + NUM_BUCKETS * number for number, part in enumerate(parts)]
    most = np.iinfo(np.uint16).max
    return (
        np.concatenate([part.row for part in parts]).astype(np.int32),
        np.concatenate(terms).astype(np.int32),
        np.concatenate([np.minimum(part.data, most) for part in parts]).astype(np.uint16),
    )


def _vectorizers():
    """Counters of single characters and of pairs: texts -> sparse [n, NUM_BUCKETS] each."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return [
        HashingVectorizer(
            analyzer="char",
            ngram_range=(length, length),
            preprocessor=_normalized,
            n_features=NUM_BUCKETS,
            norm=None,
            alternate_sign=False,
            dtype=np.float32,
        )
        for length in (1, 2)
    ]


def _normalized(text):
    return unicodedata.normalize("NFKC", text).lower()


def _importances(terms, frequencies, num_lines):
    """BM25's inverse document frequency of terms, of pairs a share of it.

    1 is added, as by scikit-learn, since a few lines say little of how rare a term is.
    """
    rarity = 1 + np.log1p((num_lines - frequencies + 0.5) / (frequencies + 0.5))
    return rarity * np.where(terms < NUM_BUCKETS, 1, PAIR_WEIGHT)


def _saturated(counts, lengths):
    """BM25's weight of terms by their counts in a text; `lengths` over the mean one."""
    return counts * (SATURATION + 1) / (counts + SATURATION * lengths)
