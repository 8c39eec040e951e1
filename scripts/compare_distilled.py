"""Prints the accuracies that run_classifier_distill.sh reached: plain, teachers, ensemble, student.

python scripts/compare_distilled.py --output_dir=distill_output
"""

import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import numpy as np

from albert_zh.common import files
from albert_zh.common.errors import UserError, run_command

FLAGS = flags.FLAGS
SPLITS = ("dev", "test")


def define_flags():
    """Defines the flags."""
    flags.DEFINE_string("output_dir", "distill_output", "OUTPUT_DIR of run_classifier_distill.sh.")


def accuracies(folder):
    """{split: accuracy} of a run's report."""
    report = files.read_json(os.path.join(folder, "report.json"))
    return {split: report[split]["accuracy"] for split in SPLITS if split in report}


def accuracy_of_average(folders):
    """The accuracy of the runs' averaged probabilities on the labelled test file."""
    total, labels = 0.0, None
    for folder in folders:
        lines = files.read_lines(os.path.join(folder, "predictions.tsv"))
        header = lines[0].split("\t")
        names = [name[2:-1] for name in header if name.startswith("P(")]
        rows = [line.split("\t") for line in lines[1:]]
        labels = [row[header.index("label")] for row in rows]
        total = total + np.array([row[-len(names) :] for row in rows], np.float64)
    best = [names[number] for number in total.argmax(axis=1)]
    return float(np.mean([label == name for label, name in zip(labels, best)]))


def lines(output_dir):
    """Yields the lines of the table."""
    teachers = sorted(glob.glob(os.path.join(glob.escape(output_dir), "teacher_*", "")))
    teachers = [folder for folder in teachers if os.path.exists(folder + "report.json")]
    student = os.path.join(output_dir, "student")
    if not os.path.exists(os.path.join(student, "report.json")):
        raise UserError(
            "--output_dir=%s: holds no student: run bash run_classifier_distill.sh" % output_dir
        )
    yield "%-24s %8s %8s" % (("accuracy",) + SPLITS)
    yield _line("plain", accuracies(os.path.join(output_dir, "plain")))
    for folder in teachers:
        yield _line(os.path.basename(os.path.dirname(folder)), accuracies(folder))
    if teachers:
        yield _line("teachers, averaged", {"test": accuracy_of_average(teachers)})
    yield _line("student", accuracies(student))


def _line(name, of_splits):
    cells = ["%.4f" % of_splits[split] if split in of_splits else "-" for split in SPLITS]
    return "%-24s %8s %8s" % (name, *cells)


def main():
    """Prints the table."""
    for line in lines(FLAGS.output_dir):
        print(line)


if __name__ == "__main__":
    define_flags()
    run_command(main)
