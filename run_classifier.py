"""Fine-tunes a classifier on a task, evaluates it and predicts with it.

Code: albert_zh/commands/run_classifier.py
"""

from albert_zh.commands.run_classifier import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.run_classifier import __getattr__, main

FLAGS = __getattr__("FLAGS")  # defined by the import, as the original defines its flags

if __name__ == "__main__":
    main()
