"""Scores predictions with the metrics of SQuAD 2.0, for questions of which some have no answer.

    python squad_evaluate.py dev.json reading_output/dev_predictions.json
    python squad_evaluate.py dev.json dev_predictions.json --na_prob_file=null_odds.json
    python squad_evaluate.py dev-v2.0.json dev_predictions.json --rules=english

DATA is any file of questions with answers; the predictions are {id: text} with "" for "no answer".
Prints JSON: exact match and F1 of all questions, of the questions with an answer (HasAns) and of
those without one (NoAns); with --na_prob_file also the best scores at any threshold, and that
threshold.
"""

import json
import sys
from typing import Any, Dict, List, Optional

from absl import flags

from albert_zh.common import checks, files, output_files, path_rules, validation
from albert_zh.common.errors import UserError, run_command
from albert_zh.tasks.reading import answer_scores, question_files

__all__ = [
    "define_flags",
    "main",
    "measures_of_files",
    "run",
]

FLAGS = flags.FLAGS
_NULL_ODDS = validation.record(
    others=validation.number(), expected="an object of {question id: number}"
)


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_enum(
        "rules",
        "chinese",
        sorted(answer_scores.RULES),
        "How to compare answers: by characters as in CMRC 2018, or by words as in SQuAD.",
    )
    flags.DEFINE_string(
        "na_prob_file",
        None,
        "JSON file {id: number}, where a higher number means that no answer is more likely; used "
        "to find the best threshold.",
    )
    flags.DEFINE_float(
        "na_prob_thresh", 1.0, 'Questions with a number above it count as answered by "".'
    )
    flags.DEFINE_alias("na-prob-file", "na_prob_file")  # as SQuAD's own program spells them
    flags.DEFINE_alias("na-prob-thresh", "na_prob_thresh")
    flags.DEFINE_string("out_file", None, "JSON file to also write the scores to.")
    path_rules.serve_remote_everywhere(FLAGS)


def run(words: List[str]) -> None:
    """Scores a file of predictions."""
    if len(words) != 2:
        raise UserError(
            "expected DATA PREDICTIONS, such as dev.json dev_predictions.json, found %d arguments"
            % len(words)
        )
    for path in words:
        path_rules.protect(path, path)
    measures = measures_of_files(
        words[0],
        words[1],
        answer_scores.RULES[FLAGS.rules],
        FLAGS.na_prob_file,
        FLAGS.na_prob_thresh,
    )
    print(json.dumps(measures, indent=2))
    if FLAGS.out_file:
        output_files.write_json(FLAGS.out_file, measures)


def measures_of_files(
    data_path: str,
    predictions_path: str,
    rules: answer_scores.Rules = answer_scores.CHINESE,
    null_odds_path: Optional[str] = None,
    threshold: float = 1.0,
) -> Dict[str, Any]:
    """Computes the metrics of SQuAD 2.0 for a file of predictions.

    Args:
        data_path: the labelled questions.
        predictions_path: the predictions.
        rules: how to compare answers.
        null_odds_path: file {id: number}, higher if no answer is more likely; or None.
        threshold: with that file, questions with a higher number count as answered by "".

    Raises:
        UserError: if a file has the wrong format, a question is not labelled, or the predictions
            belong to other questions.
    """
    questions = question_files.read_questions(data_path, needs_texts=False).questions
    unlabelled = [question for question in questions if question.answers is None]
    if unlabelled:
        raise UserError("%s: no answers are given: expected a labelled file" % unlabelled[0].source)
    predictions = answer_scores.read_predictions(predictions_path, questions, data_path)
    scores = answer_scores.score_predictions(questions, predictions, rules)
    for question_id in scores.missing:
        print("Unanswered question: %s" % question_id, file=sys.stderr)
    if null_odds_path is None:
        return answer_scores.no_answer_measures(questions, scores)
    null_odds = checks.checked(null_odds_path, files.read_json(null_odds_path), _NULL_ODDS)
    return answer_scores.no_answer_measures(questions, scores, null_odds, threshold)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, takes_words=True, description=__doc__)
