"""Baseline of reading comprehension: character overlap of sentences, without a model.

    python benchmarks/questions_baseline.py --data_dir=data/questions_sample

Answers each question with the sentence of its context that shares the most character bigrams with
it, and prints exact match and F1 by the rules of CMRC 2018 on dev.json and test.json. The files may
have any layout that run_reading_comprehension.py reads; questions without an answer are skipped.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags

from albert_zh.common.errors import UserError, run_command
from albert_zh.tasks.reading import answer_scores, lexical_baseline, question_files

FLAGS = flags.FLAGS

SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "questions_sample")


def define_flags():
    flags.DEFINE_string(
        "data_dir", os.path.normpath(SAMPLE), "Folder with dev.json, test.json or both."
    )


def baseline_scores(path):
    """Scores of the baseline on a file.

    Args:
        path: file of questions.

    Returns:
        `Scores` of the questions that have an answer.

    Raises:
        UserError: if no question has an answer.
    """
    questions = [q for q in question_files.read_questions(path).questions if q.answers]
    if not questions:
        raise UserError("%s: no question has an answer: expected a labelled file" % path)
    predictions = lexical_baseline.baseline_predictions(questions)
    return answer_scores.score_predictions(questions, predictions)


def main():
    paths = [os.path.join(FLAGS.data_dir, name) for name in ("dev.json", "test.json")]
    present = [path for path in paths if os.path.exists(path)]
    if not present:
        raise UserError("--data_dir=%s: holds no dev.json and no test.json" % FLAGS.data_dir)
    for path in present:
        scores = baseline_scores(path)
        print(
            "questions baseline, %s: exact match %.1f%%, F1 %.1f%% (%d questions)"
            % (os.path.basename(path), scores.exact_match, scores.f1, len(scores.f1s))
        )


if __name__ == "__main__":
    define_flags()
    run_command(main)
