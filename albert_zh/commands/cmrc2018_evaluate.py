"""Scores predictions for CMRC 2018 with exact match and F1, like the data set's official script.

    python cmrc2018_evaluate.py cmrc2018_dev.json reading_output/dev_predictions.json
    python cmrc2018_evaluate.py cmrc2018_dev.json reading_output/dev_predictions.json metric.txt

DATA is in SQuAD's format or the original format of CMRC; the predictions are {id: text}. Prints a
JSON line: AVERAGE (mean of F1 and EM), F1, EM, TOTAL (number of questions), SKIP (number of
questions without a prediction, which count as wrong) and FILE. If a third argument is passed, the
line is also written to that file.

Latin words are split like NLTK's Treebank tokenizer, without its Punkt sentence splitter: in an
answer of several English sentences, a full stop inside the answer stays attached to its word.
"""

import json
import sys
from typing import List

from albert_zh.common import output_files, path_rules
from albert_zh.common.errors import UserError, run_command
from albert_zh.tasks.reading import answer_scores, question_files

__all__ = [
    "define_flags",
    "main",
    "metric_line",
    "run",
]


def define_flags() -> None:
    """Defines the command's flags: none."""


def run(words: List[str]) -> None:
    """Scores a file of predictions."""
    if len(words) not in (2, 3):
        raise UserError(
            "expected DATA PREDICTIONS [METRIC_FILE], such as dev.json dev_predictions.json, "
            "found %d arguments" % len(words)
        )
    for path in words[:2]:
        path_rules.protect(path, path)
    for path in words[2:]:
        path_rules.check_is_of_no_model(path_rules.output_file(path), path)
    line = metric_line(*words[:2])
    print(line)
    for path in words[2:]:
        with output_files.atomic_write(path) as stream:
            stream.write(line + "\n")


def metric_line(data_path: str, predictions_path: str) -> str:
    """Computes the scores and returns them as a JSON line.

    Args:
        data_path: the labelled questions.
        predictions_path: the predictions.

    Raises:
        UserError: if a file has the wrong format, a question has no answer, or the predictions
            belong to other questions.
    """
    questions = question_files.read_questions(data_path, needs_texts=False).questions
    unanswered = [question for question in questions if not question.answers]
    if unanswered:
        raise UserError(
            "%s: the question %r has no answer: expected at least one; squad_evaluate.py also "
            "scores questions without answers" % (unanswered[0].source, unanswered[0].id)
        )
    predictions = answer_scores.read_predictions(predictions_path, questions, data_path)
    scores = answer_scores.score_predictions(questions, predictions)
    for question_id in scores.missing:
        print("Unanswered question: %s" % question_id, file=sys.stderr)
    measures = {
        "AVERAGE": "%.3f" % ((scores.exact_match + scores.f1) * 0.5),
        "F1": "%.3f" % scores.f1,
        "EM": "%.3f" % scores.exact_match,
        "TOTAL": len(questions),
        "SKIP": len(scores.missing),
        "FILE": predictions_path,
    }
    return json.dumps(measures)


def main() -> None:
    """Runs the command line."""
    run_command(run, takes_words=True, description=__doc__)
