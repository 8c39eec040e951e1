"""Evaluates answers: exact match and F1 by the rules of CMRC 2018 or of SQuAD.

    scores = score_predictions(questions, {"Q1": "2010年"}, CHINESE)
    scores.exact_match, scores.f1, scores.missing

By CMRC's rules, some punctuation marks are ignored, the tokens are ideographs and Latin words, and
the overlap is the length of the longest contiguous run of tokens that both texts have. By SQuAD's
rules, the tokens are words between blanks without punctuation and articles, and the overlap is the
number of tokens that both texts have.
"""

import collections
import re
import string
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import checks, files, validation
from albert_zh.common.errors import UserError
from albert_zh.tasks.reading.latin_words import latin_words
from albert_zh.tasks.reading.questions import Question

# The marks that CMRC's evaluation removes; other marks, such as ASCII commas and quotes, count.
_CMRC_MARKS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_IDEOGRAPHS = ("\u4e00", "\u9fa5")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)

Predictions = Dict[str, str]


class Rules(NamedTuple):
    """Rules by which an answer is compared with a prediction.

    Fields:
        bare_text: function that normalizes a text; normalized texts are equal in an exact match.
        tokens: function of a text -> list of str.
        overlap: function of two lists of tokens -> number of tokens in common.
        matches_nothing: whether two texts without tokens have an F1 of 1, and answers without
            tokens are ignored if a question has other answers.
    """

    bare_text: Callable[[str], str]
    tokens: Callable[[str], List[str]]
    overlap: Callable[[Sequence[str], Sequence[str]], int]
    matches_nothing: bool = False


class Scores(NamedTuple):
    """Scores of N questions, in their order.

    Fields:
        exact_matches: float [N], 0 or 1.
        f1s: float [N].
        missing: ids of the questions without a prediction, which count as wrong.
    """

    exact_matches: np.ndarray
    f1s: np.ndarray
    missing: List[str]

    @property
    def exact_match(self) -> float:
        """Mean exact match, in percent."""
        return 100.0 * sum(self.exact_matches.tolist()) / len(self.exact_matches)

    @property
    def f1(self) -> float:
        """Mean F1, in percent."""
        return 100.0 * sum(self.f1s.tolist()) / len(self.f1s)

    def of(self, is_chosen: np.ndarray) -> "Scores":
        """Returns the scores of the questions that a mask bool [N] selects."""
        return Scores(self.exact_matches[is_chosen], self.f1s[is_chosen], [])


def cmrc_bare_text(text: str) -> str:
    """Lower-cases a text and removes CMRC's punctuation marks."""
    return "".join(char for char in text.lower().strip() if char not in _CMRC_MARKS)


def cmrc_tokens(text: str) -> List[str]:
    """Splits a text into ideographs and Latin words, without CMRC's punctuation marks."""
    tokens, latin = [], []
    for char in cmrc_bare_text(text):
        if _IDEOGRAPHS[0] <= char <= _IDEOGRAPHS[1]:
            tokens += latin_words("".join(latin))
            tokens.append(char)
            latin.clear()
        else:
            latin.append(char)
    return tokens + latin_words("".join(latin))


def longest_common_run(tokens: Sequence[str], others: Sequence[str]) -> int:
    """Length of the longest contiguous run of tokens that two lists have in common."""
    longest = 0
    ending_here = {}  # {position in `others`: length of the common run that ends there}
    positions = collections.defaultdict(list)
    for position, token in enumerate(others):
        positions[token].append(position)
    for token in tokens:
        ending_here = {
            position: ending_here.get(position - 1, 0) + 1 for position in positions.get(token, ())
        }
        longest = max(longest, max(ending_here.values(), default=0))
    return longest


def squad_bare_text(text: str) -> str:
    """Lower-cases a text, removes punctuation and articles, and collapses blanks."""
    without_marks = text.lower().translate(_ASCII_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", without_marks).split())


def squad_tokens(text: str) -> List[str]:
    """Splits a normalized text into words at blanks."""
    return squad_bare_text(text).split()


def common_tokens(tokens: Sequence[str], others: Sequence[str]) -> int:
    """Number of tokens that two lists have in common, in any order."""
    return sum((collections.Counter(tokens) & collections.Counter(others)).values())


CHINESE = Rules(cmrc_bare_text, cmrc_tokens, longest_common_run)
ENGLISH = Rules(squad_bare_text, squad_tokens, common_tokens, matches_nothing=True)
RULES = {"chinese": CHINESE, "english": ENGLISH}


def exact_match(answers: Sequence[str], prediction: str, rules: Rules = CHINESE) -> float:
    """1 if a prediction is one of the answers, otherwise 0."""
    bare = rules.bare_text(prediction)
    return float(any(rules.bare_text(answer) == bare for answer in answers))


def f1(answers: Sequence[str], prediction: str, rules: Rules = CHINESE) -> float:
    """Token F1 of a prediction with respect to the answer for which it is highest."""
    predicted = rules.tokens(prediction)
    return max(_f1_of_tokens(rules.tokens(answer), predicted, rules) for answer in answers)


def _f1_of_tokens(tokens, predicted, rules) -> float:
    if rules.matches_nothing and not tokens and not predicted:
        return 1.0
    overlap = rules.overlap(tokens, predicted)
    if not overlap:
        return 0.0
    precision, recall = overlap / len(predicted), overlap / len(tokens)
    return 2 * precision * recall / (precision + recall)


def question_scores(
    question: Question, prediction: str, rules: Rules = CHINESE
) -> Tuple[float, float]:
    """(exact match, F1) of a prediction; if there is no answer, both are 1 for "", otherwise 0."""
    if question.is_impossible:
        return (float(not rules.bare_text(prediction)),) * 2
    answers = [answer.text for answer in question.answers]
    if rules.matches_nothing:
        answers = [text for text in answers if rules.bare_text(text)] or [""]
    return exact_match(answers, prediction, rules), f1(answers, prediction, rules)


def score_predictions(
    questions: Sequence[Question], predictions: Predictions, rules: Rules = CHINESE
) -> Scores:
    """Scores predictions.

    Args:
        questions: list of labelled `Question`.
        predictions: {id: text}; "" stands for "no answer".
        rules: rules by which answers are compared.

    Returns:
        `Scores`.
    """
    scores = [
        question_scores(question, predictions[question.id], rules)
        if question.id in predictions
        else (0.0, 0.0)
        for question in questions
    ]
    missing = [question.id for question in questions if question.id not in predictions]
    exact_matches, f1s = np.array(scores, np.float64).reshape(-1, 2).T
    return Scores(exact_matches, f1s, missing)


def read_predictions(path: str, questions: Sequence[Question], data_path: str) -> Predictions:
    """Reads a file of predictions {id: text}.

    Args:
        path: the file of predictions.
        questions: the questions that the file should answer.
        data_path: the file of the questions, for messages.

    Raises:
        UserError: if the file is malformed, or has no prediction for any of the questions.
    """
    content = checks.checked(path, files.read_json(path), _PREDICTIONS)
    predictions = {name: str(answer) for name, answer in content.items()}
    if not any(question.id in predictions for question in questions):
        raise UserError(
            "%s: none of its %d predictions belongs to one of the %d questions of %s (ids such as "
            "%s): name the predictions for this file"
            % (path, len(content), len(questions), data_path, validation.shown(questions[0].id))
        )
    return predictions


_PREDICTIONS = validation.record(
    others=validation.scalar(
        "the text of an answer",
        lambda value: isinstance(value, (str, int, float)) and not isinstance(value, bool),
    ),
    expected="an object of {question id: text of the answer}",
)


def no_answer_measures(
    questions: Sequence[Question],
    scores: Scores,
    null_odds: Optional[Dict[str, float]] = None,
    threshold: float = 1.0,
) -> Dict[str, Any]:
    """Computes the metrics of SQuAD 2.0, in percent.

    Args:
        questions: list of labelled `Question`.
        scores: scores of the questions.
        null_odds: {id: number}, higher if "no answer" is more likely; or None.
        threshold: with `null_odds`, questions whose odds are above it count as answered by "".

    Returns:
        {"exact", "f1", "total", "HasAns_exact" ..., "NoAns_exact" ..., "best_exact",
        "best_exact_thresh" ...}; the "best_" entries only with `null_odds`.
    """
    is_impossible = np.array([question.is_impossible for question in questions])
    odds = np.array([(null_odds or {}).get(question.id, 0.0) for question in questions])
    decided = scores
    if null_odds is not None:
        is_null = odds > threshold
        decided = Scores(
            np.where(is_null, is_impossible, scores.exact_matches),
            np.where(is_null, is_impossible, scores.f1s),
            scores.missing,
        )
    measures = _measures_of(decided)
    for prefix, is_chosen in (("HasAns_", ~is_impossible), ("NoAns_", is_impossible)):
        if is_chosen.any():
            chosen = _measures_of(decided.of(is_chosen))
            measures.update({prefix + name: measure for name, measure in chosen.items()})
    if null_odds is not None:
        for name, scores_of_measure in (("exact", scores.exact_matches), ("f1", scores.f1s)):
            best, best_threshold = _best_threshold(odds, scores_of_measure, is_impossible)
            measures["best_" + name] = 100.0 * best / len(questions)
            measures["best_%s_thresh" % name] = best_threshold
    return measures


def _measures_of(scores: Scores) -> Dict[str, Any]:
    return {"exact": scores.exact_match, "f1": scores.f1, "total": len(scores.f1s)}


def _best_threshold(odds, answered, is_impossible) -> Tuple[float, float]:
    """(highest total, threshold): questions with odds up to the threshold are answered.

    This is SQuAD's search: it starts at threshold 0 with no question answered, and then adds the
    questions one by one, by ascending odds.
    """
    total = best = float(is_impossible.sum())
    threshold = 0.0
    for at in np.argsort(odds, kind="stable"):
        total += float(answered[at]) - float(is_impossible[at])
        if total > best:
            best, threshold = total, float(odds[at])
    return best, threshold
