"""Scores predictions for DRCD with exact match and F1, by the rules of CMRC 2018, as is usual.

Code: albert_zh/commands/drcd_evaluate.py
"""

from albert_zh.commands.drcd_evaluate import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.drcd_evaluate import main

if __name__ == "__main__":
    main()
