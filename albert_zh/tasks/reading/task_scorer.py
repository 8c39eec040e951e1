"""Scores a labelled file of questions, with the interface that all kinds of tasks share."""

import os
from typing import Any, Collection, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.tasks import scorer
from albert_zh.tasks.markdown import table
from albert_zh.tasks.reading import error_analysis, records
from albert_zh.tasks.reading import scorer as reading_scorer
from albert_zh.tasks.reading.examples import question_of

_GROUPINGS = {
    "by_question_word": "question word",
    "by_answer_length": "characters of the answer",
}
_ERROR_COLUMNS = ("question", "answers", "predicted", "f1", "context", "source")


class TaskScorer(scorer.Scorer):
    """Scorer of reading comprehension. Metrics are fractions: 1 is 100 %."""

    def __init__(
        self, ranks: records.Ranker, tuned_names: Collection[str] = (), num_errors: int = 0
    ) -> None:
        """Starts with no questions.

        Args:
            ranks: `records.Ranker`.
            tuned_names: the settings of `records.TUNED` that the method `tuned` tunes.
            num_errors: as in `scorer.Scorer`.
        """
        super().__init__(num_errors)
        self._ranks, self._tuned_names = ranks, tuned_names
        self._questions, self._losses = [], []
        self._answers = reading_scorer.Scorer(
            [], *ranks.lengths, ranks.null_threshold, length_penalty=ranks.length_penalty
        )

    def add_labelled(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        ranks, question = self._ranks, question_of(example)
        windows, _ = records.records(question, ranks.tokenizer, ranks.max_seq_length, ranks.head)
        losses = [records.row_losses(window, row) for window, row in zip(windows, rows)]
        self._losses.append(sum(losses) / len(losses))
        self._questions.append(question)
        self._answers.append(question, ranks.ranked(question, rows))

    def tuned(self) -> Dict[str, Any]:
        choices = (
            (records.LENGTH_PENALTY, self._answers.tune_length_penalty),
            (records.THRESHOLD, self._answers.tune_threshold),
        )
        found = {name: choose() for name, choose in choices if name in self._tuned_names}
        return {name: value for name, value in found.items() if value is not None}

    def losses(self) -> np.ndarray:
        return np.array(self._losses)

    def values(self, names: Sequence[str], chosen: Optional[np.ndarray] = None) -> Dict[str, float]:
        scores = self._answers.scores()
        if chosen is not None:
            scores = scores.of(chosen)
        measured = {"f1": scores.f1 / 100, "exact_match": scores.exact_match / 100}
        measured["average"] = (measured["f1"] + measured["exact_match"]) / 2
        return {name: measured[name] for name in names}

    def constant(self, metric: str) -> Optional[Tuple[float, str]]:
        if metric == "loss":
            return None
        return float(np.mean([q.is_impossible for q in self._questions])), "no answer"

    def details(self) -> Dict[str, Any]:
        analysis = self._answers.analysis()
        percent = self._answers.metrics()
        details: Dict[str, Any] = {
            name: percent[name] / 100
            for name in (
                "f1_of_answerable",
                "exact_match_of_answerable",
                "accuracy_of_unanswerable",
            )
            if name in percent
        }
        details[records.LENGTH_PENALTY] = self._answers.length_penalty
        if self._answers.null_threshold is not None:
            details["null_score_diff_threshold"] = self._answers.null_threshold
        for name in _GROUPINGS:
            details[name] = getattr(analysis, name)()
        details["errors"] = analysis.worst_errors(self.num_errors)
        return details

    def markdown(self, details: Dict[str, Any]) -> Iterator[str]:
        for name, title in _GROUPINGS.items():
            rows = [
                (row["group"], row["questions"], row["exact_match"] / 100, row["f1"] / 100)
                for row in details.get(name, ())
            ]
            yield from table((title, "questions", "exact_match", "f1"), rows)
        errors = details["errors"]
        yield "### The %d worst errors" % len(errors)
        yield ""
        yield from table(_ERROR_COLUMNS, [[e[key] for key in _ERROR_COLUMNS] for e in errors])

    def draw(self, folder: str, title: str) -> List[str]:
        path = os.path.join(folder, error_analysis.CHART)
        chart = error_analysis.draw_chart(path, self._answers.analysis(), title)
        return [chart] if chart else []
