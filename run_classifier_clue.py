"""Runs CLUE's tasks: run_classifier.py, plus the prediction file that CLUE's site expects.

Code: albert_zh/commands/run_classifier_clue.py
"""

from albert_zh.commands.run_classifier_clue import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_classifier_clue import __getattr__, main

FLAGS = __getattr__("FLAGS")  # defined by the import, as the original defines its flags

if __name__ == "__main__":
    main()
