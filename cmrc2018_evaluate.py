"""Scores predictions for CMRC 2018 with exact match and F1, like the data set's official script.

Code: albert_zh/commands/cmrc2018_evaluate.py
"""

from albert_zh.commands.cmrc2018_evaluate import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.cmrc2018_evaluate import main

if __name__ == "__main__":
    main()
