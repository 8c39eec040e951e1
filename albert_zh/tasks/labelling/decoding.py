"""Decodes the outputs of a head to spans, in NumPy; the same for checkpoints and exported models.

decoder = TagDecoder(tags, scheme, transitions)
for spans, confidences in decoder.decode([logits_of_a_text, ...]): ...
"""

from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.tasks.labelling import tag_schemes, viterbi
from albert_zh.tasks.labelling.spans import Span

Decoded = Tuple[List[Span], List[float]]
_SCORES_AT_ONCE = 1 << 22  # maximum number of padded logits, times tags


class TagDecoder:
    """Decodes logits of tags to spans.

    Attributes:
        tags: list of str, by id.
        scheme: `tag_schemes.Scheme`.
    """

    def __init__(
        self,
        tags: Sequence[str],
        scheme: tag_schemes.Scheme,
        transitions: Optional[np.ndarray] = None,
    ) -> None:
        """Computes the allowed transitions.

        Args:
            tags: list of K str.
            scheme: `tag_schemes.Scheme`.
            transitions: float [K, K] of a CRF: the best allowed path is decoded; None: the best tag
                of each piece, independently of its neighbours.
        """
        self.tags, self.scheme = list(tags), scheme
        self._transitions = transitions
        self._moves = tag_schemes.allowed_moves(self.tags, scheme)

    def tag_ids(self, logits: Sequence[np.ndarray]) -> List[np.ndarray]:
        """Returns the best tags of texts.

        Args:
            logits: list of float [P, K], for texts of any lengths.

        Returns:
            list of int [P].
        """
        if self._transitions is None:
            return [rows.argmax(axis=1) for rows in logits]
        decoded: List[Optional[np.ndarray]] = [None] * len(logits)
        for indices in self._batches([len(rows) for rows in logits]):
            lengths = np.array([len(logits[index]) for index in indices])
            unaries = np.zeros([len(indices), max(lengths), len(self.tags)], np.float32)
            for row, index in enumerate(indices):
                unaries[row, : lengths[row]] = logits[index]
            tags, _ = viterbi.decode(unaries, lengths, self._transitions, self._moves)
            for row, index in enumerate(indices):
                decoded[index] = tags[row, : lengths[row]]
        return decoded

    def _batches(self, lengths):
        """Yields lists of texts of similar length that are decoded together."""
        batch: List[int] = []
        for index in np.argsort(lengths, kind="stable"):
            num_scores = (len(batch) + 1) * lengths[index] * len(self.tags) ** 2
            if batch and num_scores > _SCORES_AT_ONCE:
                yield batch
                batch = []
            batch.append(int(index))
        if batch:
            yield batch

    def decode(self, logits: Sequence[np.ndarray]) -> Iterator[Decoded]:
        """Decodes the spans of texts.

        Args:
            logits: as in `tag_ids`.

        Yields:
            (spans, confidences) of each text: list of `Span` in pieces, and list of float. A span's
            confidence is the lowest probability (softmax of the logits) of its tags.
        """
        for rows, ids in zip(logits, self.tag_ids(logits)):
            yield self.spans(rows, ids)

    def spans(self, logits: np.ndarray, tag_ids: np.ndarray) -> Decoded:
        """Returns the spans of a text's tags and their confidences, as in `decode`.

        Args:
            logits: float [P, K].
            tag_ids: int [P].
        """
        spans = tag_schemes.tags_to_spans([self.tags[i] for i in tag_ids], self.scheme)
        of_tags = _probabilities(logits, tag_ids)
        return spans, [float(of_tags[span.start : span.end].min()) for span in spans]


def _probabilities(logits, tag_ids):
    """Softmax probability of each piece's tag, float [P]."""
    logits = np.asarray(logits, np.float64)
    if not len(logits):
        return np.zeros(0)
    top = logits.max(axis=1)
    chosen = logits[np.arange(len(logits)), tag_ids]
    return np.exp(chosen - top) / np.exp(logits - top[:, None]).sum(axis=1)


def spans_of_pairs(
    predictions: Dict[str, np.ndarray], types: Sequence[str], is_flat: bool = False
) -> Decoded:
    """Converts the outputs of `global_pointer.best_spans` for a row to spans.

    Args:
        predictions: `span_scores`, `span_types`, `span_starts`, `span_ends`, each [S].
        types: list of str, by id.
        is_flat: bool; whether only the highest-scoring one of overlapping spans is kept.

    Returns:
        (spans, confidences): sorted list of `Span` in pieces, and the sigmoid of their scores.
    """
    chosen: List[Tuple[Span, float]] = []
    columns = ("span_scores", "span_types", "span_starts", "span_ends")
    for score, entity_type, start, end in zip(*(predictions[name] for name in columns)):
        if score <= 0 or entity_type < 0:
            break
        span = Span(int(start), int(end) + 1, types[entity_type])
        if not is_flat or all(s.end <= span.start or span.end <= s.start for s, _ in chosen):
            chosen.append((span, float(1.0 / (1.0 + np.exp(-score)))))
    chosen.sort()
    return [span for span, _ in chosen], [confidence for _, confidence in chosen]
