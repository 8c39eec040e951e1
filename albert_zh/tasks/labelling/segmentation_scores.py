"""Computes the scores of word segmentation that the SIGHAN bakeoff's scorer prints.

    scorer = SegmentationScorer(training_words)
    scorer.add(["北京", "大学"], ["北京大学"])
    scorer.metrics()["f1"]; print(scorer.summary())

A word is correct if both of its ends are. The bakeoff's program aligns the two lists of words with
diff instead, which may give other counts on unusual lines. It also prints the insertions and
deletions of this alignment, which have no counterpart here.
"""

import itertools
from typing import Collection, Dict, Sequence

from albert_zh.tasks.labelling.entity_scores import scores_of

VOCABULARY_SCORES = ("oov_rate", "oov_recall", "iv_recall")
WORD_SCORES = ("precision", "recall", "f1") + VOCABULARY_SCORES
UNDEFINED = "--"


class SegmentationScorer:
    """Counts gold, predicted and correct words, text by text."""

    def __init__(self, training_words: Collection[str]) -> None:
        """`training_words`: words in the vocabulary (IV); all other words are out of it (OOV)."""
        self._known = frozenset(training_words)
        self._right = self._predicted = self._gold = 0
        self._num_unknown = self._num_unknown_right = 0

    def add(self, gold: Sequence[str], predicted: Sequence[str]) -> None:
        """Counts the words of a text.

        Args:
            gold: list of str.
            predicted: list of str, with the same characters as `gold`.

        Raises:
            ValueError: if the characters differ.
        """
        if "".join(gold) != "".join(predicted):
            raise ValueError("%r and %r are not one text" % ("".join(gold), "".join(predicted)))
        predicted_ranges = set(_ranges(predicted))
        for word, word_range in zip(gold, _ranges(gold)):
            is_right = word_range in predicted_ranges
            is_unknown = word not in self._known
            self._right += is_right
            self._num_unknown += is_unknown
            self._num_unknown_right += is_unknown and is_right
        self._gold += len(gold)
        self._predicted += len(predicted)

    def metrics(self) -> Dict[str, float]:
        """Returns `WORD_SCORES`, without a recall of IV or OOV words if there are no such words."""
        scores = scores_of(self._right, self._predicted, self._gold)
        measured = {
            "precision": scores.precision,
            "recall": scores.recall,
            "f1": scores.f1,
            "oov_rate": self._num_unknown / max(self._gold, 1),
        }
        num_known = self._gold - self._num_unknown
        if self._num_unknown:
            measured["oov_recall"] = self._num_unknown_right / self._num_unknown
        if num_known:
            measured["iv_recall"] = (self._right - self._num_unknown_right) / num_known
        return measured

    def summary(self) -> str:
        """Returns the lines of the bakeoff's summary that do not depend on its alignment."""
        metrics = self.metrics()
        ratios = (
            ("TOTAL TRUE WORDS RECALL", "recall"),
            ("TOTAL TEST WORDS PRECISION", "precision"),
            ("F MEASURE", "f1"),
            ("OOV Rate", "oov_rate"),
            ("OOV Recall Rate", "oov_recall"),
            ("IV Recall Rate", "iv_recall"),
        )
        lines = ["=== SUMMARY:"]
        lines.append("=== TOTAL TRUE WORD COUNT:\t%d" % self._gold)
        lines.append("=== TOTAL TEST WORD COUNT:\t%d" % self._predicted)
        for title, name in ratios:
            shown = "%.3f" % metrics[name] if name in metrics else UNDEFINED
            lines.append("=== %s:\t%s" % (title, shown))
        return "\n".join(lines) + "\n"


def _ranges(words):
    """(start, end) of each of successive words."""
    ends = list(itertools.accumulate(map(len, words)))
    return [(end - len(word), end) for word, end in zip(words, ends)]
