"""Scores predictions with the metrics of SQuAD 2.0, for questions of which some have no answer.

Code: albert_zh/commands/squad_evaluate.py
"""

from albert_zh.commands.squad_evaluate import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.squad_evaluate import main

if __name__ == "__main__":
    main()
