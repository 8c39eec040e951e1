"""Checks a student's settings before run_classifier_distill.sh trains its teachers.

python scripts/check_student.py --teachers=distill_output/teacher_11/best,... FLAG...

The flags are those of run_classifier.py. It checks the flags, the data, the unlabelled texts and,
if they exist already, the teachers. Nothing is trained, and only the teachers' outputs are written.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags

from albert_zh.common.errors import run_command
from albert_zh.distillation import linear_model
from albert_zh.finetuning import runner

FLAGS = flags.FLAGS
define_flags = runner.define_flags


def run() -> None:
    """Runs the checks with the current flags."""
    names = [name.strip() for name in FLAGS.teachers or ()]
    are_there = all(name == linear_model.NAME or os.path.exists(name) for name in names)
    runner.check(FLAGS, has_teachers=are_there)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)


if __name__ == "__main__":
    main()
