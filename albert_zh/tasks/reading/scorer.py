"""Collects answers from the scores of windows, and computes metrics and files of predictions.

scorer = Scorer(questions, max_answer_length=60)
scorer.add(0, windows, start_logits, end_logits)  # for each question
scorer.tune_length_penalty()  # on a dev file
scorer.tune_threshold()  # on a dev file with questions that have no answer
scorer.metrics()["f1"], scorer.predictions()
"""

import json
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from albert_zh.tasks.reading import answer_scores, error_analysis, limits, span_scores
from albert_zh.tasks.reading.answer_scores import CHINESE, Predictions, Rules, Scores
from albert_zh.tasks.reading.questions import Question
from albert_zh.tasks.reading.span_scores import RankedAnswers
from albert_zh.tasks.reading.window_places import Window

PREDICTIONS, NBEST_PREDICTIONS = "dev_predictions.json", "dev_nbest_predictions.json"
NULL_ODDS = "null_odds.json"
_ENTRY = ("text", "probability", "start_logit", "end_logit")


class Scorer:
    """Collects the answers to the questions of a file.

    Attributes:
        null_threshold: `RankedAnswers.null_odds` above it mean "no answer"; None to always answer.
        length_penalty: applied to answers that are added; once tuned, applied to all answers.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        max_answer_length: int,
        n_best_size: int = limits.N_BEST_SIZE,
        null_threshold: Optional[float] = None,
        rules: Rules = CHINESE,
        length_penalty: float = 0.0,
    ) -> None:
        """Starts with no answers: questions that are not added are answered by "".

        Args:
            questions: list of N `Question`.
            max_answer_length: maximum length of an answer, in characters.
            n_best_size: number of answers to keep per question.
            null_threshold: the model's threshold of "no answer", or None.
            rules: rules by which answers are compared.
            length_penalty: penalty of `RankedAnswers.with_length_penalty`.
        """
        self._questions = list(questions)
        self._lengths = max_answer_length, n_best_size
        self._rules = rules
        self._ranked = [RankedAnswers([], np.inf, 1.0)] * len(questions)
        self.null_threshold = null_threshold
        self.length_penalty = length_penalty

    def add(
        self,
        index: int,
        windows: Sequence[Window],
        start_logits: Sequence[np.ndarray],
        end_logits: Sequence[np.ndarray],
    ) -> None:
        """Adds the scores of all windows of a question.

        Args:
            index: index of the question.
            windows: the W windows of the question.
            start_logits, end_logits: W arrays float [F] or longer.
        """
        ranked = span_scores.ranked_answers(
            self._questions[index].context, windows, start_logits, end_logits, *self._lengths
        )
        self._ranked[index] = ranked.with_length_penalty(self.length_penalty)

    def append(self, question: Question, ranked: RankedAnswers) -> None:
        """Adds a question with its ranked answers."""
        self._questions.append(question)
        self._ranked.append(ranked)

    def __len__(self) -> int:
        return len(self._questions)

    def predictions(self) -> Predictions:
        """Returns {id: text}, with "" for "no answer"."""
        return {
            question.id: ranked.text(self.null_threshold)
            for question, ranked in zip(self._questions, self._ranked)
        }

    def null_odds(self) -> Dict[str, float]:
        """Returns {id: `RankedAnswers.null_odds`} of the questions that have any answer."""
        return {
            question.id: ranked.null_odds
            for question, ranked in zip(self._questions, self._ranked)
            if ranked.answers
        }

    def tune_length_penalty(self) -> Optional[float]:
        """Sets the length penalty to the value with the best F1, the lowest of equally good ones.

        Returns:
            the penalty; None if no question has an answer: the answers then stay unchanged.
        """
        answerable = [
            (question, ranked)
            for question, ranked in zip(self._questions, self._ranked)
            if not question.is_impossible
        ]
        if not answerable:
            return None
        f1s = np.zeros(len(limits.LENGTH_PENALTIES))
        for question, ranked in answerable:
            texts = [ranked.with_length_penalty(p).text() for p in limits.LENGTH_PENALTIES]
            f1_of = {
                text: answer_scores.question_scores(question, text, self._rules)[1]
                for text in set(texts)
            }
            f1s += [f1_of[text] for text in texts]
        self.length_penalty = limits.LENGTH_PENALTIES[int(np.argmax(f1s))]
        self._ranked = [r.with_length_penalty(self.length_penalty) for r in self._ranked]
        return self.length_penalty

    def tune_threshold(self) -> Optional[float]:
        """Sets the threshold of "no answer" to the value with the best F1.

        Returns:
            the threshold; None if every question has an answer: the threshold then stays unchanged.
        """
        is_impossible = [question.is_impossible for question in self._questions]
        if not any(is_impossible):
            return None
        answered = {
            question.id: ranked.text() for question, ranked in zip(self._questions, self._ranked)
        }
        scores = answer_scores.score_predictions(self._questions, answered, self._rules)
        null_odds = [ranked.null_odds for ranked in self._ranked]
        self.null_threshold, _ = span_scores.tuned_threshold(null_odds, scores.f1s, is_impossible)
        return self.null_threshold

    def scores(self) -> Scores:
        """Returns the scores of the predictions, for a labelled file."""
        return answer_scores.score_predictions(self._questions, self.predictions(), self._rules)

    def metrics(self) -> Dict[str, float]:
        """Returns {"f1", "exact_match", "average"} in percent.

        If some of the questions have an answer and some do not, metrics of both groups are added.
        """
        scores = self.scores()
        metrics = {
            "f1": scores.f1,
            "exact_match": scores.exact_match,
            "average": (scores.f1 + scores.exact_match) / 2,
        }
        is_impossible = np.array([question.is_impossible for question in self._questions])
        if is_impossible.any() and not is_impossible.all():
            with_answer = scores.of(~is_impossible)
            metrics["f1_of_answerable"] = with_answer.f1
            metrics["exact_match_of_answerable"] = with_answer.exact_match
            metrics["accuracy_of_unanswerable"] = scores.of(is_impossible).exact_match
        return metrics

    def analysis(self) -> error_analysis.Analysis:
        """Returns the error analysis of the predictions."""
        probabilities = {
            question.id: top.probability
            for question, ranked in zip(self._questions, self._ranked)
            for top in ranked.top(1, self.null_threshold)
        }
        return error_analysis.Analysis(
            self._questions, self.predictions(), self.scores(), probabilities
        )

    def n_best(self) -> Dict[str, List[Dict[str, Any]]]:
        """{id: list of {"text", "probability", "start_logit", "end_logit", "start", "end"}}.

        "start" and "end" are the half-open range of the answer's characters in the context; "no
        answer" is the text "" with an empty range.
        """
        return self._top(("start", "begin"), ("end", "end"))

    def original_n_best(self) -> Dict[str, List[Dict[str, Any]]]:
        """Same as `n_best`, but "start_index" and "end_index" are pieces' positions in windows."""
        return self._top(("start_index", "start_index"), ("end_index", "end_index"))

    def _top(self, *positions):
        """n-best lists; `positions` are (key, field of `ScoredAnswer`) pairs of their positions."""
        entries = tuple((name, name) for name in _ENTRY) + positions
        return {
            question.id: [
                {key: getattr(answer, field) for key, field in entries}
                for answer in ranked.top(self._lengths[1], self.null_threshold)
            ]
            for question, ranked in zip(self._questions, self._ranked)
        }

    def contents(self, is_original: bool = False) -> Dict[str, str]:
        """{name: text} of dev_predictions.json, dev_nbest_predictions.json, null_odds.json.

        null_odds.json is only included if questions may have no answer.

        Args:
            is_original: whether the answers come from `original_windows`.
        """
        n_best = self.original_n_best() if is_original else self.n_best()
        contents = {
            PREDICTIONS: json.dumps(self.predictions(), indent=4, ensure_ascii=False) + "\n",
            NBEST_PREDICTIONS: json.dumps(n_best, indent=4) + "\n",
        }
        if self.null_threshold is not None:
            contents[NULL_ODDS] = json.dumps(self.null_odds(), indent=4) + "\n"
        return contents
