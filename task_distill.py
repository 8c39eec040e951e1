"""Distils a fine-tuned teacher into a student on a task's data, in two phases as in TinyBERT.

Code: albert_zh/commands/task_distill.py
"""

from albert_zh.commands.task_distill import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.task_distill import main

if __name__ == "__main__":
    main()
