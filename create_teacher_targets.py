"""Writes what teachers predict for texts, averaged, as targets for any program that trains.

Code: albert_zh/commands/create_teacher_targets.py
"""

from albert_zh.commands.create_teacher_targets import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.create_teacher_targets import main

if __name__ == "__main__":
    main()
