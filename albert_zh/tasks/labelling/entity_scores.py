"""Precision, recall and F1 of entities and of tags.

    scorer = EntityScorer()
    scorer.add(gold_spans, predicted_spans)
    scorer.metrics()["f1"], scorer.report()["PER"].f1

An entity is correct if its type, its first and its last character are. Whether spans are read from
tags leniently (as conlleval does) or strictly is decided in `tag_schemes`, which converts tags to
spans.
"""

import collections
from typing import Dict, Iterable, List, Sequence

from albert_zh.tasks.labelling.spans import Span

MICRO, MACRO = "micro avg", "macro avg"  # as in seqeval's report

Scores = collections.namedtuple("Scores", ["precision", "recall", "f1", "support", "predicted"])
Scores.__doc__ = """Scores of one type of entities, or of all types.

Fields:
    precision, recall, f1: float; 0 if undefined.
    support: int, number of gold entities.
    predicted: int, number of predicted entities.
"""


def scores_of(num_right: int, num_predicted: int, num_gold: int) -> Scores:
    """Computes `Scores` from counts."""
    precision = num_right / num_predicted if num_predicted else 0.0
    recall = num_right / num_gold if num_gold else 0.0
    f1 = 2.0 * num_right / (num_predicted + num_gold) if num_right else 0.0
    return Scores(precision, recall, f1, num_gold, num_predicted)


class EntityScorer:
    """Counts gold, predicted and correct entities, text by text."""

    def __init__(self) -> None:
        """Starts with all counts at 0."""
        self._right, self._predicted, self._gold = (collections.Counter() for _ in range(3))

    def add(self, gold: Iterable[Span], predicted: Iterable[Span]) -> None:
        """Counts the entities of a text; duplicate spans count once."""
        gold, predicted = set(gold), set(predicted)
        self._gold.update(span.type for span in gold)
        self._predicted.update(span.type for span in predicted)
        self._right.update(span.type for span in gold & predicted)

    @property
    def types(self) -> List[str]:
        """All types, gold or predicted, sorted."""
        return sorted(set(self._gold) | set(self._predicted))

    def report(self) -> Dict[str, Scores]:
        """Returns {type: `Scores`}, with the averages MICRO and MACRO (the mean over types)."""
        by_type = collections.OrderedDict(
            (name, scores_of(self._right[name], self._predicted[name], self._gold[name]))
            for name in self.types
        )
        counts = [sum(c.values()) for c in (self._right, self._predicted, self._gold)]
        micro = scores_of(*counts)
        num_types = max(len(by_type), 1)
        means = [sum(getattr(s, name) for s in by_type.values()) / num_types
                 for name in ("precision", "recall", "f1")]  # fmt: skip
        by_type[MICRO] = micro
        by_type[MACRO] = Scores(*(means + [micro.support, micro.predicted]))
        return by_type

    def metrics(self) -> Dict[str, float]:
        """Returns micro-averaged `precision`, `recall` and `f1`, and `macro_f1`."""
        report = self.report()
        micro = report[MICRO]
        return {
            "precision": micro.precision,
            "recall": micro.recall,
            "f1": micro.f1,
            "macro_f1": report[MACRO].f1,
        }


def report_table(report: Dict[str, Scores]) -> List[List[str]]:
    """Converts `EntityScorer.report` to rows of cells, starting with the header."""
    rows = [["type", "precision", "recall", "F1", "gold", "predicted"]]
    for name, scores in report.items():
        ratios = ["%.2f" % (100 * ratio) for ratio in scores[:3]]
        rows.append([name] + ratios + ["%d" % count for count in scores[3:]])
    return rows


class TokenScorer:
    """Token-level scores over all tags but O, as NEZHA's `tf_metrics` computes them.

    They are usually higher than entity-level scores and not suited to compare models.
    """

    def __init__(self, outside: Sequence[str] = ("O",)) -> None:
        """`outside`: the tags that are ignored."""
        self._outside = frozenset(outside)
        self._right = self._predicted = self._gold = 0

    def add(self, gold: Sequence[str], predicted: Sequence[str]) -> None:
        """Counts the tags of a text; both lists have the same length."""
        for expected, tag in zip(gold, predicted):
            self._gold += expected not in self._outside
            self._predicted += tag not in self._outside
            self._right += expected == tag and tag not in self._outside

    def merge(self, other: "TokenScorer") -> None:
        """Adds the counts of another scorer."""
        self._gold += other._gold
        self._predicted += other._predicted
        self._right += other._right

    def metrics(self) -> Dict[str, float]:
        """Returns `eval_precision`, `eval_recall` and `eval_f`."""
        scores = scores_of(self._right, self._predicted, self._gold)
        return {
            "eval_precision": scores.precision,
            "eval_recall": scores.recall,
            "eval_f": scores.f1,
        }
