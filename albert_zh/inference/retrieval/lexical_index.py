"""An inverted index of a corpus that scores its lines by a query's wording: BM25 of characters.

    index = LexicalIndex.build(["怎么开户", "如何开通账户"])
    index.scores("怎样开户")  # float [2], 1 for the query's own wording

The terms are single characters and, with a small weight, pairs of adjacent characters, after NFKC
and lower-casing. Line lengths are fully normalized (BM25's b is 1), since questions have similar
lengths. Scores are divided by the score that the query itself would have, so that scores of
different queries are comparable.
"""

from typing import Sequence
import unicodedata

import numpy as np

NUM_BUCKETS = 1 << 20  # hash buckets of terms
PAIR_WEIGHT = 0.2  # of a character pair; single characters have 1
SATURATION = 1.2  # BM25's k1
# Settings with which a saved index was built, and its format.
SETTINGS = (NUM_BUCKETS, PAIR_WEIGHT, SATURATION, "b=1", "with counts")
_ARRAYS = ("terms", "starts", "lines", "counts", "weights", "sizes")


class LexicalIndex:
    """For each term, the lines in which it occurs and its weight there."""

    def __init__(
        self,
        terms: np.ndarray,
        starts: np.ndarray,
        lines: np.ndarray,
        counts: np.ndarray,
        weights: np.ndarray,
        sizes: np.ndarray,
    ) -> None:
        """Initializes the index; arguments as computed by `build`.

        Args:
            terms: int [t], sorted; numbers of pairs start at `NUM_BUCKETS`.
            starts: int [t + 1]; term i occurs in lines[starts[i] : starts[i + 1]].
            lines: int [p], line numbers in the corpus, from 0.
            counts: uint16 [p], how often the term occurs in the line.
            weights: float32 [p], the term's contribution to the score of the line.
            sizes: float [2]: number of lines, and their mean length in characters.
        """
        self._terms, self._starts, self._lines = terms, starts, lines
        self._counts, self._weights, self._sizes = counts, weights, sizes
        self._vectorizers = _vectorizers()

    @classmethod
    def build(cls, texts: Sequence[str]) -> "LexicalIndex":
        """Builds the index of a corpus.

        Args:
            texts: the lines of the corpus.
        """
        lines, terms, counts = _occurrences(texts)
        return cls._of_occurrences(lines, terms, counts, len(texts))

    def updated(self, rows: np.ndarray, new_texts: Sequence[str]) -> "LexicalIndex":
        """The index of a changed corpus: equal to `build`, but only new lines are processed.

        Args:
            rows: int [n], the former number of each line in this index; -1 for new lines.
            new_texts: the new lines, in order.
        """
        places = np.full(int(self._sizes[0]), -1, np.int32)  # new number of each line
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
        """The index built from all occurrences: lines [p], terms [p] and counts [p]."""
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
        """Reads an index that `save` has written."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(*[arrays[name] for name in _ARRAYS])

    def scores(self, query: str) -> np.ndarray:
        """Scores each line by how much of a query's wording it contains.

        Args:
            query: str.

        Returns:
            float32 [number of lines], from 0 (nothing) to 1 (all of it).
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
    """(lines int32 [p], terms int32 [p], counts uint16 [p]) of all occurrences in texts."""
    texts = texts or [""]  # the counters refuse an empty list
    parts = [vectorizer.transform(texts).tocoo() for vectorizer in _vectorizers()]
    terms = [part.col + NUM_BUCKETS * number for number, part in enumerate(parts)]
    most = np.iinfo(np.uint16).max
    return (
        np.concatenate([part.row for part in parts]).astype(np.int32),
        np.concatenate(terms).astype(np.int32),
        np.concatenate([np.minimum(part.data, most) for part in parts]).astype(np.uint16),
    )


def _vectorizers():
    """Counters of single characters and of character pairs: texts -> sparse [n, NUM_BUCKETS]."""
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
    """BM25's inverse document frequency of terms; pairs get a fraction of it.

    1 is added, as in scikit-learn, since a few lines say little about how rare a term is.
    """
    rarity = 1 + np.log1p((num_lines - frequencies + 0.5) / (frequencies + 0.5))
    return rarity * np.where(terms < NUM_BUCKETS, 1, PAIR_WEIGHT)


def _saturated(counts, lengths):
    """BM25's weight of terms by their counts; `lengths` are relative to the mean length."""
    return counts * (SATURATION + 1) / (counts + SATURATION * lengths)
