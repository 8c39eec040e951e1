"""Finds, for a piece of text, other documents of its shard that are about the like.

    neighbours = Neighbours(text)
    neighbours.following(begin, end, document)  # sentences of like documents

Texts are alike that share rare pairs of neighbouring pieces: in Chinese two hanzi, like most words.
"""

from typing import Any, List, Tuple

import numpy as np

_MOST_OCCURRENCES = 50  # of a pair in a shard; what occurs more often is no topic
_MOST_CANDIDATES = 8  # several, since the most similar one may be the same text once more


class Neighbours:
    """Where each pair of neighbouring pieces occurs in a shard."""

    def __init__(self, text: Any) -> None:
        """Initializes the neighbours.

        Args:
            text: `sampling.EncodedShard`.
        """
        self._ids = text.ids.astype(np.int64)
        # Where the document of each sentence ends; every sentence is in one, in their order.
        firsts, lasts = np.array(text.documents, np.int64).reshape(-1, 2).T
        self._ends = np.repeat(lasts, lasts - firsts)
        sentence_of = np.repeat(np.arange(len(self._ends)), np.diff(text.sentences))
        positions = np.flatnonzero(sentence_of[:-1] == sentence_of[1:])
        codes = self._codes(positions)
        order = np.argsort(codes, kind="stable")
        self._sorted_codes = codes[order]
        self._sentences = sentence_of[positions][order]  # of each sorted code

    def _codes(self, positions):
        """A number for the pair of pieces at each place."""
        return (self._ids[positions] << 32) | self._ids[positions + 1]

    def following(self, begin: int, end: int, document: Tuple[int, int]) -> List[Tuple[int, int]]:
        """What stands behind the sentences of other documents that are most similar to a text.

        Args:
            begin, end: the text's places in the shard's pieces.
            document: (first, last), the sentences of its document.

        Returns:
            up to `_MOST_CANDIDATES` (first, last), sentences to their document's end, those
            behind the most similar sentence first; empty where no other document shares a rare
            pair with the text.
        """
        scores = self._scores(begin, end)
        scores[document[0] : document[1]] = 0
        scores[self._ends - 1] = 0  # nothing follows there
        best = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
        return [(int(n) + 1, int(self._ends[n])) for n in best if scores[n] > 0]

    def _scores(self, begin, end):
        """Of each sentence the sum of 1 / places over the rare pairs it shares with a text."""
        codes = np.unique(self._codes(np.arange(begin, end - 1)))
        first = np.searchsorted(self._sorted_codes, codes, "left")
        counts = np.searchsorted(self._sorted_codes, codes, "right") - first
        is_rare = (counts > 0) & (counts <= _MOST_OCCURRENCES)
        first, counts = first[is_rare], counts[is_rare]
        # first[0], first[0] + 1, ..., first[1], first[1] + 1, ...: all places of each pair
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        sentences = self._sentences[np.repeat(first, counts) + steps]
        return np.bincount(sentences, np.repeat(1 / counts, counts), len(self._ends))
