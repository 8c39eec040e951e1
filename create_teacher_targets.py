"""Writes the averaged predictions of teachers for texts, as targets for any training program.

Code: albert_zh/commands/create_teacher_targets.py
"""

from albert_zh.commands.create_teacher_targets import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.create_teacher_targets import main

if __name__ == "__main__":
    main()
