"""Finds, for a piece of text, documents of the same shard on a similar topic.

    neighbours = Neighbours(text)
    neighbours.following(begin, end, document)  # sentences of similar documents

Texts are similar if they share rare pairs of neighbouring pieces. In Chinese such a pair is two
hanzi, like most words.
"""

from typing import Any, List, Tuple

import numpy as np

_MOST_OCCURRENCES = 50  # of a pair in a shard; a more frequent pair does not indicate a topic
_MOST_CANDIDATES = 8  # several, since the most similar one may be a duplicate of the text


class Neighbours:
    """Index of the occurrences of each pair of neighbouring pieces in a shard."""

    def __init__(self, text: Any) -> None:
        """Builds the index.

        Args:
            text: `sampling.EncodedShard`.
        """
        self._ids = text.ids.astype(np.int64)
        # End of the document of each sentence; the documents cover all sentences in order.
        firsts, lasts = np.array(text.documents, np.int64).reshape(-1, 2).T
        self._ends = np.repeat(lasts, lasts - firsts)
        sentence_of = np.repeat(np.arange(len(self._ends)), np.diff(text.sentences))
        positions = np.flatnonzero(sentence_of[:-1] == sentence_of[1:])
        codes = self._codes(positions)
        order = np.argsort(codes, kind="stable")
        self._sorted_codes = codes[order]
        self._sentences = sentence_of[positions][order]  # the sentence of each sorted code

    def _codes(self, positions):
        """Encodes the pair of pieces at each position as one number."""
        return (self._ids[positions] << 32) | self._ids[positions + 1]

    def following(self, begin: int, end: int, document: Tuple[int, int]) -> List[Tuple[int, int]]:
        """Finds what follows the sentences of other documents that are most similar to a text.

        Args:
            begin, end: position of the text in the shard's pieces.
            document: (first, last), the sentences of its document.

        Returns:
            up to `_MOST_CANDIDATES` ranges (first, last) of sentences, each from after a similar
            sentence to the end of its document, ordered by descending similarity; empty if no
            other document shares a rare pair with the text.
        """
        scores = self._scores(begin, end)
        scores[document[0] : document[1]] = 0
        scores[self._ends - 1] = 0  # nothing follows there
        best = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
        return [(int(n) + 1, int(self._ends[n])) for n in best if scores[n] > 0]

    def _scores(self, begin, end):
        """Sums, for each sentence, 1 / occurrences over the rare pairs it shares with a text."""
        codes = np.unique(self._codes(np.arange(begin, end - 1)))
        first = np.searchsorted(self._sorted_codes, codes, "left")
        counts = np.searchsorted(self._sorted_codes, codes, "right") - first
        is_rare = (counts > 0) & (counts <= _MOST_OCCURRENCES)
        first, counts = first[is_rare], counts[is_rare]
        # first[0], first[0] + 1, ..., first[1], first[1] + 1, ...: all occurrences of each pair
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        sentences = self._sentences[np.repeat(first, counts) + steps]
        return np.bincount(sentences, np.repeat(1 / counts, counts), len(self._ends))
