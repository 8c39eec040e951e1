"""Prints the accuracies of run_classifier_distill.sh: plain, teachers, ensemble, student.

python scripts/compare_distilled.py --output_dir=distill_output --teachers=teacher_11,teacher_12

The score is the first one in the reports: accuracy or, for example with several labels, micro F1.
"""

import os
import sys
from typing import Any, Dict, Iterable, Iterator

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import numpy as np

from albert_zh.common import files
from albert_zh.common.errors import UserError, run_command

FLAGS = flags.FLAGS
SPLITS = ("dev", "test")


def define_flags() -> None:
    """Defines the flags."""
    flags.DEFINE_string("output_dir", "distill_output", "OUTPUT_DIR of run_classifier_distill.sh.")
    flags.DEFINE_list("teachers", [], "Folders of the trained teachers in --output_dir.")


def report_of(folder: str) -> Dict[str, Any]:
    """Returns {split: scores} of a run."""
    report = files.read_json(os.path.join(folder, "report.json"))
    return {split: report[split] for split in SPLITS if split in report}


def accuracy_of_average(folders: Iterable[str]) -> float:
    """Accuracy of the runs' averaged probabilities on the labelled rows of the test file."""
    total, labels = 0.0, None
    for folder in folders:
        lines = files.read_lines(os.path.join(folder, "predictions.tsv"))
        header = lines[0].split("\t")
        names = [name[2:-1] for name in header if name.startswith("P(")]
        rows = [line.split("\t") for line in lines[1:]]
        labels = [row[header.index("label")] for row in rows]
        total = total + np.array([row[-len(names) :] for row in rows], np.float64)
    best = [names[number] for number in total.argmax(axis=1)]
    return float(np.mean([label == name for label, name in zip(labels, best) if label]))


def lines(output_dir: str) -> Iterator[str]:
    """Yields the lines of the table."""
    teachers = [os.path.join(output_dir, name) for name in FLAGS.teachers]
    student = os.path.join(output_dir, "student")
    if not os.path.exists(os.path.join(student, "report.json")):
        raise UserError(
            "--output_dir=%s: contains no student: run bash run_classifier_distill.sh" % output_dir
        )
    reports = {"plain": report_of(os.path.join(output_dir, "plain"))}
    reports.update((os.path.basename(folder), report_of(folder)) for folder in teachers)
    scored = report_of(student)
    score = next(name for name in scored["dev"] if name != "rows")
    if teachers and score == "accuracy" and "test" in scored:
        reports["teachers, averaged"] = {"test": {score: accuracy_of_average(teachers)}}
    reports["student"] = scored
    yield "%-24s %8s %8s" % ((score,) + SPLITS)
    for name, report in reports.items():
        cells = ["%.4f" % report[split][score] if split in report else "-" for split in SPLITS]
        yield "%-24s %8s %8s" % (name, *cells)


def main() -> None:
    """Prints the table."""
    for line in lines(FLAGS.output_dir):
        print(line)


if __name__ == "__main__":
    define_flags()
    run_command(main)
