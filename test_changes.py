"""ALBERT 的三处改动，用算出来的数字说明。Shows the three changes of ALBERT with computed figures.

Code: albert_zh/commands/test_changes.py
"""

from albert_zh.commands.test_changes import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.test_changes import main

if __name__ == "__main__":
    main()
