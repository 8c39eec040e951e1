"""Error analysis of answers: scores by question word and by answer length, and the worst errors.

analysis = Analysis(questions, predictions, scores)
analysis.by_question_word(), analysis.by_answer_length(), analysis.worst_errors()
draw_chart("answers.png", analysis)
"""

import re
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import numpy as np

from albert_zh.common import plotting
from albert_zh.common.messages import say
from albert_zh.common.plotting import font_for
from albert_zh.tasks.reading.answer_scores import Predictions, Scores
from albert_zh.tasks.reading.questions import Question

CHART = "answers.png"
WORST_ERRORS = 50
SHOWN_CONTEXT = 60  # characters before and after the answer
OTHER_QUESTIONS = "其他"
NO_ANSWER = "无答案"
# Kinds of questions and the words that identify them, simplified and traditional; the first match
# counts, so that 为什么 does not count as 什么.
QUESTION_WORDS = {
    name: re.compile(pattern)
    for name, pattern in (
        ("为什么", "[为為](什么|什麼|甚麼|何|啥)|何以|原因|[缘緣]何"),
        ("怎么", "怎么|怎麼|怎样|怎樣|如何|咋"),
        ("多少", "多少|几|幾|多[大长長高久远遠重深宽寬快]"),
        ("谁", "谁|誰|何人"),
        ("哪", "哪|何[时時处處地年月日]"),
        ("什么", "什么|什麼|甚麼|何|啥"),
    )
}
_LENGTHS = (1, 3, 6, 11, 21, 51)  # shortest answer of each group, in characters


class Analysis:
    """Scores of a labelled file, grouped by kinds of questions."""

    def __init__(
        self,
        questions: Sequence[Question],
        predictions: Predictions,
        scores: Scores,
        probabilities: Optional[Mapping[str, float]] = None,
    ) -> None:
        """Stores the questions, predictions and scores.

        Args:
            questions: list of N labelled `Question`.
            predictions: {id: text}.
            scores: scores of the questions, in the same order.
            probabilities: {id: probability of the prediction}, for predictions that have one.
        """
        self._questions = questions
        self._predictions = predictions
        self._scores = scores
        self._probabilities = probabilities or {}

    def by_question_word(self) -> List[Dict[str, Any]]:
        """Returns rows {"group", "questions", "exact_match", "f1"}, one per kind of question."""
        order = list(QUESTION_WORDS) + [OTHER_QUESTIONS]
        return self._rows(order, lambda question: question_word(question.text))

    def by_answer_length(self) -> List[Dict[str, Any]]:
        """Returns the same rows, grouped by the length of the first answer in characters."""
        order = [NO_ANSWER] + [_length_name(at) for at in range(len(_LENGTHS))]
        return self._rows(order, answer_length_group)

    def _rows(self, order: Sequence[str], group_of: Callable[[Question], str]):
        groups = np.array([group_of(question) for question in self._questions])
        rows = []
        for name in order:
            is_chosen = groups == name
            if is_chosen.any():
                chosen = self._scores.of(is_chosen)
                rows.append(
                    {
                        "group": name,
                        "questions": int(is_chosen.sum()),
                        "exact_match": chosen.exact_match,
                        "f1": chosen.f1,
                    }
                )
        return rows

    def worst_errors(self, count: int = WORST_ERRORS) -> List[Dict[str, Any]]:
        """Returns the wrong answers with the lowest F1; of equal F1, the most probable come first.

        Returns:
            list of {"id", "question", "context", "answers", "predicted", "f1", "probability",
            "source"}; the context is an excerpt around the answer.
        """
        wrong = np.flatnonzero(self._scores.exact_matches == 0)
        order = sorted(wrong, key=lambda at: (self._scores.f1s[at], -self._probability(at), at))
        return [self._error(at) for at in order[:count]]

    def _probability(self, at: int) -> float:
        return self._probabilities.get(self._questions[at].id, 0.0)

    def _error(self, at: int) -> Dict[str, Any]:
        question = self._questions[at]
        return {
            "id": question.id,
            "question": question.text,
            "context": excerpt(question),
            "answers": list(dict.fromkeys(answer.text for answer in question.answers)),
            "predicted": self._predictions.get(question.id),
            "f1": float(self._scores.f1s[at]),
            "probability": self._probabilities.get(question.id),
            "source": question.source,
        }


def question_word(text: str) -> str:
    """Returns the kind of a question: a key of `QUESTION_WORDS`, or `OTHER_QUESTIONS`."""
    for name, pattern in QUESTION_WORDS.items():
        if pattern.search(text):
            return name
    return OTHER_QUESTIONS


def answer_length_group(question: Question) -> str:
    """Returns the length group of the first answer, such as "1-2" or "3-5", or `NO_ANSWER`."""
    if question.is_impossible:
        return NO_ANSWER
    length = max(len(question.answers[0].text), _LENGTHS[0])
    return _length_name(int(np.searchsorted(_LENGTHS, length, side="right")) - 1)


def _length_name(at: int) -> str:
    """Returns the name of a group of lengths."""
    if at + 1 == len(_LENGTHS):
        return "%d+" % _LENGTHS[at]
    return "%d-%d" % (_LENGTHS[at], _LENGTHS[at + 1] - 1)


def excerpt(question: Question, around: int = SHOWN_CONTEXT) -> str:
    """Excerpt of the context around the first located answer, or its beginning without one."""
    answer = question.located
    begin = max(answer.begin - around, 0) if answer else 0
    end = answer.begin + len(answer.text) + around if answer else 2 * around
    text = question.context[begin:end]
    return "%s%s%s" % ("…" if begin else "", text, "…" if end < len(question.context) else "")


def draw_chart(path: str, analysis: Analysis, title: str = "") -> Optional[str]:
    """Draws exact match and F1 of both groupings.

    Args:
        path: PNG file to write.
        analysis: the analysis to draw.
        title: str, title of the chart.

    Returns:
        the path; None if matplotlib is not installed.
    """
    if not plotting.is_installed():
        say("no chart of the answers: matplotlib is not installed")
        return None
    panels = (
        ("question word", analysis.by_question_word()),
        ("characters of the answer", analysis.by_answer_length()),
    )
    font = font_for("".join(row["group"] for _, rows in panels for row in rows))
    figure, axes = plotting.subplots(1, len(panels), figsize=(11, 4), sharey=True)
    for axis, (name, rows) in zip(axes, panels):
        _draw_panel(axis, name, rows, font)
    axes[0].set_ylabel("%")
    axes[-1].legend(loc="upper right")
    figure.suptitle(title)
    plotting.save(figure, path)
    return path


def _draw_panel(axis, name, rows, font):
    """Draws the bars of one grouping."""
    positions = np.arange(len(rows))
    for shift, key, label in ((-0.2, "exact_match", "exact match"), (0.2, "f1", "F1")):
        axis.bar(positions + shift, [row[key] for row in rows], width=0.38, label=label)
    labels = ["%s\n%d" % (row["group"], row["questions"]) for row in rows]
    axis.set_xticks(positions)
    axis.set_xticklabels(labels, **({} if font is None else {"fontproperties": font}))
    axis.set_ylim(0, 100)
    axis.set_xlabel(name)
